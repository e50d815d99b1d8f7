/**
 * The loader: it brings the newest generation of badge levels from Postgres into Redis.
 *
 * What must stay true: a cell is switched to a generation only when every block of it is there, in one command; the one before stays until
 * every process has heard of it (KEEP_MS). A load that was cut short goes on at the block it had come to; one that was overtaken by a
 * newer generation is removed. Loading is as safe to repeat as it is to do twice at once.
 *
 * A bucket is one command, and so many at once are BATCH_BUCKETS; then the loader leaves Redis to the acts for as long as they took. At full
 * speed, 64 at once, the 5 s in which 1,000,000 users' levels came had a p99 of acts of 340 ms, and some were refused; so it is 54 (2026-11-22).
 */
import { levelBucketKey, levelsKey } from "../../lua/keys.ts"
import { bucketsFor, bucketWrites } from "../badges/packed.ts"
import type { Log } from "../log.ts"
import { cellsOf, type Parts } from "../parts.ts"
import { answeringPostgres } from "../store/away.ts"
import { callWritten } from "../store/call.ts"
import { ask, type Servers } from "../store/redis.ts"
import { POINTER_FIELDS, pointerOf, type Pointer } from "./read.ts"
import type { Generation } from "./generations.ts"

/** Buckets that are sent at once, and removed at once. */
const BATCH_BUCKETS = 16
/** Blocks that are read at once and marked as loaded together: a load that was cut short repeats so many at most. */
const BATCH_BLOCKS = 4
/** A generation that is no longer pointed at is kept so long: processes that were told of it have read from it by then. */
const KEEP_MS = 60_000
const LOAD_LOCK = "scrip level load"

/** The pointer of a cell and what it is loading or about to forget, as [generation, buckets]. */
interface CellLevels { readonly pointer: Pointer | undefined; readonly old: [generation: number, buckets: number, since_ms: number] | undefined }

const readCell = async (redis: Servers, cell: number): Promise<CellLevels> => {
  const values = await ask(redis, levelsKey(cell), (node) => node.hmget(levelsKey(cell), ...POINTER_FIELDS, "old"))
  const old = values[POINTER_FIELDS.length]?.split(".").map(Number) as [number, number, number] | undefined
  return { pointer: pointerOf(values.slice(0, POINTER_FIELDS.length)), old }
}

/** Remove a generation's buckets of a cell. */
const forget = async (redis: Servers, cell: number, generation: number, buckets: number): Promise<void> => {
  for (let from = 0; from < buckets; from += BATCH_BUCKETS) {
    const keys = Array.from({ length: Math.min(BATCH_BUCKETS, buckets - from) }, (_, i) => levelBucketKey(cell, generation, from + i))
    await ask(redis, levelsKey(cell), (node) => node.unlink(keys))
  }
}

/** Put one block's users into the buckets of their cells. */
const loadBlock = async ({ redis, cells }: Parts, generation: number, buckets: number, body: Buffer): Promise<void> => {
  const writes = bucketWrites(body, { buckets, cells }, (cell, bucket) => levelBucketKey(cell, generation, bucket))
  for (let from = 0; from < writes.length; from += BATCH_BUCKETS) {
    const began = performance.now()
    await Promise.all(writes.slice(from, from + BATCH_BUCKETS).map(({ key, wire }) => ask(redis, key, (node) => callWritten(node, "HSET", wire))))
    await Bun.sleep(performance.now() - began)
  }
}

