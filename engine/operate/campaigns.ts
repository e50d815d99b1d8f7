/**
 * Campaigns: drafts are made and changed in Postgres, versions are pushed to the cells.
 *
 * A version is in Postgres before any cell has it, and a cell takes only a higher one. What a live campaign promises is not taken
 * back: only its name, a later end, and more stock or more per user may be set.
 */
import { fingerprintOf } from "../../lua/keys.ts"
import type { Answered, Caller } from "../answers.ts"
import type { CampaignAsk, CampaignBody, PutCampaignAsk } from "../contract/campaigns.ts"
import { monthAt } from "../months.ts"
import type { Parts } from "../parts.ts"
import { readCampaignSums } from "../quota/sums.ts"
import { answeringPostgres } from "../store/away.ts"
import type { Sql } from "../store/postgres.ts"
import { NotExecuted } from "../store/redis.ts"
import type { Campaign, CatalogueState } from "./catalogue.ts"
import { mayTouch } from "./lines.ts"
import { pushCampaign } from "./push.ts"

interface Row { campaign_no: number; line: string; state: CatalogueState; version: number; body: CampaignBody | string; fingerprint: string }

/** What may be set on a campaign that has been activated, and which way. */
const MAY_MOVE: Readonly<Record<string, (from: never, to: never) => boolean>> = {
  name: () => true,
  ends_at: (from: string, to: string) => Date.parse(to) >= Date.parse(from),
  stock: (from: number, to: number) => to >= from,
  per_user: (from: number, to: number) => to >= from,
}

const bodyOf = ({ body }: Row): CampaignBody => (typeof body === "string" ? JSON.parse(body) as CampaignBody : body)

const answerOf = (campaign_id: string, state: CatalogueState, version: number, body: CampaignBody) => ({
  ...body, campaign_id, state, version,
  starts_at: new Date(body.starts_at).toISOString(), ends_at: new Date(body.ends_at).toISOString(),
})

/** What a body means that does not say it: to name it says nothing. */
const DEFAULTS: Partial<CampaignBody> = { holdout_bp: 0, hold_at: "reserve", on_refund: "keep", refund_policy: "keep" }
const withoutDefaults = (body: CampaignBody): Partial<CampaignBody> =>
  Object.fromEntries(Object.entries(body).filter(([name, value]) => DEFAULTS[name as keyof CampaignBody] !== value))

/** The fields in which two bodies differ. */
const changedFields = (one: CampaignBody, other: CampaignBody): string[] => {
  const from = withoutDefaults(one), to = withoutDefaults(other)
  const names = new Set([...Object.keys(from), ...Object.keys(to)]) as Set<keyof CampaignBody>
  return [...names].filter((name) => fingerprintOf(from[name] ?? null) !== fingerprintOf(to[name] ?? null))
}

/** Write the next version of a campaign, in the transaction that has locked its row. */
const writeVersion = async (sql: Sql, campaign_no: number, version: number, state: CatalogueState, body: CampaignBody, fingerprint: string, at_ms: number) => {
  const [starts_ms, ends_ms] = [Date.parse(body.starts_at), Date.parse(body.ends_at)]
  const text = JSON.stringify(body)
  await sql`update campaigns set line = ${body.line}, currency = ${body.currency}, state = ${state}, version = ${version}, body = ${text}::jsonb, starts_ms = ${starts_ms},
    ends_ms = ${ends_ms}, per_user = ${body.per_user}, stock = ${body.stock}, fingerprint = ${fingerprint}, changed_ms = ${at_ms} where campaign_no = ${campaign_no}`
  await sql`insert into campaign_versions (campaign_no, version, state, body, starts_ms, ends_ms, per_user, stock, at_ms)
    values (${campaign_no}, ${version}, ${state}, ${text}::jsonb, ${starts_ms}, ${ends_ms}, ${body.per_user}, ${body.stock}, ${at_ms})`
}

/** The version that the last change of a campaign's body made; those after it have changed its state alone. */
const firstWith = async (sql: Sql, { campaign_no, body, ...row }: Row): Promise<Pick<Row, "state" | "version">> => {
  const text = typeof body === "string" ? body : JSON.stringify(body)
  const [first] = await sql<Pick<Row, "state" | "version">[]>`
    select state, version from campaign_versions where campaign_no = ${campaign_no}
      and version > coalesce((select max(version) from campaign_versions where campaign_no = ${campaign_no} and body <> ${text}::jsonb), 0) order by version limit 1`
  return first ?? row
}

