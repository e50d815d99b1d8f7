// The month's books: every key has the class that the list says, breaks explain the totals, and what is published is what is answered.

import { afterAll, beforeAll, describe, expect, test } from "bun:test"
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { jobCommand } from "../../analytics/job_command.ts"
import { importCommand } from "../../analytics/import_command.ts"
import { reconciliation } from "../../analytics/jobs/reconciliation.ts"
import { JOBS } from "../../analytics/jobs/index.ts"
import { openLake } from "../../analytics/lake.ts"
import { runJob } from "../../analytics/runner.ts"
import { openTables } from "../../analytics/tables.ts"
import { JOB_ASKS } from "../../engine/contract/insights.ts"
import { scratchFolder } from "../support/scratch.ts"
import { openShop, type Shop } from "../support/shop.ts"
import { stack } from "../support/stack.ts"
import { october, openHouse, rowOf, type TestHouse } from "./house.ts"

let shop: Shop
let house: TestHouse
beforeAll(async () => {
  shop = await openShop()
  const database_url = (await stack()).databaseUrl
  const sql = openTables(database_url)
  const base = await openHouse()
  await base.close()
  house = { ...base, sql, database_url, lake: openLake(scratchFolder()), close: () => sql.end({ timeout: 1 }) }
})
afterAll(() => house.close())

let sets = 0
const bring = async (feed: "orders" | "books", text: string, set: string): Promise<number> => {
  const file = join(scratchFolder(), `${sets += 1}.csv`)
  writeFileSync(file, text)
  return importCommand([feed, file, ...(set === "" ? [] : ["--set", set])], "/", house, { say: () => {}, progress: () => {} })
}

type Entry = readonly [source: "budget" | "redemption" | "order", order_id: string, amount: number, at?: string]
const OCTOBER = "2026-10-15T12:00:00Z"
const booksOf = (entries: readonly Entry[]): string =>
  ["source,entry_id,order_id,coupon_id,budget_id,amount_minor,at,state", ...entries.map(([source, order_id, amount, at = OCTOBER], i) => `${source},e${i},${order_id},c-${order_id},b1,${amount},${at},`)].join("\n")

const reconcile = async (entries: readonly Entry[], period = "2026-10", timing_days?: number) => {
  const set = `set${sets += 1}`
  expect(await bring("books", booksOf(entries), set)).toBe(0)
  const ended = await runJob({ ...house, timing_days }, reconciliation, { ...october, period, set })
  expect([ended.state, ended.reason, ended.detail]).toEqual(["published", undefined, undefined])
  const books = (await shop.call("GET", `/v1/reconciliation/${period}?set=${set}`)).body
  const { keys } = (await shop.call("GET", `/v1/reconciliation/${period}/keys?set=${set}`)).body
  return { set, ended, books, keys: keys as any[], classOf: Object.fromEntries(keys.map((key: any) => [key.order_id, key.side ? `${key.class} ${key.side}` : key.class])) }
}

