// Any acts in any order, by any clock: the cell agrees with its journal, and once everything is settled no money is held.

import { expect, test } from "bun:test"
import fc from "fast-check"
import { agrees, AGE_MS, type Cell, HOLD_MS, MONEY, openCell, OTHER_MONEY, SPRING, SUMMER, use } from "./cell.ts"

const USERS = ["ann", "bob"]
const COUPONS = ["one", "two", "three"]
const ORDERS = ["order 1", "order 2"]
const TRIES = [0, 1, 2]
/** Coupons of SUMMER hold this much at issue, in two budgets; those of SPRING hold at the reserve. */
const HELD: [number, number][] = [[MONEY, 60], [OTHER_MONEY, 40]]
const VALID_MS = 3 * HOLD_MS
const STOCK = 50
const PER_USER = 9
/** So many histories in a run of the suite; a night may have more. */
const HISTORIES = 10

interface Shop { readonly cell: Cell; readonly versions: Record<number, number> }
interface Act { run(shop: Shop): Promise<unknown> }

/** An act with what it is about, printed as that when a history fails. */
const acting = <T>(word: string, about: fc.Arbitrary<T>, run: (shop: Shop, about: T) => Promise<unknown>): fc.Arbitrary<Act> =>
  about.map((value) => ({ run: (shop) => run(shop, value), [fc.toStringMethod]: () => `${word} ${fc.stringify(value)}` }))

const user = fc.constantFrom(...USERS)
const campaign = fc.constantFrom(SPRING, SUMMER)
const coupon = fc.record({ user, request: fc.constantFrom(...COUPONS), campaign })
const redemption = fc.record({ user, order: fc.constantFrom(...ORDERS), again: fc.constantFrom(...TRIES) })
const named = ({ user, order, again }: { user: string; order: string; again: number }) => ({ user, order, request: `${order} ${again}` })
const upTo = (max: number) => fc.integer({ min: 0, max })

const ACTS = fc.oneof(
  { weight: 6, arbitrary: acting("issue", coupon, ({ cell, versions }, about) =>
    cell.issue({ ...about, version: versions[about.campaign]!, valid_ms: VALID_MS, holds: about.campaign === SUMMER ? HELD : [] })) },

  { weight: 8, arbitrary: acting("reserve", fc.record({
    redemption, amounts: fc.tuple(upTo(HELD[0]![1]), upTo(HELD[1]![1])),
    coupons: fc.uniqueArray(fc.record({ campaign, request: fc.constantFrom(...COUPONS) }), { maxLength: 3, selector: (one) => `${one.campaign} ${one.request}` }),
  }), ({ cell, versions }, { redemption: which, coupons, amounts: [a, b] }) => cell.reserve({
    ...named(which),
    coupons: coupons.map((one) => use({
      ...one, version: versions[one.campaign]!, discount_minor: a + b, at_issue: one.campaign === SUMMER ? 1 : 0, shares: [[MONEY, a], [OTHER_MONEY, b]],
    })),
  })) },

  { weight: 3, arbitrary: acting("confirm", fc.tuple(redemption, fc.nat(1)), ({ cell }, [which, late]) => cell.confirm({ ...named(which), late })) },
  { weight: 2, arbitrary: acting("confirm_late", redemption, ({ cell }, which) => cell.confirmLate(named(which))) },
  { weight: 2, arbitrary: acting("cancel", redemption, ({ cell }, which) => cell.cancel(named(which))) },
  { weight: 2, arbitrary: acting("expire", redemption, ({ cell }, which) => cell.expire(named(which))) },
  { weight: 1, arbitrary: acting("extend", redemption, ({ cell }, which) => cell.extend({ ...named(which), expires_ms: cell.now() + 2 * HOLD_MS })) },

  { weight: 3, arbitrary: acting("refund", fc.record({ redemption, isAll: fc.boolean(), isReturned: fc.boolean() }), async ({ cell }, { redemption: which, isAll, isReturned }) => {
    const record = await cell.redemption(named(which))
    const backs = (record?.coupons ?? []).map(([, no, , , shares], i) =>
      [i + 1, shares.map(([, , spent, back]) => Math.floor((spent - back) / (isAll ? 1 : 2))), isReturned && no === SPRING ? 1 : 0])
    return cell.refund({ ...named(which), refund_id: `after ${record?.revision}`, revision: record?.revision ?? 0, backs, full: isAll ? 1 : 0 })
  }) },

  { weight: 2, arbitrary: acting("revoke", coupon, ({ cell }, about) => cell.revoke(about)) },
  { weight: 2, arbitrary: acting("end_coupons", user, ({ cell }, who) =>
    cell.endCoupons([SPRING, SUMMER].flatMap((no) => COUPONS.map((request) => ({ request, campaign: no }))), who)) },
  { weight: 4, arbitrary: acting("later", fc.integer({ min: -HOLD_MS, max: HOLD_MS }), async ({ cell }, by_ms) => cell.later(by_ms)) },
  { weight: 1, arbitrary: acting("publish", fc.record({ campaign, state: fc.constantFrom("live" as const, "paused" as const, "stopped" as const) }), ({ cell, versions }, about) =>
    cell.publish({ ...about, stock: STOCK, per_user: PER_USER, version: ++versions[about.campaign]! })) },
  { weight: 1, arbitrary: acting("fund", fc.record({ budget: fc.constantFrom(MONEY, OTHER_MONEY), amount_minor: upTo(60), is_cut: fc.nat(1), addition: fc.string() }),
    ({ cell }, about) => cell.fund(about)) },
  { weight: 1, arbitrary: acting("mark_full", fc.nat(1), ({ cell }, full) => cell.markFull(full)) },
)

test("any acts in any order: every counter is what the journal says, and settling everything frees every cent", async () => {
  await fc.assert(fc.asyncProperty(fc.array(ACTS, { minLength: 40, maxLength: 70 }), async (acts) => {
    const cell = await openCell()
    const shop: Shop = { cell, versions: { [SPRING]: 1, [SUMMER]: 1 } }
    await cell.fund()
    await cell.fund({ budget: OTHER_MONEY, addition: "other", amount_minor: 150 })
    for (const no of [SPRING, SUMMER]) await cell.publish({ campaign: no, stock: STOCK, per_user: PER_USER })
    for (const act of acts) await act.run(shop)
    await agrees(cell)

    // Everybody goes home: holds run out, coupons end.
    cell.later(AGE_MS)
    for (const who of USERS) {
      for (const order of ORDERS) for (const again of TRIES) await cell.expire(named({ user: who, order, again }))
      await cell.endCoupons(COUPONS.map((request) => ({ request, campaign: SUMMER })), who)
    }
    await agrees(cell)
    expect([(await cell.money()).held, (await cell.money(OTHER_MONEY)).held]).toEqual([0, 0])
    expect([await cell.idle(SPRING), await cell.idle(SUMMER)]).toEqual([[], []])
    expect([(await cell.counts(SPRING)).reserved, (await cell.counts(SUMMER)).reserved]).toEqual([0, 0])
  }), { numRuns: HISTORIES })
})
