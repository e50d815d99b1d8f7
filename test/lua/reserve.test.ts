// Reserve: one test an outcome, in the order of precedence.

import { expect, test } from "bun:test"
import { orderHash } from "../../lua/keys.ts"
import { pack } from "../../lua/records.ts"
import { reserve } from "../../lua/reserve.ts"
import {
  agrees, broken, type Cell, deadline, HOLD_MS, inEmptyCell, inShop, LIMIT_MINOR, MONEY, MONTH_ENDS, NOON, openShop, OTHER_MONEY, redemptionOf, refused, REMEMBER_MS,
  SECOND_MS, SPRING, SUMMER, use, walletField,
} from "./cell.ts"

inShop("repeated: the same redemption again, before anything else is looked at", async (cell) => {
  await cell.issue()
  await cell.reserve()
  await cell.publish({ version: 2, state: "stopped" })
  await cell.markFull()
  expect(await refused(cell, () => cell.reserve())).toEqual({ outcome: "repeated" })
  cell.later(HOLD_MS)
  expect(await refused(cell, () => cell.reserve({ fingerprint: "other" }))).toEqual({ outcome: "repeated" }) // the caller compares
  await cell.expire()
  expect(await refused(cell, () => cell.reserve())).toEqual({ outcome: "repeated" })
})

inShop("journal_full: no new hold; what is held can still be confirmed and given back", async (cell) => {
  await cell.issue()
  await cell.issue({ request: "second" })
  await cell.reserve()
  await cell.markFull()
  expect(await refused(cell, () => cell.reserve({ order: "order 2", coupons: [use({ request: "second" })] }))).toEqual({ outcome: "journal_full" })
  expect(await cell.confirm()).toMatchObject({ outcome: "confirmed" })
})

inShop("redemption_confirmed: an order that was confirmed takes no other hold, also after a refund", async (cell) => {
  await cell.issue()
  await cell.issue({ request: "second" })
  await cell.reserve()
  await cell.confirm()
  const again = () => cell.reserve({ request: "again", coupons: [use({ request: "second" })] })
  expect(await refused(cell, again)).toEqual({ outcome: "redemption_confirmed" })
  await cell.refund()
  expect(await refused(cell, again)).toEqual({ outcome: "redemption_confirmed" })
})

inShop("coupon_unknown: a coupon that the wallet has not, or another user's, or of a campaign that the cell has not", async (cell) => {
  await cell.issue()
  const field = walletField.coupon({ request: "second" })
  expect(await refused(cell, () => cell.reserve({ coupons: [use(), use({ request: "second" })] }))).toEqual({ outcome: "coupon_unknown", field })
  expect(await refused(cell, () => cell.reserve({ user: "bob" }))).toEqual({ outcome: "coupon_unknown", field: walletField.coupon() })
})

inShop("coupon_reserved: a coupon that another order holds, and the same coupon twice in one order", async (cell) => {
  await cell.issue()
  expect(await refused(cell, () => cell.reserve({ coupons: [use(), use()] }))).toEqual({ outcome: "coupon_reserved", field: walletField.coupon() })
  await cell.reserve()
  expect(await refused(cell, () => cell.reserve({ order: "order 2" }))).toEqual({ outcome: "coupon_reserved", field: walletField.coupon() })
})

inShop("coupon_reserved: one coupon, a hundred orders at once, one hold", async (cell) => {
  await cell.issue()
  const replies = await Promise.all(Array.from({ length: 100 }, (_, i) => cell.reserve({ order: `order ${i}` })))
  const count = (outcome: string) => replies.filter((reply) => reply.outcome === outcome).length
  expect([count("reserved"), count("coupon_reserved")]).toEqual([1, 99])
  expect(await cell.money()).toEqual({ held: 100, spent: 0, available: LIMIT_MINOR - 100 })
})

inShop("coupon_redeemed: a coupon is used once", async (cell) => {
  await cell.issue()
  await cell.reserve()
  await cell.confirm()
  expect(await refused(cell, () => cell.reserve({ order: "order 2" }))).toEqual({ outcome: "coupon_redeemed", field: walletField.coupon() })
})

