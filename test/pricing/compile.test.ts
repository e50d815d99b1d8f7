// A campaign's terms: what is wrong is named by its field, and what bounds the cost is known before a coupon is issued.

import { readdirSync } from "node:fs"
import { expect, test } from "bun:test"
import { boundMinor, compileTerms, termsFaults } from "../../engine/pricing/compile.ts"
import { draftCoupon } from "../../engine/pricing/drafts.ts"
import { KINDS } from "../../engine/pricing/kinds/index.ts"
import { price } from "../../engine/pricing/price.ts"
import { order } from "./shop.ts"

const fields = (body: object): string[] => termsFaults(body as Parameters<typeof termsFaults>[0]).map(({ field }) => field)

test("kinds: the folder and the list agree", () => {
  const files = readdirSync(new URL("../../engine/pricing/kinds/", import.meta.url))
    .map((file) => file.replace(".ts", ""))
    .filter((file) => file !== "index" && file !== "terms")
  expect(files.sort()).toEqual(KINDS.map(({ name }) => name).sort())
})

test("termsFaults: names the field", () => {
  expect(fields({ kind: "amount_off", terms: { amount_minor: 100 } })).toEqual([])
  expect(fields({ kind: "nonsense", terms: {} })).toEqual(["kind"])
  expect(fields({ kind: "amount_off", terms: {} })).toEqual(["terms.amount_minor"])
  expect(fields({ kind: "amount_off", terms: { amount_minor: 0 } })).toEqual(["terms.amount_minor"])
  expect(fields({ kind: "amount_off", terms: { amount_minor: 1, percent_bp: 1 } })).toEqual(["terms.percent_bp"])
  expect(fields({ kind: "amount_off", terms: { amount_minor: 1, max_units: 1 } })).toEqual(["terms.max_units"])
  expect(fields({ kind: "percent_off", terms: { percent_bp: 10001 } })).toEqual(["terms.percent_bp"])
  const body = { kind: "percent_off", terms: { percent_bp: 1 } }
  expect(fields({ ...body, applies_to: { skus: [] } })).toEqual(["applies_to.skus"])
  expect(fields({ ...body, applies_to: { colours: ["red"] } })).toEqual(["applies_to.colours"])
  expect(fields({ ...body, hours: { time_zone: "Mars/Base", from: "09:00", to: "10:00" } })).toEqual(["hours.time_zone"])
  expect(fields({ ...body, hours: { time_zone: "UTC", from: "9:00", to: "10:00" } })).toEqual(["hours.from"])
})

test("termsFaults: what no schema says of a kind's terms has its field too", () => {
  const repeat = (terms: object) => fields({ kind: "tiered_off", terms: { repeat: true, ...terms } })
  const every = [{ from: 200, amount_minor: 30 }]
  expect(repeat({ tiers: every })).toEqual([])
  expect(repeat({ tiers: every, by: "quantity" })).toEqual([])
  for (const terms of [{ tiers: every, by: "unit" }, { tiers: [{ from: 0, amount_minor: 30 }] }, { tiers: [{ from: 200, percent_bp: 30 }] }, { tiers: [...every, { from: 300, amount_minor: 50 }] }])
    expect(repeat(terms)).toEqual(["terms.repeat"])
  const uplift = (rate_bp: number, days: number) => fields({ kind: "rate_uplift", terms: { rate_bp, days, principal_cap_minor: 1 } })
  expect([uplift(10000, 365), uplift(1000, 3650), uplift(10000, 366), uplift(1001, 3650), uplift(1, 3651)]).toEqual([[], [], ["terms.days"], ["terms.days"], ["terms.days"]])
  expect(fields({ kind: "tiered_off", terms: { tiers: [{ from: 5, amount_minor: 1 }, { from: 5, amount_minor: 2 }] } })).toEqual(["terms.tiers.1.from"])
  expect(fields({ kind: "tiered_off", terms: { tiers: [{ from: 5, amount_minor: 1, percent_bp: 2 }] } })).toEqual(["terms.tiers.0"])
  expect(fields({ kind: "bundle", terms: { sets: [{ quantity: 1 }], price_minor: 1, percent_bp: 2 } })).toEqual(["terms.price_minor"])
})

test("compileTerms: refuses what has a fault", () => {
  expect(() => compileTerms({ campaign_id: "a", kind: "amount_off", terms: {} })).toThrow("terms.amount_minor")
})

test("boundMinor: is known where the terms bound the cost", () => {
  const bound = (kind: string, terms: object, max_minor?: number) => boundMinor({ kind, terms, max_minor })
  expect(bound("amount_off", { amount_minor: 300 })).toBe(300)
  expect(bound("amount_off", { amount_minor: 300 }, 200)).toBe(200)
  expect(bound("amount_off", { amount_minor: 300, spread: "each_unit" })).toBeUndefined()
  expect(bound("amount_off", { amount_minor: 300, spread: "each_unit", max_units: 4 })).toBe(1200)
  expect(bound("percent_off", { percent_bp: 1000 })).toBeUndefined()
  expect(bound("percent_off", { percent_bp: 1000 }, 900)).toBe(900)
  expect(bound("percent_off", { percent_bp: 1000, max_minor: 500 })).toBe(500)
})

test("draftCoupon: needs no more than a name, a kind and its terms", () => {
  const draft = draftCoupon({ campaign_id: "next", kind: "percent_off", terms: { percent_bp: 1000 } })
  expect(price(order([1000]), [draft], "named").applied).toMatchObject([{ coupon_id: "next", campaign_id: "next", discount_minor: 100 }])
})

test("pricing: nothing in it knows a runtime, so that it bundles for a browser", async () => {
  const built = await Bun.build({ entrypoints: [new URL("../../engine/pricing/price.ts", import.meta.url).pathname], target: "browser" })
  expect(built.success).toBe(true)
  const text = await built.outputs[0]!.text()
  for (const word of ["node:", "bun:", "process.env", "Date.now", "Math.random"]) expect(text.includes(word)).toBe(false)
})