/** Push a version that has just been made; a cell that does not answer makes the outcome unknown, and the worker goes on pushing. */
const pushed = async (parts: Parts, campaign_no: number, now_ms: number, yes: (campaign: Campaign) => Answered): Promise<Answered> => {
  const campaign = await parts.catalogue.readAgain(campaign_no)
  if (!campaign) throw new Error(`campaign ${campaign_no} has gone`)
  try {
    await pushCampaign(parts, campaign, now_ms)
  } catch (error) {
    if (error instanceof NotExecuted) return { outcome: "outcome_unknown" }
    throw error
  }
  return yes(campaign)
}

/** Make or change a draft; on a live campaign set what may still move. */
export const putCampaignWith = (parts: Parts) => async ({ campaign_id, ...body }: PutCampaignAsk, caller: Caller): Promise<Answered> => {
  if (!mayTouch(caller, body.line)) return { outcome: "scope_missing", line: body.line }
  const fingerprint = fingerprintOf(withoutDefaults(body))
  const { now_ms } = caller
  const done = await answeringPostgres(() => parts.postgres.sql.begin(async (transaction): Promise<Answered & { push?: number }> => {
    const sql = transaction as unknown as Sql
    const text = JSON.stringify(body)
    const [starts_ms, ends_ms] = [Date.parse(body.starts_at), Date.parse(body.ends_at)]
    const [made] = await sql<{ campaign_no: number }[]>`
      insert into campaigns (campaign_id, line, currency, state, version, body, starts_ms, ends_ms, per_user, stock, fingerprint, created_ms, changed_ms)
      values (${campaign_id}, ${body.line}, ${body.currency}, 'draft', 1, ${text}::jsonb, ${starts_ms}, ${ends_ms}, ${body.per_user}, ${body.stock}, ${fingerprint}, ${now_ms}, ${now_ms})
      on conflict (campaign_id) do nothing returning campaign_no`
    if (made) {
      await sql`insert into campaign_versions (campaign_no, version, state, body, starts_ms, ends_ms, per_user, stock, at_ms)
        values (${made.campaign_no}, 1, 'draft', ${text}::jsonb, ${starts_ms}, ${ends_ms}, ${body.per_user}, ${body.stock}, ${now_ms})`
      return { outcome: "created", body: answerOf(campaign_id, "draft", 1, body) }
    }
    const [row] = await sql<Row[]>`select campaign_no, line, state, version, body, fingerprint from campaigns where campaign_id = ${campaign_id} for update`
    if (!row) throw new Error(`campaign ${campaign_id} has gone`)
    if (!mayTouch(caller, row.line)) return { outcome: "scope_missing", line: row.line }
    if (row.fingerprint === fingerprint) {
      const { state, version } = await firstWith(sql, row)
      return { outcome: "found", hit: true, body: answerOf(campaign_id, state, version, body), push: row.campaign_no }
    }
    if (row.state === "stopped") return { outcome: "campaign_stopped" }
    if (row.state !== "draft") {
      const before = bodyOf(row)
      const fixed = changedFields(before, body).filter((field) => {
        const may = MAY_MOVE[field] as ((from: unknown, to: unknown) => boolean) | undefined
        return !may?.(before[field as keyof CampaignBody], body[field as keyof CampaignBody])
      })
      if (fixed.length > 0) return { outcome: "campaign_live", fields: fixed }
      // A user's count has left the wallet once a campaign is over, so an end that has passed stays.
      if (Date.parse(before.ends_at) <= now_ms && before.ends_at !== body.ends_at) return { outcome: "campaign_ended" }
    }
    await writeVersion(sql, row.campaign_no, row.version + 1, row.state, body, fingerprint, now_ms)
    return { outcome: "changed", body: answerOf(campaign_id, row.state, row.version + 1, body), push: row.campaign_no }
  }))
  const { push, ...answered } = done
  if (push === undefined) return answered as Answered
  return pushed(parts, push, now_ms, () => answered as Answered)
}