inShop("coupon_revoked: a coupon that was taken away", async (cell) => {
  await cell.issue()
  await cell.revoke()
  expect(await refused(cell, () => cell.reserve())).toEqual({ outcome: "coupon_revoked", field: walletField.coupon() })
})

inShop("coupon_ended: from its last millisecond on, whether the sweeper was there or not", async (cell) => {
  await cell.issue({ valid_ms: SECOND_MS, holds: [[MONEY, 100]] })
  const ended = { outcome: "coupon_ended", field: walletField.coupon(), ended_at_ms: NOON + SECOND_MS } as const
  cell.later(SECOND_MS)
  expect(await refused(cell, () => cell.reserve())).toEqual(ended)
  await cell.endCoupons()
  expect(await refused(cell, () => cell.reserve())).toEqual(ended)
})

inShop("campaign_stopped: what was not reserved before a stop never will be", async (cell) => {
  await cell.issue()
  await cell.publish({ version: 2, state: "stopped" })
  expect(await refused(cell, () => cell.reserve({ coupons: [use({ version: 2 })] }))).toEqual({ outcome: "campaign_stopped", field: walletField.coupon() })
})

inShop("campaign_paused: and usable again when it goes on", async (cell) => {
  await cell.issue()
  await cell.publish({ version: 2, state: "paused" })
  expect(await refused(cell, () => cell.reserve({ coupons: [use({ version: 2 })] }))).toEqual({ outcome: "campaign_paused", field: walletField.coupon() })
  await cell.publish({ version: 3 })
  expect(await cell.reserve({ coupons: [use({ version: 3 })] })).toMatchObject({ outcome: "reserved" })
})

inShop("campaign_changed: a discount of another version is priced again", async (cell) => {
  await cell.issue()
  await cell.publish({ version: 5 })
  expect(await refused(cell, () => cell.reserve())).toEqual({ outcome: "campaign_changed", field: walletField.coupon(), version_now: 5 })
})

inShop("reserved: a promised price holds over another version and over the coupon's end", async (cell) => {
  await cell.issue({ valid_ms: SECOND_MS })
  await cell.publish({ version: 5 })
  cell.later(SECOND_MS)
  expect(await refused(cell, () => cell.reserve({ signed_ms: NOON + SECOND_MS }))).toEqual({ outcome: "coupon_ended", field: walletField.coupon(), ended_at_ms: NOON + SECOND_MS })
  expect(await cell.reserve({ signed_ms: NOON + SECOND_MS - 1 })).toMatchObject({ outcome: "reserved" })
  expect(await cell.cancel()).toMatchObject({ outcome: "cancelled" })
  expect(await cell.coupon()).toMatchObject({ state: "ended" })
})

inShop("reserved: a promise whose money went back with the coupon's end is paid by budgets", async (cell) => {
  await cell.issue({ valid_ms: SECOND_MS, holds: [[MONEY, 300]] })
  cell.later(SECOND_MS)
  await cell.endCoupons()
  const ask = (at_issue: number) => () => cell.reserve({ signed_ms: NOON, coupons: [use({ at_issue, discount_minor: 200 })] })
  expect(await refused(cell, ask(1))).toEqual({ outcome: "coupon_ended", field: walletField.coupon(), ended_at_ms: NOON + SECOND_MS })
  expect(await ask(0)()).toMatchObject({ outcome: "reserved" })
  expect(await cell.money()).toEqual({ held: 200, spent: 0, available: LIMIT_MINOR - 200 })
  await cell.cancel()
  expect(await cell.money()).toEqual({ held: 0, spent: 0, available: LIMIT_MINOR })
})

