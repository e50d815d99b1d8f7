/**
 * The replay of real coupons: its rules and its arithmetic, and a slice of it through a whole engine.
 *
 * The data are not ours and not in the repository. Where they are missing, what needs them is skipped and says so; it never passes.
 */
import { describe, expect, setDefaultTimeout, test } from "bun:test"
import { join, resolve } from "node:path"
import { chance } from "../../bench/replay/chance.ts"
import { countAt } from "../../bench/replay/count.ts"
import { missingFiles, readData, type Data } from "../../bench/replay/data.ts"
import { daysLater, instant, monthsFrom } from "../../bench/replay/days.ts"
import { discountsOf, givenBack, sum } from "../../bench/replay/discounts.ts"
import { isProved } from "../../bench/replay/main.ts"
import { readOptions } from "../../bench/replay/options.ts"
import { type Plan, planOf } from "../../bench/replay/plan.ts"
import { inPool } from "../../bench/replay/pool.ts"
import { mismatches } from "../../bench/replay/prove.ts"
import { replay } from "../../bench/replay/replay.ts"
import { mismatchLines } from "../../bench/replay/report.ts"
import { issuedTo } from "../../bench/replay/rules.ts"
import { lastUnits, shareBp, split } from "../../bench/replay/shares.ts"
import { scratchFolder } from "../support/scratch.ts"

const FOLDER = resolve(process.env["SCRIP_COMPLETEJOURNEY"] ?? join(import.meta.dir, "../../../shared/data/completejourney"))
const missing = missingFiles(FOLDER)
const withData = test.skipIf(missing.length > 0)
const named = (name: string): string => (missing.length > 0 ? `${name} (skipped: ${FOLDER} has no ${missing[0]}; SCRIP_COMPLETEJOURNEY names the folder)` : name)

let read: Promise<Data> | undefined
const data = (): Promise<Data> => (read ??= readData(FOLDER))

let planned: Promise<Plan> | undefined
const wholePlan = (): Promise<Plan> => (planned ??= data().then((each) => planOf(each)))

/** Reading the data takes a second, and five or more on a busy machine. */
setDefaultTimeout(120_000)
const STORY_MS_MAX = 240_000
const STORY_REDEMPTIONS = 30
const off = (amount_minor: number) => ({ kind: "amount_off", terms: { amount_minor } }) as const
const percent = (percent_bp: number, max_minor: number) => ({ kind: "percent_off", terms: { percent_bp, max_minor } }) as const
const all = () => true

describe("arithmetic", () => {
  test("split: parts sum to the total, largest fractions first, ties to the earlier", () => {
    expect(split(100, [1, 1, 1])).toEqual([34, 33, 33])
    expect(split(100, [8133, 1867])).toEqual([81, 19])
    expect(split(1, [5000, 5000])).toEqual([1, 0])
    expect(split(7, [0, 0])).toEqual([0, 0])
  })

  test("shareBp: a half is rounded up", () => {
    expect([shareBp(5, 3000), shareBp(5, 2999), shareBp(1, 4999), shareBp(1, 5000)]).toEqual([2, 1, 0, 1])
  })

  test("lastUnits: a line's discount lies evenly on its units, and the first carry the leftover", () => {
    expect([1, 2, 3].map((returned) => lastUnits(100, 3, returned))).toEqual([33, 66, 100])
  })

  test("discountsOf: each coupon takes from what those before it have left", () => {
    const lines = [{ unit_price_minor: 100, quantity: 1 }, { unit_price_minor: 150, quantity: 2 }]
    expect(discountsOf(lines, [{ promise: off(100), covers: all }, { promise: percent(5000, 120), covers: all }])).toEqual([[25, 75], [30, 90]])
    expect(discountsOf(lines, [{ promise: off(500), covers: (line) => line === lines[0] }, { promise: off(500), covers: all }])).toEqual([[100, 0], [0, 300]])
  })

  test("givenBack: one of two units returns half of what lies on its line", () => {
    expect(givenBack([{ unit_price_minor: 150, quantity: 2 }, { unit_price_minor: 9, quantity: 1 }], [[75, 1], [90, 0]], [1, 0])).toEqual([37, 45])
  })
})

describe("days", () => {
  test("instant: midnight in New York, in winter, in summer and on the days when clocks change", () => {
    expect(["2017-01-01", "2017-07-01", "2017-03-12", "2017-03-13", "2017-11-05", "2017-11-06"].map((day) => new Date(instant(day)).toISOString().slice(11, 16)))
      .toEqual(["05:00", "04:00", "05:00", "04:00", "04:00", "05:00"])
  })

  test("monthsFrom: over the end of a year", () => {
    expect(monthsFrom("2016-11", "2017-02")).toEqual(["2016-11", "2016-12", "2017-01", "2017-02"])
    expect(daysLater("2017-12-31", 1)).toBe("2018-01-01")
  })
})

test("chance: the same text gives the same number, and the numbers are even", () => {
  expect(chance("household 1", 1000)).toBe(chance("household 1", 1000))
  const tenth = Array.from({ length: 10_000 }, (_, i) => chance(`order ${i}`, 10)).filter((n) => n === 0).length
  expect(Math.abs(tenth - 1_000)).toBeLessThan(120)
})

test("options: every mistake is named at once", () => {
  expect(readOptions(["data", "--limit", "5", "--twice"])).toMatchObject({ options: { folder: "data", limit: 5, twice: true } })
  const read = readOptions(["--limit", "none", "--url=http://x", "--frist"])
  expect("mistakes" in read && read.mistakes.length).toBe(4)
})

