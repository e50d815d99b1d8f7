/**
 * The lake: Parquet files in folders, and manifests that say which of them count.
 *
 *   lake/<dataset>/<part>/manifest.json          what this part is: its files with rows, range, sums and sha256
 *   lake/<dataset>/<part>/<day>-<sha>.parquet    rows of one business day
 *   lake/outputs/<job>/<period>/<identity>/…     what a run has written
 *   lake/.tmp/…                                  what is being written
 *
 * What must stay true: a file is written under a temporary name, synced, and renamed to a name that carries its hash, and only then does a
 * manifest, itself renamed into its place, name it. So a reader, who follows manifests and nothing else, sees a part as it was or as it is; a
 * crash leaves at most files that nobody names; and a repeat comes to the same names and overwrites itself. Any engine that reads
 * Parquet may read a lake.
 */
import { createReadStream, existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, closeSync, openSync, fsyncSync, writeSync } from "node:fs"
import { open } from "node:fs/promises"
import { createHash, randomBytes } from "node:crypto"
import { dirname, join } from "node:path"
import { type Duck, quoted } from "./duck.ts"

/**
 * How a file is packed; a file's bytes depend on it. For 250,000 events of 410 bytes zstd took 1.5 µs of processor time an event and 46 bytes, snappy 1.3 and 104, without looking for
 * a dictionary of a column that has more values than an act or a cell 1.2, and 0.9 in row groups of 30,720 rows, which stay in the processor's cache (2026-11-23).
 */
const FORMS = { dense: "compression zstd, row_group_size 122880", quick: "compression snappy, dictionary_size_limit 1000, row_group_size 30720" } as const
const MANIFEST = "manifest.json"
const TEMP = ".tmp"
const SHA_CHARS = 16
/** Folders of a lake that are no datasets. */
const NO_DATASETS = ["outputs", "rejects", "reports", TEMP]

/** What is in the lake is not what its manifests say. */
export class LakeFault extends Error { override readonly name = "LakeFault" }

/** One Parquet file, as a manifest names it. `path` is relative to the lake. */
export interface LakeFile {
  readonly path: string
  readonly rows: number
  readonly bytes: number
  readonly sha256: string
  /** The business day of all its rows; nothing where the dataset has no day. */
  readonly day?: string
  /** The smallest and the largest of the dataset's key, as text. */
  readonly range?: readonly [string, string]
  /** Sums over its rows, by name, exact: whole numbers as text. */
  readonly sums?: Readonly<Record<string, string>>
}

/** What a part of a dataset is. `facts` is what its writer wants to know again. */
export interface Manifest {
  readonly dataset: string
  readonly part: string
  readonly files: readonly LakeFile[]
  readonly rows: number
  readonly sums: Readonly<Record<string, string>>
  readonly facts: Readonly<Record<string, unknown>>
  /** Of all above: two parts with one hash are the same. */
  readonly sha256: string
}

export interface Lake {
  /** The folder, absolute. */
  readonly root: string
  /** A new name for something that is being written. */
  temp(): string
  /**
   * Write the rows of a query as Parquet. `order` must leave no two rows equal that are not the same in every column: then the bytes are a
   * function of the rows; without it they stand as the query reads them. Answers the file, in its place, which no manifest names yet. `quick` is for what is
   * written all the time: it costs a third less than `dense` and is twice as large (FORMS).
   */
  write(duck: Pick<Duck, "run" | "one">, file: { readonly select: string; readonly order?: string; readonly folder: string; readonly name: string; readonly day?: string; readonly range?: string; readonly sums?: readonly string[]; readonly form?: keyof typeof FORMS }): Promise<LakeFile>
  /** Name the files of a part, in place of those that it had. */
  publish(part: Omit<Manifest, "rows" | "sums" | "sha256">): Manifest
  /** The parts of a dataset, in the order of their names, without one that is left out; every file that they name is looked at. Throws LakeFault. */
  parts(dataset: string, but?: string): Manifest[]
  /** The datasets that have parts with days or ranges, in the order of their names; what runs have written is none. */
  datasets(): string[]
  /** One part, or nothing. Throws LakeFault. */
  part(dataset: string, part: string): Manifest | undefined
  /** What the writer of a part noted, or nothing: for whoever writes it anew, so its files may be gone. Throws LakeFault. */
  facts(dataset: string, part: string): Manifest["facts"] | undefined
  /** Where a file lies. */
  place(file: Pick<LakeFile, "path">): string
  /** Whether a file lies there in its length. */
  has(file: LakeFile): boolean
  /** Read files whole and hold them to their hashes. Throws LakeFault, which names the first that is another. */
  verify(files: readonly LakeFile[], signal: AbortSignal): Promise<void>
}

