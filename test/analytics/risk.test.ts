// Risk: each key's figures, z and support are those that a second computation by hand comes to; the days that are kept change nothing; and abuse
// whose truth is known is found.

import { afterAll, beforeAll, describe, expect, test } from "bun:test"
import { type Duck, openDuck } from "../../analytics/duck.ts"
import { defineMacros } from "../../analytics/dialects/dialect.ts"
import { periodsBetween } from "../../analytics/periods.ts"
import { DAY_COLUMNS, dayFigures, LINE_COLUMNS } from "../../analytics/risk/day.ts"
import { MEASURES as COLUMNS, scoreDay } from "../../analytics/risk/score.ts"
import { scratchFolder } from "../support/scratch.ts"
import { chanceFrom, concentrationByHand, KEYS, type Line, MEASURES, scoreByHand, type Scored, shopOf } from "./risk_world.ts"

const LAST = "2026-10-31"
const DAYS = periodsBetween("2026-09-05", LAST)
const FIRST_WANTED = "2026-10-03"

let duck: Duck
beforeAll(async () => {
  duck = await openDuck({ memory_mb: 512, threads: 2, temp_dir: scratchFolder() })
  await defineMacros(duck)
})
afterAll(() => duck.close())

/** Score the last of some days by the job's SQL. */
const scoreBySql = async (days: readonly (readonly Line[])[], firsts: readonly ReadonlySet<number>[]): Promise<Scored[]> => {
  await duck.run(`drop table if exists days; create table days (${Object.entries(DAY_COLUMNS).map(([name, type]) => `${name} ${type}`).join(", ")})`)
  const dayAt = (i: number): string => DAYS[DAYS.length - days.length + i]!
  await duck.run("drop table if exists lines_of; drop table if exists firsts_of")
  await duck.table("lines_of", { ...LINE_COLUMNS, day: "VARCHAR" }, days.flatMap((lines, i) => lines.map((line) => ({ ...line, day: dayAt(i) }))))
  await duck.table("firsts_of", { user_no: "BIGINT", day: "VARCHAR" }, firsts.flatMap((users, i) => [...users].map((user_no) => ({ user_no, day: dayAt(i) }))))
  for (const i of days.keys()) await duck.run(`insert into days ${dayFigures(dayAt(i), `(select * from lines_of where day = '${dayAt(i)}')`, `(select * from firsts_of where day = '${dayAt(i)}')`)}`)
  await scoreDay(duck, LAST, FIRST_WANTED, "days")
  const rows = await duck.all<Record<string, string | number | null>>("select * from risk order by dimension, key")
  return rows.map((row) => ({
    dimension: String(row["dimension"]), key: String(row["key"]), ...Object.fromEntries(MEASURES.map((measure) => [measure, row[COLUMNS[measure]]])), first_day_users_bp: row["first_day_users_bp"], velocity_max: row["velocity_max"],
    z: MEASURES.map((measure) => row[`z_${measure}_e4`] === null ? null : Number(row[`z_${measure}_e4`]) / 10_000), support: MEASURES.map((measure) => row[`support_${measure}`]),
  }) as unknown as Scored)
}
const inOrder = (rows: readonly Scored[]): Scored[] => rows.toSorted((a, b) => a.dimension < b.dimension ? -1 : a.dimension > b.dimension ? 1 : Buffer.compare(Buffer.from(a.key), Buffer.from(b.key)))

describe("by hand and by SQL", () => {
  test("every key of every dimension has the same figures, z and support", async () => {
    let ok = 0
    for (const seed of [1, 2]) {
      const { days, firsts } = shopOf(seed, 60)
      const wanted = inOrder(scoreByHand(days, firsts))
      expect(await scoreBySql(days, firsts)).toEqual(wanted)
      ok += wanted.flatMap(({ support }) => support).filter((word) => word === "ok").length
    }
    expect(ok).toBeGreaterThan(100)
  })

  test("a young shop is thin, and a day without anything has no rows", async () => {
    const { days, firsts } = shopOf(4, 40, 20)
    const rows = await scoreBySql(days, firsts)
    expect(rows).toEqual(inOrder(scoreByHand(days, firsts)))
    expect(new Set(rows.flatMap(({ support }) => support))).toEqual(new Set(["thin"]))
    expect(await scoreBySql([...shopOf(5, 40, 10).days, []], [...shopOf(5, 40, 10).firsts, new Set()])).toEqual([])
  })

  test("concentration is of all keys, exact for amounts that no double holds", async () => {
    const { days, firsts } = shopOf(6, 50)
    const big = days.at(-1)!.map((line, i): Line => ({ ...line, amount_minor: line.amount_minor + (i % 3) * 40_000_000_001 }))
    const rows = await scoreBySql([...days.slice(0, -1), big], firsts)
    for (const { dimension, ...found } of await duck.all<Record<string, string | number>>("select dimension, share_top1_bp, share_top10_bp, hhi_bp from concentration")) {
      expect([dimension, ...Object.values(found)]).toEqual([dimension, ...concentrationByHand(rows.filter((row) => row.dimension === dimension).map(({ amount }) => amount))])
    }
    expect(Object.keys(KEYS).length).toBe((await duck.all("select 1 from concentration")).length)
  })
})

