/**
 * A shop whose Redis is written anew from Postgres while callers go on, cell by cell and then all of it from nothing: what was answered is there.
 */
import { afterAll, beforeAll, expect, test } from "bun:test"
import { rebuildCell } from "../../engine/journal/rebuild.ts"
import { quietLog } from "../../engine/log.ts"
import { cellsOf } from "../../engine/parts.ts"
import { mastersOf } from "../../engine/store/redis.ts"
import { askingAgain } from "../support/later.ts"
import { openStory, type Story } from "./story.ts"
import { fresh, issueAsk, openCampaign, reserveAsk, type Say, yes } from "./till.ts"

/** What a story may take on a machine that does other things too. */
const STORY_MS_MAX = 180_000
const FLUSH_WAIT_MS = 60_000
const LIVES = 42, ENDS = ["reserved", "confirmed", "cancelled", "refunded"] as const
let story: Story, say: Say
beforeAll(async () => { story = await openStory(); say = askingAgain(story.call) }, STORY_MS_MAX)
afterAll(async () => { await story.close() }, STORY_MS_MAX)

interface Life { readonly end: (typeof ENDS)[number]; readonly asked: ReturnType<typeof reserveAsk>; readonly redemption_id: string }

/** A coupon's life up to one of its ends. */
const live = async (campaign_id: string, no: number): Promise<Life> => {
  const user_id = fresh("user"), end = ENDS[no % ENDS.length]!
  const { coupon_id } = await yes(say("POST", "/v1/coupons", issueAsk(campaign_id, user_id)))
  const asked = reserveAsk(user_id, [coupon_id])
  const { redemption_id } = await yes(say("POST", "/v1/redemptions", asked))
  if (end === "cancelled") await yes(say("POST", `/v1/redemptions/${redemption_id}/cancel`, {}))
  if (end === "confirmed" || end === "refunded") await yes(say("POST", `/v1/redemptions/${redemption_id}/confirm`, {}))
  if (end === "refunded") await yes(say("POST", `/v1/redemptions/${redemption_id}/refunds`, { refund_id: "all", lines: "all" }))
  return { end, asked, redemption_id }
}
const livesOf = (campaign_id: string): Promise<Life[]> => Promise.all(Array.from({ length: LIVES }, (_, no) => live(campaign_id, no)))

/** Everybody asks for the same once more and hears of the same redemption, and what is open can be paid for. */
const expectKnown = async (lives: readonly Life[]): Promise<void> => {
  for (const { end, asked, redemption_id } of lives) {
    expect(await yes(say("POST", "/v1/redemptions", asked))).toMatchObject({ redemption_id })
    expect([end, (await yes(say("GET", `/v1/redemptions/${redemption_id}`))).state]).toEqual([end, end])
    if (end === "reserved") await yes(say("POST", `/v1/redemptions/${redemption_id}/confirm`, {}))
  }
}

test("rebuilt: every cell is written from Postgres while callers go on, and nobody misses anything", async () => {
  const { campaign_id, budget_id } = await openCampaign(say, story.now_ms(), { limit_minor: 1_000_000 })
  const before = await livesOf(campaign_id)
  const { redis, postgres: { sql }, cells, age_ms, remember_ms } = story.parts
  const meanwhile = (async () => { const lives: Life[] = []; for (let no = 0; no < LIVES; no += 1) lives.push(await live(campaign_id, no)); return lives })()
  for (const cell of cellsOf(story.parts)) {
    const rebuilt = await rebuildCell({ redis, sql, log: quietLog, cells, ages: { now_ms: story.now_ms(), age_ms, remember_ms }, wait_ms: FLUSH_WAIT_MS, discard_unflushed: false }, cell)
    expect([cell, rebuilt.outcome]).toEqual([cell, "rebuilt"])
  }
  const lives = [...before, ...await meanwhile]
  await expectKnown(lives)
  const paid = lives.filter(({ end }) => end === "reserved" || end === "confirmed").length
  expect((await yes(say("GET", `/v1/budgets/${budget_id}`))).spent_minor).toBe(paid * 100)
  await story.expectConserved()
}, STORY_MS_MAX)

test("rebuilt: a Redis that has lost everything is written from Postgres, and opens by itself", async () => {
  const { campaign_id } = await openCampaign(say, story.now_ms())
  const lives = await livesOf(campaign_id)
  await story.flush()
  await Promise.all(mastersOf(story.parts.redis).map((node) => node.flushall()))
  await expectKnown(lives)
  await story.expectConserved()
}, STORY_MS_MAX)