describe("classes", () => {
  test("timing: within so many days as the house has set", async () => {
    const entries: Entry[] = [["budget", "o", 7, "2026-10-31T20:00:00Z"], ["redemption", "o", 7, "2026-10-31T20:00:00Z"], ["order", "o", 7, "2026-11-05T20:00:00Z"]]
    const classes = []
    for (const days of [undefined, 4, 5, 0]) classes.push((await reconcile(entries, "2026-10", days)).classOf["o"])
    expect(classes).toEqual(["missing_in_orders", "missing_in_orders", "timing", "missing_in_orders"])
  })
  test("the first that holds", async () => {
    const { classOf, books, keys } = await reconcile([
      ["budget", "matched", 5], ["redemption", "matched", 5], ["order", "matched", 5],
      ["budget", "timing", 7, "2026-10-31T20:00:00Z"], ["redemption", "timing", 7, "2026-10-31T20:00:00Z"], ["order", "timing", 7, "2026-11-02T20:00:00Z"],
      ["budget", "early", 7, "2026-10-01T01:00:00Z"], ["redemption", "early", 7, "2026-10-01T01:00:00Z"], ["order", "early", 7, "2026-09-29T01:00:00Z"],
      ["budget", "late", 7, "2026-10-31T20:00:00Z"], ["redemption", "late", 7, "2026-10-31T20:00:00Z"], ["order", "late", 7, "2026-11-03T20:00:01Z"],
      ["budget", "other", 7, "2026-10-31T20:00:00Z"], ["redemption", "other", 7, "2026-10-31T20:00:00Z"], ["order", "other", 6, "2026-11-01T20:00:00Z"],
      ["budget", "reversed", 5], ["budget", "reversed", -5], ["redemption", "reversed", 5], ["redemption", "reversed", -5], ["order", "reversed", 5],
      ["budget", "twice", 10], ["redemption", "twice", 5], ["redemption", "twice", 5], ["order", "twice", 5],
      ["order", "orphan", 4],
      ["budget", "budget", 3],
      ["budget", "no_order", 8], ["redemption", "no_order", 8],
      ["redemption", "no_budget", 8], ["order", "no_budget", 8],
      ["budget", "m_budget", 6], ["redemption", "m_budget", 5], ["order", "m_budget", 5],
      ["budget", "m_order", 5], ["redemption", "m_order", 5], ["order", "m_order", 9],
      ["budget", "m_redemption", 5], ["redemption", "m_redemption", 4], ["order", "m_redemption", 5],
      ["budget", "m_all", 3], ["redemption", "m_all", 4], ["order", "m_all", 6],
      ["budget", "gone", 5], ["budget", "gone", -5], ["redemption", "gone", 5], ["redemption", "gone", -5],
    ])
    expect(classOf).toEqual({
      matched: "matched", timing: "timing", early: "timing", late: "missing_in_orders", other: "missing_in_orders", reversed: "reversed_but_order_kept", twice: "duplicate_redemption",
      orphan: "orphan_order_discount", budget: "budget_only", no_order: "missing_in_orders", no_budget: "missing_in_budget", m_budget: "amount_mismatch budget",
      m_order: "amount_mismatch order", m_redemption: "amount_mismatch redemption", m_all: "amount_mismatch all", gone: "matched",
    })
    const of = (order_id: string) => keys.find((key) => key.order_id === order_id)
    expect(of("timing")).toEqual({ order_id: "timing", coupon_id: "c-timing", budget_id: "b1", class: "timing", budget_minor: 7, redeemed_minor: 7, ordered_minor: 0, break_minor: 0, carried_minor: 7, age_days: 0, party: null })
    expect(of("m_all")).toMatchObject({ break_minor: 2 })
    expect(of("twice")).toMatchObject({ break_minor: 5, age_days: 16 })
    expect(books.totals).toEqual({ budget_minor: 73, redeemed_minor: 77, ordered_minor: 52, breaks: 12, break_minor: 55, carried_minor: 14 })
    expect(books.classes.find((each: any) => each.class === "missing_in_orders")).toEqual({ class: "missing_in_orders", keys: 3, break_minor: 22 })
  })
  test("totals that agree prove nothing: broken keys are shown", async () => {
    const { books, classOf } = await reconcile([
      ["budget", "a", 10], ["redemption", "a", 10], ["order", "a", 12], ["budget", "b", 10], ["redemption", "b", 10], ["order", "b", 8],
    ])
    const { budget_minor, redeemed_minor, ordered_minor, breaks, break_minor } = books.totals
    expect([budget_minor, redeemed_minor, ordered_minor, breaks, break_minor]).toEqual([20, 20, 20, 2, 4])
    expect(classOf).toEqual({ a: "amount_mismatch order", b: "amount_mismatch order" })
  })
  test("random books: class, break and totals are those of a judge that is written from the list alone", async () => {
    let seed = 7
    const chance = (most: number): number => { seed = (seed * 1_103_515_245 + 12_345) % 2 ** 31; return seed % most }
    const entries: Entry[] = []
    for (let i = 0; i < 3_000; i += 1) {
      const at = ["2026-09-30T12:00:00Z", "2026-10-01T00:00:00Z", OCTOBER, "2026-10-31T23:59:59Z", "2026-11-01T00:00:00Z"][chance(5)]!
      entries.push([(["budget", "redemption", "order"] as const)[chance(3)]!, `o${chance(900)}`, (chance(5) - 1) * 5 || 5, at])
    }
    const { books, keys } = await reconcile(entries)
    const opens = Date.parse("2026-10-01T00:00:00Z"), closes = Date.parse("2026-11-01T00:00:00Z"), near = 3 * 86_400_000
    const expected: Record<string, unknown> = {}
    for (const order_id of new Set(entries.map(([, id]) => id))) {
      const all = entries.filter(([, id]) => id === order_id).map(([source, , amount, at]) => ({ source, amount, at: Date.parse(at!) }))
      const now = all.filter(({ at }) => at >= opens && at < closes)
      if (now.length === 0) continue
      const sum = (source: string, among = now) => among.filter((each) => each.source === source).reduce((total, { amount }) => total + amount, 0)
      const b = sum("budget"), r = sum("redemption"), o = sum("order"), redemptions = now.filter(({ source }) => source === "redemption")
      const at = Math.max(...redemptions.map((each) => each.at))
      const around = all.filter((each) => each.source === "order" && Math.abs(each.at - at) <= near)
      const isTiming = b === r && r !== 0 && o === 0 && (sum("order", around.filter((each) => each.at < opens)) === r || sum("order", around.filter((each) => each.at >= closes)) === r)
      const name = isTiming ? "timing"
        : redemptions.some(({ amount }) => amount < 0) && r === 0 && o > 0 ? "reversed_but_order_kept"
        : redemptions.filter(({ amount }) => amount > 0).length >= 2 && r > o ? "duplicate_redemption"
        : o !== 0 && b === 0 && r === 0 ? "orphan_order_discount" : b !== 0 && r === 0 && o === 0 ? "budget_only" : r !== 0 && o === 0 ? "missing_in_orders"
        : r !== 0 && b === 0 ? "missing_in_budget" : b !== r || r !== o ? "amount_mismatch" : "matched"
      expected[order_id] = { class: name, break_minor: name === "matched" || name === "timing" ? 0 : Math.max(Math.abs(b - r), Math.abs(r - o)), b, r, o }
    }
    const page = (await shop.call("GET", `/v1/reconciliation/2026-10/keys?set=${`set${sets - 1}`}&limit=1000`)).body
    expect(page.next).toBeNull()
    expect(Object.fromEntries(page.keys.map((key: any) => [key.order_id, { class: key.class, break_minor: key.break_minor, b: key.budget_minor, r: key.redeemed_minor, o: key.ordered_minor }]))).toEqual(expected)
    expect(new Set(page.keys.map((key: any) => key.class)).size).toBeGreaterThan(7)
    const broken = Object.values(expected).filter((each: any) => each.class !== "matched" && each.class !== "timing") as any[]
    expect(books.totals).toMatchObject({ breaks: broken.length, break_minor: broken.reduce((sum, each) => sum + each.break_minor, 0) })
    expect(keys.length).toBe(100)
  })
})

