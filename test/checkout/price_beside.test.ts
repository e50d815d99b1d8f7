/**
 * Pricing beside all else: what takes long is done in slices, and others are served between them.
 */
import { expect, test } from "bun:test"
import { mixOf } from "../../bench/mixes.ts"
import { makeDesk } from "../../engine/checkout/price_beside.ts"
import { price } from "../../engine/pricing/price.ts"
import type { Setting } from "../../engine/pricing/types.ts"
import { NotExecuted } from "../../engine/store/redis.ts"
import { NOON } from "../support/shop.ts"

const SETTING: Setting = { now_ms: NOON }
const TEST_MS_MAX = 120_000
/** Some two seconds of a processor, and one that takes 0.02 ms. */
const hard = () => mixOf("bundles", "thresholds", 100_210)
const soft = () => mixOf("prices", "free", 0, 3, 5)

test("a search that takes long: others are priced and the loop turns meanwhile, and it is proved as in one go", async () => {
  const desk = makeDesk()
  const { order, coupons } = hard()
  let isDone = false, turns = 0
  const searched = desk.price(order, coupons, "best", SETTING).then((quote) => { isDone = true; return quote })
  const small = soft()
  while (!isDone) {
    await new Promise(setImmediate)
    turns += 1
    if (turns === 3) expect([desk.waiting(), await desk.price(small.order, small.coupons, "best", SETTING), desk.waiting()]).toEqual([1, price(small.order, small.coupons, "best", SETTING), 1])
  }
  // A slice is 5 ms and what lies up to the next rest, so the loop turns often however slow the machine is.
  expect(turns).toBeGreaterThan(50)
  const quote = await searched
  expect([quote.proved, quote.gap_minor]).toEqual([true, 0])
  expect(quote).toEqual(price(order, coupons, "best", SETTING))
}, TEST_MS_MAX)

test("searches take turns: one that needs few slices overtakes one that needs many", async () => {
  const desk = makeDesk()
  const ended: string[] = []
  const ask = (name: string, { order, coupons }: ReturnType<typeof hard>) => desk.price(order, coupons, "best", SETTING).then(() => ended.push(name))
  const all = [ask("hard", hard()), ask("middling", mixOf("so much off each", "free", 0)), ask("hard again", mixOf("bundles", "thresholds", 100_168))]
  await all[1]
  expect(ended).toEqual(["middling"])
  await Promise.all(all)
}, TEST_MS_MAX)

test("more searches than may wait: the next is not executed, those that wait are answered", async () => {
  const desk = makeDesk(1)
  const { order, coupons } = mixOf("bundles", "thresholds", 1)
  const first = desk.price(order, coupons, "best", SETTING)
  const refused = desk.price(order, coupons, "best", SETTING)
  const second = await refused.then(() => "answered", (fault) => fault instanceof NotExecuted)
  expect([(await first).proved, second]).toEqual([true, true])
}, TEST_MS_MAX)

test("a fault in pricing is the asker's: those behind him are served", async () => {
  const desk = makeDesk()
  const { order, coupons } = hard()
  let asked = 0
  const broken = coupons.map((one) => ({ ...one, terms: new Proxy(one.terms, { get: (terms, name) => {
    if (name === "act" && ++asked > 200) throw new Error("broken")
    return Reflect.get(terms, name)
  } }) }))
  const faulty = desk.price(order, broken, "best", SETTING).then(() => "answered", (fault) => fault.message)
  const small = mixOf("so much off each", "free", 0)
  const behind = desk.price(small.order, small.coupons, "best", SETTING)
  expect([await faulty, (await behind).proved]).toEqual(["broken", true])
}, TEST_MS_MAX)
