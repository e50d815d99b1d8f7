/**
 * What a cell has to hold of codes, as Postgres has it: for the rebuild, which writes it, and for the check, which compares it.
 *
 * A page is a range of hashes, and so of buckets. Codes and claims of campaigns that are over and aged are left out: they have left Redis.
 */
import { batchName, bucketBits, claimsKey, dueKey, pendingKey, quotaKey, ticketHex, ticketOfHex, ticketsKey } from "../../lua/keys.ts"
import { BATCH_STATES, pack, type BatchRecord } from "../../lua/records.ts"
import { CLAIM_MS, heldText } from "../tickets/places.ts"
import type { Sql } from "../store/postgres.ts"
import { ask, type Servers } from "../store/redis.ts"
import { isBatchOver, type Ages, type CampaignFacts } from "./expected.ts"
import { CLAIM, CODE } from "./fold_codes.ts"

type Tx = Parameters<Parameters<Sql["begin"]>[1]>[0]

/** Rows of one page, about. */
export const PAGE_CODES = 5_000
/** Characters of a hash that a record in a bucket keeps. */
const RECORD_HASH_CHARS = 11
const CODE_LETTERS: Readonly<Record<number, string>> = { [CODE.free]: "f", [CODE.pending]: "p", [CODE.spent]: "s", [CODE.revoked]: "r" }
const CLAIM_LETTERS: Readonly<Record<number, string>> = { [CLAIM.pending]: "p", [CLAIM.granted]: "g" }

/** A batch as a cell has it. */
export interface StoredBatch { readonly batch_no: number; readonly campaign_no: number; readonly limit: number; readonly line: string; readonly is_revoked: boolean }
export interface BatchSum extends StoredBatch { readonly loaded: number; readonly claimed: number; readonly revoked: number }

/** The cell of a hash in SQL, as `cellOfCode` counts it. */
const cellOfHash = (tx: Tx | Sql, column: string, cells: number) => tx.unsafe(`(('x' || substr(${column}, 5, 8))::bit(32)::bigint % ${cells})::integer`)

/** The batches that are not over. `factsOf` knows a campaign as the cell does. */
export const readBatches = async (tx: Tx | Sql, facts: ReadonlyMap<number, CampaignFacts>, ages: Ages): Promise<Map<number, StoredBatch>> => {
  const rows = await tx<StoredBatch[]>`
    select b.batch_no, b.campaign_no, b."limit", k.line, b.revoked_ms is not null as is_revoked from code_batches b join campaigns k using (campaign_no)`
  return new Map(rows.filter(({ campaign_no }) => !isBatchOver(facts.get(campaign_no), ages)).map((row) => [row.batch_no, row]))
}

/** What a batch's codes and claims come to in a cell. */
export const readBatchSums = async (tx: Tx | Sql, batches: ReadonlyMap<number, StoredBatch>, cell: number, cells: number): Promise<BatchSum[]> => {
  const wanted = [...batches.keys()]
  if (wanted.length === 0) return []
  const loaded = await tx<{ batch_no: number; loaded: number; revoked: number }[]>`
    select batch_no, count(*) as loaded, count(*) filter (where state = ${CODE.revoked}) as revoked from codes
    where batch_no = any(${wanted}) and ${cellOfHash(tx, "code_hash", cells)} = ${cell} group by 1`
  const claimed = await tx<{ batch_no: number; claimed: number }[]>`
    select batch_no, count(*) as claimed from code_claims
    where batch_no = any(${wanted}) and state <> ${CLAIM.freed} and ${cellOfHash(tx, "code_hash", cells)} = ${cell} group by 1`
  const loads = new Map(loaded.map((row) => [row.batch_no, row])), claims = new Map(claimed.map((row) => [row.batch_no, row.claimed]))
  return [...batches.values()].map((batch) => ({
    ...batch, loaded: loads.get(batch.batch_no)?.loaded ?? 0, revoked: loads.get(batch.batch_no)?.revoked ?? 0, claimed: claims.get(batch.batch_no) ?? 0,
  }))
}

/** A batch's record in a cell; nothing where the cell has none of it. */
export const batchRecord = ({ campaign_no, limit, line, is_revoked, loaded, claimed, revoked }: BatchSum): BatchRecord | undefined =>
  loaded === 0 && !is_revoked ? undefined
    : { campaign: campaign_no, state: BATCH_STATES.indexOf(is_revoked ? "revoked" : "live") + 1, limit, loaded, claimed, revoked, line }

export interface StoredCode { readonly code_hash: string; readonly batch_no: number; readonly state: number }
export interface StoredClaim extends StoredCode {
  readonly claim_hash: string; readonly nonce: string; readonly user_hash: string | null; readonly coupon: string | null; readonly fingerprint: string | null
  readonly claimed_ms: number | null
}

/** The leading hexadecimal digits of the first hash of a bucket; "g", above all digits, behind the last bucket. */
const hexFrom = (bucket: number, cells: number): string =>
  bucket >= 2 ** bucketBits(cells) ? "g" : (bucket * 2 ** (16 - bucketBits(cells))).toString(16).padStart(4, "0")