test("inPool: no more at a time than told, begun in order, and a fault ends it", async () => {
  let now = 0, most = 0
  const begun: number[] = []
  await inPool([1, 2, 3, 4, 5, 6], 2, async (item) => {
    begun.push(item)
    most = Math.max(most, ++now)
    await Promise.resolve()
    now -= 1
  })
  expect([most, begun]).toEqual([2, [1, 2, 3, 4, 5, 6]])
  expect(inPool([1, 2, 3], 1, async (item) => { if (item === 2) throw new Error("two") })).rejects.toThrow("two")
})

test("issuedTo: sixteen coupons of a type A mailing, the used ones among them, and one more for each second use", () => {
  const upcs = Array.from({ length: 40 }, (_, i) => `u${i}`)
  const mailing = { campaign: 8, type: "Type A", first_day: "", last_day: "", households: [] }
  const got = issuedTo(mailing, 7, upcs, ["u3", "u9", "u3"])
  expect([got.length, new Set(got).size, got.filter((upc) => upc === "u3").length, got.includes("u9")]).toEqual([17, 16, 2, true])
  expect(issuedTo({ ...mailing, type: "Type B" }, 7, upcs, [])).toEqual(upcs)
})

describe("plan", () => {
  withData(named("every real redemption is played once, and a coupon is known by its campaign too"), async () => {
    const plan = await wholePlan()
    const uses = plan.orders.flatMap(({ uses: ofOrder }) => ofOrder)
    expect([plan.launches.length, plan.launches.flatMap(({ campaigns }) => campaigns).length, uses.length]).toEqual([27, 1197, 2102])
    const issues = plan.launches.flatMap(({ issues: ofLaunch }) => ofLaunch.map(({ request_id }) => request_id))
    expect(new Set(issues).size).toBe(issues.length)
    // Twenty-seven households used a coupon of one campaign twice: each of their uses is of another issue.
    expect(new Set(uses.map(({ issue }) => issue)).size).toBe(2102)
    expect(uses.filter(({ issue }) => issue.endsWith("-2")).length).toBe(27)
    expect(uses.every(({ discount_minor }) => discount_minor > 0)).toBe(true)
  })

  withData(named("about a tenth is cancelled and a tenth refunded"), async () => {
    const { orders } = await wholePlan()
    for (const ending of ["cancelled", "refunded"]) {
      const share = orders.filter((order) => order.ending === ending).length / orders.length
      expect(Math.abs(share - 0.1)).toBeLessThan(0.02)
    }
  })

  withData(named("two plans are the same, and no budget is planned beyond its limit"), async () => {
    expect(JSON.stringify(planOf(await data(), 300)) === JSON.stringify(planOf(await data(), 300))).toBe(true)
    const plan = await wholePlan()
    for (const { day } of plan.days.filter((_, i) => i % 20 === 0)) {
      for (const { limit_minor, held_minor, spent_minor } of countAt(plan, { day, of_day: "reserved" }).budgets.values()) {
        expect(held_minor >= 0 && spent_minor >= 0 && held_minor + spent_minor <= limit_minor).toBe(true)
      }
    }
  })

  withData(named("when every window is over nothing is held, and what is spent is what was redeemed less what came back"), async () => {
    const plan = await wholePlan()
    const { budgets, redemptions } = countAt(plan, { day: plan.after_all, of_day: "everything" })
    const kept = [...redemptions.values()].filter(({ state }) => state !== "cancelled")
    expect(sum([...budgets.values()].map(({ held_minor }) => held_minor))).toBe(0)
    expect(sum([...budgets.values()].map(({ spent_minor }) => spent_minor))).toBe(sum(kept.map(({ discount_minor, refunded_minor }) => discount_minor - refunded_minor)))
  })

  withData(named("a count that is a cent off is told"), async () => {
    const plan = planOf(await data(), 10)
    const own = countAt(plan, { day: plan.after_all, of_day: "everything" })
    const [id, count] = [...own.budgets][0]!
    const off_by_one = { ...own, budgets: new Map([...own.budgets, [id, { ...count, spent_minor: count.spent_minor + 1 }]]) }
    expect(mismatches(own, own, "postgres")).toEqual([])
    expect(mismatches(own, off_by_one, "postgres")).toEqual([{ what: "budget", id, field: "spent_minor", own: count.spent_minor, said: count.spent_minor + 1, by: "postgres" }])
    expect(mismatches(own, { ...own, redemptions: new Map() }, "postgres").length).toBe(own.redemptions.size)
  })
})

withData(named(`the first ${STORY_REDEMPTIONS} real redemptions agree to the cent in Redis, Postgres, the API and the count, and a second run after a restart changes nothing`), async () => {
  const replayed = await replay({
    options: { folder: FOLDER, url: undefined, key: undefined, dataDir: undefined, limit: STORY_REDEMPTIONS, twice: true, cells: 1, concurrency: 16 },
    dataDir: join(scratchFolder(), "data"), env: process.env, out: { write: () => true },
  })
  expect(replayed.differences).toEqual([])
  expect(replayed.proofs.flatMap((proof) => mismatchLines(proof.mismatches))).toEqual([])
  expect(replayed.proofs.length).toBe(4)
  const acts = Object.values(replayed.again!.acts).reduce((total, n) => total + n, 0)
  expect([replayed.again!.hits, replayed.again!.forgotten]).toEqual([acts, 0])
  expect(replayed.events!.after).toBe(replayed.events!.before)
  expect(isProved(replayed)).toBe(true)
}, STORY_MS_MAX)
