// What coupons give that contend for units: the bound on them holds for every set, from every cart on the way to it, and a
// proof that rests on it is one. `SCRIP_BRUTE_ORDERS` makes it longer, `SCRIP_SEED` chooses others.

import { expect, test } from "bun:test"
import fc from "fast-check"
import { claimsOn } from "../../engine/pricing/bounds/claims.ts"
import { candidatesOf } from "../../engine/pricing/candidate.ts"
import { cartAfter, sheetOf } from "../../engine/pricing/cart.ts"
import { firstLack } from "../../engine/pricing/conditions.ts"
import { kindOrderOf } from "../../engine/pricing/policy.ts"
import { price } from "../../engine/pricing/price.ts"
import { sketchOf } from "../../engine/pricing/sketch.ts"
import { inOrder } from "../../engine/pricing/stacking.ts"
import { walk } from "../../engine/pricing/walk.ts"
import { SEED } from "../support/seed.ts"
import { arbitraryLayers, arbitraryRivals, arbitrarySetting, holdsForAll } from "./campaigns.ts"
import { coupon, NOON, order, quote } from "./shop.ts"

const ORDERS = Number(process.env["SCRIP_BRUTE_ORDERS"] ?? 10_000) / 10
const RUN_MS_MAX = 60_000 + ORDERS * 600
const COUPONS_MAX = 5

/** The bound on layers has its own picture of what is left. */
const NO_CLASSES = new Float64Array()

const MADE = { claims: arbitraryRivals, layers: arbitraryLayers }

for (const [what, made] of Object.entries(MADE)) test(`${what}: no set of ${ORDERS} orders gives more than the bound, from any cart on its way, and best is the best of them`, () => {
  const counts: Record<string, number> = { carts: 0, layers: 0, barred: 0, share: 0, rounds: 0, sets: 0 }
  const count = (name: string): void => void (counts[name] = counts[name]! + 1)
  holdsForAll(
    fc.property(made(COUPONS_MAX), arbitrarySetting, ({ order: asked, coupons }, { profile }) => {
      const setting = { now_ms: NOON, profile }
      const sheet = sheetOf(asked, NOON, undefined, "again")
      const open = inOrder(candidatesOf(sheet, coupons, profile).filter((one) => !firstLack(one, sheet, sheet.untouched)), kindOrderOf(profile))
      if (open.length === 0) return
      const sketch = sketchOf(sheet, open)
      const { forms } = sketch
      const room = new Float64Array(sketch.cliques)
      for (const { candidate: { terms }, clique } of forms) room[clique] = Math.max(room[clique]!, terms.group === undefined ? terms.perOrder : terms.groupMax)
      const claims = claimsOn(sheet, sketch, room)
      const layers = claims?.layers
      const mosts = Float64Array.from(forms, ({ loose, mostMinor }) => (loose ? Infinity : mostMinor))
      const isOpen = new Uint8Array(open.length).fill(1)
      const sums = new Float64Array(open.length + 1)
      const besides = new Float64Array(open.length + 1)
      let most = 0
      for (let set = 0; set < 2 ** open.length; set++) {
        const some = open.filter((_, i) => set & (1 << i))
        const { taken } = walk(sheet, some)
        if (taken.length < some.length) continue
        most = Math.max(most, taken.reduce((sum, { effect }) => sum + effect.totalMinor, 0))
        if (!claims) continue
        let cart = sheet.untouched
        const free = room.slice()
        for (let t = 0; t <= taken.length; t++) {
          const first = t === 0 ? 0 : open.indexOf(taken[t - 1]!.candidate) + 1
          sums.fill(0)
          claims.together(cart, first, free, isOpen, sums, besides)
          layers?.look(t, cart)
          count("carts")
          // From this cart on, and from each later turn on if those between are left: what is taken lies behind them.
          for (let turn = first; turn <= (taken[t] ? open.indexOf(taken[t]!.candidate) : open.length); turn++) {
            let given = 0
            for (const { candidate, effect } of taken.slice(t)) if (claims.holds[open.indexOf(candidate)] === 1) given += effect.totalMinor
            if (sums[turn]! < given - 1e-6) expect([set, t, turn, sums[turn]]).toEqual([set, t, turn, given])
            if (!layers) continue
            count("layers")
            const all = taken.slice(t).reduce((sum, { effect }) => sum + effect.totalMinor, 0)
            // Not low enough at first, then always: so all is looked at that there is to be looked at.
            let asked = 0
            const bound = layers.reach(turn, t, { left: NO_CLASSES, at: 0, error: 1e-6, room: free, mosts, mostsAt: 0, claims: besides, claimsAt: 0 }, () => asked++ > 0)
            if (asked > 1) count("barred")
            if (bound < all - 1e-6) expect(["layers", set, t, turn, bound]).toEqual(["layers", set, t, turn, all])
          }
          if (!taken[t]) break
          free[forms[open.indexOf(taken[t]!.candidate)]!.clique]! -= 1
          cart = cartAfter(cart, taken[t]!.effect, undefined)
        }
      }
      for (const one of open) if (one.terms.claim && claims?.holds[open.indexOf(one)] === 1) count(one.terms.claim.takes)
      const best = price(asked, coupons, "best", setting)
      expect([best.discount_minor, best.proved, best.gap_minor]).toEqual([most, true, 0])
    }),
    { numRuns: ORDERS, seed: SEED, endOnFailure: false },
  )
  console.log(`${what}: seed ${SEED}, ${ORDERS} orders; ${Object.entries(counts).map(([name, n]) => `${name} ${n}`).join(", ")}`)
  // Few rivals have tiers by unit and coupons of whole lines beside each other.
  expect(Math.min(what === "layers" ? counts["layers"]! : Infinity, counts["share"]!, counts["rounds"]!, counts["sets"]!)).toBeGreaterThan(ORDERS / 200)
}, RUN_MS_MAX)