/** The codes and claims whose buckets are in [from, to), of every cell or of one. */
export const readTickets = async (
  tx: Tx | Sql, from: number, to: number, cells: number, batches: ReadonlyMap<number, StoredBatch>, cell?: number,
): Promise<{ codes: StoredCode[]; claims: StoredClaim[] }> => {
  const [first, end] = [hexFrom(from, cells), hexFrom(to, cells)]
  const inCell = (column: string) => cell === undefined || cells === 1 ? tx`true` : tx`${cellOfHash(tx, column, cells)} = ${cell}`
  const codes = await tx<StoredCode[]>`
    select code_hash, batch_no, state from codes where code_hash >= ${first} and code_hash < ${end} and ${inCell("code_hash")} order by code_hash`
  const claims = await tx<StoredClaim[]>`
    select c.claim_hash, c.code_hash, c.batch_no, c.state, c.nonce, u.user_hash, c.coupon, c.fingerprint, c.claimed_ms from code_claims c left join users u using (user_no)
    where c.claim_hash >= ${first} and c.claim_hash < ${end} and c.state <> ${CLAIM.freed} and ${inCell("c.code_hash")} order by c.claim_hash`
  return { codes: codes.filter(({ batch_no }) => batches.has(batch_no)), claims: claims.filter(({ batch_no }) => batches.has(batch_no)) }
}

const recordOf = (hex: string, letter: string, batch_no: number): string => ticketOfHex(hex).slice(-RECORD_HASH_CHARS) + letter + batchName(batch_no)
export const codeRecord = ({ code_hash, state, batch_no }: StoredCode): string => recordOf(code_hash, CODE_LETTERS[state]!, batch_no)
export const claimRecord = ({ claim_hash, state, batch_no }: StoredClaim): string => recordOf(claim_hash, CLAIM_LETTERS[state]!, batch_no)
/** The bucket of a hash as Postgres has it. */
export const bucketOfHex = (hex: string, cells: number): number => parseInt(hex.slice(0, 4), 16) >>> (16 - bucketBits(cells))

/** What `pending` holds of a claim, or nothing for one that is not pending. */
export const heldOf = ({ state, nonce, user_hash, coupon, fingerprint, code_hash, batch_no }: StoredClaim, batches: ReadonlyMap<number, StoredBatch>): string | undefined =>
  state !== CLAIM.pending || user_hash === null || coupon === null || fingerprint === null ? undefined
    : nonce + heldText({ fingerprint, code: ticketOfHex(code_hash), user: user_hash, coupon }) + String(batches.get(batch_no)!.campaign_no)

/** How many buckets make a page of about PAGE_CODES rows. */
export const bucketsOfPage = async (tx: Tx | Sql, cells: number): Promise<number> => {
  const [row] = await tx<{ rows: number }[]>`select (select count(*) from codes) + (select count(*) from code_claims) as rows`
  return Math.max(1, Math.floor(2 ** bucketBits(cells) / Math.max(1, Math.ceil((row?.rows ?? 0) / PAGE_CODES))))
}

/** Write a cell's codes, claims and batches. */
export const writeCodes = async ({ redis, ages, cells }: { redis: Servers; ages: Ages; cells: number }, tx: Tx, cell: number, facts: ReadonlyMap<number, CampaignFacts>): Promise<void> => {
  const batches = await readBatches(tx, facts, ages)
  if (batches.size === 0) return
  const quota: Command[] = []
  for (const sum of await readBatchSums(tx, batches, cell, cells)) {
    const record = batchRecord(sum)
    if (record) quota.push(["hset", quotaKey(cell), `t${batchName(sum.batch_no)}`, pack("batch", record)])
  }
  await sent(redis, cell, quota)
  const step = await bucketsOfPage(tx, cells)
  for (let from = 0; from < 2 ** bucketBits(cells); from += step) {
    const { codes, claims } = await readTickets(tx, from, from + step, cells, batches, cell)
    const commands: Command[] = []
    const put = (key: string, records: readonly (readonly [bucket: number, record: string])[]): void => {
      const fields = [...Map.groupBy(records, ([bucket]) => bucket)].flatMap(([bucket, all]) => [String(bucket), all.map(([, record]) => record).join("")])
      if (fields.length > 0) commands.push(["hset", key, ...fields])
    }
    put(ticketsKey(cell), codes.map((code) => [bucketOfHex(code.code_hash, cells), codeRecord(code)]))
    put(claimsKey(cell), claims.map((claim) => [bucketOfHex(claim.claim_hash, cells), claimRecord(claim)]))
    for (const claim of claims) {
      const held = heldOf(claim, batches), hash = ticketOfHex(claim.claim_hash)
      if (held === undefined) continue
      commands.push(["hset", pendingKey(cell), hash, held])
      commands.push(["zadd", dueKey(cell), (claim.claimed_ms ?? ages.now_ms) + CLAIM_MS, `c${hash}`])
    }
    await sent(redis, cell, commands)
  }
}

type Command = [name: string, ...args: (string | number | Buffer)[]]

const sent = async (redis: Servers, cell: number, commands: Command[]): Promise<void> => {
  if (commands.length === 0) return
  await ask(redis, quotaKey(cell), async (node) => {
    for (const [error] of await node.pipeline(commands).exec() ?? []) if (error) throw error
  })
}
