// Issue: one test an outcome, in the order of precedence.

import { expect, test } from "bun:test"
import { issue } from "../../lua/issue.ts"
import { CAMPAIGN_STATES, pack } from "../../lua/records.ts"
import {
  AGE_MS, agrees, broken, type Cell, deadline, hostile, inEmptyCell, inShop, LIMIT_MINOR, markOf, MONEY, MONTH_ENDS, NOON, openShop, OTHER_MONEY,
  PER_USER, refused, SECOND_MS, SPRING, STOCK, SUMMER, walletField,
} from "./cell.ts"

inShop("request_conflict: the same ids with other content, whatever else would be refused now", async (cell) => {
  await cell.issue()
  await cell.publish({ version: 2, state: "stopped" })
  expect(await refused(cell, () => cell.issue({ fingerprint: "other" }))).toEqual({ outcome: "request_conflict" })
})

inShop("replayed: the same request is told the same end and writes nothing, though the campaign was stopped since", async (cell) => {
  const first = await cell.issue({ valid_ms: SECOND_MS })
  expect(first).toEqual({ outcome: "issued", ends_at_ms: NOON + SECOND_MS })
  await cell.publish({ version: 2, state: "stopped" })
  await cell.markFull()
  cell.later(AGE_MS)
  expect(await refused(cell, () => cell.issue())).toEqual({ outcome: "replayed", ends_at_ms: NOON + SECOND_MS })
})

inShop("aged: an id whose coupon has left is not new, unless Postgres says that the mark is another's", async (cell) => {
  await cell.issue()
  await cell.revoke()
  cell.later(AGE_MS + SECOND_MS)
  expect(await cell.evict()).toEqual({ outcome: "evicted", count: 1 })
  expect(await refused(cell, () => cell.issue())).toEqual({ outcome: "aged" })
  expect(await cell.issue({ is_new: 1 })).toMatchObject({ outcome: "issued" })
  expect(await cell.count()).toBe("2")
})

inShop("journal_full: nothing is issued, a replay is still answered", async (cell) => {
  await cell.issue()
  await cell.markFull()
  expect(await refused(cell, () => cell.issue({ request: "second" }))).toEqual({ outcome: "journal_full" })
  expect(await refused(cell, () => cell.issue())).toMatchObject({ outcome: "replayed" })
  await cell.markFull(0)
  expect(await cell.issue({ request: "second" })).toMatchObject({ outcome: "issued" })
})

inShop("campaign_unknown: a campaign that this cell has never heard of", async (cell) => {
  expect(await refused(cell, () => cell.issue({ campaign: SUMMER }))).toEqual({ outcome: "campaign_unknown" })
})

inShop("campaign_not_live: paused, and stopped for good", async (cell) => {
  await cell.publish({ version: 2, state: "paused" })
  expect(await refused(cell, () => cell.issue({ version: 2 }))).toEqual({ outcome: "campaign_not_live", state: CAMPAIGN_STATES.indexOf("paused") + 1 })
  await cell.publish({ version: 3, state: "stopped" })
  expect(await refused(cell, () => cell.issue({ version: 3 }))).toEqual({ outcome: "campaign_not_live", state: CAMPAIGN_STATES.indexOf("stopped") + 1 })
})

inShop("campaign_changed: a holding computed from another version is told the version there is", async (cell) => {
  await cell.publish({ version: 2 })
  expect(await refused(cell, () => cell.issue({ version: 1 }))).toEqual({ outcome: "campaign_changed", version_now: 2 })
  expect(await cell.issue({ version: 2 })).toMatchObject({ outcome: "issued" })
})

inEmptyCell("campaign_not_started: a window begins with its first millisecond", async (cell) => {
  await cell.publish({ starts_ms: NOON + 1 })
  expect(await refused(cell, () => cell.issue())).toEqual({ outcome: "campaign_not_started", starts_at_ms: NOON + 1 })
  cell.later(1)
  expect(await cell.issue()).toMatchObject({ outcome: "issued" })
})

inEmptyCell("campaign_ended: a window ends before its end", async (cell) => {
  await cell.publish({ ends_ms: NOON + 1 })
  expect(await cell.issue()).toEqual({ outcome: "issued", ends_at_ms: NOON + 1 })
  cell.later(1)
  expect(await refused(cell, () => cell.issue({ request: "second" }))).toEqual({ outcome: "campaign_ended", ended_at_ms: NOON + 1 })
})

