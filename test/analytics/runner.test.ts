// The runner: one identity one run, one lease one host, one pointer one answer; and a crash that changes nothing.

import { afterAll, beforeAll, describe, expect, test } from "bun:test"
import { join } from "node:path"
import { readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import type { Job } from "../../analytics/job.ts"
import { movePointer, publishedRun, runAfter, runJob, runRow } from "../../analytics/runner.ts"
import { doubling, october, openHouse, putNumbers, rowOf, type TestHouse } from "./house.ts"

let house: TestHouse
beforeAll(async () => { house = await openHouse() })
afterAll(() => house.close())

/** Too little for one value of two million texts, which no disk helps. */
const SMALL_MB = 16

/** Each test has a job of its own name, so that no test sees another's runs. */
let jobs = 0
const fresh = (changed: Partial<Job> = {}, ran = {}): Job => doubling({ name: `job_${jobs += 1}`, ...changed }, ran)

describe("published", () => {
  test("published: outputs, checks, hashes and the sentence are kept with the run", async () => {
    await putNumbers(house.lake, "2026-10", 1000)
    const ended = await runJob(house, fresh(), october)
    expect(ended).toMatchObject({ period: "2026-10", revision: 1, state: "published", outputs: [{ name: "doubled", rows: 1000 }] })
    expect(ended.outputs[0]!.uri).toStartWith("file:///")
    const row = await rowOf(house.sql, ended.run_id)
    expect(row).toMatchObject({ state: "published", checks: [{ name: "twice", left: "999000", right: "999000" }], answer: { total: 499500 }, report: "499500 was doubled.", rules: { factor: 2 }, diff: null })
    for (const hash of ["identity", "code_sha256", "rules_sha256", "inputs_sha256"]) expect(row[hash]).toMatch(/^[0-9a-f]{64}$/)
  })
  test("already_published: the same again is the finished run, and nothing is computed", async () => {
    let computed = 0
    const base = fresh()
    const job = { ...base, run: async (work: Parameters<Job["run"]>[0]) => { computed += 1; return base.run(work) } }
    const first = await runJob(house, job, october)
    const second = await runJob(house, job, october)
    expect(second).toEqual({ ...first, state: "already_published" })
    expect(computed).toBe(1)
    expect((await house.sql`select run_id from runs where job = ${job.name}`).length).toBe(1)
  })
  test("already_published: a finished run whose file is gone writes it again, the same bytes", async () => {
    const job = fresh()
    const first = await runJob(house, job, october)
    const file = fileURLToPath(first.outputs[0]!.uri), before = readFileSync(file)
    rmSync(file)
    expect(await runJob(house, job, october)).toEqual({ ...first, state: "already_published" })
    expect(readFileSync(file).equals(before)).toBe(true)
    expect((await house.sql`select run_id from runs where job = ${job.name}`).length).toBe(1)
  })
  test("lake_fault: a landed file with one bit that has turned is named, and nothing is computed of it", async () => {
    await putNumbers(house.lake, "2026-10", 500, 7)
    const job = fresh()
    const { files } = (await job.inputs({ lake: house.lake, period: { period: "2026-10" } } as never)).inputs["numbers"]!
    const file = house.lake.place(files[0]!), bytes = readFileSync(file), turned = Buffer.from(bytes)
    turned[Math.floor(turned.length / 2)]! ^= 4
    writeFileSync(file, turned)
    expect(await runJob(house, job, october)).toMatchObject({ state: "failed", reason: "lake_fault", detail: expect.stringContaining(`${files[0]!.path} is not what was written`) })
    writeFileSync(file, bytes)
    expect(await runJob(house, job, october)).toMatchObject({ state: "published" })
  })
  test("lake_fault: a part that has landed and is not there any more is named, where the job reads its days", async () => {
    await putNumbers(house.lake, "2026-10", 10)
    const reading = (month: string) => fresh({ reads: async () => ({ days: [{ dataset: "numbers", from: `${month}-01`, to: `${month}-28` }] }) })
    await house.sql`insert into lake_parts (dataset, part, sha256, days, landed_ms) values ('numbers', 'lost', '', '{2026-10-05}', 1)`
    expect(await runJob(house, reading("2026-10"), october)).toMatchObject({ state: "failed", reason: "lake_fault", detail: expect.stringContaining("numbers/lost has landed and is not in the lake") })
    expect(await runJob(house, reading("2026-09"), october)).toMatchObject({ state: "published" })
    await house.sql`delete from lake_parts where part = 'lost'`
  })
  test("published: another input is a revision, with what differs in rows; the earlier run is superseded", async () => {
    const job = fresh()
    await putNumbers(house.lake, "2026-10", 1000)
    const first = await runJob(house, job, october)
    await putNumbers(house.lake, "2026-10", 1200, 3)
    const second = await runJob(house, job, october)
    expect(second).toMatchObject({ revision: 2, state: "published" })
    expect((await rowOf(house.sql, second.run_id))["diff"]).toEqual({
      against: first.run_id, outputs: [{ name: "doubled", rows: 1200, rows_against: 1000, added: 200, removed: 0, changed: 999 }],
    })
    expect((await runRow(house.sql, first.run_id))?.state).toBe("superseded")

    await putNumbers(house.lake, "2026-10", 1000)
    expect(await runJob(house, job, october)).toMatchObject({ run_id: first.run_id, revision: 1, state: "published" })
    expect((await publishedRun(house.sql, job.name, "2026-10", ""))?.run_id).toBe(first.run_id)
  })
  test("published: other code and other rules are other runs", async () => {
    const job = fresh()
    const first = await runJob(house, job, october)
    const ruled = { ...job, inputs: async (parts: Parameters<Job["inputs"]>[0]) => ({ ...await job.inputs(parts), rules: { factor: 2, note: "new" } }) }
    expect(await runJob(house, ruled, october)).toMatchObject({ revision: 2 })
    const coded = { ...job, sources: [...job.sources, join(import.meta.dir, "runner.test.ts")] }
    const third = await runJob(house, coded, october)
    expect(third.revision).toBe(3)
    expect(third.outputs[0]!.sha256).toBe(first.outputs[0]!.sha256)
  })
  test("published: a month without data is a run of no rows", async () => {
    const ended = await runJob(house, fresh(), { ...october, period: "2026-02" })
    expect(ended).toMatchObject({ state: "published", outputs: [{ rows: 0 }] })
  })
  test("published: sets are apart", async () => {
    const job = fresh()
    const ours = await runJob(house, job, october)
    const theirs = await runJob(house, job, { ...october, set: "partner" })
    expect(theirs).toMatchObject({ state: "published", revision: 1 })
    expect(theirs.run_id).not.toBe(ours.run_id)
  })
})

describe("held", () => {
  test("held: a dry run is finished and never published", async () => {
    const job = fresh()
    const dry = await runJob(house, job, { ...october, is_dry: true })
    expect(dry).toMatchObject({ state: "held", reason: "dry_run", revision: 1, outputs: [{ name: "doubled" }] })
    expect(await movePointer(house, [job], "publish", dry.run_id)).toMatchObject({ word: "run_not_publishable" })
    expect(await runJob(house, job, october)).toMatchObject({ state: "published", revision: 1 })
  })
  test("held: a run that wants a person waits for him; asked again it is the same run", async () => {
    const job = fresh({}, { hold: "change_rate" })
    const held = await runJob(house, job, october)
    expect(held).toMatchObject({ state: "held", reason: "change_rate" })
    expect(await publishedRun(house.sql, job.name, "2026-10", "")).toBeUndefined()
    expect(await runJob(house, job, october)).toEqual(held)
    expect(await movePointer(house, [job], "publish", held.run_id)).toMatchObject({ run_id: held.run_id, state: "published" })
    expect((await publishedRun(house.sql, job.name, "2026-10", ""))?.run_id).toBe(held.run_id)
  })
})

describe("failed", () => {
  test("failed: a check that does not agree is named, and what was published stays", async () => {
    const good = fresh()
    const first = await runJob(house, good, october)
    const bad = { ...good, sources: [...good.sources, join(import.meta.dir, "runner.test.ts")], run: async (work: Parameters<Job["run"]>[0]) => ({ ...await good.run(work), checks: [{ name: "Σ", left: "1", right: "2" }] }) }
    expect(await runJob(house, bad, october)).toMatchObject({ state: "failed", reason: "check_failed", detail: "Σ: 1 is not 2" })
    expect((await publishedRun(house.sql, good.name, "2026-10", ""))?.run_id).toBe(first.run_id)
  })
  test("failed: a run over its memory fails by name", async () => {
    const job = fresh({ run: async ({ duck }) => { await duck.run("select list(md5(i::varchar)) as one from range(2000000) t(i)"); throw new Error("it fitted") } })
    expect(await runJob({ ...house, memory_mb: SMALL_MB }, job, october)).toMatchObject({ state: "failed", reason: "over_limit" })
    expect(readdirSync(join(house.lake.root, ".tmp"))).toEqual([])
  })
  test("failed: a run over its time fails by name", async () => {
    const job = fresh({ timeout_s: 1, run: async ({ duck }) => { await duck.run("create table big as select count(*) from range(100000000) a(i), range(1000) b(j)"); throw new Error("it was quick") } })
    expect(await runJob(house, job, october)).toMatchObject({ state: "failed", reason: "run_timeout" })
  })
  test("failed: a manifest that names a missing file", async () => {
    const own = await openHouse()
    await putNumbers(own.lake, "2026-10", 10)
    rmSync(own.lake.place(own.lake.part("numbers", "2026-10")!.files[0]!))
    expect(await runJob(own, fresh(), october)).toMatchObject({ state: "failed", reason: "lake_fault" })
    await own.close()
  })
  test("failed: what inputs say is missing is the reason", async () => {
    const job = fresh({ inputs: async () => ({ inputs: {}, rules: null, missing: { reason: "previous_period_missing", detail: "September is not published." } }) })
    expect(await runJob(house, job, october)).toMatchObject({ state: "failed", reason: "previous_period_missing" })
  })
})

describe("one host at a time", () => {
  test("two hosts at one period: one computes, the other waits and finds it done", async () => {
    let computing = 0, computed = 0
    const base = fresh()
    const job = { ...base, run: async (work: Parameters<Job["run"]>[0]) => {
      expect(computing += 1).toBe(1)
      await Bun.sleep(100)
      const ran = await base.run(work)
      computing -= 1
      computed += 1
      return ran
    } }
    const ended = await Promise.all([runJob(house, job, october), runJob(house, job, october), runJob(house, job, october)])
    expect(computed).toBe(1)
    expect(ended.map(({ state }) => state).sort()).toEqual(["already_published", "already_published", "published"])
    expect(new Set(ended.map(({ run_id }) => run_id)).size).toBe(1)
  })
  test("lease_lost: who was away too long does not say that his run is ready", async () => {
    const base = fresh()
    const job = { ...base, run: async (work: Parameters<Job["run"]>[0]) => {
      await house.sql`update run_periods set lease_owner = 'another' where job = ${base.name}`
      return base.run(work)
    } }
    expect(await runJob(house, job, october)).toMatchObject({ state: "failed", reason: "lease_lost" })
    expect(await publishedRun(house.sql, base.name, "2026-10", "")).toBeUndefined()
  })
  test("a run that died is adopted once its lease has run out, under its id", async () => {
    const job = fresh()
    await house.sql`insert into runs (run_id, job, period, state, requested_ms) values (${`dead_${job.name}`}, ${job.name}, '2026-10', 'running', 1)`
    await house.sql`insert into run_periods (job, period, set_name, lease_owner, lease_until_ms) values (${job.name}, '2026-10', '', 'dead', 1)`
    expect(await runJob(house, job, october)).toMatchObject({ run_id: `dead_${job.name}`, state: "published" })
  })
})

describe("one pointer", () => {
  test("rollback: the earlier run is published again, and forward once more", async () => {
    const job = fresh()
    await putNumbers(house.lake, "2026-10", 10)
    const first = await runJob(house, job, october)
    await putNumbers(house.lake, "2026-10", 20)
    const second = await runJob(house, job, october)
    expect(await movePointer(house, [job], "rollback", second.run_id)).toMatchObject({ run_id: first.run_id, state: "published", revision: 1 })
    expect(await movePointer(house, [job], "rollback", second.run_id)).toMatchObject({ word: "run_not_published" })
    expect(await movePointer(house, [job], "rollback", first.run_id)).toMatchObject({ word: "run_without_earlier" })
    expect(await movePointer(house, [job], "publish", second.run_id)).toMatchObject({ run_id: second.run_id, state: "published" })
    expect(await movePointer(house, [job], "publish", second.run_id)).toMatchObject({ run_id: second.run_id, state: "already_published" })
    expect(await movePointer(house, [job], "rollback", second.run_id)).toMatchObject({ run_id: first.run_id })
    expect(await movePointer(house, [job], "publish", "nobody")).toMatchObject({ word: "run_unknown" })
  })
  test("what follows breaks: the run is published all the same, and the answer says so and why", async () => {
    let isAway = false
    const job = fresh({ after: async () => { if (isAway) throw new Error("the engine is away") } })
    await putNumbers(house.lake, "2026-10", 10)
    const first = await runJob(house, job, october)
    await putNumbers(house.lake, "2026-10", 20)
    isAway = true
    const second = await runJob(house, job, october)
    expect(second).toMatchObject({ state: "published", revision: 2, reason: "fault", detail: "the engine is away" })
    expect(await movePointer(house, [job], "rollback", second.run_id)).toMatchObject({ run_id: first.run_id, state: "published", reason: "fault", detail: "the engine is away" })
    expect((await runRow(house.sql, first.run_id))?.state).toBe("published")
  })
  test("two publishes at once: both end, one run is published", async () => {
    const job = fresh({}, { hold: "look" })
    await putNumbers(house.lake, "2026-10", 10)
    const first = await runJob(house, job, october)
    await putNumbers(house.lake, "2026-10", 20)
    const second = await runJob(house, job, october)
    await Promise.all([first, second].map(({ run_id }) => movePointer(house, [job], "publish", run_id)))
    const rows = await house.sql<{ run_id: string }[]>`select run_id from runs where job = ${job.name} and state = 'published'`
    expect(rows.map(({ run_id }) => run_id)).toEqual([(await publishedRun(house.sql, job.name, "2026-10", ""))!.run_id])
  })
  test("period_closed: a closed period is never published anew", async () => {
    const job = fresh()
    await putNumbers(house.lake, "2026-10", 10)
    await runJob(house, job, october)
    await house.sql`update run_periods set closed_ms = 1 where job = ${job.name}`
    await putNumbers(house.lake, "2026-10", 30)
    expect(await runJob(house, job, october)).toMatchObject({ state: "failed", reason: "period_closed" })
  })
  test("after: what follows from publishing is owed until it has come to its end", async () => {
    let tries = 0
    const job = fresh({ after: async () => { if ((tries += 1) === 1) throw new Error("the API is away") } })
    const ended = await runJob(house, job, october)
    expect(ended.state).toBe("published")
    const owed = async () => (await rowOf(house.sql, ended.run_id))["after_ms"]
    expect(await owed()).toBeNull()
    await runAfter(house, job, (await runRow(house.sql, ended.run_id))!)
    expect(await owed()).not.toBeNull()
    expect(tries).toBe(2)
  })
})
