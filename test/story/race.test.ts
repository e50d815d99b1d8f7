/**
 * Races: hundreds of callers at once against each limit there is, also while a third of them give back what they got.
 *
 * What must stay true: never one over, at no moment; and at the end everything that should be free is free, so that whoever still
 * wants it gets exactly what the limit leaves. With four cells a limit is leased between them; nothing else may differ.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test"
import { askingAgain } from "../support/later.ts"
import { openStory, type Story } from "./story.ts"
import { fresh, issueAsk, openCampaign, order, reserveAsk, type Say, yes } from "./till.ts"

const CALLERS = 600
/** A caller who gives back tries so often to get something to give back. */
const GIVER_TRIES = 3
/** Who finds the coupon with somebody else comes again after so long. */
const AGAIN_MS = 5
/** A hold of one second runs out while its caller still looks at it; one of a day does not. */
const SHORT_S = 1, LONG_S = 86_400
const START_MS_MAX = 120_000
const RACE_MS_MAX = 240_000
/** A coupon has gone through enough hands within this, which is some ninety syncs of a disk one after another. */
const HANDS_MS_MAX = 200_000

const everyone = <T>(count: number, does: (caller: number) => Promise<T>): Promise<T[]> => Promise.all(Array.from({ length: count }, (_, caller) => does(caller)))
const countOf = (words: readonly string[], word: string): number => words.filter((each) => each === word).length
const wordOf = async (heard: ReturnType<Say>): Promise<string> => { const { status, body } = await heard; return status < 300 ? "yes" : body.code }
const isGiver = (caller: number): boolean => caller % 3 === 0