inEmptyCell("user_limit_reached: a hundred requests at once, two coupons, and another user is not touched", async (cell) => {
  await cell.publish({ per_user: 2, stock: 1_000 })
  const replies = await Promise.all(Array.from({ length: 100 }, (_, i) => cell.issue({ request: `request ${i}` })))
  expect(replies.filter(({ outcome }) => outcome === "issued")).toHaveLength(2)
  expect(replies.filter((reply) => reply.outcome === "user_limit_reached" && reply.per_user === 2)).toHaveLength(98)
  expect(await cell.issue({ user: "bob" })).toMatchObject({ outcome: "issued" })
  expect(await cell.counts()).toMatchObject({ issued: 3 })
})

inEmptyCell("stock_exhausted: a thousand users, two coupons, two issued", async (cell) => {
  await cell.publish({ stock: 2 })
  const replies = await Promise.all(Array.from({ length: 1_000 }, (_, i) => cell.issue({ user: `user ${i}` })))
  const count = (outcome: string) => replies.filter((reply) => reply.outcome === outcome).length
  expect([count("issued"), count("stock_exhausted")]).toEqual([2, 998])
  expect(await cell.counts()).toEqual({ issued: 2, revoked: 0, reserved: 0, redeemed: 0 })
})

inShop("budget_not_open: no budget of this month exists, or its month has not begun or is over", async (cell) => {
  expect(await refused(cell, () => cell.issue({ is_unfunded: 1 }))).toEqual({ outcome: "budget_not_open", budget: 0 })
  await cell.fund({ budget: OTHER_MONEY, opens_ms: NOON + 1, closes_ms: NOON + 2, addition: "other" })
  const ask = () => cell.issue({ holds: [[MONEY, 10], [OTHER_MONEY, 10]] })
  expect(await refused(cell, ask)).toEqual({ outcome: "budget_not_open", budget: OTHER_MONEY })
  cell.later(2)
  expect(await refused(cell, ask)).toEqual({ outcome: "budget_not_open", budget: OTHER_MONEY })
  cell.later(-1)
  expect(await ask()).toMatchObject({ outcome: "issued" })
})

inShop("budget_exhausted: the first budget that lacks money is named with what it lacks, and no other is held", async (cell) => {
  await cell.fund({ budget: OTHER_MONEY, amount_minor: 99, addition: "other" })
  expect(await refused(cell, () => cell.issue({ holds: [[MONEY, 500], [OTHER_MONEY, 100]] })))
    .toEqual({ outcome: "budget_exhausted", budget: OTHER_MONEY, missing_minor: 1, left_minor: 99 })
  expect(await refused(cell, () => cell.issue({ holds: [[99, 5]] }))).toEqual({ outcome: "budget_exhausted", budget: 99, missing_minor: 5, left_minor: 0 })
  const replies = await Promise.all(Array.from({ length: 50 }, (_, i) => cell.issue({ user: `user ${i}`, holds: [[MONEY, 300]] })))
  expect(replies.filter(({ outcome }) => outcome === "issued")).toHaveLength(3)
  expect(await cell.budget()).toEqual({ granted: LIMIT_MINOR, returned: 0, held: 900, spent: 0 })
})

inShop("held_out: the last check of all; journalled once for a user, and no coupon is kept from anyone else", async (cell) => {
  expect(await cell.issue({ held_out: 1 })).toEqual({ outcome: "held_out" })
  expect(await cell.count()).toBe("h")
  expect(await cell.lastEntry()).toMatchObject({ act: "held_out", moves: [], coupons: [], counts: [[SPRING, "h"]] })
  expect(await cell.counts()).toMatchObject({ issued: 0 })
  expect(await cell.due()).toEqual({ [deadline.user()]: MONTH_ENDS + AGE_MS })
  expect(await refused(cell, () => cell.issue({ held_out: 1, request: "second" }))).toEqual({ outcome: "held_out" })
  expect(await cell.issue()).toMatchObject({ outcome: "issued" }) // the group was changed by the operator
  expect(await cell.count()).toBe("1")
})

