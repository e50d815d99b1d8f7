/**
 * Levels as blocks for the engine: packed by DuckDB, sorted by the users' hashes, written to Postgres under the run's id.
 *
 * A run's shards are ranges of the users' hashes in their order, so blocks are written as they come. Nobody sees them before the run is published.
 */
import type { Sql } from "postgres"
import { AGE_MAX, BADGES_MAX, blocksFor } from "../../engine/badges/packed.ts"
import { type Duck, quoted } from "../duck.ts"
import type { Progress } from "../progress.ts"
import { monthNumber, type RuledBadge } from "./compile.ts"

/** Blocks of earlier runs are kept for so many runs: a rollback finds them. */
const RUNS_KEPT = 6
/** Bytes that users and levels take in a block, in hex digits. */
const HASH_DIGITS = 32

/** Every byte in hex, in their order: looked up here, the bytes of a user with four levels take 0.5 µs, and 0.7 by `format` (2026-11-23). */
const BYTES = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte)).toString("hex")
const byteSql = (value: string): string => `substr('${BYTES}', 1 + 2 * cast(${value} as bigint), 2)`

/** One user's entry of a block, in hex: hash, how many levels, the levels. */
const entrySql = (places: readonly number[], period: string): string => {
  const month = monthNumber(period)
  const months = Math.floor(month / 100) * 12 + month % 100
  const levels = places.map((place, i) =>
    `case when level_${place} > 0 then ${byteSql(String(i))} || ${byteSql(`level_${place}`)} || ${byteSql(`least(${AGE_MAX}, ${months} - (since_${place} // 100) * 12 - since_${place} % 100)`)} else '' end`)
  return `hash || ${byteSql(places.map((place) => `case when level_${place} > 0 then 1 else 0 end`).join(" + "))} || ${levels.join(" || ")}`
}

interface BlockRow { block: number; users: number; body: string }

/** Write a run's blocks and their generation, in place of what an attempt before has left. */
export const writeBlocks = async (
  { duck, sql, signal, progress }: { duck: Duck; sql: Sql; signal: AbortSignal; progress: Progress },
  { run_id, period, badges, files }: { run_id: string; period: string; badges: readonly (Pick<RuledBadge, "badge_no" | "version"> & { place: number })[]; files: readonly { place: string; rows: number }[] },
): Promise<void> => {
  if (badges.length > BADGES_MAX) throw new RangeError(`a level is packed with one byte for its badge, and there are ${badges.length}`)
  const users = files.reduce((sum, { rows }) => sum + rows, 0)
  const blocks = blocksFor(users)
  await sql`delete from level_blocks where generation in (select generation from level_generations where run_id = ${run_id})`
  await sql`delete from level_generations where run_id = ${run_id}`
  const [made] = await sql<{ generation: number }[]>`
    insert into level_generations (run_id, period, rules, users, blocks)
    values (${run_id}, ${period}, ${JSON.stringify(badges.map(({ badge_no, version }) => [badge_no, version]))}::text::json, ${users}, ${blocks}) returning generation`
  const generation = made!.generation
  // The first 32 bits of the hash as a number, by their hex digits: the place on the line that the engine cuts into blocks. An entry begins with its hash, so entries in
  // their order are hashes in theirs.
  const pack = (file: { readonly place: string }): Promise<BlockRow[]> => duck.all<BlockRow>(`
    select cast(floor(cast('0x' || substr(entry, 1, 8) as bigint) * ${blocks}::double / 4294967296) as integer) as block, count(*) as users, string_agg(entry, '' order by entry) as body
    from (select ${entrySql(badges.map(({ place }) => place), period)} as entry from (select substr(user_hash(user_id), 1, ${HASH_DIGITS}) as hash, * from read_parquet(${quoted(file.place)})))
    group by block order by block`)
  const begin = (i: number) => {
    const packing = files[i] ? pack(files[i]) : Promise.resolve([])
    return { packing, ended: Promise.allSettled([packing]) }
  }
  let open: BlockRow | undefined
  const close = async (): Promise<void> => {
    if (!open) return
    const { block, users, body } = open
    open = undefined
    await sql`insert into level_blocks (generation, block, users, body) values (${generation}, ${block}, ${users}, decode(${body}, 'hex'))`
  }
  // A file is packed while the blocks of the one before are written.
  let next = begin(0)
  try {
    for (const i of files.keys()) {
      signal.throwIfAborted()
      progress("packing levels", i / files.length)
      const rows = await next.packing
      next = begin(i + 1)
      for (const row of rows) {
        // A block may begin in one shard and end in the next.
        const last: BlockRow | undefined = open
        if (last && last.block === row.block) open = { block: row.block, users: last.users + row.users, body: last.body + row.body }
        else { await close(); open = row }
      }
    }
    await close()
  } finally {
    await next.ended
  }
}

/** Remove the blocks of runs that are long past. */
export const dropOldBlocks = async (sql: Sql): Promise<void> => {
  const old = await sql<{ generation: number }[]>`
    select generation from level_generations g where generation <= (select max(generation) from level_generations) - ${RUNS_KEPT}
      and not exists (select 1 from run_periods p where p.run_id = g.run_id and p.period >= (select max(q.period) from run_periods q where q.job = 'badges' and q.run_id is not null))`
  for (const { generation } of old) await sql`delete from level_blocks where generation = ${generation}`
}
