// The catalogue is a copy and never a judge: what it does not know yet is no reason to refuse.

import { expect, test } from "bun:test"
import { openCatalogue } from "../../engine/operate/catalogue.ts"
import { openStory } from "../story/story.ts"
import { fresh, openCampaign, yes } from "../story/till.ts"

test("budget_not_open: not of a campaign that this process has seen as a draft only, and another has made live since", async () => {
  const story = await openStory()
  const now_ms = story.now_ms()
  const { campaign_id: pattern, budget_id } = await openCampaign(story.call, now_ms)
  const { body } = await story.call("GET", `/v1/campaigns/${pattern}`)
  const { campaign_id: _, state: _state, version: _version, issued: _issued, revoked: _revoked, reserved: _reserved, redeemed: _redeemed, ...wishes } = body
  const campaign_id = fresh("campaign"), unpaid_id = fresh("campaign"), missing = fresh("missing")
  await yes(story.call("PUT", `/v1/campaigns/${campaign_id}`, wishes))
  await yes(story.call("PUT", `/v1/campaigns/${unpaid_id}`, { ...wishes, funding: [{ budget_id: missing, share_bp: 10_000 }] }))
  const copy = openCatalogue(story.parts.postgres.sql, story.parts.zone)
  const draft = (await copy.campaignById(campaign_id))!, unpaid = (await copy.campaignById(unpaid_id))!
  expect([draft.state, await copy.fundingAt(draft, now_ms)]).toEqual(["draft", { missing: budget_id }])
  await yes(story.call("POST", `/v1/campaigns/${campaign_id}/activate`, {}))
  expect(await copy.fundingAt(draft, now_ms)).toMatchObject([{ budget: { budget_id }, share_bp: 10_000 }])
  expect(copy.knownCampaign(draft.campaign_no)!.state).toBe("live")
  expect(await copy.fundingAt(unpaid, now_ms)).toEqual({ missing })
  await story.close()
}, 120_000)