inShop("issued: the coupon, the user's count, the stock, the entry and the deadline", async (cell) => {
  expect(await cell.issue({ payload: `{"why":"birthday"}` })).toEqual({ outcome: "issued", ends_at_ms: MONTH_ENDS })
  expect(await cell.coupon()).toEqual({ state: "issued", ends_at_ms: MONTH_ENDS, fingerprint: "as-sent" })
  expect(await cell.count()).toBe("1")
  expect(await cell.counts()).toEqual({ issued: 1, revoked: 0, reserved: 0, redeemed: 0 })
  expect(await cell.budget()).toEqual({ granted: LIMIT_MINOR, returned: 0, held: 0, spent: 0 })
  expect(await cell.due()).toEqual({ [deadline.user()]: MONTH_ENDS + AGE_MS })
  const [, , , entry] = await cell.entries()
  expect(entry).toEqual({
    id: "1-3", act: "issued", at_ms: NOON, user: deadline.user().slice(1), moves: [[`k${SPRING}`, 0, 1, 0, 0, 0]],
    coupons: [[walletField.coupon(), [1, MONTH_ENDS, "as-sent"]]], redemptions: [], counts: [[SPRING, "1"]], payload: `{"why":"birthday"}`,
  })
})

inShop("issued: a coupon ends at the earlier of its own span and the campaign's end", async (cell) => {
  expect(await cell.issue({ valid_ms: SECOND_MS })).toEqual({ outcome: "issued", ends_at_ms: NOON + SECOND_MS })
  expect(await cell.issue({ request: "second", valid_ms: MONTH_ENDS })).toEqual({ outcome: "issued", ends_at_ms: MONTH_ENDS })
  expect(await cell.due()).toEqual({ [deadline.user()]: NOON + SECOND_MS + AGE_MS }) // a deadline moves only forward to an earlier one
})

inShop("issued: money held at issue is held in each budget and idle until a reserve", async (cell) => {
  await cell.fund({ budget: OTHER_MONEY, addition: "other", amount_minor: 50 })
  expect(await cell.issue({ holds: [[MONEY, 300], [OTHER_MONEY, 50]] })).toMatchObject({ outcome: "issued" })
  expect(await cell.coupon()).toMatchObject({ state: "issued", holds: [[MONEY, 300], [OTHER_MONEY, 50]] })
  expect(await cell.money()).toEqual({ held: 300, spent: 0, available: 700 })
  expect(await cell.money(OTHER_MONEY)).toEqual({ held: 50, spent: 0, available: 0 })
  expect(await cell.idle()).toEqual([[MONEY, 300], [OTHER_MONEY, 50]])
  expect(await cell.due()).toEqual({ [deadline.user()]: MONTH_ENDS }) // its money comes back at once, so the sweeper comes at its end
  expect((await cell.lastEntry()).moves).toEqual([
    [`b${MONEY}`, 0, 300, 0], [`b${OTHER_MONEY}`, 0, 50, 0], [`i${SPRING}`, MONEY, 300], [`i${SPRING}`, OTHER_MONEY, 50], [`k${SPRING}`, 0, 1, 0, 0, 0],
  ])
})

inShop("issued: a version may raise the stock and the limit, and never lowers what was leased", async (cell) => {
  for (let i = 0; i < STOCK; i++) await cell.issue({ user: `user ${i}` })
  expect(await refused(cell, () => cell.issue())).toEqual({ outcome: "stock_exhausted" })
  await cell.publish({ version: 2, stock: STOCK + 1 })
  expect(await cell.issue({ version: 2 })).toMatchObject({ outcome: "issued" })
  await cell.publish({ version: 3, stock: 1 })
  expect(await refused(cell, () => cell.issue({ version: 3, user: "bob" }))).toEqual({ outcome: "stock_exhausted" })
})

inEmptyCell("issued: the largest amounts there are stay exact", async (cell) => {
  const most = Number.MAX_SAFE_INTEGER
  await cell.fund({ amount_minor: most })
  await cell.publish({ stock: most, per_user: most, ends_ms: most, starts_ms: 0 })
  expect(await cell.issue({ holds: [[MONEY, most - 1]] })).toEqual({ outcome: "issued", ends_at_ms: most })
  expect(await cell.money()).toEqual({ held: most - 1, spent: 0, available: 1 })
  expect(await refused(cell, () => cell.issue({ request: "second", holds: [[MONEY, most]] })))
    .toEqual({ outcome: "budget_exhausted", budget: MONEY, missing_minor: most - 1, left_minor: 1 })
})

