/**
 * Refund: part or all of a confirmed redemption goes back to the budgets that paid for it, from the stored allocation.
 *
 * What each line gives back is worked out here, for the revision of the record that was read; the act in Redis refuses another
 * revision, and never lets a budget get back more than it spent.
 */
import { fingerprintOf, idHash, settledKey } from "../../lua/keys.ts"
import { refund } from "../../lua/refund.ts"
import type { RedemptionRecord } from "../../lua/records.ts"
import type { Answered, Caller } from "../answers.ts"
import { WHOLE_MAX } from "../contract/basics.ts"
import type { RefundAsk } from "../contract/checkout.ts"
import { readAgedCoupons } from "../journal/aged.ts"
import type { Parts } from "../parts.ts"
import { share } from "../pricing/money.ts"
import { takeBackReEvaluated } from "../pricing/re_evaluate.ts"
import { type KeptLine, type RefundLine, takeBack } from "../pricing/refund.ts"
import { act, NotExecuted } from "../store/redis.ts"
import { makeTurns } from "../turn.ts"
import { besideOf, encodeAllocation, type Allocation } from "./allocation.ts"
import { stateOf } from "./answers.ts"
import { findRedemption, isFound } from "./find.ts"

/** Another refund of the same redemption may come first: so many times it is worked out again. */
const TRIES_MAX = 8

/** The discounts of each line, one number per applied coupon, and what is left of them where an earlier refund has withheld some. */
const refundLinesOf = ({ lines, applied }: Allocation): RefundLine[] => {
  const perLine = lines.map(() => applied.map(() => ({ discount_minor: 0, left_minor: 0 as number | undefined })))
  applied.forEach((coupon, i) => { for (const { place, discount_minor, left_minor } of coupon.lines) perLine[place]![i] = { discount_minor, left_minor } })
  return lines.map((line, place) => {
    const offs = perLine[place]!
    const left = offs.flatMap(({ left_minor }) => left_minor ?? [])
    return { ...line, discounts: offs.map(({ discount_minor }) => discount_minor), ...(left.length === offs.length ? { left } : {}) }
  })
}

/** Take the units back; where a coupon looks again, price what is kept with the terms, policies and instant of the redemption. */
const takenBack = async (parts: Parts, allocation: Allocation, lines: readonly RefundLine[], ask: RefundAsk["lines"]) => {
  const shipping = allocation.applied.map(besideOf)
  const { remembered, applied } = allocation
  if (!remembered) return { ...takeBack(lines, ask, shipping), withheld_minor: 0 }
  const { order, at_ms, kind_order } = remembered
  const coupons = await Promise.all(remembered.coupons.map(async ([campaign_no, version, , policy], i) => {
    const terms = await parts.catalogue.termsOf(campaign_no, version)
    return { coupon_id: applied[i]!.coupon_id, ends_at_ms: WHOLE_MAX, terms: { ...terms, policy, profile: policy } }
  }))
  return takeBackReEvaluated({
    order, coupons, lines, shipping, looksAgain: remembered.coupons.map(([, , looks_again]) => looks_again === 1), setting: { now_ms: at_ms, profile: { kind_order } },
  }, ask)
}

/** The allocation after a refund. */
const afterRefund = (allocation: Allocation, kept: readonly KeptLine[]): Allocation => ({
  ...allocation,
  lines: allocation.lines.map((line, place) => ({ ...line, refunded: kept[place]!.refunded })),
  applied: allocation.remembered
    ? allocation.applied.map((coupon, i) => ({ ...coupon, lines: coupon.lines.map((off) => ({ ...off, left_minor: kept[off.place]!.left[i]! })) }))
    : allocation.applied,
})

/** What goes back to each budget of one coupon: by what each has left of its share, so that the last refund returns the rest exactly. */
const amountsOf = (coupon: RedemptionRecord["coupons"][number], back_minor: number): number[] => {
  const left = coupon[4].map(([, , spent, back]) => spent - back)
  return share(back_minor, left, left)
}

/** Refund lines of a confirmed redemption, or all that is left of it; refunds of one redemption in turn. */
export const refundWith = (parts: Parts) => {
  const inTurn = makeTurns()
  return (ask: RefundAsk, caller: Caller): Promise<Answered> => inTurn(ask.redemption_id, () => refundNow(parts, ask, caller))
}

