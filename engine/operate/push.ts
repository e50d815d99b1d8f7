/**
 * Push: tell every cell the current version of a campaign.
 *
 * A version is made in Postgres first, so it is pushed until every cell has it, whoever made it and whatever died meanwhile.
 */
import { homeOf, journalKey, quotaKey } from "../../lua/keys.ts"
import { publish } from "../../lua/publish.ts"
import { CAMPAIGN_STATES } from "../../lua/records.ts"
import type { Parts } from "../parts.ts"
import { answeringPostgres } from "../store/away.ts"
import { act, NotExecuted, OutcomeUnknown } from "../store/redis.ts"
import type { Campaign } from "./catalogue.ts"

/** So many campaigns are pushed in one round of the worker. */
const PUSHES_MAX = 100

/** Give every cell this version; throws NotExecuted or OutcomeUnknown when one did not answer. */
export const pushCampaign = async (parts: Parts, campaign: Campaign, now_ms: number): Promise<void> => {
  const { campaign_no, campaign_id, version, state, body, starts_ms, ends_ms } = campaign
  if (state === "draft") return
  const home = homeOf(`k${campaign_no}`, parts.cells)
  // The home cell first: it has the bank of the stock from which the others borrow.
  const cells = [home, ...Array.from({ length: parts.cells }, (_, cell) => cell).filter((cell) => cell !== home)]
  for (const cell of cells) {
    await act(parts.redis, publish, {
      keys: { quota: quotaKey(cell), journal: journalKey(cell) },
      args: {
        now_ms, campaign: campaign_no, version, state: CAMPAIGN_STATES.indexOf(state) + 1, starts_ms, ends_ms, per_user: body.per_user,
        stock: body.stock, is_home: cell === home ? 1 : 0, is_alone: parts.cells === 1 ? 1 : 0,
        payload: JSON.stringify({ campaign_id, campaign_no, version, state }),
      },
    })
  }
  await answeringPostgres(() => parts.postgres.sql`
    update campaigns set pushed_version = ${version} where campaign_no = ${campaign_no} and pushed_version < ${version}`)
}

/** Push what is behind; how many campaigns that were. What does not answer is tried again in the next round. */
export const pushBehind = async (parts: Parts, now_ms: number): Promise<number> => {
  const behind = await answeringPostgres(() => parts.postgres.sql<{ campaign_no: number }[]>`
    select campaign_no from campaigns where pushed_version < version and state <> 'draft' order by campaign_no limit ${PUSHES_MAX}`)
  let pushed = 0
  for (const { campaign_no } of behind) {
    const campaign = await parts.catalogue.readAgain(campaign_no)
    try {
      if (campaign) await pushCampaign(parts, campaign, now_ms)
      pushed++
    } catch (error) {
      if (!(error instanceof NotExecuted || error instanceof OutcomeUnknown)) throw error
    }
  }
  return pushed
}