describe("over HTTP", () => {
  test("found: pages of keys by class, each once and in their order", async () => {
    const { set } = await reconcile(Array.from({ length: 25 }, (_, i): Entry => ["order", `o${i}`, 1 + i]))
    const seen: string[] = []
    let cursor = ""
    do {
      const { body } = await shop.call("GET", `/v1/reconciliation/2026-10/keys?set=${set}&class=orphan_order_discount&limit=10${cursor === "" ? "" : `&cursor=${cursor}`}`)
      seen.push(...body.keys.map((key: any) => key.order_id))
      cursor = body.next ?? ""
    } while (cursor !== "")
    expect(seen).toEqual(Array.from({ length: 25 }, (_, i) => `o${i}`).sort())
    expect((await shop.call("GET", `/v1/reconciliation/2026-10/keys?set=${set}&class=matched`)).body.keys).toEqual([])
    for (const wrong of ["xx", Buffer.from(JSON.stringify(["\0", "", "", ""])).toString("base64url")]) {
      expect((await shop.call("GET", `/v1/reconciliation/2026-10/keys?set=${set}&cursor=${wrong}`)).body).toMatchObject({ code: "request_invalid", field: "cursor" })
    }
    expect((await shop.call("GET", `/v1/reconciliation/2026-10/keys?set=${set}&class=none`)).body).toMatchObject({ code: "request_invalid", field: "class" })
  })
  test("run_unknown: a month, a set or a run that nobody has published", async () => {
    for (const path of ["/v1/reconciliation/2001-01", "/v1/reconciliation/2026-10?set=nobody", "/v1/reconciliation/2026-10/keys?set=nobody", "/v1/runs/nobody", "/v1/runs/nobody/diff"]) {
      expect((await shop.call("GET", path)).body).toMatchObject({ code: "run_unknown", status: 404 })
    }
    for (const act of ["publish", "rollback"]) expect((await shop.call("POST", `/v1/runs/nobody/${act}`, {})).body.code).toBe("run_unknown")
  })
  test("accepted: a run is asked for, carried out under its id, and shown", async () => {
    const set = `asked${sets += 1}`
    await bring("books", booksOf([["order", "o", 1]]), set)
    const { status, body } = await shop.call("POST", "/v1/runs", { job: "reconciliation", period: "2026-10", set })
    expect([status, Object.keys(body)]).toEqual([202, ["run_id"]])
    expect((await shop.call("GET", `/v1/runs/${body.run_id}`)).body).toMatchObject({ state: "requested", job: "reconciliation", set, revision: null, outputs: [] })
    await runJob(house, reconciliation, { ...october, set, run_id: body.run_id })
    const run = (await shop.call("GET", `/v1/runs/${body.run_id}`)).body
    expect(run).toMatchObject({ state: "published", revision: 1, outputs: [{ name: "keys", rows: 1 }, { name: "allocation", rows: 0 }] })
    expect(run.outputs[0].uri).toStartWith("file:///")
    expect((await shop.call("GET", `/v1/runs?job=reconciliation&period=2026-10&set=${set}`)).body.items.map((each: any) => each.run_id)).toEqual([body.run_id])
    const again = (await shop.call("POST", "/v1/runs", { job: "reconciliation", period: "2026-10", set })).body.run_id
    await runJob(house, reconciliation, { ...october, set, run_id: again })
    expect((await shop.call("GET", `/v1/runs/${again}`)).body).toMatchObject({ state: "already_published", same_as: body.run_id, outputs: run.outputs })
    expect((await shop.call("POST", "/v1/runs", { job: "nothing", period: "2026-10" })).body).toMatchObject({ code: "request_invalid", field: "job" })
  })
  test("request_invalid: each job has its periods, and only books have sets, over HTTP as in the command", async () => {
    expect(Object.fromEntries(JOBS.map(({ name, period, has_sets = false }) => [name, { period, has_sets }]))).toEqual(JOB_ASKS)
    for (const [field, ask] of [
      ["period", { job: "reconciliation", period: "2026-10-05" }], ["period", { job: "risk", period: "2026-10" }], ["period", { job: "badges", period: "2026-10-05" }], ["set", { job: "badges", period: "2026-10", set: "x" }],
    ] as const) {
      expect([field, (await shop.call("POST", "/v1/runs", ask)).body]).toMatchObject([field, { code: "request_invalid", field }])
    }
    const said: string[] = []
    expect(await jobCommand({ words: ["badges", "--period", "2026-10", "--set", "x", "--first"], house, settings: house as never, signal: house.signal }, JOBS, { say: (line) => said.push(line), progress: () => {} })).toBe(1)
    expect(JSON.parse(said.at(-1)!)).toMatchObject({ reason: "request_invalid", detail: "--set is of reconciliation and reports: badges has no sets." })
  })
  test("run_without_earlier: the first run has none to go back to", async () => {
    const { ended } = await reconcile([["order", "o", 1]])
    expect((await shop.call("POST", `/v1/runs/${ended.run_id}/rollback`, {})).body.code).toBe("run_without_earlier")
    expect((await shop.call("GET", `/v1/runs/${ended.run_id}`)).body.state).toBe("published")
  })
  test("run_not_published: rollback points back at the earlier run, and publish forward again", async () => {
    const first = await reconcile([["order", "o", 1]])
    await bring("books", booksOf([["order", "o", 1], ["order", "p", 2]]).replace(/,e(?=[0-9])/g, ",f"), first.set)
    const second = await runJob(house, reconciliation, { ...october, set: first.set })
    const path = `/v1/reconciliation/2026-10?set=${first.set}`
    expect((await shop.call("GET", path)).body).toMatchObject({ run_id: second.run_id, revision: 2 })
    expect((await shop.call("GET", `/v1/runs/${second.run_id}/diff`)).body).toMatchObject({ against: first.ended.run_id, outputs: [{ name: "keys", added: 1, removed: 0, changed: 1, is_same: false }, { name: "allocation", is_same: true }] })
    expect((await shop.call("POST", `/v1/runs/${second.run_id}/rollback`, {})).body).toMatchObject({ run_id: first.ended.run_id, state: "published" })
    expect((await shop.call("GET", path)).body).toMatchObject({ run_id: first.ended.run_id, revision: 1 })
    expect((await shop.call("POST", `/v1/runs/${second.run_id}/rollback`, {})).body.code).toBe("run_not_published")
    expect((await shop.call("POST", `/v1/runs/${first.ended.run_id}/rollback`, {})).body.code).toBe("run_without_earlier")
    expect((await shop.call("POST", `/v1/runs/${second.run_id}/publish`, {})).body.run_id).toBe(second.run_id)
    expect((await shop.call("GET", path)).body.revision).toBe(2)
  })
  test("run_not_publishable: a dry run stays one", async () => {
    const set = `dry${sets += 1}`
    await bring("books", booksOf([["order", "o", 1]]), set)
    const dry = await runJob(house, reconciliation, { ...october, set, is_dry: true })
    expect((await shop.call("POST", `/v1/runs/${dry.run_id}/publish`, {})).body.code).toBe("run_not_publishable")
    expect((await shop.call("GET", `/v1/reconciliation/2026-10?set=${set}`)).body.code).toBe("run_unknown")
  })
  test("scope_missing: what is held for a sign-off needs `approve`", async () => {
    const { ended } = await reconcile([["order", "o", 1]])
    await house.sql`update runs set state = 'held' where run_id = ${ended.run_id}`
    const { key } = (await shop.call("POST", "/v1/keys", { name: "clerk", scopes: ["operate"], lines: ["*"] })).body
    expect((await shop.call("POST", `/v1/runs/${ended.run_id}/publish`, {}, { key })).body.code).toBe("scope_missing")
    expect((await shop.call("POST", `/v1/runs/${ended.run_id}/publish`, {})).status).toBe(200)
  })
})