const refundNow = async (parts: Parts, ask: RefundAsk, { now_ms }: Caller): Promise<Answered> => {
  const { redemption_id, refund_id } = ask
  const refundIn = idHash(refund_id)
  const fingerprint = fingerprintOf(ask)
  let aged: [field: string, values: unknown][] = []
  for (let tries = 0; tries < TRIES_MAX; tries++) {
    const found = await findRedemption(parts, redemption_id, now_ms, "loaded")
    if (!isFound(found)) return found
    const { head, allocation, places } = found

    const earlier = head.refunds?.find(([hash]) => hash === refundIn)
    if (earlier) {
      if (earlier[1] !== fingerprint) return { outcome: "request_conflict" }
      return { outcome: "refunded", body: JSON.parse(earlier[2]) as object, hit: true }
    }
    const state = stateOf(head, found.at_ms)
    if (state !== "confirmed" && state !== "partly_refunded") return { outcome: `redemption_${state}`, redemption_id }
    if (found.hour === undefined) continue

    const taken = await takenBack(parts, allocation, refundLinesOf(allocation), ask.lines)
    if (taken.outcome === "refund_exceeds") return { outcome: "refund_exceeds", line_id: taken.line_id, left: taken.left }

    const backs: [place: number, amounts: number[], returned: number][] = []
    for (const [i, back_minor] of taken.taken.entries()) {
      const coupon = head.coupons[i]!
      const [, campaign_no, cost_minor, , shares] = coupon
      const soFar = shares.reduce((sum, [, , , back]) => sum + back, 0)
      const campaign = await parts.catalogue.campaignByNo(campaign_no)
      const isReturned = campaign?.body.on_refund === "return" && soFar + back_minor === cost_minor && (back_minor > 0 || taken.full)
      if (back_minor > 0 || isReturned) backs.push([i + 1, amountsOf(coupon, back_minor), isReturned ? 1 : 0])
    }
    const after = afterRefund(allocation, taken.lines)
    const answer = {
      refund_id, redemption_id, state: taken.full ? "refunded" : "partly_refunded",
      discount_minor: taken.discount_minor, withheld_minor: taken.withheld_minor, refund_minor: taken.refund_minor,
      lines: after.lines.flatMap((line, place) => {
        const quantity = line.refunded - allocation.lines[place]!.refunded
        return quantity > 0 ? [{ line_id: line.line_id, quantity }] : []
      }),
    }
    const { quota, journal, wallet, settled } = places.keys
    const reply = await act(parts.redis, refund, {
      keys: { quota, journal, wallet, from: settledKey(places.cell, Number(found.hour)), settled },
      args: {
        now_ms, user: found.user, redemption: found.redemption, hour: places.hour, revision: head.revision, refund_id: refundIn, fingerprint,
        full: taken.full ? 1 : 0, backs, aged, body: encodeAllocation(after), answer: JSON.stringify(answer),
        payload: await payloadOf(parts, answer, head, allocation, backs),
      },
    })
    switch (reply.outcome) {
      case "moved": case "wrong_state": continue
      // A coupon leaves Redis up to an hour before its redemption does, and at once when it was only loaded back.
      case "coupon_aged": aged = await readAgedCoupons(parts, places.cell, redemption_id, head); continue
      case "request_conflict": return { outcome: "request_conflict" }
      case "replayed": return { outcome: "refunded", body: JSON.parse(reply.answer_then) as object, hit: true }
      case "refunded": return { outcome: "refunded", body: answer }
    }
  }
  throw new NotExecuted("the redemption kept moving")
}

const payloadOf = async (parts: Parts, answer: object, head: RedemptionRecord, { applied }: Allocation, backs: readonly [number, number[], number][]): Promise<string> => {
  const coupons = await Promise.all(backs.map(async ([place, amounts, returned]) => ({
    coupon_id: applied[place - 1]!.coupon_id, campaign_id: applied[place - 1]!.campaign_id, returned: returned === 1,
    discount_minor: amounts.reduce((sum, amount) => sum + amount, 0),
    funding: await Promise.all(amounts.map(async (amount_minor, i) => {
      const budget = await parts.catalogue.budgetByNo(head.coupons[place - 1]![4][i]![0])
      return { budget_id: budget?.budget_id, party: budget?.party, amount_minor }
    })),
  })))
  return JSON.stringify({ ...answer, applied: coupons })
}
