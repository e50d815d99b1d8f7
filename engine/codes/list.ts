/**
 * The batches of a campaign's codes, with how many of each were claimed and are free.
 *
 * The counts are those of the cells, exact now; a batch that has left Redis with its campaign is counted in Postgres.
 */
import { batchName, quotaKey } from "../../lua/keys.ts"
import { unpack } from "../../lua/records.ts"
import { AFTER_INVALID, type Answered, type Caller } from "../answers.ts"
import type { BatchAnswer, ListCodesAsk } from "../contract/codes.ts"
import { CODE, CLAIM } from "../journal/fold_codes.ts"
import type { Campaign } from "../operate/catalogue.ts"
import { mayTouch } from "../operate/lines.ts"
import { cellsOf, type Parts } from "../parts.ts"
import { answeringPostgres } from "../store/away.ts"
import { ask } from "../store/redis.ts"

interface Row { readonly batch_no: number; readonly batch_id: string; readonly kind: string; readonly limit: number; readonly created_ms: number; readonly revoked_ms: number | null }
interface Counts { readonly loaded: number; readonly claimed: number; readonly revoked: number }

const inRedis = async (parts: Parts, batch_nos: readonly number[]): Promise<Map<number, Counts>> => {
  const counts = new Map<number, Counts>()
  if (batch_nos.length === 0) return counts
  const names = batch_nos.map((no) => `t${batchName(no)}`)
  for (const raw of await Promise.all(cellsOf(parts).map((cell) => ask(parts.redis, quotaKey(cell), (node) => node.hmgetBuffer(quotaKey(cell), ...names))))) {
    raw.forEach((bytes, i) => {
      if (!bytes) return
      const { loaded, claimed, revoked } = unpack("batch", bytes), no = batch_nos[i]!, sum = counts.get(no)
      counts.set(no, { loaded: loaded + (sum?.loaded ?? 0), claimed: claimed + (sum?.claimed ?? 0), revoked: revoked + (sum?.revoked ?? 0) })
    })
  }
  return counts
}

const inPostgres = async ({ postgres: { sql } }: Parts, batch_nos: readonly number[]): Promise<Map<number, Counts>> => {
  if (batch_nos.length === 0) return new Map()
  const rows = await answeringPostgres(() => sql<(Counts & { batch_no: number })[]>`
    select batch_no, count(*) as loaded, count(*) filter (where state = ${CODE.revoked}) as revoked,
      (select count(*) from code_claims k where k.batch_no = c.batch_no and k.state <> ${CLAIM.freed}) as claimed
    from codes c where batch_no = any(${[...batch_nos]}) group by 1`)
  return new Map(rows.map((row) => [row.batch_no, row]))
}

const answerOf = (campaign_id: string, row: Row, { loaded, claimed, revoked }: Counts): BatchAnswer => ({
  batch_id: row.batch_id, campaign_id, kind: row.kind as BatchAnswer["kind"], state: row.revoked_ms === null ? "live" : "revoked",
  ...(row.limit > 0 ? { limit: row.limit } : {}), codes: loaded, claimed,
  free: row.revoked_ms !== null ? 0 : row.limit > 0 ? (revoked > 0 ? 0 : Math.max(0, row.limit - claimed)) : loaded - claimed - revoked,
  created_at: new Date(row.created_ms).toISOString(),
})

const NOTHING: Counts = { loaded: 0, claimed: 0, revoked: 0 }

/** One batch as it is answered. */
export const batchAnswer = async (parts: Parts, { campaign_id }: Campaign, row: Row): Promise<BatchAnswer> =>
  answerOf(campaign_id, row, (await inRedis(parts, [row.batch_no])).get(row.batch_no) ?? NOTHING)

/** List a campaign's batches, page by page, in the order in which they were made. */
export const listCodesWith = (parts: Parts) => async ({ campaign_id, limit, after }: ListCodesAsk, caller: Caller): Promise<Answered> => {
  const campaign = await parts.catalogue.campaignById(campaign_id)
  if (!campaign || !mayTouch(caller, campaign.line)) return { outcome: "campaign_unknown", campaign_id }
  if (after !== undefined && !/^\d{1,9}$/.test(after)) return AFTER_INVALID
  const from = Number(after ?? 0)
  const rows = await answeringPostgres(() => parts.postgres.sql<Row[]>`
    select batch_no, batch_id, kind, "limit", created_ms, revoked_ms from code_batches
    where campaign_no = ${campaign.campaign_no} and batch_no > ${from} order by batch_no limit ${limit + 1}`)
  const page = rows.slice(0, limit)
  const counts = await inRedis(parts, page.map(({ batch_no }) => batch_no))
  const left = await inPostgres(parts, page.filter(({ batch_no }) => !counts.has(batch_no)).map(({ batch_no }) => batch_no))
  const items = page.map((row) => answerOf(campaign_id, row, counts.get(row.batch_no) ?? left.get(row.batch_no) ?? NOTHING))
  return { outcome: "found", body: { items, next: rows.length > limit ? String(page.at(-1)!.batch_no) : null } }
}