inShop("campaign_paused, campaign_stopped: no promise holds over a pause or a stop", async (cell) => {
  await cell.issue()
  await cell.publish({ version: 2, state: "paused" })
  expect(await refused(cell, () => cell.reserve({ signed_ms: NOON }))).toEqual({ outcome: "campaign_paused", field: walletField.coupon() })
  await cell.publish({ version: 3, state: "stopped" })
  expect(await refused(cell, () => cell.reserve({ signed_ms: NOON }))).toEqual({ outcome: "campaign_stopped", field: walletField.coupon() })
})

inShop("budget_not_open: money is first held only within its month", async (cell) => {
  await cell.issue()
  await cell.fund({ budget: OTHER_MONEY, addition: "other", opens_ms: NOON + 1, closes_ms: NOON + 2 })
  const ask = () => cell.reserve({ coupons: [use({ shares: [[OTHER_MONEY, 1]] })] })
  const no = { outcome: "budget_not_open", field: walletField.coupon(), budget: OTHER_MONEY } as const
  expect(await refused(cell, ask)).toEqual(no)
  cell.later(2)
  expect(await refused(cell, ask)).toEqual(no)
  cell.later(-1)
  expect(await ask()).toMatchObject({ outcome: "reserved" })
})

inShop("budget_exhausted: named with what it lacks; a budget this cell has never had lacks everything", async (cell) => {
  await cell.issue()
  const ask = (budget: number, amount_minor: number) => () => cell.reserve({ coupons: [use({ shares: [[budget, amount_minor]] })] })
  expect(await refused(cell, ask(MONEY, LIMIT_MINOR + 7))).toEqual({ outcome: "budget_exhausted", field: walletField.coupon(), budget: MONEY, missing_minor: 7, left_minor: LIMIT_MINOR })
  expect(await refused(cell, ask(99, 5))).toEqual({ outcome: "budget_exhausted", field: walletField.coupon(), budget: 99, missing_minor: 5, left_minor: 0 })
  expect(await ask(MONEY, LIMIT_MINOR)()).toMatchObject({ outcome: "reserved" })
})

inEmptyCell("budget_exhausted: never a cent over, by a thousand users at once", async (cell) => {
  await cell.fund({ amount_minor: 10_000 })
  await cell.publish({ stock: 1_000 })
  await Promise.all(Array.from({ length: 1_000 }, (_, i) => cell.issue({ user: `user ${i}` })))
  const replies = await Promise.all(Array.from({ length: 1_000 }, (_, i) => cell.reserve({ user: `user ${i}`, coupons: [use({ discount_minor: 33 })] })))
  const count = (outcome: string) => replies.filter((reply) => reply.outcome === outcome).length
  expect([count("reserved"), count("budget_exhausted")]).toEqual([303, 697])
  expect(await cell.money()).toEqual({ held: 9_999, spent: 0, available: 1 })
})

inShop("reserved: the coupon, the money, the record with its marks, the entry and both deadlines", async (cell) => {
  await cell.issue()
  cell.later(1)
  expect(await cell.reserve({ body: "the allocation", payload: `{"order":1}` })).toEqual({ outcome: "reserved", reserved_at_ms: NOON + 1, expires_at_ms: NOON + 1 + HOLD_MS })
  const id = redemptionOf()
  expect(await cell.coupon()).toEqual({ state: "reserved", ends_at_ms: MONTH_ENDS, fingerprint: "as-sent", redemption: id, since_ms: NOON + 1 })
  expect(await cell.money()).toEqual({ held: 100, spent: 0, available: LIMIT_MINOR - 100 })
  expect(await cell.counts()).toEqual({ issued: 1, revoked: 0, reserved: 1, redeemed: 0 })
  expect(await cell.redemption()).toEqual({
    state: "reserved", format: 1, order: orderHash("order 1"), fingerprint: "as-sent", reserved_ms: NOON + 1, expires_ms: NOON + 1 + HOLD_MS, since_ms: NOON + 1,
    revision: 0, coupons: [[walletField.coupon(), SPRING, 100, 0, [[MONEY, 100, 100, 0]]]], body: "the allocation",
  })
  const wallet = await cell.wallet()
  expect([wallet[walletField.redemption()]?.toString(), wallet[walletField.order()]?.toString()]).toEqual(["o", id])
  expect(await cell.due()).toEqual({ [deadline.hold()]: NOON + 1 + HOLD_MS, [deadline.user()]: Math.min(MONTH_ENDS + 2 * 24 * 3_600_000, NOON + 1 + REMEMBER_MS) })
  const entry = await cell.lastEntry()
  expect(entry).toMatchObject({ act: "reserved", at_ms: NOON + 1, user: deadline.user().slice(1), payload: `{"order":1}`, counts: [] })
  expect(entry.moves).toEqual([[`b${MONEY}`, 0, 100, 0], [`k${SPRING}`, 0, 0, 0, 1, 0]])
  expect(entry.redemptions).toEqual([[id, [1, 1, orderHash("order 1"), "as-sent", NOON + 1, NOON + 1 + HOLD_MS, NOON + 1, 0, [[walletField.coupon(), SPRING, 100, 0, [[MONEY, 100, 100, 0]]]]], "the allocation"]])
})