/** Load a generation into the cells that do not have it; how many users that were. */
const load = async (parts: Parts, { generation, users, blocks }: Generation, lacking: readonly number[], now_ms: number): Promise<number> => {
  const { redis, postgres, cells } = parts
  const buckets = bucketsFor(users, blocks, cells)
  const name = `${generation}.${buckets}.${cells}`
  const loading = await Promise.all(lacking.map((cell) => ask(redis, levelsKey(cell), (node) => node.hmget(levelsKey(cell), "loading", "loaded_blocks"))))
  // What another generation left behind when it was overtaken goes first.
  for (const [i, cell] of lacking.entries()) {
    const [then] = loading[i]!
    if (then === null || then === undefined || then === name) continue
    const [left_generation, left_buckets] = then.split(".").map(Number)
    await forget(redis, cell, left_generation!, left_buckets!)
  }
  let block = Math.min(...loading.map(([then, count]) => then === name ? Number(count) : 0))
  await Promise.all(lacking.map((cell) => ask(redis, levelsKey(cell), (node) => node.hset(levelsKey(cell), "loading", name, "loaded_blocks", block))))
  const readBlocks = (from: number) => answeringPostgres(() => postgres.sql<{ body: Buffer; users: number }[]>`
    select body, users from level_blocks where generation = ${generation} and block >= ${from} and block < ${from + BATCH_BLOCKS} order by block`)
  let loaded = 0
  let rows = block < blocks ? await readBlocks(block) : []
  for (; block < blocks; block += BATCH_BLOCKS) {
    const after = block + BATCH_BLOCKS
    const sent = rows
    // Postgres and Redis work at once.
    ;[rows] = await Promise.all([
      after < blocks ? readBlocks(after) : [],
      (async () => { for (const { body } of sent) await loadBlock(parts, generation, buckets, body) })(),
    ])
    loaded += sent.reduce((sum, { users }) => sum + users, 0)
    await Promise.all(lacking.map((cell) => ask(redis, levelsKey(cell), (node) => node.hset(levelsKey(cell), "loaded_blocks", Math.min(after, blocks)))))
  }
  for (const cell of lacking) {
    const { pointer } = await readCell(redis, cell)
    const old = pointer && pointer.generation !== generation ? ["old", `${pointer.generation}.${pointer.buckets}.${now_ms}`] : []
    await ask(redis, levelsKey(cell), (node) =>
      node.multi().hset(levelsKey(cell), "generation", generation, "buckets", buckets, "cells", cells, ...old).hdel(levelsKey(cell), "loading", "loaded_blocks").exec())
  }
  return loaded
}

/** What every cell has, and which lack the newest generation. */
const look = async (parts: Parts, latest: Generation) => {
  const found = await Promise.all(cellsOf(parts).map(async (cell) => ({ cell, ...await readCell(parts.redis, cell) })))
  return { found, lacking: found.filter(({ pointer }) => pointer?.generation !== latest.generation || pointer.cells !== parts.cells) }
}
const isRead = (old: NonNullable<CellLevels["old"]>, now_ms: number): boolean => Math.abs(now_ms - old[2]) < KEEP_MS

/**
 * Bring every cell to the newest generation, and remove what nobody reads any more; how many users were loaded. Nothing where another loader is
 * at it: what that one loads may be older than what is newest by now.
 */
export const loadLevels = async (parts: Parts, log: Log, now_ms: number): Promise<number | undefined> => {
  const { redis, postgres } = parts
  const newest = await parts.generations.latest()
  if (!newest) return 0
  const before = await look(parts, newest)
  if (before.lacking.length === 0 && before.found.every(({ old }) => !old || isRead(old, now_ms))) return 0
  const session = await postgres.sql.reserve()
  try {
    const [got] = await session<{ taken: boolean }[]>`select pg_try_advisory_lock(hashtextextended(${LOAD_LOCK}, 0)) as taken`
    if (!got?.taken) return undefined
    try {
      // Whoever held the lock until now may have loaded this, or something newer.
      const latest = await parts.generations.latest()
      if (!latest) return 0
      const { found, lacking } = await look(parts, latest)
      for (const { cell, pointer, old } of found) {
        // A cell that is about to be switched keeps what it is switched from: what it kept before that is not read any more.
        const isNeeded = old === undefined || (pointer?.generation === latest.generation ? isRead(old, now_ms) : old[0] === latest.generation)
        if (isNeeded) continue
        await forget(redis, cell, old[0], old[1])
        await ask(redis, levelsKey(cell), (node) => node.hdel(levelsKey(cell), "old"))
      }
      if (lacking.length === 0) return 0
      const rows = await load(parts, latest, lacking.map(({ cell }) => cell), now_ms)
      log.info("badge levels are loaded", { version: latest.generation, rows })
      return rows
    } finally {
      await session`select pg_advisory_unlock(hashtextextended(${LOAD_LOCK}, 0))`
    }
  } finally {
    session.release()
  }
}