inShop("an amount that is not whole money breaks before anything is written", async (cell) => {
  for (const amount of [-1, 0.5, 2 ** 53, 1e300, "5", null, [], true]) {
    expect(await broken(cell, () => cell.issue({ holds: [[MONEY, amount]] }))).toContain("argument holds is not money")
  }
  for (const holds of ["[[7,1e999]]", "[[7,nan]]", "[[7,NaN]]", "[[7,-Infinity]]", "[[7]]"]) {
    expect(await broken(cell, () => cell.issue({ holds: holds as unknown as [] }))).toMatch(/argument holds is not (money|a list)/)
  }
  expect(await broken(cell, () => cell.issue({ valid_ms: hostile("1e3") }))).toContain("argument valid_ms is not a whole number")
})

// Each refusal is made alone by one change; made together, the earlier one is the answer.
type Ask = { -readonly [P in keyof NonNullable<Parameters<Cell["issue"]>[0]>]: NonNullable<Parameters<Cell["issue"]>[0]>[P] }
const SPOILS: Record<string, (cell: Cell, ask: Ask) => unknown> = {
  request_conflict: (cell) => cell.putCoupon({ state: 1, ends_at_ms: MONTH_ENDS, fingerprint: "other" }),
  aged: (cell, ask) => { ask.is_new = 0; return cell.redis.hset(cell.keysFor("ann").wallet, markOf(), "1") },
  claim_refused: (cell, ask) => { ask.claim = "attempt"; return cell.redis.hset(cell.keysFor("ann").wallet, "cattempt", "1") },
  journal_full: (cell) => cell.putCell({ full: 1 }),
  campaign_unknown: (cell) => cell.redis.hdel(cell.keys.quota, `k${SPRING}`),
  campaign_not_live: (cell) => put(cell, { state: 2 }),
  campaign_changed: (cell) => put(cell, { version: 2 }),
  campaign_not_started: (cell) => put(cell, { starts_ms: NOON + 1 }),
  campaign_ended: (cell) => put(cell, { ends_ms: NOON }),
  user_limit_reached: (cell) => cell.redis.hset(cell.keysFor("ann").wallet, `n${SPRING}`, String(PER_USER)),
  stock_exhausted: (cell) => put(cell, { issued: STOCK }),
  budget_not_open: (_cell, ask) => { ask.is_unfunded = 1 },
  budget_exhausted: (_cell, ask) => { ask.holds = [[MONEY, LIMIT_MINOR + 1]] },
  held_out: (_cell, ask) => { ask.held_out = 1 },
}
const put = async (cell: Cell, changes: object) => {
  const record = await cell.campaignRecord()
  if (record) await cell.redis.hset(cell.keys.quota, `k${SPRING}`, pack("campaign", { ...record, ...changes }))
}

inShop("claim_refused: a code's claim that was ended before its coupon was given brings none", async (cell) => {
  await cell.redis.hset(cell.keysFor("ann").wallet, "cattempt-----", "500000")
  expect(await refused(cell, () => cell.issue({ claim: "attempt-----" }))).toEqual({ outcome: "claim_refused" })
  expect((await cell.issue({ claim: "another-----" })).outcome).toBe("issued")
})

test("precedence: every refusal is spoilt for alone, and of two the one that is declared earlier is the answer", async () => {
  const words = Object.keys(issue.outcomes).filter((word) => !["gate_closed", "replayed", "issued"].includes(word))
  expect(Object.keys(SPOILS)).toEqual(words)
  for (const [i, first] of words.entries()) {
    for (const second of words.slice(i)) {
      const cell = await openShop()
      const ask: Ask = {}
      await SPOILS[second]!(cell, ask)
      await SPOILS[first]!(cell, ask)
      expect({ spoilt: [first, second], said: (await cell.issue(ask)).outcome }).toEqual({ spoilt: [first, second], said: first as "aged" })
    }
  }
})

test("replayed: a reply that was lost is found by asking again, from any number of callers at once", async () => {
  const cell = await openShop()
  const replies = await Promise.all(Array.from({ length: 200 }, () => cell.issue({ holds: [[MONEY, 100]] })))
  expect(replies.filter(({ outcome }) => outcome === "issued")).toHaveLength(1)
  expect(replies.filter(({ outcome }) => outcome === "replayed")).toHaveLength(199)
  expect(await cell.money()).toEqual({ held: 100, spent: 0, available: LIMIT_MINOR - 100 })
  await agrees(cell)
})