inShop("reserved: an order without coupons holds nothing and is a redemption all the same", async (cell) => {
  expect(await cell.reserve({ coupons: [] })).toMatchObject({ outcome: "reserved" })
  expect(await cell.redemption()).toMatchObject({ state: "reserved", coupons: [] })
  expect((await cell.lastEntry()).moves).toEqual([])
  expect(await cell.cancel()).toMatchObject({ outcome: "cancelled" })
})

inShop("reserved: several coupons, campaigns and budgets are all held or none is", async (cell) => {
  await cell.publish({ campaign: SUMMER })
  await cell.fund({ budget: OTHER_MONEY, addition: "other", amount_minor: 60 })
  for (const campaign of [SPRING, SUMMER]) for (const request of ["first", "second"]) await cell.issue({ campaign, request })
  const coupons = (last_minor: number) => [
    use({ discount_minor: 400, shares: [[MONEY, 380], [OTHER_MONEY, 20]] }),
    use({ campaign: SUMMER, discount_minor: 40, shares: [[OTHER_MONEY, 40]] }),
    use({ request: "second", discount_minor: last_minor, shares: [[MONEY, last_minor]] }),
  ]
  expect(await refused(cell, () => cell.reserve({ coupons: coupons(621) })))
    .toEqual({ outcome: "budget_exhausted", field: walletField.coupon({ request: "second" }), budget: MONEY, missing_minor: 1, left_minor: LIMIT_MINOR })
  expect(await cell.reserve({ coupons: coupons(620) })).toMatchObject({ outcome: "reserved" })
  expect([await cell.money(), await cell.money(OTHER_MONEY)]).toEqual([{ held: 1_000, spent: 0, available: 0 }, { held: 60, spent: 0, available: 0 }])
  expect([await cell.counts(), await cell.counts(SUMMER)]).toMatchObject([{ reserved: 2 }, { reserved: 1 }])
  expect(await cell.coupon({ campaign: SUMMER, request: "second" })).toMatchObject({ state: "issued" })
})

inShop("reserved: money held at issue moves from idle into the hold, also beyond the discount", async (cell) => {
  await cell.issue({ holds: [[MONEY, 300]] })
  expect(await cell.reserve({ coupons: [use({ at_issue: 1, discount_minor: 200 })] })).toMatchObject({ outcome: "reserved" })
  expect(await cell.money()).toEqual({ held: 300, spent: 0, available: 700 })
  expect(await cell.idle()).toEqual([])
  expect(await cell.redemption()).toMatchObject({ coupons: [[walletField.coupon(), SPRING, 200, 1, [[MONEY, 300, 200, 0]]]] })
  expect((await cell.lastEntry()).moves).toEqual([[`i${SPRING}`, MONEY, -300], [`k${SPRING}`, 0, 0, 0, 1, 0]])
})

