/**
 * `npm run forget -- USER`: a person is taken out of all that is kept, and the sums stay.
 *
 *   users          the id behind his number           emptied: events, coupons and risk name the number only
 *   redemptions    the id in the bodies of past ones  his number stands there; one that Redis still has waits until it has aged
 *   levels         his entry in every block           taken out; the month counts as a new generation, so every Redis loads it anew
 *   refusals       rights that were not issued        removed
 *   lake           rows of feeds and of runs' outputs removed: files are written anew, manifests and runs name the new ones; rows of orders, which
 *                  months' books are made of, keep all but who it was
 *   rejects        rows of feeds that were refused    emptied, with their place and reason left
 *   reports        pages that name him                removed: the job writes them again from what is left
 *
 * What must stay true: it may be cut off anywhere and run again; nothing of another person changes. Answers of runs, budgets and books are sums
 * and stay as they were told.
 */
import { existsSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs"
import { createHash } from "node:crypto"
import { basename, dirname, join } from "node:path"
import type { Sql } from "postgres"
import { packBlock, rangeOf, unpackBlock } from "../engine/badges/packed.ts"
import { type Duck, named, openDuck, quoted } from "./duck.ts"
import type { Output } from "./job.ts"
import { noteRewritten } from "./landed.ts"
import { canonical, type Lake, type LakeFile } from "./lake.ts"
import type { House } from "./runner.ts"

/** The columns of files that hold a person's id. */
const WHO = ["user_pin", "user_id"]
const HASH_BYTES = 16
/** Redis keeps what is settled for two days; what is older is in Postgres only. */
const AGED_MS = 49 * 3_600_000
/** The states of a redemption as they are packed: reserved is still open. */
const RESERVED = 1
/** Sorts behind every character of an id: what lies between a user's hash and this behind it is his. */
const AFTER_IDS = "~"
/** The feed whose rows are parts of sums. */
const SUMMED = /^orders(@|$)/

export interface Forgotten {
  readonly user_no: number | null
  readonly redemptions: number
  /** Redemptions that Redis still has with his id: run the command again once they have aged. */
  readonly redemptions_left: number
  readonly blocks: number
  readonly refusals: number
  readonly rows: number
  readonly rejects: number
  readonly pages: number
}

const forgetInTables = async (sql: Sql, user: string): Promise<Pick<Forgotten, "user_no" | "redemptions" | "redemptions_left" | "refusals">> => {
  const hash = createHash("sha256").update(user).digest().subarray(0, HASH_BYTES).toString("base64url")
  const [row] = await sql<{ user_no: number }[]>`update users set user_id = null where user_hash = ${hash} returning user_no`
  const refusals = await sql`delete from badge_refusals where user_id = ${user}`
  if (!row) return { user_no: null, redemptions: 0, redemptions_left: 0, refusals: refusals.count }
  // The body is a list whose second place is the user's id.
  const bodies = await sql`
    update redemptions set body = jsonb_set(body::jsonb, '{1}', to_jsonb('#' || user_no::text))::text
    where redemption_id >= ${hash} and redemption_id < ${hash + AFTER_IDS} and state <> ${RESERVED} and since_ms < (select max(at_ms) from cells) - ${AGED_MS} and body::jsonb->>1 = ${user}`
  const [left] = await sql<{ count: number }[]>`select count(*)::integer as count from redemptions where redemption_id >= ${hash} and redemption_id < ${hash + AFTER_IDS} and body::jsonb->>1 = ${user}`
  return { user_no: row.user_no, redemptions: bodies.count, redemptions_left: left!.count, refusals: refusals.count }
}

/** Take a user out of the blocks of every generation; one that lost him takes a new number, under which it is loaded anew. */
const forgetLevels = async (sql: Sql, user: string): Promise<number> => {
  const hash = createHash("sha256").update(user).digest().subarray(0, HASH_BYTES)
  let blocks = 0
  for (const { generation, blocks: count } of await sql<{ generation: number; blocks: number }[]>`select generation, blocks from level_generations order by generation`) {
    await sql.begin(async (tx) => {
      const block = rangeOf(hash, count)
      const [row] = await tx<{ body: Buffer }[]>`select body from level_blocks where generation = ${generation} and block = ${block} for update`
      const entries = row ? unpackBlock(row.body) : []
      const left = entries.filter((entry) => !entry.hash.equals(hash))
      if (left.length === entries.length) return
      await tx`update level_blocks set body = ${packBlock(left)}, users = ${left.length} where generation = ${generation} and block = ${block}`
      const [moved] = await tx<{ generation: number }[]>`update level_generations set generation = default where generation = ${generation} returning generation`
      await tx`update level_blocks set generation = ${moved!.generation} where generation = ${generation}`
      blocks += 1
    })
  }
  return blocks
}

/** The rows of a file that hold the user, by column; nothing where it has no such column or row. */
const rowsOf = async (duck: Duck, place: string, user: string): Promise<{ where: string; rows: number } | undefined> => {
  const columns = (await duck.all<{ column_name: string }>(`describe select * from read_parquet(${quoted(place)})`)).map(({ column_name }) => column_name).filter((column) => WHO.includes(column))
  if (columns.length === 0) return undefined
  const where = columns.map((column) => `${named(column)} = ${quoted(user)}`).join(" or ")
  const { rows } = await duck.one<{ rows: number }>(`select count(*) as rows from read_parquet(${quoted(place)}) where ${where}`)
  return rows === 0 ? undefined : { where, rows }
}

/** A file without the user, or with another name for him, ordered by its columns; how many rows that were. */
const rewritten = async <F extends LakeFile>(lake: Lake, duck: Duck, file: F, user: string, alias?: string): Promise<{ file: F; rows: number } | undefined> => {
  const place = lake.place(file)
  const found = await rowsOf(duck, place, user)
  if (!found) return undefined
  await duck.run(`create or replace temp table kept as ${alias === undefined ? `select * from read_parquet(${quoted(place)}) where not coalesce(${found.where}, false)`
    : `select * replace (case when user_id = ${quoted(user)} then ${quoted(alias)} else user_id end as user_id) from read_parquet(${quoted(place)})`}`)
  const made = await lake.write(duck, {
    select: "select * from kept", order: "all", folder: dirname(file.path), name: basename(file.path).replace(/-[0-9a-f]{16}\.parquet$/, ""), ...(file.day === undefined ? {} : { day: file.day }),
    ...(file.sums === undefined ? {} : { sums: Object.keys(file.sums) }),
  })
  return { file: { ...file, ...made }, rows: found.rows }
}

const forgetInLake = async (lake: Lake, duck: Duck, sql: Sql, user: string): Promise<number> => {
  let gone = 0
  const [known] = await sql<{ user_no: number }[]>`select user_no from users where user_hash = ${createHash("sha256").update(user).digest().subarray(0, HASH_BYTES).toString("base64url")}`
  for (const dataset of lake.datasets()) {
    const alias = SUMMED.test(dataset) ? `#${known?.user_no ?? ""}` : undefined
    for (const { part, files, facts } of lake.parts(dataset)) {
      const changed = await Promise.all(files.map(async (file) => await rewritten(lake, duck, file, user, alias) ?? { file, rows: 0 }))
      const rows = changed.reduce((sum, each) => sum + each.rows, 0)
      if (rows === 0) continue
      await noteRewritten(sql, lake.publish({ dataset, part, files: changed.map(({ file }) => file), facts }))
      gone += rows
    }
  }
  for (const { run_id, outputs } of await sql<{ run_id: string; outputs: Output[] }[]>`select run_id, outputs from runs where outputs is not null`) {
    const changed: { file: Output; rows: number }[] = []
    for (const output of outputs) changed.push(existsSync(lake.place(output)) ? await rewritten(lake, duck, output, user) ?? { file: output, rows: 0 } : { file: output, rows: 0 })
    if (changed.every(({ rows }) => rows === 0)) continue
    await sql`update runs set outputs = ${canonical(changed.map(({ file }) => file))}::text::json where run_id = ${run_id}`
    for (const [i, { rows }] of changed.entries()) if (rows > 0 && changed[i]!.file.path !== outputs[i]!.path) rmSync(lake.place(outputs[i]!), { force: true })
    gone += changed.reduce((sum, { rows }) => sum + rows, 0)
  }
  return gone
}

const filesUnder = (folder: string, ending: string): string[] => !existsSync(folder) ? []
  : readdirSync(folder, { withFileTypes: true, recursive: true }).filter((entry) => entry.isFile() && entry.name.endsWith(ending)).map((entry) => join(entry.parentPath, entry.name))

/** Empty the refused rows that name him: what was wrong, and where, stays. */
const forgetRejects = (lake: Lake, user: string): number => {
  // A value of a row: between what separates values in the formats that are taken.
  const isNamed = new RegExp(`(^|[,;\\t"'\\s:])${user.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")}($|[,;\\t"'\\s}])`)
  let emptied = 0
  for (const file of filesUnder(join(lake.root, "rejects"), ".ndjson")) {
    let changed = false
    const lines = readFileSync(file, "utf8").split("\n").map((line) => {
      if (!line.includes(user)) return line
      const reject = JSON.parse(line) as { raw: string }
      if (!isNamed.test(reject.raw)) return line
      changed = true
      emptied += 1
      return JSON.stringify({ ...reject, raw: "" })
    })
    if (!changed) continue
    writeFileSync(`${file}.tmp`, lines.join("\n"))
    renameSync(`${file}.tmp`, file)
  }
  return emptied
}

/** Remove the pages that name him. */
const forgetPages = (lake: Lake, user: string): number => {
  const escaped = user.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;")
  const pages = filesUnder(lake.root, ".html").filter((file) => { const text = readFileSync(file, "utf8"); return [user, escaped].some((each) => text.includes(`>${each}<`) || text.includes(`"${each}"`)) })
  for (const page of pages) rmSync(page)
  return pages.length
}

/** Forget a user. */
export const forget = async ({ sql, lake, memory_mb, threads }: Pick<House, "sql" | "lake" | "memory_mb" | "threads">, user: string): Promise<Forgotten> => {
  const duck = await openDuck({ memory_mb, threads, temp_dir: lake.temp() })
  try {
    const blocks = await forgetLevels(sql, user)
    const rows = await forgetInLake(lake, duck, sql, user)
    const rejects = forgetRejects(lake, user), pages = forgetPages(lake, user)
    return { ...await forgetInTables(sql, user), blocks, rows, rejects, pages }
  } finally {
    duck.close()
  }
}