test("keys that Postgres does not take fail the run, and nothing is published", async () => {
  const set = `set${sets += 1}`
  expect(await bring("books", booksOf([["budget", "kept", 5], ["budget", "refused", 5]]), set)).toBe(0)
  await house.sql`alter table reconciliation_keys add constraint none_is_refused check (order_id <> 'refused') not valid`
  try {
    const ended = await runJob(house, reconciliation, { ...october, period: "2026-10", set })
    // Whether Postgres' own sentence is heard depends on which comes first, it or the stream's end.
    expect([ended.state, ended.reason, ended.detail]).toEqual(["failed", "keys_not_staged", expect.stringMatching(/^Postgres has taken 0 of 2 keys(: .*none_is_refused.*)?$/)])
  } finally {
    await house.sql`alter table reconciliation_keys drop constraint none_is_refused`
  }
  expect((await runJob(house, reconciliation, { ...october, period: "2026-10", set })).state).toBe("published")
  expect((await shop.call("GET", `/v1/reconciliation/2026-10/keys?set=${set}`)).body.keys.length).toBe(2)
})

test("set_unknown: a set of which nothing was imported is named, and nothing is published", async () => {
  expect(await runJob(house, reconciliation, { ...october, set: "nosuch" })).toMatchObject({ state: "failed", reason: "set_unknown", detail: "Nothing was imported as the set nosuch: npm run import -- books FILE --set nosuch" })
})

test("a set's budgets and lines share what was redeemed, and every check is kept with the run", async () => {
  const { books, ended } = await reconcile([["budget", "a", 10], ["redemption", "a", 10], ["order", "a", 10]])
  expect(books.controls).toEqual([{ budget_id: "b1", opening_minor: 0, added_minor: 0, transferred_minor: 0, held_minor: 0, spent_minor: 10, released_minor: 0, closing_minor: -10 }])
  expect(books.allocation).toEqual([{ dimension: "budget", key: "b1", amount_minor: 10 }, { dimension: "line", key: "", amount_minor: 10 }])
  const { checks } = await rowOf(house.sql, ended.run_id) as { checks: { left: string; right: string }[] }
  expect(checks.length).toBeGreaterThan(5)
  expect(checks.filter(({ left, right }) => left !== right)).toEqual([])
})
