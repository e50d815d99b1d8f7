/**
 * Play a plan through HTTP, and hold every answer against what the plan says it must be.
 *
 * What must stay true: days are played one after the other, and in a day launches, then orders, then refunds of older orders. Orders of
 * one day run side by side, begun in the order of their instants; a household has one order a day, whose acts follow each other, so
 * what one household does keeps its order.
 *
 * A plan that was played before is played again in the same way. Then every act of the last 90 days must be an Idempotency-Hit with
 * the body of the first time. An older one may be forgotten, as the contract allows, but it may not happen a second time.
 */
import type { Answer, Call, Caller } from "./caller.ts"
import { instant } from "./days.ts"
import { HOLD_S, type Plan, type PlannedDay, type PlannedLaunch, type PlannedOrder } from "./plan.ts"
import { inPool } from "./pool.ts"
import type { Progress } from "./progress.ts"

/** How long an id is known as used, at the least. */
const REMEMBERED_MS = 90 * 86_400_000
const OPERATOR_CALLS_AT_ONCE = 8
const BULK_LINES = 10_000
const DIFFERENCES_MAX = 50

/** What an act answered that it should not have. */
export interface Difference { readonly act: string; readonly id: string; readonly detail: string }

export interface Played {
  readonly acts: Readonly<Record<string, number>>
  readonly hits: number
  /** Acts of more than 90 days ago that were refused when they came again. */
  readonly forgotten: number
  readonly differences: readonly Difference[]
  /** The data's time when the last act was done. */
  readonly clock_ms: number
}

/** What is kept of a first run for a second one: bodies, coupon ids and redemption ids, by the ids of the plan. */
export interface Memory {
  readonly bodies: Map<string, string>
  readonly coupons: Map<string, string>
  readonly redemptions: Map<string, string>
  clock_ms: number
}
export const emptyMemory = (): Memory => ({ bodies: new Map(), coupons: new Map(), redemptions: new Map(), clock_ms: 0 })

export interface PlayParts {
  readonly caller: Caller
  readonly memory: Memory
  readonly concurrency: number
  readonly progress: Progress
  /** Called when all orders of a day are reserved and none is settled. */
  readonly when_reserved: (day: string) => Promise<void>
  /** The days on which that is waited for. */
  readonly pauses: ReadonlySet<string>
}

/** How many acts a plan has. */
export const actsOf = ({ budgets, launches, orders }: Plan): number =>
  budgets.length + launches.reduce((sum, { campaigns, issues }) => sum + 2 * campaigns.length + issues.length, 0)
  + orders.reduce((sum, { refund }) => sum + 2 + (refund ? 1 : 0), 0)

interface Expected { readonly act: string; readonly id: string; readonly status: readonly number[]; readonly fields: Readonly<Record<string, unknown>> }