test("claims: tiers by unit that a cap cuts fall on all units that gave alike, and leave the last one more", () => {
  const tiers = (id: string, steps: readonly { from: number; percent_bp: number }[], max_minor?: number) => coupon(id, "tiered_off", { by: "unit", tiers: steps }, { max_minor })
  const asked = order([{ price: 10000, quantity: 4 }])
  const coupons = [tiers("capped", [{ from: 2, percent_bp: 500 }, { from: 4, percent_bp: 5000 }], 5000), tiers("last", [{ from: 4, percent_bp: 6000 }])]
  const sheet = sheetOf(asked, NOON)
  const sketch = sketchOf(sheet, candidatesOf(sheet, coupons, undefined))
  const room = new Float64Array(sketch.cliques).fill(1)
  expect([...claimsOn(sheet, sketch, room)!.holds]).toEqual([0, 1])
  expect(quote(asked, coupons, "best")).toMatchObject({ discount_minor: 10000, proved: true })
})

test("claims: of two lines alike to their coupons, one may have the units that a coupon chooses", () => {
  const tiers = (id: string, percent_bp: number, choice: object) => coupon(id, "tiered_off", { by: "unit", tiers: [{ from: 0, percent_bp }], ...choice })
  const asked = order([{ price: 1, quantity: 4 }, { price: 500, quantity: 4 }])
  const coupons = [tiers("chosen", 5000, { max_units: 4, pick: "dearest" }), tiers("all", 1, {})]
  const sheet = sheetOf(asked, NOON)
  const sketch = sketchOf(sheet, candidatesOf(sheet, coupons, undefined))
  const room = new Float64Array(sketch.cliques).fill(1)
  const sums = new Float64Array(3)
  claimsOn(sheet, sketch, room)!.together(sheet.untouched, 0, room, new Uint8Array(2).fill(1), sums)
  expect(quote(asked, [coupons[0]!]).discount_minor).toBe(1000)
  expect(sums[0]).toBeGreaterThanOrEqual(1000)
})

