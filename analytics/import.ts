/**
 * The import of a feed: a file of somebody else's in, its good rows in the lake by business day, its bad rows in a file with the reason.
 *
 *   the file -> records (scan.ts) -> values -> judged once (feeds.ts) -> without repeats -> one Parquet file a day -> the manifest
 *
 * What must stay true: an import is known by what it was given, so that the same file again overwrites itself and doubles nothing; until
 * its manifest is there nobody sees any of it; memory is DuckDB's limit and one record, whatever the file's size. A file that lacks a
 * required column, or cannot be read, leaves nothing in the lake.
 */
import { closeSync, mkdirSync, openSync, readSync, renameSync, rmSync, statSync, writeFileSync, writeSync } from "node:fs"
import { basename, dirname, join } from "node:path"
import { type Duck, named, openDuck, quoted } from "./duck.ts"
import { datasetOf, faultOf, type Feed, FEEDS, lakeName, type Reason, SCHEMAS, valueOf } from "./feeds.ts"
import { type Lake, type LakeFile, type Manifest, sha256Of, sha256OfFile } from "./lake.ts"
import { type Progress, withStatements } from "./progress.ts"
import type { House } from "./runner.ts"
import { csvValues, jsonMembers, RECORD_BYTES_MAX, scanRecords, type TextFormat, unescaped, valueWriter } from "./scan.ts"

export interface ImportAsk {
  readonly feed: Feed
  readonly file: string
  /** "" for our own. */
  readonly set: string
  /** Column of the feed -> column of the file. */
  readonly map: Readonly<Record<string, string>>
  /** The zone of the file's wall clocks; nothing: every instant says its own offset. */
  readonly zone: string | undefined
}

export interface ImportParts {
  readonly lake: Lake
  /** The business day's zone. */
  readonly time_zone: string
  readonly memory_mb: number
  readonly threads: number
  readonly signal: AbortSignal
  readonly progress: Progress
}

export interface Imported {
  readonly import_id: string
  readonly feed: Feed
  readonly rows: number
  readonly accepted: number
  readonly rejected: number
  readonly rejects_file: string | null
  /** Columns that no one reads. */
  readonly ignored: readonly string[]
}

/** The file is none that can be read. */
export class UnreadableFile extends Error { override readonly name = "UnreadableFile" }

interface Reject { readonly row: number; readonly column: string | null; readonly reason: Reason; readonly raw: string }

const ID_CHARS = 16
const IMPORT_ID = new RegExp(`^(${FEEDS.join("|")})-[0-9a-f]{${ID_CHARS}}$`)
const HEAD_BYTES = 65_536
/** Columns of a file: more are a mistake, and would be as many files' columns in the lake. */
const COLUMNS_MAX = 2_000
/** A business day of a feed lies in its own file; a feed of more days than this is a mistake in its dates. */
const DAYS_MAX = 10_000
/** What the lake tells of each row beside its values, in small letters: a file's column of such a name is none of the feed's. */
const LAKE_COLUMNS = ["day", "import_no", "row"]
const UNNAMED = "a column without a name"

type Format = TextFormat | "parquet"