/** Play everything. `isAgain`: it has been played on this stack before. */
export const play = async (plan: Plan, parts: PlayParts, isAgain: boolean): Promise<Played> => {
  const { caller, memory, concurrency, progress } = parts
  const acts: Record<string, number> = {}
  const differences: Difference[] = []
  let hits = 0, forgotten = 0
  const horizon_ms = memory.clock_ms - REMEMBERED_MS

  const differ = (act: string, id: string, detail: string) => {
    if (differences.length < DIFFERENCES_MAX) differences.push({ act, id, detail })
  }
  /** Judge one answer; true when the act is done, now or before. */
  const judge = (expected: Expected, now_ms: number, { status, hit, body }: Answer): boolean => {
    const { act, id } = expected
    acts[act] = (acts[act] ?? 0) + 1
    if (hit) hits += 1
    if (!expected.status.includes(status)) {
      if (isAgain && now_ms < horizon_ms && status >= 400 && status < 500) {
        forgotten += 1
        return false
      }
      differ(act, id, `answered ${status} ${JSON.stringify(body).slice(0, 400)}`)
      return false
    }
    if (isAgain && !hit) differ(act, id, "happened a second time")
    for (const [field, value] of Object.entries(expected.fields)) {
      if (JSON.stringify(body[field]) !== JSON.stringify(value)) differ(act, id, `says ${field} ${JSON.stringify(body[field])} and not ${JSON.stringify(value)}`)
    }
    if (act in REPEATED_IN_FULL) {
      const { line: _, status: __, idempotency_hit: ___, ...rest } = body
      const text = JSON.stringify(rest)
      const key = `${act} ${id}`
      const first = memory.bodies.get(key)
      if (first === undefined) memory.bodies.set(key, text)
      else if (first !== text) differ(act, id, `repeats ${text.slice(0, 200)} and said ${first.slice(0, 200)}`)
    }
    return true
  }
  const does = async (call: Call, expected: Expected): Promise<Answer | undefined> => {
    memory.clock_ms = Math.max(memory.clock_ms, call.now_ms)
    const answer = await caller(call)
    const isDone = judge(expected, call.now_ms, answer)
    progress.step(1, new Date(call.now_ms).toISOString().slice(0, 10))
    return isDone ? answer : undefined
  }

  const launch = async ({ mailing, at_ms, campaigns, issues }: PlannedLaunch): Promise<void> => {
    const day = mailing.first_day
    await inPool(campaigns, OPERATOR_CALLS_AT_ONCE, async ({ campaign_id, body }) => {
      const path = `/v1/campaigns/${campaign_id}`
      await does({ method: "PUT", path, now_ms: at_ms, body }, { act: "campaign", id: campaign_id, status: [200, 201], fields: {} })
      await does({ method: "POST", path: `${path}/activate`, now_ms: at_ms, body: {} }, { act: "activate", id: campaign_id, status: [200], fields: { state: "live" } })
    })
    for (let from = 0; from < issues.length; from += BULK_LINES) {
      const part = issues.slice(from, from + BULK_LINES)
      const answers = await caller.bulk("/v1/coupons/bulk", at_ms, part)
      part.forEach(({ request_id, campaign_id, user_id }, i) => {
        const isDone = judge({ act: "issue", id: request_id, status: [201], fields: { campaign_id, user_id, state: "issued" } }, at_ms, answers[i]!)
        if (isDone) memory.coupons.set(request_id, String(answers[i]!.body["coupon_id"]))
      })
      progress.step(part.length, day)
    }
    memory.clock_ms = Math.max(memory.clock_ms, at_ms)
  }

  const reserve = async ({ order_id, user_id, at_ms, order, uses, discount_minor, total_minor }: PlannedOrder): Promise<void> => {
    const coupons = uses.map(({ issue }) => memory.coupons.get(issue))
    if (coupons.includes(undefined)) {
      // Without its coupons the order cannot be made; whose fault that is was judged at their issue.
      progress.step(1, "")
      return
    }
    const answer = await does(
      { method: "POST", path: "/v1/redemptions", now_ms: at_ms, body: { order_id, user_id, order, coupons, hold_s: HOLD_S } },
      { act: "reserve", id: order_id, status: [201], fields: { order_id, user_id, state: "reserved", discount_minor, total_minor } },
    )
    if (!answer) return
    memory.redemptions.set(order_id, String(answer.body["redemption_id"]))
    const applied = answer.body["applied"] as { coupon_id: string; discount_minor: number }[]
    uses.forEach((use, i) => {
      const said = applied.find(({ coupon_id }) => coupon_id === coupons[i])
      if (said?.discount_minor !== use.discount_minor) differ("reserve", order_id, `takes ${said?.discount_minor} off with ${use.issue} and not ${use.discount_minor}`)
    })
  }
  const settle = async ({ order_id, settle_ms, ending }: PlannedOrder): Promise<void> => {
    const redemption_id = memory.redemptions.get(order_id)
    if (redemption_id === undefined) return progress.step(1, "")
    const [act, state] = ending === "cancelled" ? ["cancel", "cancelled"] as const : ["confirm", "confirmed"] as const
    await does({ method: "POST", path: `/v1/redemptions/${redemption_id}/${act}`, now_ms: settle_ms, body: {} }, { act, id: order_id, status: [200], fields: { state } })
  }
  const refund = async ({ order_id, refund: planned }: PlannedOrder): Promise<void> => {
    const redemption_id = memory.redemptions.get(order_id)
    if (redemption_id === undefined || !planned) return progress.step(1, "")
    const { refund_id, at_ms, lines, discount_minor, state } = planned
    await does(
      { method: "POST", path: `/v1/redemptions/${redemption_id}/refunds`, now_ms: at_ms, body: { refund_id, lines } },
      { act: "refund", id: order_id, status: [201], fields: { refund_id, state, discount_minor } },
    )
  }

  const playDay = async ({ day, launches, orders, refunds }: PlannedDay): Promise<void> => {
    for (const each of launches) await launch(each)
    if (parts.pauses.has(day) && !isAgain) {
      await inPool(orders, concurrency, reserve)
      await parts.when_reserved(day)
      await inPool(orders, concurrency, settle)
    } else {
      await inPool(orders, concurrency, async (order) => {
        await reserve(order)
        await settle(order)
      })
    }
    await inPool(refunds, concurrency, refund)
  }

  const first_ms = instant(plan.days[0]!.day)
  await inPool(plan.budgets, OPERATOR_CALLS_AT_ONCE, async ({ budget_id, body }) => {
    await does({ method: "PUT", path: `/v1/budgets/${budget_id}`, now_ms: first_ms, body }, { act: "budget", id: budget_id, status: [200, 201], fields: { limit_minor: body.limit_minor } })
  })
  for (const day of plan.days) {
    await playDay(day)
    // A stack that is not what the plan thinks would only be misunderstood further on.
    if (differences.length >= DIFFERENCES_MAX) break
  }
  return { acts, hits, forgotten, differences, clock_ms: memory.clock_ms }
}

/** Acts whose repeat must answer the same body; the others' bodies hold sums that move on. */
const REPEATED_IN_FULL: Readonly<Record<string, true>> = { issue: true, reserve: true, confirm: true, cancel: true, refund: true }
