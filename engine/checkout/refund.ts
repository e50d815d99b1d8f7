/**
 * Refund: part or all of a confirmed redemption goes back to the budgets that paid for it, from the stored allocation.
 *
 * What each line gives back is worked out here, for the revision of the record that was read; the act in Redis refuses another
 * revision, and never lets a budget get back more than it spent.
 */
import { fingerprintOf, idHash, settledKey } from "../../lua/keys.ts"
import { refund } from "../../lua/refund.ts"
import { type RedemptionRecord, valuesOf } from "../../lua/records.ts"
import type { Answered, Caller } from "../answers.ts"
import type { RefundAsk } from "../contract/checkout.ts"
import { readAgedRedemption } from "../journal/aged.ts"
import type { Parts } from "../parts.ts"
import { share } from "../pricing/money.ts"
import { takeBack } from "../pricing/refund.ts"
import { act, NotExecuted } from "../store/redis.ts"
import { makeTurns } from "../turn.ts"
import { encodeAllocation, type Allocation } from "./allocation.ts"
import { stateOf } from "./answers.ts"
import { findRedemption, isFound } from "./find.ts"

/** Another refund of the same redemption may come first: so many times it is worked out again. */
const TRIES_MAX = 8

/** The discounts of each line, one number per applied coupon. */
const discountsOf = ({ lines, applied }: Allocation) => {
  const perLine = lines.map(() => applied.map(() => 0))
  applied.forEach((coupon, i) => { for (const [place, discount_minor] of coupon.lines) perLine[place]![i] = discount_minor })
  return lines.map((line, place) => ({ ...line, discounts: perLine[place]! }))
}

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
    if (state !== "confirmed" && state !== "partly_refunded") return { outcome: `redemption_${state}` }
    if (found.hour === undefined) continue

    const before = discountsOf(allocation)
    const taken = takeBack(before, ask.lines, allocation.applied.map(({ beside_minor }) => beside_minor))
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
    const after: Allocation = { ...allocation, lines: allocation.lines.map((line, place) => ({ ...line, refunded: taken.lines[place]!.refunded })) }
    const answer = {
      refund_id, redemption_id, state: taken.full ? "refunded" : "partly_refunded",
      discount_minor: taken.discount_minor, withheld_minor: 0, refund_minor: taken.refund_minor,
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
      case "coupon_aged": {
        const stored = await readAgedRedemption(parts, places.cell, redemption_id)
        const records = new Map(stored?.coupons.map(({ field, record }) => [field, record]))
        aged = head.coupons.map(([field]) => {
          const record = records.get(field)
          return [field, record ? valuesOf("coupon", record) : 0]
        })
        continue
      }
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