/** What a file is, by what it begins with. */
const formatOf = (file: string): Format => {
  const head = Buffer.alloc(HEAD_BYTES)
  const fd = openSync(file, "r")
  let length: number
  try { length = readSync(fd, head, 0, HEAD_BYTES, 0) } finally { closeSync(fd) }
  const text = head.subarray(0, length)
  if (text.subarray(0, 4).toString("latin1") === "PAR1") return "parquet"
  return /^(\xef\xbb\xbf)?\s*\{/.test(text.toString("latin1")) ? "ndjson" : "csv"
}

/** Whether a text is one everywhere: Postgres keeps no zero character, and nothing keeps half of a pair. */
const isText = (text: string): boolean => !text.includes("\0") && text.isWellFormed()

/** Which of the file's columns is read as which of the feed's. Throws UnreadableFile where two fields are one to whoever reads the lake. */
const namesOf = ({ feed, map }: ImportAsk, columns: readonly string[]) => {
  const { columns: own, has_fields } = SCHEMAS[feed]
  const sourceOf = (name: string): string => map[name] ?? name
  const present = new Set(columns)
  const used = new Set(own.map(({ name }) => sourceOf(name)))
  const renamed = new Map(Object.entries(map).map(([name, source]) => [source, name]))
  const others = columns.filter((column) => !used.has(column)).map((column) => ({ source: column, name: renamed.get(column) ?? column }))
  // Names are told apart without their case, as in SQL.
  const reserved = new Set([...own.map(({ name }) => name), ...LAKE_COLUMNS, ""])
  const fields = has_fields ? others.filter(({ name }) => !reserved.has(name.toLowerCase())) : []
  const folded = new Map<string, string>()
  for (const { name } of fields) {
    const twin = folded.get(name.toLowerCase())
    if (twin !== undefined) throw new UnreadableFile(`the columns ${twin} and ${name} differ in their case alone`)
    folded.set(name.toLowerCase(), name)
  }
  return {
    missing: [...own.filter(({ required }) => required).map(({ name }) => name), ...Object.keys(map)]
      .filter((name, i, all) => all.indexOf(name) === i && !present.has(sourceOf(name))),
    sourceOf: (name: string): string | undefined => present.has(sourceOf(name)) ? sourceOf(name) : undefined,
    /** Columns of the file that are fields of a score, with their names. */
    fields,
    ignored: others.filter((other) => !fields.includes(other)).map(({ source }) => source === "" ? UNNAMED : source),
  }
}

/** What was found in the file before anything was judged. */
interface Read {
  readonly columns: readonly string[]
  readonly rows: number
  readonly sha256: string
  /** Rows that are bytes and not text. */
  readonly not_utf8: readonly { row: number; column: string }[]
  /** The rows as DuckDB reads them: `row` and the columns' texts as c0, c1… */
  readonly table: string
  /** The column of a row whose value is none that is a text everywhere, as SQL over c0, c1…; null where all are. Nothing: `not_utf8` names them. */
  readonly not_text?: string
  /** The row as it came, as SQL over the file's columns. Nothing: it is a record of the file's text. */
  readonly raw?: string
}

const readText = async (duck: Duck, file: string, format: TextFormat, to: string, { signal, progress }: ImportParts): Promise<Read> => {
  const columns: string[] = []
  const places = new Map<string, number>()
  const not_utf8: { row: number; column: string }[] = []
  let rows = 0
  const fd = openSync(to, "w")
  const writer = valueWriter((bytes) => { for (let at = 0; at < bytes.length;) at += writeSync(fd, bytes, at) })
  const addColumn = (name: string): number => {
    if (columns.length === COLUMNS_MAX) throw new UnreadableFile(`the file has more than ${COLUMNS_MAX} columns`)
    places.set(name, columns.length)
    return columns.push(name) - 1
  }
  const placeOf = (name: string): number => places.get(name) ?? addColumn(name)
  let sha256: string
  try {
    sha256 = await scanRecords(file, format, ({ bytes, row, is_utf8 }) => {
      if (row === 0) {
        if (!is_utf8) throw new UnreadableFile("not_utf8")
        for (const name of csvValues(bytes)) {
          if (name !== "" && places.has(name)) throw new UnreadableFile(`the column ${name} stands twice in the header`)
          addColumn(name)
        }
        return
      }
      rows = row
      if (!is_utf8) {
        const values = format === "csv" ? csvValues(bytes) : (jsonMembers(bytes.toString("utf8")) ?? []).map(([name, value]) => { placeOf(name); return value })
        const place = values.findIndex((value) => value.includes("\ufffd") || !isText(value))
        not_utf8.push({ row, column: columns[place] ?? "" })
        return
      }
      if (format === "csv") {
        if (!writer.plain(row, bytes, columns.length)) {
          const values = csvValues(bytes)
          writer.values(row, values.length > columns.length ? values.slice(0, columns.length) : values)
        }
        return
      }
      const text = bytes.toString("utf8")
      const members = jsonMembers(text) ?? []
      // Good bytes may still spell such a character.
      const wrong = text.includes("\\u") ? members.find((member) => !member.every(isText)) : undefined
      if (wrong) {
        not_utf8.push({ row, column: isText(wrong[0]) ? wrong[0] : "" })
        return
      }
      const values: string[] = new Array(columns.length).fill("")
      for (const [name, value] of members) {
        const place = placeOf(name)
        while (values.length <= place) values.push("")
        values[place] = value
      }
      writer.values(row, values)
    }, signal, (part) => progress("reading", part))
    writer.end()
  } finally {
    closeSync(fd)
  }
  await duck.run(`create view source as select * from read_csv(${quoted(to)}, auto_detect = false, header = false, delim = '\x1f', quote = '', escape = '', new_line = '\\n', null_padding = true,
    max_line_size = ${4 * RECORD_BYTES_MAX}, columns = {'row': 'BIGINT'${columns.map((_, i) => `, 'c${i}': 'VARCHAR'`).join("")}})`)
  return { columns, rows, sha256, not_utf8, table: `select row${columns.map((_, i) => `, ${unescaped(`c${i}`)} as c${i}`).join("")} from source` }
}

const readParquet = async (duck: Duck, file: string): Promise<Read> => {
  const sha256 = await sha256OfFile(file)
  try {
    const columns = await duck.all<{ column_name: string; column_type: string }>(`describe select * from read_parquet(${quoted(file)})`)
    const { rows } = await duck.one<{ rows: number }>(`select count(*) as rows from read_parquet(${quoted(file)})`)
    // Bytes that no one called text are read as it, and where they are none a zero character stands for them, which is none either.
    const textOf = ({ column_name, column_type }: { column_name: string; column_type: string }): string =>
      column_type === "BLOB" ? `case when ${named(column_name)} is not null then coalesce(try(decode(${named(column_name)})), chr(0)) end` :
      column_type === "TIMESTAMP WITH TIME ZONE" ? `strftime(${named(column_name)} at time zone 'UTC', '%Y-%m-%dT%H:%M:%S.%fZ')` : `${named(column_name)}::varchar`
    return {
      columns: columns.map(({ column_name }) => column_name), rows, sha256, not_utf8: [],
      not_text: columns.length === 0 ? "null" : `case ${columns.map(({ column_name }, i) => `when contains(c${i}, chr(0)) then ${quoted(column_name)}`).join(" ")} end`,
      // As JSON a decimal would lose its last zeros.
      raw: `to_json({${columns.map(({ column_name, column_type }) => `${quoted(column_name)}: ${named(column_name)}${column_type.startsWith("DECIMAL") ? "::varchar" : ""}`).join(", ")}})`,
      table: `select file_row_number + 1 as row${columns.map((column, i) => `, ${textOf(column)} as c${i}`).join("")} from read_parquet(${quoted(file)}, file_row_number = true)`,
    }
  } catch (fault) {
    throw new UnreadableFile(`the Parquet file cannot be read: ${fault instanceof Error ? fault.message.split("\n")[0] : String(fault)}`)
  }
}

/** The key of a row as one number of 128 bits, as SQL over the lake's columns. */
const keyOf = (feed: Feed): string =>
  `md5_number(${SCHEMAS[feed].key.map((name) => `length(coalesce(${name}, '')) || ':' || coalesce(${name}, '')`).join(" || ")})`

/** Every reject, in the order of the rows, with the row as it came. Answers how many there are. */
const writeRejects = async (duck: Duck, to: string, read: Read, ask: ImportAsk, format: Format, whole: readonly Reject[], signal: AbortSignal): Promise<void> => {
  mkdirSync(dirname(to), { recursive: true })
  const temp = `${to}.tmp`
  const fd = openSync(temp, "w")
  const write = (rejects: readonly Reject[]) => { if (rejects.length > 0) writeSync(fd, rejects.map((reject) => `${JSON.stringify(reject)}\n`).join("")) }
  try {
    write(whole)
    if (read.raw !== undefined) {
      await duck.each<{ row: number; what: string; raw: string }>(
        `select r.row, r.what, s.raw from rejects r join (select file_row_number + 1 as row, ${read.raw}::varchar as raw from read_parquet(${quoted(ask.file)}, file_row_number = true)) s on s.row = r.row order by r.row`,
        (rows) => write(rows.map(({ row, what, raw }) => { const space = what.lastIndexOf(" "); return { row, column: what.slice(0, space), reason: what.slice(space + 1) as Reason, raw } })))
    } else {
      // The rejects in their order beside the file's records in theirs: a piece of each is all that is held.
      const wanted = new Map<number, string>()
      await duck.each<{ row: number; what: string }>("select row, what from rejects order by row", (rows) => { for (const { row, what } of rows) wanted.set(row, what) })
      for (const { row, column } of read.not_utf8) wanted.set(row, `${column} not_utf8`)
      let rejects: Reject[] = []
      await scanRecords(ask.file, format as TextFormat, ({ bytes, row }) => {
        const what = wanted.get(row)
        if (what === undefined) return
        const space = what.lastIndexOf(" ")
        rejects.push({ row, column: what.slice(0, space), reason: what.slice(space + 1) as Reason, raw: bytes.toString("utf8") })
        if (rejects.length === 1_000) { write(rejects); rejects = [] }
      }, signal)
      write(rejects)
    }
  } finally {
    closeSync(fd)
  }
  renameSync(temp, to)
}

/** The number of an import among those of its dataset: the one it had, or one more than any. */
const importNo = (own: Manifest["facts"] | undefined, others: readonly Manifest[]): number => {
  const numberOf = (facts: Manifest["facts"] | undefined): number => Number(facts?.["import_no"] ?? 0)
  return numberOf(own) || 1 + Math.max(0, ...others.map(({ facts }) => numberOf(facts)))
}

/** Import a file. Throws UnreadableFile where it cannot be read at all. Two imports of a dataset must take turns. */
export const importFile = async (parts: ImportParts, ask: ImportAsk): Promise<Imported> => {
  const { lake, signal } = parts
  const { feed, file, set, map, zone } = ask
  if (!statSync(file, { throwIfNoEntry: false })?.isFile()) throw new UnreadableFile(`there is no file ${file}`)
  const schema = SCHEMAS[feed]
  const format = formatOf(file)
  const work = lake.temp()
  const duck = await openDuck({ memory_mb: parts.memory_mb, threads: parts.threads, temp_dir: work })
  signal.addEventListener("abort", () => duck.interrupt(), { once: true })
  const { progress, end } = withStatements(parts.progress, () => duck)
  try {
    const dataset = datasetOf(feed, set)
    const rejectsOf = (import_id: string): string => join(lake.root, "rejects", dataset, `${import_id}.ndjson`)
    const idOf = (sha256: string): string => `${feed}-${sha256Of([feed, set, sha256, map, zone ?? null, parts.time_zone]).slice(0, ID_CHARS)}`
    const wholeFile = (sha256: string, rows: number, rejects: readonly Reject[]): Imported => {
      const import_id = idOf(sha256), to = rejectsOf(import_id)
      mkdirSync(dirname(to), { recursive: true })
      writeFileSync(to, rejects.map((reject) => `${JSON.stringify(reject)}\n`).join(""))
      return { import_id, feed, rows, accepted: 0, rejected: rows, rejects_file: to, ignored: [] }
    }

    let read: Read
    try {
      read = format === "parquet" ? await readParquet(duck, file) : await readText(duck, file, format, join(work, "values"), parts)
    } catch (fault) {
      if (!(fault instanceof UnreadableFile) || fault.message !== "not_utf8") throw fault
      return wholeFile(await sha256OfFile(file), 0, [{ row: 0, column: null, reason: "not_utf8", raw: "" }])
    }
    const names = namesOf(ask, read.columns)
    if (names.missing.length > 0) {
      return wholeFile(read.sha256, read.rows, names.missing.map((column) => ({ row: 0, column, reason: "missing_column", raw: read.columns.join(",") })))
    }

    // Each text once, then each value once, then the judgement: DuckDB evaluates a column of a subquery one time.
    const place = new Map(read.columns.map((column, i) => [column, `c${i}`]))
    const textOf = (name: string): string => { const source = names.sourceOf(name); return source === undefined ? "null::varchar" : `nullif(${place.get(source)}, '')` }
    const own = schema.columns
    const texts = own.map((column) => `${column.fallback === undefined ? textOf(column.name) : `coalesce(${textOf(column.name)}, ${quoted(column.fallback)})`} as ${named(`t ${column.name}`)}`)
    const values = own.map((column) => `${valueOf(column, named(`t ${column.name}`), zone)} as ${named(lakeName(column))}`)
    // A value that is missing and one that is empty are one and the same.
    const fields = names.fields.map(({ source }, i) => `nullif(${place.get(source)}, '') as f${i}`)
    const lakeNameOf = (name: string): string => lakeName(own.find((column) => column.name === name)!)
    const dayOf = schema.dated === "at" ? `strftime(timezone(${quoted(parts.time_zone)}, make_timestamptz(at_ms * 1000)), '%Y-%m-%d')` : schema.dated
    // A field has its own name in the lake alone: until there, no name of a file meets one of these statements'.
    const judgedColumns = [...own.map((column) => named(lakeName(column))), ...names.fields.map((_, i) => `f${i}`)]
    const kept = [...own.map((column) => named(lakeName(column))), ...names.fields.map(({ name }, i) => `f${i} as ${named(name)}`)]
    const fault = faultOf(feed, (name) => named(`t ${name}`), (name) => named(lakeNameOf(name)))
    const judged = join(work, "judged.parquet"), staged = join(work, "staged.parquet")
    progress("judging")
    // Written out once, good and bad: a filter on the judgement would have every column judged twice.
    await duck.run(`copy (
      select row, what, ${dayOf} as __day${schema.key.length > 0 ? `, ${keyOf(feed)} as __key` : ""}, ${judgedColumns.join(", ")} from (
        select *, ${read.not_text === undefined ? fault : `coalesce(not_text || ' not_utf8', ${fault})`} as what from (
          select *, ${values.join(", ")} from (
            select row, ${[...texts, ...fields, ...(read.not_text === undefined ? [] : [`${read.not_text} as not_text`])].join(", ")} from (${read.table}))))
    ) to ${quoted(judged)} (format parquet, compression lz4)`)
    rmSync(join(work, "values"), { force: true })
    await duck.run(`create table rejects as select row, what from read_parquet(${quoted(judged)}) where what is not null`)
    const days = await duck.all<{ day: string }>(`select distinct __day as day from read_parquet(${quoted(judged)}) where what is null order by day`)
    if (days.length > DAYS_MAX) throw new UnreadableFile(`the rows are of ${days.length} days, more than ${DAYS_MAX}: is a date in the wrong form?`)
    // Sorted by day, each day's rows are found without reading the others'.
    progress("sorting")
    await duck.run(`copy (select * exclude (what) from read_parquet(${quoted(judged)}) where what is null${days.length > 1 ? " order by __day, row" : ""}) to ${quoted(staged)} (format parquet, compression lz4)`)
    rmSync(judged, { force: true })
    const import_id = idOf(read.sha256)
    // What this import left before may have lost files: it is written anew.
    const others = lake.parts(dataset, import_id)
    if (schema.key.length > 0) {
      progress("looking for repeats")
      const known = others.flatMap(({ files }) => files)
      await duck.run(`create table repeated as select __key, min(row) as first_row from read_parquet(${quoted(staged)}) group by __key having count(*) > 1`)
      await duck.run(`insert into rejects select s.row, ${quoted(`${schema.key[0]} duplicate`)} from read_parquet(${quoted(staged)}) s join repeated k using (__key) where s.row > k.first_row`)
      if (known.length > 0) {
        await duck.run(`insert into rejects select s.row, ${quoted(`${schema.key[0]} duplicate`)} from read_parquet(${quoted(staged)}) s
          where s.__key in (select k from (select ${keyOf(feed)} as k from read_parquet([${known.map((each) => quoted(lake.place(each))).join(", ")}])) where k in (select __key from read_parquet(${quoted(staged)}))) and s.row not in (select row from rejects)`)
      }
    }

    const { bad } = await duck.one<{ bad: number }>("select count(*) as bad from rejects")
    const rejected = bad + read.not_utf8.length
    const accepted = read.rows - rejected
    const import_no = importNo(lake.facts(dataset, import_id), others)
    const files: LakeFile[] = []
    const duplicates = schema.key.length > 0 && bad > 0 ? " and row not in (select row from rejects)" : ""
    for (const [i, { day }] of days.entries()) {
      signal.throwIfAborted()
      progress("writing", i / days.length)
      const select = `select ${kept.join(", ")}${schema.dated === "at" ? ", __day as day" : ""}, ${import_no}::bigint as import_no, row from read_parquet(${quoted(staged)}) where __day = ${quoted(day)}${duplicates}`
      const written = await lake.write(duck, { select, order: "row", folder: `${dataset}/${import_id}`, name: day, day, range: "row", sums: schema.sums })
      if (written.rows > 0) files.push(written)
      else rmSync(lake.place(written), { force: true })
    }
    const rejects_file = rejected > 0 ? rejectsOf(import_id) : null
    if (rejects_file === null) rmSync(rejectsOf(import_id), { force: true })
    else await writeRejects(duck, rejects_file, read, ask, format, [], signal)
    if (accepted > 0) {
      lake.publish({
        dataset, part: import_id, files,
        facts: { feed, set, import_no, file: basename(file), source_sha256: read.sha256, map, zone: zone ?? null, time_zone: parts.time_zone, rows: read.rows, accepted, rejected },
      })
    }
    return { import_id, feed, rows: read.rows, accepted, rejected, rejects_file, ignored: names.ignored }
  } finally {
    end()
    duck.close()
  }
}

/**
 * Take an import out: its manifest names no file any more, so its days are read anew without it. One that has landed and was lost since is taken out too, by what
 * Postgres knows of it. The same file may be imported again. Answers its feed and set, and its rows where they are still known, or nothing where there was no such import.
 */
export const removeImport = async ({ sql, lake }: Pick<House, "sql" | "lake">, import_id: string): Promise<{ readonly feed: string; readonly set: string; readonly rows: number } | undefined> => {
  const feed = IMPORT_ID.exec(import_id)?.[1]
  if (feed === undefined) return undefined
  const landed = await sql<{ dataset: string }[]>`select dataset from lake_parts where part = ${import_id}`
  const datasets = new Set([...lake.datasets(), ...landed.map(({ dataset }) => dataset)])
  for (const dataset of [...datasets].filter((each) => each.split("@")[0] === feed)) {
    const set = dataset.slice(feed.length + 1)
    const facts = lake.facts(dataset, import_id) ?? (landed.some((each) => each.dataset === dataset) ? { feed, set } : undefined)
    if (!facts) continue
    lake.publish({ dataset, part: import_id, files: [], facts: { ...facts, accepted: 0, rejected: 0, is_removed: true } })
    rmSync(join(lake.root, "rejects", dataset, `${import_id}.ndjson`), { force: true })
    return { feed, set, rows: Number(facts["rows"] ?? 0) }
  }
  return undefined
}
