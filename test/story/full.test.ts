/**
 * Redis is full: what takes is refused and says so, what gives back still works, and nothing is lost when there is room again.
 */
import { expect, test } from "bun:test"
import { mastersOf } from "../../engine/store/redis.ts"
import { openStory } from "./story.ts"
import { fresh, issueAsk, openCampaign, reserveAsk, yes } from "./till.ts"

test("journal_full: a Redis at its maxmemory refuses what takes, and everything that gives back goes on", async () => {
  const story = await openStory()
  const say = (method: string, path: string, body?: unknown) => story.call(method, path, body)
  const { campaign_id } = await openCampaign(say, story.now_ms())
  const fill = (maxmemory: string) => Promise.all(mastersOf(story.parts.redis).map((redis) => redis.config("SET", "maxmemory", maxmemory)))
  const issue = (user: string) => say("POST", "/v1/coupons", issueAsk(campaign_id, user))
  const held = async (): Promise<string> => {
    const user = fresh("user"), { coupon_id } = await yes(issue(user))
    return (await yes(say("POST", "/v1/redemptions", reserveAsk(user, [coupon_id])))).redemption_id
  }
  const [paid, walked, returned] = [await held(), await held(), await held()]
  await yes(say("POST", `/v1/redemptions/${returned}/confirm`, {}))
  const revoked = (await yes(issue(fresh("user")))).coupon_id
  const waiting = fresh("user"), { coupon_id } = await yes(issue(waiting))
  await yes(say("PUT", `/v1/campaigns/${campaign_id}/codes`, { code: "FULL", limit: 9 }))

  await fill("1mb")
  const full = [
    await issue(fresh("user")), await say("POST", "/v1/redemptions", reserveAsk(waiting, [coupon_id])),
    await say("POST", "/v1/codes/claim", { request_id: "r", code: "FULL", user_id: fresh("user") }),
  ]
  for (const { status, body, headers } of full) expect([status, body.code, body.retry, headers.get("retry-after")]).toEqual([503, "journal_full", true, "5"])
  expect((await say("POST", `/v1/redemptions/${paid}/confirm`, {})).status).toBe(200)
  expect((await say("POST", `/v1/redemptions/${walked}/cancel`, {})).status).toBe(200)
  expect((await say("POST", `/v1/redemptions/${returned}/refunds`, { refund_id: "f", lines: "all" })).status).toBe(201)
  expect((await say("POST", `/v1/coupons/${revoked}/revoke`, { reason: "full" })).status).toBe(200)

  await fill("0")
  await yes(issue(fresh("user")))
  await yes(say("POST", "/v1/redemptions", reserveAsk(waiting, [coupon_id])))
  await story.expectConserved()
  await story.close()
}, 120_000)