inShop("reserved: money held at issue stays usable after its budget's month", async (cell) => {
  await cell.publish({ campaign: SUMMER, ends_ms: MONTH_ENDS + HOLD_MS })
  await cell.issue({ campaign: SUMMER, holds: [[MONEY, 300]] })
  cell.later(MONTH_ENDS - NOON)
  expect(await cell.reserve({ coupons: [use({ campaign: SUMMER, at_issue: 1, discount_minor: 300 })] })).toMatchObject({ outcome: "reserved" })
})

inShop("reserved: two users may have the same order and request ids", async (cell) => {
  await cell.issue()
  await cell.issue({ user: "bob" })
  await cell.reserve()
  expect(await cell.reserve({ user: "bob", coupons: [use({ discount_minor: 50 })] })).toMatchObject({ outcome: "reserved" })
  expect(await cell.confirm()).toMatchObject({ outcome: "confirmed" })
  expect(await cell.cancel({ user: "bob" })).toMatchObject({ outcome: "cancelled" })
  expect(await cell.money()).toEqual({ held: 0, spent: 100, available: 900 })
})

inShop("reserved: another hold of the same order gives way in the same call, with its money", async (cell) => {
  await cell.issue()
  await cell.issue({ request: "second" })
  await cell.reserve({ coupons: [use({ discount_minor: 600 })] })
  cell.later(1)
  // Both together would not fit into the budget: the old money is free for the new hold.
  expect(await cell.reserve({ request: "again", coupons: [use({ request: "second", discount_minor: 700 })], body: "the new allocation" })).toMatchObject({ outcome: "reserved" })
  expect(await cell.redemption()).toMatchObject({ state: "cancelled", revision: 1, since_ms: NOON + 1, body: "allocation of order 1" })
  expect(await cell.redemption({ request: "again" })).toMatchObject({ state: "reserved", revision: 0, body: "the new allocation" })
  expect([await cell.coupon(), await cell.coupon({ request: "second" })]).toMatchObject([{ state: "issued" }, { state: "reserved" }])
  expect(await cell.money()).toEqual({ held: 700, spent: 0, available: 300 })
  expect(await cell.mark()).toMatch(/^x\d+$/)
  expect((await cell.wallet())[walletField.order()]?.toString()).toBe(redemptionOf({ request: "again" }))
  const entry = await cell.lastEntry()
  expect(entry.moves).toEqual([[`b${MONEY}`, 0, 100, 0]])
  expect(entry.redemptions.map(([id]) => id)).toEqual([redemptionOf({ request: "again" }), redemptionOf()])
})

inShop("reserved: the older hold's own coupon may be held anew", async (cell) => {
  await cell.issue({ holds: [[MONEY, 300]] })
  await cell.reserve({ coupons: [use({ at_issue: 1, discount_minor: 200 })] })
  expect(await cell.reserve({ request: "again", coupons: [use({ at_issue: 1, discount_minor: 250 })] })).toMatchObject({ outcome: "reserved" })
  expect(await cell.coupon()).toMatchObject({ state: "reserved", redemption: redemptionOf({ request: "again" }), holds: [[MONEY, 300]] })
  expect(await cell.money()).toEqual({ held: 300, spent: 0, available: 700 })
  expect(await cell.counts()).toMatchObject({ reserved: 1 })
})

inShop("reserved: an older hold that ran out before the sweeper came is expired by the new one", async (cell) => {
  await cell.issue()
  await cell.reserve()
  cell.later(HOLD_MS)
  expect(await cell.reserve({ request: "again" })).toMatchObject({ outcome: "reserved" })
  expect(await cell.redemption()).toMatchObject({ state: "expired" })
  expect(await cell.redemption({ request: "again" })).toMatchObject({ state: "reserved" })
})

inShop("reserved: after a cancel and after an expiry an order reserves anew", async (cell) => {
  await cell.issue()
  await cell.reserve()
  await cell.cancel()
  expect(await cell.reserve({ request: "again" })).toMatchObject({ outcome: "reserved" })
  cell.later(HOLD_MS)
  await cell.expire({ request: "again" })
  expect(await cell.reserve({ request: "once more" })).toMatchObject({ outcome: "reserved" })
  expect(await cell.money()).toEqual({ held: 100, spent: 0, available: LIMIT_MINOR - 100 })
})

