// An attempt that its client gave up is served late, on a real engine: I7 allows it, and sees the same act if its repeat was not recognised.

import { expect, test } from "bun:test"
import { openStory } from "../story/story.ts"
import { fresh, issueAsk, openCampaign, reserveAsk, type Say, yes } from "../story/till.ts"
import { CHECKS } from "./checks.ts"
import type { Act, Heard } from "./history.ts"

const RESERVE = "/v1/redemptions"

test("an act that is there although its client heard a no: served late by an attempt that was given up, or a repeat that was not recognised", async () => {
  const story = await openStory()
  // The shop's time goes on with the history's.
  const offset_ms = story.now_ms() - performance.now()
  const at = () => ({ now_ms: Math.floor(performance.now() + offset_ms) })
  const say: Say = (method, path, body) => story.call(method, path, body, at())
  const { campaign_id } = await openCampaign(say, story.now_ms())
  const user_id = fresh("user"), { coupon_id } = await yes(say("POST", "/v1/coupons", issueAsk(campaign_id, user_id)))
  const history: Act[] = []
  const write = async (kind: Act["kind"], path: string, body: Record<string, unknown>): Promise<Act> => {
    const first_ms = performance.now()
    const { status, body: answer } = await say("POST", path, body)
    const act: Act = { kind, path, body, first_ms, last_ms: first_ms, heard_ms: performance.now(), heard: { status, text: JSON.stringify(answer) }, isLeftBehind: false }
    history.push(act)
    return act
  }

  // The words of a first attempt come only after its client has given it up.
  const late = reserveAsk(user_id, [coupon_id])
  const held = Promise.withResolvers<void>()
  const body = new ReadableStream<Uint8Array>({ start: async (stream) => { await held.promise; stream.enqueue(new TextEncoder().encode(JSON.stringify(late))); stream.close() } })
  const first_ms = performance.now()
  const attempt = story.app.request(RESERVE, {
    method: "POST", body, headers: { "scrip-now": String(at().now_ms), authorization: `Bearer ${story.key}`, "content-type": "application/json" },
  })
  const other = await write("reserve", RESERVE, reserveAsk(user_id, [coupon_id]))
  const { redemption_id } = JSON.parse((other.heard as Heard).text) as { redemption_id: string }
  const refused = await write("reserve", RESERVE, late)
  refused.first_ms = first_ms
  refused.isLeftBehind = true
  expect((refused.heard as Heard).status).toBe(409)
  await write("cancel", `${RESERVE}/${redemption_id}/cancel`, {})
  held.resolve()
  expect((await attempt).status).toBe(201)
  await write("issue", "/v1/coupons", issueAsk(campaign_id, user_id))
  await story.flush()

  const judged = async (told: Partial<Act>) => {
    const { faults, counted } = await CHECKS.find(({ name }) => name === "I7")!.look({
      sql: story.parts.postgres.sql, say, history: history.map((act) => act === refused ? { ...act, ...told } : act), offset_ms, flushed: story.flush,
      shelf: { campaigns: [], codes: { campaign_id, stock: 0, per_user: 0, unique: [], public: "", limit: 0 }, arenas: [] }, struck_ms: [], followed: { ids: [], after: "" }, watched: { looked_at: 0, faults: [] }, verify: async () => [],
    })
    return [faults.map((fault) => (fault as { by: string }).by), counted!["made_after_a_no"]]
  }
  expect(await judged({})).toEqual([[], 1])
  // Had the no been asked for after the act was made, its repeat should have been a yes; and nobody makes an act by an attempt that he never sent.
  const now_ms = performance.now()
  expect(await judged({ last_ms: now_ms, heard_ms: now_ms })).toEqual([["earlier"], 0])
  expect(await judged({ isLeftBehind: false })).toEqual([["refused"], 0])
  await story.expectConserved()
  await story.close()
}, 120_000)