describe("one cell", () => {
  let story: Story
  let say: Say
  const budget = async (budget_id: string) => {
    const { limit_minor, held_minor, spent_minor, available_minor } = await yes(say("GET", `/v1/budgets/${budget_id}`))
    return { limit_minor, held_minor, spent_minor, available_minor }
  }
  const issue = async (campaign_id: string, user_id: string): Promise<string> => (await yes(say("POST", "/v1/coupons", issueAsk(campaign_id, user_id)))).coupon_id
  const confirm = (redemption_id: string) => yes(say("POST", `/v1/redemptions/${redemption_id}/confirm`, {}))
  const cancel = (redemption_id: string) => yes(say("POST", `/v1/redemptions/${redemption_id}/cancel`, {}))
  const refundAll = (redemption_id: string) => yes(say("POST", `/v1/redemptions/${redemption_id}/refunds`, { refund_id: "all", lines: "all" }))

  /** While `work` goes on: time passes, short holds run out, and a look at the budget never shows it over. */
  const whileTimePasses = async <T>(work: Promise<T>, budget_id?: string): Promise<T> => {
    let isOver = false
    const done = work.finally(() => { isOver = true })
    const looks = (async () => {
      while (!isOver) {
        story.setNow(story.now_ms() + 400)
        await story.sweep()
        if (budget_id === undefined) continue
        const { available_minor, held_minor, spent_minor } = await budget(budget_id)
        if (available_minor < 0 || held_minor < 0 || spent_minor < 0) throw new Error(`the budget is over: ${JSON.stringify({ available_minor, held_minor, spent_minor })}`)
      }
    })()
    const [got] = await Promise.all([done, looks])
    story.setNow(story.now_ms() + (SHORT_S + 1) * 1_000)
    await story.sweep()
    return got
  }

  /** Give a reserved redemption back in one of three ways; a hold that runs out is left alone. */
  const giveBack = async (caller: number, redemption_id: string): Promise<void> => {
    if (caller % 9 === 0) await cancel(redemption_id)
    if (caller % 9 === 3) { await confirm(redemption_id); await refundAll(redemption_id) }
  }
  const holdFor = (caller: number) => (isGiver(caller) && caller % 9 === 6 ? SHORT_S : LONG_S)

  beforeAll(async () => { story = await openStory(); say = askingAgain(story.call) }, START_MS_MAX)
  afterAll(async () => { await story.expectConserved(); await story.close() }, START_MS_MAX)

  test("budget_exhausted: 600 callers, money for 250, 250 holds", async () => {
    const { budget_id, campaign_id } = await openCampaign(say, story.now_ms(), { limit_minor: 25_050 })
    const coupons = await everyone(CALLERS, (caller) => issue(campaign_id, `${campaign_id}-${caller}`))
    const words = await everyone(CALLERS, (caller) => wordOf(say("POST", "/v1/redemptions", reserveAsk(`${campaign_id}-${caller}`, [coupons[caller]!]))))
    expect([countOf(words, "yes"), countOf(words, "budget_exhausted")]).toEqual([250, 350])
    expect(await budget(budget_id)).toEqual({ limit_minor: 25_050, held_minor: 25_000, spent_minor: 0, available_minor: 50 })
  }, RACE_MS_MAX)

  test("budget_exhausted: a third gives back, and who stays gets all of it", async () => {
    const { budget_id, campaign_id } = await openCampaign(say, story.now_ms(), { limit_minor: 25_000, on_refund: "return" })
    const userOf = (caller: number) => `${campaign_id}-${caller}`
    const coupons = await everyone(CALLERS, (caller) => issue(campaign_id, userOf(caller)))
    const reserve = (caller: number) => say("POST", "/v1/redemptions", reserveAsk(userOf(caller), [coupons[caller]!], { hold_s: holdFor(caller) }))
    const kept = new Set<number>()
    const keep = async (caller: number): Promise<string> => {
      const { status, body } = await reserve(caller)
      if (status !== 201) return body.code
      await confirm(body.redemption_id)
      kept.add(caller)
      return "yes"
    }
    await whileTimePasses(everyone(CALLERS, async (caller) => {
      if (!isGiver(caller)) return void await keep(caller)
      for (let tries = 0; tries < GIVER_TRIES; tries++) {
        const { status, body } = await reserve(caller)
        if (status === 201) await giveBack(caller, body.redemption_id)
      }
    }), budget_id)
    expect(kept.size).toBeLessThanOrEqual(250)
    // Everything that was given back is free: whoever still wants it gets exactly the rest.
    const late = await everyone(CALLERS, (caller) => isGiver(caller) || kept.has(caller) ? Promise.resolve("done") : keep(caller))
    expect([kept.size, countOf(late, "budget_exhausted")]).toEqual([250, 150])
    expect(await budget(budget_id)).toEqual({ limit_minor: 25_000, held_minor: 0, spent_minor: 25_000, available_minor: 0 })
    const { redeemed, reserved } = await yes(say("GET", `/v1/campaigns/${campaign_id}`))
    expect([redeemed, reserved]).toEqual([250, 0])
  }, RACE_MS_MAX)

  test("budget_exhausted: money held at issue, a third revoked, never over", async () => {
    const { budget_id, campaign_id } = await openCampaign(say, story.now_ms(), { limit_minor: 20_000, hold_at: "issue" })
    const kept = new Set<number>()
    const take = async (caller: number): Promise<string> => {
      const { status, body } = await say("POST", "/v1/coupons", issueAsk(campaign_id, `${campaign_id}-${caller}`))
      if (status !== 201) return body.code
      if (isGiver(caller)) await yes(say("POST", `/v1/coupons/${body.coupon_id}/revoke`, { reason: "a race" }))
      else kept.add(caller)
      return "yes"
    }
    await whileTimePasses(everyone(CALLERS, take), budget_id)
    const late = await everyone(CALLERS, (caller) => isGiver(caller) || kept.has(caller) ? Promise.resolve("done") : take(caller))
    expect([kept.size, countOf(late, "budget_exhausted")]).toEqual([200, 200])
    expect(await budget(budget_id)).toEqual({ limit_minor: 20_000, held_minor: 20_000, spent_minor: 0, available_minor: 0 })
  }, RACE_MS_MAX)

  test("budget_in_use: 500 cuts and 500 holds at once never meet", async () => {
    const { budget_id, campaign_id } = await openCampaign(say, story.now_ms(), { limit_minor: 40_000 })
    const coupons = await everyone(500, (caller) => issue(campaign_id, `${campaign_id}-${caller}`))
    const [holds, cuts] = await Promise.all([
      everyone(500, (caller) => wordOf(say("POST", "/v1/redemptions", reserveAsk(`${campaign_id}-${caller}`, [coupons[caller]!])))),
      everyone(500, (caller) => wordOf(say("POST", `/v1/budgets/${budget_id}/additions`, { addition_id: `cut-${caller}`, amount_minor: -100 }))),
    ])
    const [held, cut] = [countOf(holds, "yes"), countOf(cuts, "yes")]
    expect(held + countOf(holds, "budget_exhausted")).toBe(500)
    expect(cut + countOf(cuts, "budget_in_use")).toBe(500)
    expect(await budget(budget_id)).toEqual({ limit_minor: 40_000 - cut * 100, held_minor: held * 100, spent_minor: 0, available_minor: 40_000 - (cut + held) * 100 })
    // Whatever is left can be taken to the last cent.
    if (held + cut < 400) await yes(say("POST", `/v1/budgets/${budget_id}/additions`, { addition_id: "rest", amount_minor: -(400 - held - cut) * 100 }))
    expect((await budget(budget_id)).available_minor).toBe(0)
  }, RACE_MS_MAX)

  test("stock_exhausted: 600 callers, 200 coupons, 200 issued", async () => {
    const { campaign_id } = await openCampaign(say, story.now_ms(), { stock: 200 })
    const words = await everyone(CALLERS, (caller) => wordOf(say("POST", "/v1/coupons", issueAsk(campaign_id, `${campaign_id}-${caller}`))))
    expect([countOf(words, "yes"), countOf(words, "stock_exhausted")]).toEqual([200, 400])
  }, RACE_MS_MAX)

  test("stock_exhausted: a third revokes, cancels or refunds, and the stock is issued to the last coupon", async () => {
    const { campaign_id } = await openCampaign(say, story.now_ms(), { stock: 200 })
    const kept = new Set<number>()
    let revoked = 0
    const take = async (caller: number): Promise<string> => {
      const user_id = `${campaign_id}-${caller}`
      const { status, body } = await say("POST", "/v1/coupons", issueAsk(campaign_id, user_id))
      if (status !== 201) return body.code
      if (!isGiver(caller)) { kept.add(caller); return "yes" }
      // A hold that comes back gives no stock back, a revoke does; a coupon that was refunded and is kept has used its stock.
      const { redemption_id } = await yes(say("POST", "/v1/redemptions", reserveAsk(user_id, [body.coupon_id], { hold_s: holdFor(caller) })))
      await giveBack(caller, redemption_id)
      if (caller % 9 === 0) { await yes(say("POST", `/v1/coupons/${body.coupon_id}/revoke`, { reason: "a race" })); revoked += 1 }
      else kept.add(caller)
      return "yes"
    }
    await whileTimePasses(everyone(CALLERS, take))
    const late = await everyone(CALLERS, (caller) => isGiver(caller) || kept.has(caller) ? Promise.resolve("done") : take(caller))
    expect(kept.size).toBe(200)
    expect(countOf(late, "stock_exhausted") + countOf(late, "yes") + countOf(late, "done")).toBe(CALLERS)
    const { issued } = await yes(say("GET", `/v1/campaigns/${campaign_id}`))
    expect(issued).toBe(200 + revoked)
    expect(await wordOf(say("POST", "/v1/coupons", issueAsk(campaign_id, fresh("user"))))).toBe("stock_exhausted")
  }, RACE_MS_MAX)

  test("user_limit_reached: one user, 600 requests, three coupons", async () => {
    const { campaign_id } = await openCampaign(say, story.now_ms(), { per_user: 3 })
    const user_id = fresh("user")
    const words = await everyone(CALLERS, () => wordOf(say("POST", "/v1/coupons", issueAsk(campaign_id, user_id))))
    expect([countOf(words, "yes"), countOf(words, "user_limit_reached")]).toEqual([3, CALLERS - 3])
  }, RACE_MS_MAX)

  test("user_limit_reached: whatever 40 users give back, no one's count comes back", async () => {
    const { budget_id, campaign_id } = await openCampaign(say, story.now_ms(), { per_user: 3, on_refund: "return" })
    const issued = new Map<string, number>()
    const words = await whileTimePasses(everyone(CALLERS, async (caller) => {
      const user_id = `${campaign_id}-${caller % 40}`
      const { status, body } = await say("POST", "/v1/coupons", issueAsk(campaign_id, user_id))
      if (status !== 201) return body.code as string
      issued.set(user_id, (issued.get(user_id) ?? 0) + 1)
      const { redemption_id } = await yes(say("POST", "/v1/redemptions", reserveAsk(user_id, [body.coupon_id], { hold_s: caller % 3 === 0 ? LONG_S : SHORT_S })))
      if (caller % 3 === 0) { await cancel(redemption_id); await yes(say("POST", `/v1/coupons/${body.coupon_id}/revoke`, { reason: "a race" })) }
      if (caller % 3 === 1 && await wordOf(say("POST", `/v1/redemptions/${redemption_id}/confirm`, {})) === "yes") await refundAll(redemption_id)
      return "yes"
    }), budget_id)
    expect([...issued.values()]).toEqual(Array.from({ length: 40 }, () => 3))
    expect(countOf(words, "user_limit_reached")).toBe(CALLERS - 120)
    expect(await budget(budget_id)).toMatchObject({ held_minor: 0, spent_minor: 0 })
  }, RACE_MS_MAX)

  test("coupon_reserved: one coupon, 600 orders, one hold", async () => {
    const { campaign_id } = await openCampaign(say, story.now_ms())
    const user_id = fresh("user")
    const coupon_id = await issue(campaign_id, user_id)
    const words = await everyone(CALLERS, () => wordOf(say("POST", "/v1/redemptions", reserveAsk(user_id, [coupon_id]))))
    expect([countOf(words, "yes"), countOf(words, "coupon_reserved")]).toEqual([1, CALLERS - 1])
  }, RACE_MS_MAX)

  test("coupon_redeemed: one coupon goes from hand to hand and is redeemed once", async () => {
    const { budget_id, campaign_id } = await openCampaign(say, story.now_ms(), { on_refund: "return" })
    const user_id = fresh("user")
    const coupon_id = await issue(campaign_id, user_id)
    /** Who has it, from the yes he heard until he sends it back. */
    let holder: number | undefined
    let hands = 0, redeemed = 0
    const until_ms = performance.now() + HANDS_MS_MAX
    const words = await whileTimePasses(everyone(CALLERS, async (caller) => {
      for (;;) {
        if (performance.now() > until_ms) throw new Error(`${hands} hands in ${HANDS_MS_MAX} ms, and now ${holder ?? "nobody"} has the coupon`)
        const { status, body } = await say("POST", "/v1/redemptions", reserveAsk(user_id, [coupon_id], { hold_s: holdFor(caller) }))
        // Some givers confirm and send it back: until it is redeemed for good, who hears that it was comes again too. Were all others to leave then, that giver had nobody to give it to.
        if (status === 409 && (body.code === "coupon_reserved" || body.code === "coupon_redeemed" && redeemed === 0)) {
          if (redeemed > 0) return "coupon_redeemed"
          if (isGiver(caller)) return "given up"
          await Bun.sleep(AGAIN_MS) // hundreds who ask without a pause leave the one who has it no time to give it back
          continue
        }
        if (status !== 201) return body.code as string
        if (holder !== undefined && holder % 9 !== 6) throw new Error(`${caller} and ${holder} have the same coupon`)
        holder = caller
        hands += 1
        // Keepers wait until the coupon has been through some hands.
        if (!isGiver(caller) && hands > 30) { await confirm(body.redemption_id); redeemed += 1; return "redeemed" }
        holder = undefined
        if (isGiver(caller)) await giveBack(caller, body.redemption_id)
        else await cancel(body.redemption_id)
      }
    }), budget_id)
    expect([countOf(words, "redeemed"), redeemed]).toEqual([1, 1])
    expect(words.filter((word) => !["redeemed", "coupon_redeemed", "given up"].includes(word))).toEqual([])
    expect(await budget(budget_id)).toMatchObject({ held_minor: 0, spent_minor: 100 })
  }, RACE_MS_MAX)

  test("reserved: the same request 600 times at once is one hold and one answer", async () => {
    const { budget_id, campaign_id } = await openCampaign(say, story.now_ms())
    const user_id = fresh("user")
    const ask = reserveAsk(user_id, [await issue(campaign_id, user_id)])
    const heard = await everyone(CALLERS, () => say("POST", "/v1/redemptions", ask))
    expect(new Set(heard.map(({ status, body }) => `${status} ${JSON.stringify(body)}`)).size).toBe(1)
    expect(heard.filter(({ headers }) => headers.get("idempotency-hit") === null).length).toBe(1)
    expect(await budget(budget_id)).toMatchObject({ held_minor: 100, spent_minor: 0 })
  }, RACE_MS_MAX)

  test("reserved: 600 requests for one order leave one hold, the others are cancelled", async () => {
    const { budget_id, campaign_id } = await openCampaign(say, story.now_ms())
    const user_id = fresh("user"), order_id = fresh("order")
    const coupon_id = await issue(campaign_id, user_id)
    const heard = await everyone(CALLERS, (caller) => say("POST", "/v1/redemptions", { ...reserveAsk(user_id, [coupon_id]), order_id, request_id: `r${caller}` }))
    expect(heard.every(({ status }) => status === 201)).toBe(true)
    const states = await everyone(CALLERS, async (caller) => (await yes(say("GET", `/v1/redemptions/${heard[caller]!.body.redemption_id}`))).state as string)
    expect([countOf(states, "reserved"), countOf(states, "cancelled")]).toEqual([1, CALLERS - 1])
    expect(await budget(budget_id)).toMatchObject({ held_minor: 100, spent_minor: 0 })
  }, RACE_MS_MAX)

  test("redemption_confirmed, redemption_cancelled: confirm, cancel and the end of the hold at once, one of them wins", async () => {
    const { budget_id, campaign_id } = await openCampaign(say, story.now_ms())
    const RIVALS = 200
    const redemptions = await everyone(RIVALS, async (caller) => {
      const user_id = `${campaign_id}-${caller}`
      return (await yes(say("POST", "/v1/redemptions", reserveAsk(user_id, [await issue(campaign_id, user_id)], { hold_s: caller % 2 === 0 ? SHORT_S : LONG_S })))).redemption_id as string
    })
    const outcomes = await whileTimePasses(everyone(RIVALS, (caller) => Promise.all([
      wordOf(say("POST", `/v1/redemptions/${redemptions[caller]}/confirm`, {})), wordOf(say("POST", `/v1/redemptions/${redemptions[caller]}/cancel`, {})),
    ])), budget_id)
    const states = await everyone(RIVALS, async (caller) => (await yes(say("GET", `/v1/redemptions/${redemptions[caller]}`))).state as string)
    const allowed: Record<string, readonly string[]> = {
      confirmed: ["yes redemption_confirmed"], cancelled: ["redemption_cancelled yes"], expired: ["redemption_expired redemption_expired"],
    }
    expect(states.filter((state, caller) => !allowed[state]?.includes(outcomes[caller]!.join(" ")))).toEqual([])
    expect(await budget(budget_id)).toMatchObject({ held_minor: 0, spent_minor: 100 * countOf(states, "confirmed") })
  }, RACE_MS_MAX)

  test("refund_exceeds: 120 refunds of one unit each, 40 were bought", async () => {
    const REFUNDS = 120, BOUGHT = 40
    const { budget_id, campaign_id } = await openCampaign(say, story.now_ms(), { amount_minor: 333 })
    const user_id = fresh("user")
    const { redemption_id } = await yes(say("POST", "/v1/redemptions", { ...reserveAsk(user_id, [await issue(campaign_id, user_id)]), order: order(BOUGHT) }))
    await confirm(redemption_id)
    const heard = await everyone(REFUNDS, (caller) => say("POST", `/v1/redemptions/${redemption_id}/refunds`, { refund_id: `r${caller}`, lines: [{ line_id: "l1", quantity: 1 }] }))
    expect(heard.filter(({ status }) => status === 201).length).toBe(BOUGHT)
    expect(heard.filter(({ status, body }) => status === 409 && (body.code === "refund_exceeds" || body.code === "redemption_refunded")).length).toBe(REFUNDS - BOUGHT)
    expect(heard.reduce((sum, { status, body }) => sum + (status === 201 ? body.discount_minor : 0), 0)).toBe(333)
    expect(await budget(budget_id)).toMatchObject({ held_minor: 0, spent_minor: 0 })
  }, RACE_MS_MAX)
})

