/**
 * The check that Redis and Postgres agree on codes: every code's and claim's state, what pends, and what each batch comes to.
 *
 * A page that differs is read again once the cells are flushed up to where they then are, and only what differs in every look is
 * listed; a batch's numbers are held against its entries up to exactly the tail at which they were read. Codes of campaigns that are
 * over and aged count as equal whether they have left or not.
 */
import { batchName, bucketBits, cellOfCode, claimsKey, dueKey, pendingKey, quotaKey, ticketHex, ticketOfHex, ticketsKey } from "../../lua/keys.ts"
import { unpack } from "../../lua/records.ts"
import type { Sql } from "../store/postgres.ts"
import { ask, type Servers } from "../store/redis.ts"
import { collect, LOOKS_MAX, standing, type Collected } from "./differences.ts"
import type { EntryId } from "./entry.ts"
import type { Ages, CampaignFacts } from "./expected.ts"
import { CLAIM } from "./fold_codes.ts"
import {
  batchRecord, bucketOfHex, bucketsOfPage, claimRecord, codeRecord, heldOf, readBatches, readBatchSums, readTickets, type BatchSum, type StoredBatch,
} from "./rebuild_codes.ts"

export interface CodesParts {
  readonly redis: Servers
  readonly sql: Sql
  readonly cells: number
  readonly ages: () => Ages
  readonly factsOf: (cell: number) => ReadonlyMap<number, CampaignFacts>
  /** A cell's quotas and its tail, read in one step. */
  readonly readQuotas: (cell: number) => Promise<{ readonly fields: ReadonlyMap<string, Buffer>; readonly tail: EntryId }>
  /** Resolves when Postgres has what the cell had decided at `tail`, or so far. */
  readonly caughtUp: (cell: number, tail?: EntryId) => Promise<void>
  readonly take: (out: Collected) => void
  readonly isFull: () => boolean
}

const TICKET_CHARS = 16, BATCH_CHARS = 4

type Tx = Parameters<Parameters<Sql["begin"]>[1]>[0]

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

interface Moved { loaded: number; claimed: number; revoked: number }

/** What entries behind `tail` did to each batch's numbers, by the batch's name, and whether one took a whole batch out of use. */
const readLater = async (tx: Tx, cell: number, tail: EntryId): Promise<{ moves: Map<string, Moved>; is_restated: boolean }> => {
  const rows = await tx<{ act: string; batch: string | null; codes: number }[]>`
    select act, payload ->> 'batch' as batch, coalesce(array_length(string_to_array(payload ->> 'codes', ' '), 1), 0) as codes from events
    where cell = ${cell} and (epoch, n) > (${tail.epoch}, ${tail.n}) and act in ('codes_loaded', 'code_claimed', 'code_freed', 'code_revoked', 'codes_revoked')`
  const moves = new Map<string, Moved>()
  for (const { act, batch, codes } of rows) {
    const sum = moves.get(batch ?? "") ?? { loaded: 0, claimed: 0, revoked: 0 }
    if (act === "codes_loaded") sum.loaded += codes
    else if (act === "code_claimed") sum.claimed += 1
    else if (act === "code_freed") sum.claimed -= 1
    else if (act === "code_revoked") sum.revoked += 1
    moves.set(batch ?? "", sum)
  }
  return { moves, is_restated: rows.some(({ act }) => act === "codes_revoked") }
}

/** The batches of a cell, up to exactly the tail at which they were read. */
const batchesOf = async ({ sql, cells, ages, factsOf, readQuotas, caughtUp }: CodesParts, cell: number): Promise<Collected> => {
  for (let looks = 1; ; looks += 1) {
    const { fields, tail } = await readQuotas(cell)
    await caughtUp(cell, tail)
    const { sums, later } = await (sql.begin("isolation level repeatable read read only", async (tx) => ({
      sums: await readBatchSums(tx, await readBatches(tx, factsOf(cell), ages()), cell, cells), later: await readLater(tx, cell, tail),
    })) as Promise<{ sums: BatchSum[]; later: Awaited<ReturnType<typeof readLater>> }>)
    // A batch that was revoked meanwhile is no delta that can be taken back, so all is read again.
    if (later.is_restated && looks < LOOKS_MAX) continue
    const out = collect()
    for (const sum of sums) {
      const name = batchName(sum.batch_no), raw = fields.get(`t${name}`), seen = raw && unpack("batch", raw)
      const { loaded, claimed, revoked } = later.moves.get(name) ?? { loaded: 0, claimed: 0, revoked: 0 }
      const record = batchRecord({ ...sum, loaded: sum.loaded - loaded, claimed: sum.claimed - claimed, revoked: sum.revoked - revoked })
      if (!record && seen?.loaded === 0 && seen.claimed === 0) continue
      for (const field of ["campaign", "state", "limit", "loaded", "claimed", "revoked", "line"] as const) out.compare("batch", quotaKey(cell), `t${name}.${field}`, seen?.[field], record?.[field])
    }
    return out
  }
}

/** What pends in a cell pends in Postgres, by the same attempt. */
const pendingOf = async ({ redis, sql, caughtUp }: CodesParts, cell: number): Promise<Collected> => {
  const pends = Object.entries(await ask(redis, pendingKey(cell), (node) => node.hgetall(pendingKey(cell))))
  await caughtUp(cell)
  const rows = await sql<{ claim_hash: string; nonce: string }[]>`
    select claim_hash, nonce from code_claims where state = ${CLAIM.pending} and claim_hash = any(${pends.map(([hash]) => ticketHex(hash))})`
  const known = new Map(rows.map(({ claim_hash, nonce }) => [claim_hash, nonce]))
  const out = collect()
  for (const [hash, held] of pends) {
    const nonce = known.get(ticketHex(hash))
    out.compare("claim", hash, "attempt that pends", held, nonce !== undefined && held.startsWith(nonce) ? held : nonce)
  }
  return out
}

/** Compare all codes, page by page. */
export const verifyCodes = async (parts: CodesParts): Promise<void> => {
  const { redis, sql, cells, ages, factsOf, take, isFull } = parts
  const [row] = await sql`select 1 from code_batches limit 1`
  const there = await Promise.all(cellsOf(cells).map((cell) => ask(redis, quotaKey(cell), (node) => node.exists(ticketsKey(cell), claimsKey(cell)))))
  if (!row && there.every((keys) => keys === 0)) return
  for (let cell = 0; cell < cells && !isFull(); cell += 1) {
    take(await batchesOf(parts, cell))
    take(await standing(() => pendingOf(parts, cell)))
  }
  const step = await bucketsOfPage(sql, cells)
  for (let from = 0; from < 2 ** bucketBits(cells) && !isFull(); from += step) {
    // All cells that know a campaign know it alike, but for what is being pushed to them.
    take(await standing(async (looks) => {
      if (looks > 0) for (const cell of cellsOf(cells)) await parts.caughtUp(cell)
      return pageOf(parts, from, from + step, await readBatches(sql, factsOf(0), ages()))
    }))
  }
}