test("claims: what a coupon buys and what it gets push another on together", () => {
  const rounds = (id: string, skus: readonly string[], times?: number) => coupon(id, "buy_x_get_y", { buy: { quantity: 1, applies_to: { skus } }, get: { quantity: 1 }, ...(times && { times }) })
  const asked = order([{ price: 500, quantity: 3 }, 1, { price: 1000, quantity: 2 }])
  const coupons = [rounds("first", ["s2"]), rounds("pushed", ["s1", "s2"], 2)]
  const sheet = sheetOf(asked, NOON)
  const sketch = sketchOf(sheet, candidatesOf(sheet, coupons, undefined))
  const room = new Float64Array(sketch.cliques).fill(1)
  const sums = new Float64Array(3)
  claimsOn(sheet, sketch, room)!.together(sheet.untouched, 0, room, new Uint8Array(2).fill(1), sums)
  expect(quote(asked, coupons, "best").discount_minor).toBe(2500)
  expect(sums[0]).toBeGreaterThanOrEqual(2500)
})

test("claims: what is taken before a threshold that could fall pushes what stands behind it on", () => {
  const asked = order([{ price: 1, category: "y" }, { price: 1, quantity: 2, category: "x" }, { price: 1000, category: "x" }, { price: 1, quantity: 2, category: "y" }, { price: 1000, quantity: 2, category: "x" }])
  const coupons = [
    coupon("c0", "buy_x_get_y", { buy: { quantity: 1, applies_to: { skus: ["s1"] } }, get: { quantity: 1, applies_to: { categories: ["x"] } }, times: 1 }, { threshold_minor: 3000 }),
    coupon("c1", "bundle", { sets: [{ quantity: 1 }], percent_bp: 25 }, { stacking: { priority: 1 } }),
    coupon("c2", "bundle", { sets: [{ quantity: 1 }], price_minor: 999 }, { threshold_minor: 3000 }),
    coupon("c3", "buy_x_get_y", { buy: { quantity: 2, applies_to: { skus: ["s2"] } }, get: { quantity: 2 } }, { stacking: { priority: 1 }, applies_to: { not_skus: ["s1"] } }),
  ]
  expect(quote(asked, [coupons[0]!, coupons[3]!]).discount_minor).toBe(1002)
  expect(quote(asked, coupons, "best")).toMatchObject({ discount_minor: 1002, proved: true })
})

test("claims: what takes from lines that a threshold does not count leaves it standing", () => {
  const asked = order([{ price: 1000, quantity: 4 }, { price: 1500, quantity: 2 }, { price: 500, quantity: 2 }])
  const others = { applies_to: { not_skus: ["s1"] } }
  const coupons = [
    coupon("c0", "amount_off", { amount_minor: 4349 }, { stacking: { level: "line" } }),
    coupon("c1", "amount_off", { amount_minor: 1374 }, { ...others, threshold_minor: 1500 }),
    coupon("c2", "amount_off", { amount_minor: 1 }, { stacking: { priority: 1 } }),
    coupon("c3", "tiered_off", { by: "unit", tiers: [{ from: 3, percent_bp: 3577 }] }, { stacking: { priority: 1 } }),
    coupon("c4", "tiered_off", { by: "unit", tiers: [{ from: 0, percent_bp: 3649 }] }, { ...others, stacking: { level: "line", priority: 1 } }),
  ]
  expect(quote(asked, coupons, "best")).toMatchObject({ discount_minor: 6051, proved: true })
})

test("claims: of units of one price the first are bought, so what is got may be the dearer last one", () => {
  const asked = order([4000, 4000, 500])
  const coupons = [coupon("off", "amount_off", { amount_minor: 3 }, { applies_to: { skus: ["s1"] }, stacking: { priority: 1 } }), coupon("got", "buy_x_get_y", { buy: { quantity: 1 }, get: { quantity: 1, applies_to: { skus: ["s1", "s2"] } } })]
  const sheet = sheetOf(asked, NOON)
  const sketch = sketchOf(sheet, candidatesOf(sheet, coupons, undefined))
  const room = new Float64Array(sketch.cliques).fill(1)
  const [off] = walk(sheet, candidatesOf(sheet, coupons, undefined)).taken
  const sums = new Float64Array(3)
  claimsOn(sheet, sketch, room)!.together(cartAfter(sheet.untouched, off!.effect, undefined), 1, room, new Uint8Array(2).fill(1), sums)
  expect(quote(asked, coupons, "best")).toMatchObject({ discount_minor: 4003, proved: true })
  expect(sums[1]).toBeGreaterThanOrEqual(4000)
})
