/**
 * The check that Redis and Postgres agree on codes: every code's and claim's state, what pends, and what each batch comes to.
 *
 * A page that differs is read again once the cells are flushed up to where they then are, so that nothing is listed that was only on
 * its way. Codes of campaigns that are over and aged count as equal whether they have left or not.
 */
import { batchName, bucketBits, cellOfCode, claimsKey, dueKey, pendingKey, quotaKey, ticketOfHex, ticketsKey } from "../../lua/keys.ts"
import { unpack, type BatchRecord } from "../../lua/records.ts"
import type { Sql } from "../store/postgres.ts"
import { ask, type Servers } from "../store/redis.ts"
import { collect, type Collected } from "./differences.ts"
import type { Ages, CampaignFacts } from "./expected.ts"
import {
  batchRecord, bucketOfHex, bucketsOfPage, claimRecord, codeRecord, heldOf, readBatches, readBatchSums, readTickets, type StoredBatch,
} from "./rebuild_codes.ts"

export interface CodesParts {
  readonly redis: Servers
  readonly sql: Sql
  readonly cells: number
  readonly ages: () => Ages
  readonly factsOf: (cell: number) => ReadonlyMap<number, CampaignFacts>
  /** Resolves when Postgres has what the cell has decided so far. */
  readonly caughtUp: (cell: number) => Promise<void>
  readonly take: (out: Collected) => void
  readonly isFull: () => boolean
}

const LOOKS_MAX = 5
const LOOK_AGAIN_MS = 10
const SCAN_COUNT = 1_000
const TICKET_CHARS = 16, BATCH_CHARS = 4

const cellsOf = (cells: number): number[] => Array.from({ length: cells }, (_, cell) => cell)

/** The records of some buckets, by cell and record. */
const readBuckets = async (redis: Servers, keyOf: (cell: number) => string, buckets: readonly number[], cells: number, isLive: (batch: string) => boolean): Promise<Set<string>> => {
  const found = new Set<string>()
  await Promise.all(cellsOf(cells).map(async (cell) => {
    const raw = await ask(redis, keyOf(cell), (node) => node.hmget(keyOf(cell), ...buckets.map(String)))
    raw.forEach((text, i) => {
      for (let at = 0; at < (text?.length ?? 0); at += TICKET_CHARS) {
        const record = text!.slice(at, at + TICKET_CHARS)
        if (isLive(record.slice(-BATCH_CHARS))) found.add(`${cell} ${buckets[i]} ${record}`)
      }
    })
  }))
  return found
}

const holdAgainst = (out: Collected, what: "code" | "claim", found: ReadonlySet<string>, expected: ReadonlySet<string>): void => {
  for (const record of expected) out.compare(what, record, "record", found.has(record) ? "there" : undefined, "there")
  for (const record of found) if (!expected.has(record)) out.note(what, record, "record", "there", undefined)
}

const pageOf = async ({ redis, sql, cells }: CodesParts, from: number, to: number, batches: ReadonlyMap<number, StoredBatch>): Promise<Collected> => {
  const out = collect()
  const live = new Set([...batches.keys()].map(batchName)), isLive = (batch: string): boolean => live.has(batch)
  const { codes, claims } = await readTickets(sql, from, to, cells, batches)
  const buckets = Array.from({ length: Math.min(to, 2 ** bucketBits(cells)) - from }, (_, i) => from + i)
  const cellOf = (hex: string): number => cellOfCode(ticketOfHex(hex), cells)
  holdAgainst(out, "code", await readBuckets(redis, ticketsKey, buckets, cells, isLive),
    new Set(codes.map((code) => `${cellOf(code.code_hash)} ${bucketOfHex(code.code_hash, cells)} ${codeRecord(code)}`)))
  holdAgainst(out, "claim", await readBuckets(redis, claimsKey, buckets, cells, isLive),
    new Set(claims.map((claim) => `${cellOf(claim.code_hash)} ${bucketOfHex(claim.claim_hash, cells)} ${claimRecord(claim)}`)))
  for (const claim of claims) {
    const held = heldOf(claim, batches), cell = cellOf(claim.code_hash), hash = ticketOfHex(claim.claim_hash)
    if (held === undefined) continue
    out.compare("claim", hash, "pending", await ask(redis, pendingKey(cell), (node) => node.hget(pendingKey(cell), hash)), held)
    if (await ask(redis, dueKey(cell), (node) => node.zscore(dueKey(cell), `c${hash}`)) === null) out.note("deadline", dueKey(cell), `c${hash}`, undefined, "there")
  }
  return out
}

/** The batches of a cell, and its claims that pend. */
const wholeCell = async ({ redis, sql, cells, ages, factsOf }: CodesParts, cell: number): Promise<Collected> => {
  const out = collect()
  const batches = await readBatches(sql, factsOf(cell), ages())
  const sums = await readBatchSums(sql, batches, cell, cells)
  const known = new Map<string, BatchRecord>()
  let at = "0"
  do {
    const [next, found] = await ask(redis, quotaKey(cell), (node) => node.hscanBuffer(quotaKey(cell), at, "MATCH", "t*", "COUNT", SCAN_COUNT))
    at = next.toString()
    for (let i = 0; i < found.length; i += 2) known.set(found[i]!.toString("latin1").slice(1), unpack("batch", found[i + 1]!))
  } while (at !== "0")
  for (const sum of sums) {
    const record = batchRecord(sum), name = batchName(sum.batch_no), seen = known.get(name)
    if (!record && seen?.loaded === 0 && seen.claimed === 0) continue
    for (const field of ["campaign", "state", "limit", "loaded", "claimed", "revoked", "line"] as const) out.compare("batch", quotaKey(cell), `t${name}.${field}`, seen?.[field], record?.[field])
  }
  const pends = Object.keys(await ask(redis, pendingKey(cell), (node) => node.hgetall(pendingKey(cell))))
  const [row] = await sql<{ pends: number }[]>`select count(*) as pends from code_claims where state = 1 and claim_hash = any(${pends.map((hash) => Buffer.from(hash, "base64url").toString("hex"))})`
  out.compare("claim", pendingKey(cell), "claims that pend", pends.length, row!.pends)
  return out
}

/** Look until nothing differs, or nothing is on its way any more. */
const looking = async (parts: CodesParts, look: () => Promise<Collected>): Promise<Collected> => {
  for (let looks = 1; ; looks += 1) {
    const out = await look()
    if (out.differences.length === 0 || looks >= LOOKS_MAX) return out
    await Bun.sleep(LOOK_AGAIN_MS * looks)
    for (const cell of cellsOf(parts.cells)) await parts.caughtUp(cell)
  }
}

/** Compare all codes, page by page. */
export const verifyCodes = async (parts: CodesParts): Promise<void> => {
  const { redis, sql, cells, ages, factsOf, take, isFull } = parts
  const [row] = await sql`select 1 from code_batches limit 1`
  const there = await Promise.all(cellsOf(cells).map((cell) => ask(redis, quotaKey(cell), (node) => node.exists(ticketsKey(cell), claimsKey(cell)))))
  if (!row && there.every((keys) => keys === 0)) return
  for (let cell = 0; cell < cells && !isFull(); cell += 1) take(await looking(parts, () => wholeCell(parts, cell)))
  const step = await bucketsOfPage(sql, cells)
  for (let from = 0; from < 2 ** bucketBits(cells) && !isFull(); from += step) {
    // All cells that know a campaign know it alike, but for what is being pushed to them.
    take(await looking(parts, async () => pageOf(parts, from, from + step, await readBatches(sql, factsOf(0), ages()))))
  }
}