inShop("a refusal leaves the older hold as it was", async (cell) => {
  await cell.issue()
  await cell.issue({ request: "second" })
  await cell.reserve({ coupons: [use({ discount_minor: 600 })] })
  const again = (discount_minor: number, request: string) => () => cell.reserve({ request: "again", coupons: [use({ request, discount_minor })] })
  expect(await refused(cell, again(1_001, "second"))).toMatchObject({ outcome: "budget_exhausted", missing_minor: 1 })
  expect(await refused(cell, again(1, "third"))).toMatchObject({ outcome: "coupon_unknown" })
  expect(await cell.confirm()).toMatchObject({ outcome: "confirmed" })
})

inShop("an older hold's coupon whose end has passed ends with the hold", async (cell) => {
  await cell.issue({ valid_ms: SECOND_MS, holds: [[MONEY, 300]] })
  await cell.issue({ request: "second" })
  await cell.reserve({ coupons: [use({ at_issue: 1 })] })
  cell.later(SECOND_MS)
  expect(await refused(cell, () => cell.reserve({ request: "again", coupons: [use({ at_issue: 1 })] })))
    .toEqual({ outcome: "coupon_ended", field: walletField.coupon(), ended_at_ms: NOON + SECOND_MS })
  expect(await cell.reserve({ request: "again", coupons: [use({ request: "second" })] })).toMatchObject({ outcome: "reserved" })
  expect(await cell.coupon()).toEqual({ state: "ended", ends_at_ms: NOON + SECOND_MS, fingerprint: "as-sent", since_ms: NOON + SECOND_MS })
  expect(await cell.money()).toEqual({ held: 100, spent: 0, available: 900 })
})

inEmptyCell("the largest amounts there are stay exact", async (cell) => {
  const most = Number.MAX_SAFE_INTEGER
  await cell.fund({ amount_minor: most })
  await cell.publish()
  await cell.issue()
  await cell.issue({ request: "second" })
  expect(await cell.reserve({ coupons: [use({ discount_minor: most - 1 })] })).toMatchObject({ outcome: "reserved" })
  const second = (discount_minor: number) => () => cell.reserve({ order: "order 2", coupons: [use({ request: "second", discount_minor })] })
  expect(await refused(cell, second(2))).toMatchObject({ outcome: "budget_exhausted", missing_minor: 1 })
  expect(await second(1)()).toMatchObject({ outcome: "reserved" })
  await cell.confirm()
  expect(await cell.money()).toEqual({ held: 1, spent: most - 1, available: 0 })
})

inShop("an amount that is not whole money, or beyond what was held at issue, breaks before anything is written", async (cell) => {
  await cell.issue({ holds: [[MONEY, 300]] })
  for (const amount of [-1, 0.5, 2 ** 53, "5", null, []]) {
    expect(await broken(cell, () => cell.reserve({ coupons: [use({ shares: [[MONEY, amount as number]] })] }))).toContain("argument coupons is not money")
    expect(await broken(cell, () => cell.reserve({ coupons: [use({ discount_minor: amount as number, shares: [[MONEY, 1]] })] }))).toContain("argument coupons is not money")
  }
  expect(await broken(cell, () => cell.reserve({ coupons: [use({ at_issue: 1, discount_minor: 301 })] }))).toContain("spends more than was held at issue")
  await cell.issue({ request: "second" })
  expect(await broken(cell, () => cell.reserve({ coupons: [use({ request: "second" }), use({ at_issue: 1, discount_minor: 301 })] }))).toContain("spends more")
  expect(await broken(cell, () => cell.reserve({ coupons: [[]] }))).toContain("not money")
  expect(await broken(cell, () => cell.reserve({ coupons: ["x"] }))).not.toContain("no error")
  expect(await cell.reserve({ coupons: [use({ request: "second" }), use({ at_issue: 1, discount_minor: 300 })] })).toMatchObject({ outcome: "reserved" })
  expect(await cell.money()).toEqual({ held: 400, spent: 0, available: LIMIT_MINOR - 400 }) // an error leaves nothing behind, also not in memory
})

