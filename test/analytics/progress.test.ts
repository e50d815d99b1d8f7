// How far a job is: what a terminal shows, and nothing elsewhere.

import { afterAll, beforeAll, describe, expect, test } from "bun:test"
import { progressOn } from "../../analytics/progress.ts"
import { runJob } from "../../analytics/runner.ts"
import { doubling, october, openHouse, type TestHouse } from "./house.ts"

let house: TestHouse
beforeAll(async () => { house = await openHouse() })
afterAll(() => house.close())

describe("progress", () => {
  const written = (isTTY: boolean, say: (progress: ReturnType<typeof progressOn>) => void): string => {
    let text = ""
    say(progressOn({ isTTY, write: (more: string | Uint8Array) => { text += String(more); return true } }))
    return text
  }
  test("a terminal has one line with a bar where a part is known; nothing else has anything", () => {
    expect(written(true, (progress) => { progress("computing"); progress("writing", 0.5); progress("writing", 1) }))
      .toBe(`\r\x1b[Kcomputing\r\x1b[Kwriting [${"=".repeat(12)}${" ".repeat(12)}] 50 %\r\x1b[Kwriting [${"=".repeat(24)}] 100 %`)
    expect(written(false, (progress) => progress("computing", 0.5))).toBe("")
  })
  test("a step that does not know how far it is has the part of DuckDB's statement", async () => {
    const told: [string, number | undefined][] = []
    const job = doubling({
      name: "long", run: async ({ duck, write }) => {
        await duck.run("create table long as select md5(i::varchar) as m from range(4000000) r(i); select m, count(*) from long group by m order by m")
        await write({ name: "long", select: "select 1 as one", key: ["one"] })
        return { checks: [], answer: {}, report: "" }
      },
    })
    expect(await runJob({ ...house, memory_mb: 1_024, threads: 1, progress: (step, part) => { told.push([step, part]) } }, job, october)).toMatchObject({ state: "published" })
    const parts = told.flatMap(([step, part]) => step === "computing" && part !== undefined ? [part] : [])
    expect(parts.length).toBeGreaterThan(0)
    for (const part of parts) expect(part > 0 && part <= 1).toBe(true)
    expect(told.map(([step]) => step)).toEqual(expect.arrayContaining(["computing", "writing long", "what follows"]))
  })
})