/** The first budget that a campaign names and that cannot pay it, as a no. A budget of a month need not exist yet. */
const unfunded = async (parts: Parts, caller: Caller, { funding, currency }: CampaignBody): Promise<Answered | undefined> => {
  const { month } = monthAt(caller.now_ms, parts.zone)
  for (const [i, { budget_id: template }] of funding.entries()) {
    const budget_id = template.replaceAll("{month}", month)
    const budget = await parts.catalogue.budgetById(budget_id)
    if (!budget && budget_id !== template) continue
    if (!budget) return { outcome: "budget_unknown", field: `funding[${i}].budget_id`, budget_id }
    if (!mayTouch(caller, budget.line)) return { outcome: "scope_missing", line: budget.line }
    if (budget.currency !== currency) {
      return { outcome: "request_invalid", field: `funding[${i}].budget_id`, detail: `The budget ${budget_id} is in ${budget.currency}, the campaign in ${currency}.` }
    }
  }
  return undefined
}

type Verb = "activate" | "pause" | "stop"
const STATE_AFTER: Readonly<Record<Verb, CatalogueState>> = { activate: "live", pause: "paused", stop: "stopped" }

const moveWith = (verb: Verb) => (parts: Parts) => async ({ campaign_id }: CampaignAsk, caller: Caller): Promise<Answered> => {
  const { now_ms } = caller
  const known = await parts.catalogue.campaignById(campaign_id)
  if (!known || !mayTouch(caller, known.line)) return { outcome: "campaign_unknown", campaign_id }
  const fresh = await parts.catalogue.readAgain(known.campaign_no)
  if (verb === "activate" && fresh && fresh.state !== "stopped") {
    const no = await unfunded(parts, caller, fresh.body)
    if (no) return no
  }
  const done = await answeringPostgres(() => parts.postgres.sql.begin(async (transaction): Promise<{ no: Answered } | { hit: boolean }> => {
    const sql = transaction as unknown as Sql
    const [row] = await sql<Row[]>`select campaign_no, line, state, version, body, fingerprint from campaigns where campaign_id = ${campaign_id} for update`
    if (!row) throw new Error(`campaign ${campaign_id} has gone`)
    const after = STATE_AFTER[verb]
    if (row.state === after) return { hit: true }
    if (row.state === "stopped") return { no: { outcome: "campaign_stopped" } }
    if (verb === "pause" && row.state === "draft") return { no: { outcome: "campaign_draft" } }
    const body = bodyOf(row)
    if (verb === "activate" && Date.parse(body.ends_at) <= now_ms) return { no: { outcome: "campaign_ended", ended_at: new Date(body.ends_at).toISOString() } }
    await writeVersion(sql, row.campaign_no, row.version + 1, after, body, row.fingerprint, now_ms)
    if (verb === "activate") await sql`update campaigns set funding_lines = ${[...caller.lines]} where campaign_no = ${row.campaign_no}`
    return { hit: false }
  }))
  if ("no" in done) return done.no
  return pushed(parts, known.campaign_no, now_ms, (campaign) =>
    ({ outcome: "changed", hit: done.hit, body: answerOf(campaign_id, campaign.state, campaign.version, campaign.body) }))
}

/** Make a draft or a paused campaign live in every cell. */
export const activateCampaignWith = moveWith("activate")
/** Stop issuing and redeeming for now; holds stay. */
export const pauseCampaignWith = moveWith("pause")
/** End a campaign for good: unused coupons end, and the money held for them returns. */
export const stopCampaignWith = moveWith("stop")

/** A campaign as it stands, with its counts over all cells. */
export const getCampaignWith = (parts: Parts) => async ({ campaign_id }: CampaignAsk, caller: Caller): Promise<Answered> => {
  const known = await parts.catalogue.campaignById(campaign_id)
  if (!known || !mayTouch(caller, known.line)) return { outcome: "campaign_unknown", campaign_id }
  const campaign = await parts.catalogue.readAgain(known.campaign_no) ?? known
  const { issued, revoked, reserved, redeemed } = await readCampaignSums(parts, campaign.campaign_no)
  return { outcome: "found", body: { ...answerOf(campaign_id, campaign.state, campaign.version, campaign.body), issued, revoked, reserved, redeemed } }
}