// Each refusal is made alone by one change; made together, the earlier one is the answer.
type Ask = { -readonly [P in keyof NonNullable<Parameters<Cell["reserve"]>[0]>]: NonNullable<Parameters<Cell["reserve"]>[0]>[P] }
const put = async (cell: Cell, changes: object) => {
  const record = await cell.campaignRecord()
  if (record) await cell.redis.hset(cell.keys.quota, `k${SPRING}`, pack("campaign", { ...record, ...changes }))
}
const coupon = (state: number) => (cell: Cell) => cell.putCoupon({ state, ends_at_ms: MONTH_ENDS, fingerprint: "as-sent" })
/** Refusals of one group exclude each other: a coupon has one state, a campaign one. */
const SPOILS: Record<string, { group?: string; spoil: (cell: Cell, ask: Ask) => unknown }> = {
  repeated: { spoil: (cell) => cell.redis.hset(cell.keysFor("ann").wallet, walletField.redemption(), "x1") },
  journal_full: { spoil: (cell) => cell.putCell({ full: 1 }) },
  redemption_confirmed: {
    spoil: (cell) => cell.redis.hset(cell.keysFor("ann").wallet, walletField.order(), "confirmed123", "rconfirmed123", "c1"),
  },
  coupon_unknown: { group: "coupon", spoil: (cell) => cell.redis.hdel(cell.keysFor("ann").wallet, walletField.coupon()) },
  coupon_reserved: { group: "coupon", spoil: coupon(2) },
  coupon_redeemed: { group: "coupon", spoil: coupon(3) },
  coupon_revoked: { group: "coupon", spoil: coupon(5) },
  coupon_ended: { group: "coupon", spoil: (cell) => cell.putCoupon({ state: 1, ends_at_ms: NOON, fingerprint: "as-sent" }) },
  campaign_stopped: { group: "campaign", spoil: (cell) => put(cell, { state: 3 }) },
  campaign_paused: { group: "campaign", spoil: (cell) => put(cell, { state: 2 }) },
  campaign_changed: { spoil: (cell) => put(cell, { version: 2 }) },
  budget_not_open: {
    spoil: async (cell) => cell.redis.hset(cell.keys.quota, `b${MONEY}`, pack("budget", { ...(await cell.budgetRecord())!, closes_ms: NOON })),
  },
  budget_exhausted: { spoil: (_cell, ask) => { ask.coupons = [use({ discount_minor: LIMIT_MINOR + 1 })] } },
}

test("precedence: every refusal is spoilt for alone, and of two the one that is declared earlier is the answer", async () => {
  const words = Object.keys(reserve.outcomes).filter((word) => !["gate_closed", "reserved"].includes(word))
  expect(Object.keys(SPOILS)).toEqual(words)
  for (const [i, first] of words.entries()) {
    for (const second of words.slice(i)) {
      const [earlier, later] = [SPOILS[first]!, SPOILS[second]!]
      if (first !== second && earlier.group !== undefined && earlier.group === later.group) continue
      const cell = await openShop()
      await cell.issue()
      const ask: Ask = {}
      await later.spoil(cell, ask)
      await earlier.spoil(cell, ask)
      expect({ spoilt: [first, second], said: (await cell.reserve(ask)).outcome as string }).toEqual({ spoilt: [first, second], said: first })
    }
  }
})

test("reserved: the same request from any number of callers at once holds once", async () => {
  const cell = await openShop()
  await cell.issue()
  const replies = await Promise.all(Array.from({ length: 200 }, () => cell.reserve()))
  expect(replies.filter(({ outcome }) => outcome === "reserved")).toHaveLength(1)
  expect(replies.filter(({ outcome }) => outcome === "repeated")).toHaveLength(199)
  await agrees(cell)
})