describe("four cells", () => {
  let story: Story
  /** Also while the quota is on its way between cells. */
  let say: Say
  beforeAll(async () => { story = await openStory({ cells: 4 }); say = askingAgain(story.call) }, START_MS_MAX)
  afterAll(async () => { await story.expectConserved(); await story.close() }, START_MS_MAX)

  test("stock_exhausted, budget_exhausted: 600 users in every cell, money for 150, 150 issued", async () => {
    const { budget_id, campaign_id } = await openCampaign(say, story.now_ms(), { limit_minor: 15_000, stock: 200, hold_at: "issue" })
    const words = await everyone(CALLERS, (caller) => wordOf(say("POST", "/v1/coupons", issueAsk(campaign_id, `${campaign_id}-${caller}`))))
    expect([countOf(words, "yes"), countOf(words, "budget_exhausted")]).toEqual([150, CALLERS - 150])
    const { limit_minor, held_minor, available_minor } = await yes(say("GET", `/v1/budgets/${budget_id}`))
    expect([limit_minor, held_minor, available_minor]).toEqual([15_000, 15_000, 0])
  }, RACE_MS_MAX)

  test("user_limit_reached: one user, 600 requests, three coupons", async () => {
    const { campaign_id } = await openCampaign(say, story.now_ms(), { per_user: 3 })
    const user_id = fresh("user")
    const words = await everyone(CALLERS, () => wordOf(say("POST", "/v1/coupons", issueAsk(campaign_id, user_id))))
    expect([countOf(words, "yes"), countOf(words, "user_limit_reached")]).toEqual([3, CALLERS - 3])
  }, RACE_MS_MAX)
})