const syncFolder = (folder: string): void => {
  const fd = openSync(folder, "r")
  try { fsyncSync(fd) } finally { closeSync(fd) }
}

const syncFile = (file: string): void => {
  const fd = openSync(file, "r+")
  try { fsyncSync(fd) } finally { closeSync(fd) }
}

/** What has come to a file that is being written goes to the disk so often. */
const SYNC_EVERY_MS = 50

/**
 * Have a file go to the disk piece by piece while it is written. All of it at once at the end is a queue that the log of Redis stands in: beside
 * 128 MB that were written and then synced, one sync of a log took 100 to 125 ms, and 22 to 43 beside pieces of 4 MB (15 to 20 alone, 2026-11-22).
 */
const syncedWhile = async (file: string, writing: Promise<void>): Promise<void> => {
  let isWriting = true
  const written = writing.finally(() => { isWriting = false })
  written.catch(() => undefined) // it is awaited below, after the sync that is under way
  while (isWriting) {
    await Promise.race([written, Bun.sleep(SYNC_EVERY_MS)])
    if (!isWriting || !existsSync(file)) continue
    const handle = await open(file, "r+")
    try { await handle.datasync() } finally { await handle.close() }
  }
  await written
}

/** Put a file into its place so that a crash at any point leaves the old one or the new one. */
const settle = (from: string, to: string): void => {
  syncFile(from)
  renameSync(from, to)
  syncFolder(dirname(to))
}

/** The SHA-256 of a file, in hex. */
export const sha256OfFile = async (file: string): Promise<string> => {
  const hash = createHash("sha256")
  for await (const piece of createReadStream(file, { highWaterMark: 1 << 20 })) hash.update(piece as Uint8Array)
  return hash.digest("hex")
}

/** JSON with the names of every object in their order, so that equal values are equal text. */
export const canonical = (value: unknown): string =>
  Array.isArray(value) ? `[${value.map(canonical).join(",")}]`
  : typeof value === "object" && value !== null
    ? `{${Object.entries(value).filter(([, each]) => each !== undefined).sort(([a], [b]) => a < b ? -1 : 1).map(([name, each]) => `${JSON.stringify(name)}:${canonical(each)}`).join(",")}}`
    : JSON.stringify(value)

/** The SHA-256 of a value, in hex. */
export const sha256Of = (value: unknown): string => createHash("sha256").update(typeof value === "string" ? value : canonical(value)).digest("hex")

/** A dataset's or part's name as a folder's: what a person may have typed never leaves the lake. */
const folderOf = (name: string): string => {
  if (!/^[A-Za-z0-9][A-Za-z0-9_.=@-]*(\/[A-Za-z0-9][A-Za-z0-9_.=@-]*)*$/.test(name)) throw new RangeError(`${name} is no name for a folder`)
  return name
}

const added = (files: readonly LakeFile[]): Record<string, string> => {
  const sums = new Map<string, bigint>()
  for (const file of files) for (const [name, sum] of Object.entries(file.sums ?? {})) sums.set(name, (sums.get(name) ?? 0n) + BigInt(sum))
  return Object.fromEntries([...sums].sort(([a], [b]) => a < b ? -1 : 1).map(([name, sum]) => [name, String(sum)]))
}

