/** The bench does what it was asked, or says every word that it does not know. */
import { describe, expect, test } from "bun:test"
import { readOptions, SCENARIOS, USAGE } from "../../bench/options.ts"

const optionsOf = (...words: string[]) => {
  const read = readOptions(words)
  if ("mistakes" in read) throw new Error(read.mistakes.join(" "))
  return read.options
}
const mistakesOf = (...words: string[]) => {
  const read = readOptions(words)
  return "mistakes" in read ? read.mistakes : undefined
}

describe("the bench's command line", () => {
  test("nothing asked is the whole, and a name is that alone", () => {
    expect(SCENARIOS.filter(optionsOf().has)).toEqual(["acts", "postgres", "mixed", "flash", "redis_cpu", "pricing", "past", "million", "leases"])
    expect(SCENARIOS.filter(optionsOf("--only", "overload,acts", "--only=beside").has)).toEqual(["acts", "overload", "beside"])
  })

  test("sizes are as told, else as large as the whole or the quick one is", () => {
    expect(optionsOf("--seconds", "60", "--minutes=0.2", "--holders", "7").sizes).toMatchObject({ overload_s: 60, away_minutes: 0.2, holders: 7, coupons: 1_000_000 })
    expect(optionsOf("--quick").sizes).toMatchObject({ coupons: 10_000, overload_s: 10 })
    expect(optionsOf("--quick", "--coupons", "5").sizes).toMatchObject({ coupons: 5, cluster: { coupons: 5 } })
  })

  test("what it does not know is named, all at once", () => {
    expect(mistakesOf("overload")).toEqual([`"overload" is no option; a scenario is named behind --only.`])
    expect(mistakesOf("--only", "nix,acts", "--seconds", "x", "--coupons", "-3", "--what")?.map((each) => each.split(" ").slice(0, 2).join(" "))).toEqual(["--what is", "--only does", "--coupons is", "--seconds is"])
    expect(mistakesOf("--seconds")).toEqual(["--seconds needs a value."])
    expect(mistakesOf("--json=yes")).toEqual(["--json takes no value."])
    for (const bad of ["0", "1e3", "NaN", "3601", "1.5", ""]) expect(mistakesOf("--seconds", bad)?.[0]).toContain("--seconds ")
  })

  test("help is no mistake, and names every scenario", () => {
    expect(mistakesOf("--help")).toEqual([])
    for (const scenario of SCENARIOS) expect(USAGE).toContain(scenario)
  })
})