// ── Abuse whose truth is known ───────────────────────────────────────────────────────────────────────────────────

/** What the figures of a key are called when they look like abuse; the first that holds. A reading of the job's rows, as an analyst would set it. */
const suspectOf = (row: Scored): string | undefined => {
  const z = (measure: (typeof MEASURES)[number]): number => row.z[MEASURES.indexOf(measure)] ?? 0
  if (row.dimension === "user" && row.refund_rate >= 5_000 && row.count >= 4) return "refund_farming"
  if (row.dimension === "user" && row.velocity_max >= 10) return "velocity"
  if (row.dimension === "merchant" && z("amount") > 6 && row.count >= 3 * row.users) return "ring"
  if (row.dimension === "campaign" && z("depth") > 6 && row.depth >= 8_000) return "misconfigured"
  if (row.dimension === "region" && row.first_day_users_bp >= 7_000 && row.users >= 15) return "self_referral"
  return undefined
}

test("abuse with known truth: rings, velocity, self-referral, refund farming and a misconfigured campaign are found, and little else", async () => {
  const found: Record<string, { hits: number; false: number; planted: number }> = {}
  const tally = (kind: string) => (found[kind] ??= { hits: 0, false: 0, planted: 0 })
  for (let seed = 10; seed < 12; seed++) {
    const chance = chanceFrom(seed)
    const planted = new Map<string, string>()
    const days: Line[][] = [], firsts: Set<number>[] = []
    for (let day = 0; day < DAYS.length; day++) {
      const lines: Line[] = [], first = new Set<number>()
      let redemption = 0
      const sell = (user_no: number, merchant: string, region: string, campaign: string, depth: number, isRefunded = false) => {
        const price_minor = 2_000 + Math.floor(chance() * 8_000)
        const line: Line = { kind: 0, redemption: redemption++, user_no, line: 1, sku: `s${Math.floor(chance() * 30)}`, merchant, region, campaign, amount_minor: Math.floor(price_minor * depth), price_minor }
        lines.push(line, ...(isRefunded ? [{ ...line, kind: 1 as const }] : []))
      }
      for (let i = 0; i < 150; i++) {
        const user_no = Math.floor(chance() * 300)
        if (chance() < 0.03) first.add(user_no)
        sell(user_no, `m${Math.floor(chance() * 6)}`, `r${Math.floor(chance() * 5)}`, `c${Math.floor(chance() * 4)}`, 0.08 + chance() * 0.08, chance() < 0.05)
      }
      // What the last day has that no day before it had.
      if (day === DAYS.length - 1) {
        for (let user = 0; user < 6; user++) for (let i = 0; i < 14; i++) sell(1_000 + user, "m_ring", "r0", "c0", 0.15)
        for (let i = 0; i < 25; i++) sell(2_000, "m1", "r1", "c1", 0.1)
        for (let i = 0; i < 8; i++) sell(3_000, "m2", "r2", "c2", 0.1, i % 4 !== 0)
        for (let i = 0; i < 30; i++) { first.add(4_000 + i); sell(4_000 + i, "m3", "r_new", "c3", 0.1) }
        for (let i = 0; i < 60; i++) sell(5_000 + i, "m4", "r4", "c_wrong", 0.95)
        for (const user of [0, 1, 2, 3, 4, 5]) planted.set(`user ${1_000 + user}`, "velocity")
        for (const [key, kind] of [["merchant m_ring", "ring"], ["user 2000", "velocity"], ["user 3000", "refund_farming"], ["region r_new", "self_referral"], ["campaign c_wrong", "misconfigured"]] as const) planted.set(key, kind)
      } else {
        for (let i = 0; i < 4 + day % 3; i++) sell(6_000 + Math.floor(chance() * 50), "m_ring", "r0", "c0", 0.1 + chance() * 0.05)
        for (let i = 0; i < 5; i++) sell(7_000 + Math.floor(chance() * 50), "m4", "r_new", "c_wrong", 0.08 + chance() * 0.08)
      }
      days.push(lines)
      firsts.push(first)
    }
    for (const row of await scoreBySql(days, firsts)) {
      const suspect = suspectOf(row), truth = planted.get(`${row.dimension} ${row.key}`)
      if (truth !== undefined) tally(truth).planted += 1
      if (suspect !== undefined) tally(suspect)[suspect === truth ? "hits" : "false"] += 1
    }
  }
  const report = Object.entries(found).map(([kind, { hits, false: wrong, planted }]) => `${kind}: precision ${(hits / Math.max(1, hits + wrong)).toFixed(2)}, recall ${(hits / planted).toFixed(2)} of ${planted}`)
  console.log(report.join("; "))
  const sum = (of: "hits" | "false" | "planted"): number => Object.values(found).reduce((total, each) => total + each[of], 0)
  expect(Object.keys(found).sort()).toEqual(["misconfigured", "refund_farming", "ring", "self_referral", "velocity"])
  expect([sum("hits") / (sum("hits") + sum("false")) >= 0.9, sum("hits") / sum("planted") >= 0.9]).toEqual([true, true])
})