/** Open the lake in a folder, which is made where it is not there. */
export const openLake = (root: string): Lake => {
  mkdirSync(join(root, TEMP), { recursive: true })
  const temp = (): string => join(root, TEMP, randomBytes(8).toString("hex"))

  const looked = (file: LakeFile, manifest: string): void => {
    const bytes = statSync(join(root, file.path), { throwIfNoEntry: false })?.size
    if (bytes === undefined) throw new LakeFault(`${manifest} names ${file.path}, which is not there`)
    if (bytes !== file.bytes) throw new LakeFault(`${file.path} has ${bytes} bytes and ${manifest} says ${file.bytes}`)
  }

  const placeOf = (dataset: string, name: string): string => join(folderOf(dataset), folderOf(name), MANIFEST)
  const manifestOf = (dataset: string, name: string): Manifest | undefined => {
    const place = placeOf(dataset, name)
    if (!existsSync(join(root, place))) return undefined
    let manifest: Manifest
    try {
      manifest = JSON.parse(readFileSync(join(root, place), "utf8")) as Manifest
    } catch {
      throw new LakeFault(`${place} is not JSON`)
    }
    const { sha256, ...rest } = manifest
    if (sha256Of(rest) !== sha256) throw new LakeFault(`${place} is not what was written: its hash is another`)
    return manifest
  }

  const part = (dataset: string, name: string): Manifest | undefined => {
    const manifest = manifestOf(dataset, name)
    for (const file of manifest?.files ?? []) looked(file, placeOf(dataset, name))
    return manifest
  }

  return {
    root,
    temp,
    part,
    facts: (dataset, name) => manifestOf(dataset, name)?.facts,
    place: ({ path }) => join(root, path),
    has: ({ path, bytes }) => statSync(join(root, path), { throwIfNoEntry: false })?.size === bytes,
    verify: async (files, signal) => {
      for (const { path, sha256 } of files) {
        signal.throwIfAborted()
        const found = await sha256OfFile(join(root, path))
        if (found !== sha256) throw new LakeFault(`${path} is not what was written: its SHA-256 is ${found} and was ${sha256}. Bring it back from a copy, or import or extract its part anew.`)
      }
    },

    write: async (duck, { select, order, folder, name, day, range, sums = [], form = "dense" }) => {
      const to = join(root, folderOf(folder))
      mkdirSync(to, { recursive: true })
      const from = temp()
      try {
        await syncedWhile(from, duck.run(`copy (select * from (${select})${order === undefined ? "" : ` order by ${order}`}) to ${quoted(from)} (format parquet, ${FORMS[form]})`))
        const facts = await duck.one<Record<string, string | number | null>>(`select count(*) as rows${range === undefined ? "" : `, min(${range})::varchar as least, max(${range})::varchar as most`}${
          sums.map((column) => `, coalesce(sum("${column}"), 0)::varchar as "sum ${column}"`).join("")} from read_parquet(${quoted(from)})`)
        const sha256 = await sha256OfFile(from)
        const path = join(folder, `${name}-${sha256.slice(0, SHA_CHARS)}.parquet`)
        const bytes = statSync(from).size
        settle(from, join(root, path))
        return {
          path, rows: Number(facts["rows"]), bytes, sha256,
          ...(day === undefined ? {} : { day }),
          ...(range === undefined || facts["least"] === null ? {} : { range: [String(facts["least"]), String(facts["most"])] as const }),
          ...(sums.length === 0 ? {} : { sums: Object.fromEntries(sums.map((column) => [column, String(facts[`sum ${column}`])])) }),
        }
      } finally {
        rmSync(from, { force: true })
      }
    },

    publish: ({ dataset, part: name, files, facts }) => {
      const folder = join(folderOf(dataset), folderOf(name))
      mkdirSync(join(root, folder), { recursive: true })
      const rest = { dataset, part: name, files, rows: files.reduce((sum, { rows }) => sum + rows, 0), sums: added(files), facts }
      const manifest: Manifest = { ...rest, sha256: sha256Of(rest) }
      const from = temp()
      const fd = openSync(from, "w")
      try { writeSync(fd, canonical(manifest)) } finally { closeSync(fd) }
      settle(from, join(root, folder, MANIFEST))
      // What an earlier manifest of this part named and this one does not is read by nobody who begins now.
      const kept = new Set(files.map(({ path }) => path))
      for (const file of readdirSync(join(root, folder))) {
        if (file.endsWith(".parquet") && !kept.has(join(folder, file))) rmSync(join(root, folder, file), { force: true })
      }
      return manifest
    },

    datasets: () => readdirSync(root, { withFileTypes: true }).filter((entry) => entry.isDirectory() && !NO_DATASETS.includes(entry.name)).map(({ name }) => name).sort(),

    parts: (dataset, but) => {
      const folder = join(root, folderOf(dataset))
      if (!existsSync(folder)) return []
      return readdirSync(folder, { withFileTypes: true }).filter((entry) => entry.isDirectory()).map(({ name }) => name).sort()
        .flatMap((name) => name === but ? [] : part(dataset, name) ?? [])
    },
  }
}
