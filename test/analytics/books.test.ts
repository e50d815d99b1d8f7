// Our own books, from a real engine's journal to the published month: what was spent, what was redeemed, what an order feed says of it, and
// the month's close.

import { afterAll, beforeAll, expect, test } from "bun:test"
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { EVENTS, extractEvents } from "../../analytics/extract.ts"
import { importCommand } from "../../analytics/import_command.ts"
import { extract } from "../../analytics/jobs/extract.ts"
import { reconciliation } from "../../analytics/jobs/reconciliation.ts"
import { openDuck } from "../../analytics/duck.ts"
import { openLake } from "../../analytics/lake.ts"
import type { JobParts } from "../../analytics/job.ts"
import { type House, runJob } from "../../analytics/runner.ts"
import { openTables } from "../../analytics/tables.ts"
import { makeLog } from "../../engine/log.ts"
import { carryBehind } from "../../engine/operate/carry.ts"
import { closeBehind } from "../../engine/operate/close_behind.ts"
import { scratchFolder } from "../support/scratch.ts"
import { NOON, openShop, type Shop } from "../support/shop.ts"
import { until } from "../support/run_engine.ts"
import { stack } from "../support/stack.ts"

const JUNE = { period: "2026-06", set: "", is_dry: false, is_first: false, options: {} } as const
const HOUR_MS = 3_600_000
const JULY = Date.UTC(2026, 6, 1)

let shop: Shop
let house: House
/** June's budgets as they were before June was closed. */
let unspent: any[] = [] // eslint-disable-line -- answers of whatever shape
beforeAll(async () => {
  shop = await openShop({ own: true })
  const url = new URL((await stack()).databaseUrl)
  url.pathname = `/${shop.parts.postgres.sql.options.database}`
  house = { sql: openTables(url.href), lake: openLake(scratchFolder()), time_zone: "UTC", memory_mb: 512, threads: 2, api: undefined, signal: new AbortController().signal, progress: () => {} }
})
afterAll(async () => { await house.sql.end({ timeout: 1 }); await shop.close() })

const good = async (method: string, path: string, body?: unknown, now_ms?: number) => {
  const answer = await shop.call(method, path, body, now_ms === undefined ? {} : { now_ms })
  if (answer.status >= 300) throw new Error(`${method} ${path}: ${JSON.stringify(answer.body)}`)
  return answer.body
}
/** All that was decided is in Postgres: a list waits for that. */
const flushed = async () => { await good("GET", "/v1/budgets/own-2026-06/entries") }

const line = (line_id: string, merchant_id: string, unit_price_minor: number, quantity = 1) => ({ line_id, sku: `sku-${line_id}`, merchant_id, unit_price_minor, quantity })

test("the month: ledger, redemptions and order feed by key, to the cent, with refunds, two payers and two merchants", async () => {
  for (const [budget_id, party] of [["own-2026-06", "retail"], ["brand-2026-06", "acme"]] as const) {
    await good("PUT", `/v1/budgets/${budget_id}`, { line: "retail", month: "2026-06", currency: "CNY", limit_minor: 100_000, party, ...(budget_id === "own-2026-06" ? { unspent: { carry_to: "own-{month}" } } : {}) })
  }
  await good("POST", "/v1/budgets/own-2026-06/additions", { addition_id: "more", amount_minor: 5_000 })
  await good("PUT", "/v1/campaigns/june", {
    line: "retail", name: "June", currency: "CNY", kind: "amount_off", terms: { amount_minor: 1_001 }, threshold_minor: 1, starts_at: new Date(NOON - HOUR_MS).toISOString(), ends_at: "2026-07-20T00:00:00Z",
    stock: 1_000, per_user: 10, hold_at: "reserve", funding: [{ budget_id: "own-{month}", share_bp: 5_000 }, { budget_id: "brand-{month}", share_bp: 5_000 }], on_refund: "keep",
  })
  await good("POST", "/v1/campaigns/june/activate", {})
  const buy = async (order_id: string, lines: object[]) => {
    const { coupon_id } = await good("POST", "/v1/coupons", { request_id: order_id, campaign_id: "june", user_id: "ann" })
    const { redemption_id } = await good("POST", "/v1/redemptions", { order_id, user_id: "ann", order: { currency: "CNY", channel: "app", lines }, coupons: [coupon_id] })
    return { coupon_id: coupon_id as string, redemption_id: redemption_id as string }
  }
  const kept = await buy("kept", [line("1", "m1", 3_000), line("2", "m2", 7_000)])
  await good("POST", `/v1/redemptions/${kept.redemption_id}/confirm`)
  const back = await buy("back", [line("1", "m1", 4_000), line("2", "m2", 6_000)])
  await good("POST", `/v1/redemptions/${back.redemption_id}/confirm`)
  await good("POST", `/v1/redemptions/${back.redemption_id}/refunds`, { refund_id: "r1", lines: [{ line_id: "2", quantity: 1 }] })
  const gone = await buy("gone", [line("1", "m1", 4_000)])
  await good("POST", `/v1/redemptions/${gone.redemption_id}/cancel`, {})
  const held = await buy("held", [line("1", "m1", 4_000)])
  await flushed()

  // The shop's own feed: order `kept` as it was, `back` without its refund, and a discount that nobody gave.
  const feed = join(scratchFolder(), "orders.csv")
  const share = (order_id: string, coupon_id: string, budget_id: string, discount: number) => `${order_id},${budget_id},ann,2026-06-15T12:00:00Z,placed,CNY,s,1,9000,${coupon_id},${budget_id},${discount}`
  writeFileSync(feed, ["order_id,line_id,user_id,at,state,currency,sku,quantity,unit_price_minor,coupon_id,budget_id,discount_minor",
    share("kept", kept.coupon_id, "own-2026-06", 501), share("kept", kept.coupon_id, "brand-2026-06", 500),
    share("back", back.coupon_id, "own-2026-06", 501), share("back", back.coupon_id, "brand-2026-06", 500), share("stray", "c9", "own-2026-06", 77)].join("\n"))
  expect(await importCommand(["orders", feed], "/", house, { say: () => {}, progress: () => {} })).toBe(0)

  const ended = await runJob(house, reconciliation, JUNE)
  expect([ended.state, ended.detail]).toEqual(["published", undefined])
  const books = await good("GET", "/v1/reconciliation/2026-06")
  const { keys } = await good("GET", "/v1/reconciliation/2026-06/keys")
  const told = Object.fromEntries(keys.map((key: any) => [`${key.order_id} ${key.budget_id}`, [key.side ? `${key.class} ${key.side}` : key.class, key.budget_minor, key.redeemed_minor, key.ordered_minor, key.party]]))
  const refunded = await good("GET", `/v1/redemptions/${back.redemption_id}`)
  expect(refunded.state).toBe("partly_refunded")
  const [own, brand] = [told["back own-2026-06"]![1] as number, told["back brand-2026-06"]![1] as number]
  expect(told).toEqual({
    "kept own-2026-06": ["matched", 501, 501, 501, "retail"], "kept brand-2026-06": ["matched", 500, 500, 500, "acme"],
    "back own-2026-06": ["amount_mismatch order", own, own, 501, "retail"], "back brand-2026-06": ["amount_mismatch order", brand, brand, 500, "acme"],
    "stray own-2026-06": ["orphan_order_discount", 0, 0, 77, "retail"],
  })
  expect(books.totals).toEqual({ budget_minor: 1_001 + own + brand, redeemed_minor: 1_001 + own + brand, ordered_minor: 2_079, breaks: 3, break_minor: 77 + 1_001 - own - brand, carried_minor: 0 })
  const sum = (dimension: string) => Object.fromEntries(books.allocation.filter((each: any) => each.dimension === dimension).map((each: any) => [each.key, each.amount_minor]))
  expect(sum("campaign")).toEqual({ june: books.totals.redeemed_minor })
  expect(sum("channel")).toEqual({ app: books.totals.redeemed_minor })
  expect(sum("line")).toEqual({ retail: books.totals.redeemed_minor })
  expect(sum("budget")).toEqual({ "own-2026-06": 501 + own, "brand-2026-06": 500 + brand })
  expect(Object.values(sum("merchant")).reduce((a: any, b: any) => a + b)).toBe(books.totals.redeemed_minor)
  expect(Object.keys(sum("merchant"))).toEqual(["m1", "m2"])

  for (const control of books.controls) {
    const budget = await good("GET", `/v1/budgets/${control.budget_id}`)
    expect(control.closing_minor).toBe(budget.available_minor)
    expect(control).toMatchObject({ opening_minor: 0, added_minor: budget.limit_minor, transferred_minor: 0 })
    expect(control.opening_minor + control.added_minor + control.transferred_minor - control.held_minor - control.spent_minor + control.released_minor).toBe(control.closing_minor)
  }
  expect(books.controls.map((each: any) => each.budget_id)).toEqual(["brand-2026-06", "own-2026-06"])
  await good("POST", `/v1/redemptions/${held.redemption_id}/cancel`, {})
})

test("the extraction: what Postgres counted is what Parquet holds; a repeat takes nothing twice; what comes later is a range of its own", async () => {
  await flushed()
  const duck = await openDuck({ memory_mb: 256, threads: 2, temp_dir: house.lake.temp() })
  const parts = { ...house, duck } as unknown as JobParts
  try {
    await extractEvents(parts)
    const counted = async () => {
      const files = house.lake.parts(EVENTS).flatMap((part) => part.files).map((file) => `'${house.lake.place(file)}'`)
      return duck.one<{ rows: number; different: number; n: number }>(`select count(*) as rows, count(distinct (cell, epoch, n)) as different, sum(n)::bigint as n from read_parquet([${files.join(", ")}])`)
    }
    const inPostgres = async () => (await house.sql<{ rows: number; n: number }[]>`select count(*) as rows, sum(n)::bigint as n from events`)[0]!
    const first = await counted(), ranges = house.lake.parts(EVENTS).length
    expect(first).toEqual({ ...await inPostgres(), different: first.rows })
    await extractEvents(parts)
    expect(house.lake.parts(EVENTS).length).toBe(ranges)
    await good("POST", "/v1/budgets/own-2026-06/additions", { addition_id: "late", amount_minor: 1 })
    await flushed()
    await extractEvents(parts)
    expect(house.lake.parts(EVENTS).length).toBe(ranges + 1)
    const second = await counted()
    expect(second).toEqual({ ...await inPostgres(), different: second.rows })
    // Every event as it stands in Postgres, payloads and moves by the letter.
    const theirs = await house.sql<Record<string, unknown>[]>`select cell, epoch, n, act, at_ms, user_no, moves::text as moves, payload::text as payload, ref from events order by cell, epoch, n`
    const ours = await duck.all(`select cell, epoch, n, act, at_ms, user_no, moves, payload, ref from read_parquet([${house.lake.parts(EVENTS).flatMap((part) => part.files).map((file) => `'${house.lake.place(file)}'`).join(", ")}]) order by cell, epoch, n`)
    expect(ours).toEqual(theirs.map((row) => ({ ...row })) as typeof ours)
  } finally {
    duck.close()
  }
  const day = await runJob(house, extract, { ...JUNE, period: "2026-06-15" })
  expect(day).toMatchObject({ state: "published", outputs: [{ name: "acts" }] })
  expect((await runJob(house, extract, { ...JUNE, period: "2026-06-15" })).state).toBe("already_published")
})

test("period_open, then closed: a month is locked once it is over everywhere, and nothing is published over it", async () => {
  expect((await shop.call("POST", "/v1/reconciliation/2026-06/close", {})).body.code).toBe("period_open")
  await good("PUT", "/v1/budgets/own-2026-07", { line: "retail", month: "2026-07", currency: "CNY", limit_minor: 0 }, JULY + HOUR_MS)
  await until("the tick of July is in Postgres", async () => (await house.sql`select 1 from events where act = 'tick' and at_ms >= ${JULY}`).length > 0)
  await flushed()
  const over = await runJob(house, reconciliation, JUNE)
  expect([over.state, over.revision]).toEqual(["published", 2])
  // The worker may close June's budgets as soon as June is closed.
  unspent = [await good("GET", "/v1/budgets/own-2026-06"), await good("GET", "/v1/budgets/brand-2026-06")]
  expect(await good("POST", "/v1/reconciliation/2026-06/close", {})).toMatchObject({ period: "2026-06", run_id: over.run_id })
  expect((await good("GET", "/v1/reconciliation/2026-06")).closed).toBe(true)
  const late = join(scratchFolder(), "late.csv")
  writeFileSync(late, "order_id,line_id,user_id,at,state,currency,sku,quantity,unit_price_minor,coupon_id,budget_id,discount_minor\nlate,1,bob,2026-06-20T00:00:00Z,placed,CNY,s,1,9000,c1,own-2026-06,9\n")
  expect(await importCommand(["orders", late], "/", house, { say: () => {}, progress: () => {} })).toBe(0)
  expect(await runJob(house, reconciliation, JUNE)).toMatchObject({ state: "failed", reason: "period_closed" })
  expect((await good("GET", "/v1/reconciliation/2026-06")).run_id).toBe(over.run_id)
})

test("carried over: the close of a month takes what is unspent out of its budgets, and adds it to the next month's where the budget says so, once", async () => {
  const now_ms = shop.clock.now_ms()
  const log = makeLog({ users: "hashed", write: () => {}, now_ms: shop.clock.now_ms })
  const [own, brand] = unspent
  expect(own).toMatchObject({ unspent: { carry_to: "own-2026-07" }, held_minor: 0 })
  await closeBehind(shop.parts, now_ms)
  await flushed()
  // Two workers at once, and a third that comes too late.
  await Promise.all([carryBehind(shop.parts, log, now_ms), carryBehind(shop.parts, log, now_ms)])
  await flushed()
  await closeBehind(shop.parts, now_ms)
  expect(await carryBehind(shop.parts, log, now_ms)).toBe(0)
  expect(await good("GET", "/v1/budgets/own-2026-06")).toMatchObject({ state: "closed", available_minor: 0, limit_minor: own.spent_minor, unspent_minor: own.available_minor, waiting_minor: 0 })
  expect(await good("GET", "/v1/budgets/brand-2026-06")).toMatchObject({ state: "closed", available_minor: 0, limit_minor: brand.spent_minor, unspent_minor: brand.available_minor })
  expect(await good("GET", "/v1/budgets/own-2026-07")).toMatchObject({ limit_minor: own.available_minor, available_minor: own.available_minor })
  const { items } = await good("GET", "/v1/budgets/own-2026-07/entries")
  expect(items.filter((item: any) => item.limit_minor !== 0).map((item: any) => [item.act, item.limit_minor, item.ref.replace(/:[0-9-]+$/, "")])).toEqual([["funded", own.available_minor, "carry:own-2026-06"]])

  // July's books tell where the money went: out of one, into the other, and to the cent.
  expect((await runJob(house, reconciliation, { ...JUNE, period: "2026-07" })).detail).toBeUndefined()
  const controls = Object.fromEntries((await good("GET", "/v1/reconciliation/2026-07")).controls.map((each: any) => [each.budget_id, each]))
  expect(controls["own-2026-06"]).toMatchObject({ opening_minor: own.available_minor, transferred_minor: -own.available_minor, added_minor: 0, closing_minor: 0 })
  expect(controls["brand-2026-06"]).toMatchObject({ opening_minor: brand.available_minor, transferred_minor: 0, added_minor: -brand.available_minor, closing_minor: 0 })
  expect(controls["own-2026-07"]).toMatchObject({ opening_minor: 0, transferred_minor: own.available_minor, closing_minor: own.available_minor })
})

test("request_invalid, then waiting: money is carried to the next month's budget of the same line and currency, whenever that is there", async () => {
  const now_ms = shop.clock.now_ms(), log = makeLog({ users: "hashed", write: () => {}, now_ms: () => now_ms })
  const july = { line: "retail", month: "2026-07", currency: "CNY", limit_minor: 900 }
  const refusedFor = async (carry_to: string) => { const { body } = await shop.call("PUT", "/v1/budgets/w-2026-07", { ...july, unspent: { carry_to } }); return [body.code, body.field, body.detail] }
  expect(await refusedFor("w-2026-07")).toEqual(["request_invalid", "unspent.carry_to", "unspent.carry_to must be another budget than this one."])
  expect((await refusedFor("own-2026-07"))[2]).toEndWith("own-2026-07 is of 2026-07.")
  await good("PUT", "/v1/budgets/euro-2026-08", { ...july, month: "2026-08", currency: "EUR" })
  expect((await refusedFor("euro-2026-08"))[2]).toEndWith("euro-2026-08 is in EUR.")
  expect((await shop.call("POST", "/v1/budgets/own-2026-07/additions", { addition_id: "carry:own-2026-06:0-1-1", amount_minor: 5 })).body).toMatchObject({ code: "request_invalid", field: "addition_id" })

  await good("PUT", "/v1/budgets/w-2026-07", { ...july, unspent: { carry_to: "w-{month}" } })
  expect((await shop.call("PUT", "/v1/budgets/w-2026-07", { ...july, unspent: "release" })).body.code).toBe("request_conflict")
  await good("POST", "/v1/budgets/w-2026-07/close", {})
  await flushed()
  expect(await carryBehind(shop.parts, log, now_ms)).toBe(0)
  expect(await good("GET", "/v1/budgets/w-2026-07")).toMatchObject({ state: "closed", limit_minor: 0, unspent_minor: 900, waiting_minor: 900 })
  await good("PUT", "/v1/budgets/w-2026-08", { ...july, month: "2026-08", limit_minor: 1 })
  await flushed()
  await carryBehind(shop.parts, log, now_ms)
  await flushed()
  expect(await good("GET", "/v1/budgets/w-2026-07")).toMatchObject({ unspent_minor: 900, waiting_minor: 0 })
  expect(await good("GET", "/v1/budgets/w-2026-08")).toMatchObject({ limit_minor: 901 })
})

const HEAD = "order_id,line_id,user_id,at,state,currency,sku,quantity,unit_price_minor,coupon_id,budget_id,discount_minor"
const bring = async (name: string, ...rows: string[]) => {
  const file = join(scratchFolder(), `${name}.csv`)
  writeFileSync(file, [HEAD, ...rows].join("\n"))
  expect(await importCommand(["orders", file], "/", house, { say: () => {}, progress: () => {} })).toBe(0)
}
const adjusted = async (period: string) => (await good("GET", `/v1/reconciliation/${period}/keys?limit=1000`)).keys.filter((key: any) => key.of_period !== undefined)
  .map(({ order_id, of_period, class: name, ordered_minor, break_minor, resolved_minor }: any) => [order_id, of_period, name, ordered_minor, break_minor, resolved_minor])
const AUGUST = Date.UTC(2026, 7, 1)

test("adjustments: what comes after a month was closed is in the next open one, by class and with its month, once; the closed books stay", async () => {
  const june = await good("GET", "/v1/reconciliation/2026-06"), { keys } = await good("GET", "/v1/reconciliation/2026-06/keys")
  const back = keys.find((key: any) => key.order_id === "back" && key.budget_id === "own-2026-06")
  expect(back).toMatchObject({ class: "amount_mismatch", ordered_minor: 501 })
  // The row that came after June was closed: `late`, 9, as July's first run has found it.
  const first = await good("GET", "/v1/reconciliation/2026-07")
  expect(await adjusted("2026-07")).toEqual([["late", "2026-06", "orphan_order_discount", 9, 9, 0]])
  expect(first.totals).toMatchObject({ ordered_minor: 9, breaks: 1, break_minor: 9 })
  expect(first.adjustments).toEqual([{ period: "2026-06", class: "orphan_order_discount", keys: 1, budget_minor: 0, redeemed_minor: 0, ordered_minor: 9, break_minor: 9, resolved_minor: 0, carried_minor: 0 }])
  const second = await runJob(house, reconciliation, { ...JUNE, period: "2026-07" })
  expect((await runJob(house, reconciliation, { ...JUNE, period: "2026-07" })).run_id).toBe(second.run_id)

  // A return of June that the shop tells in July: what was open between refund and order is resolved.
  await bring("returned", `back,own-2026-06,ann,2026-06-29T12:00:00Z,returned,CNY,s,-1,9000,${back.coupon_id},own-2026-06,${back.break_minor}`)
  const again = await runJob(house, reconciliation, { ...JUNE, period: "2026-07" })
  expect([again.state, again.revision, again.detail]).toEqual(["published", 3, undefined])
  expect(await adjusted("2026-07")).toEqual([["back", "2026-06", "matched", -back.break_minor, 0, back.break_minor], ["late", "2026-06", "orphan_order_discount", 9, 9, 0]])
  const july = await good("GET", "/v1/reconciliation/2026-07")
  expect(july.totals).toMatchObject({ ordered_minor: 9 - back.break_minor, breaks: 1, break_minor: 9 })
  const { body: diff } = await shop.call("GET", `/v1/runs/${again.run_id}/diff`)
  expect(diff.outputs.find((each: any) => each.name === "adjustments")).toMatchObject({ rows: 2, rows_against: 1, added: 1, removed: 0, changed: 0 })
  for (const { opening_minor, added_minor, transferred_minor, held_minor, spent_minor, released_minor, closing_minor } of july.controls) {
    expect(opening_minor + added_minor + transferred_minor - held_minor - spent_minor + released_minor).toBe(closing_minor)
  }

  // July is closed too. What comes then, of June and of July, is August's, and nothing that was adjusted before is there again.
  await good("PUT", "/v1/budgets/late-2026-08", { line: "retail", month: "2026-08", currency: "CNY", limit_minor: 0 }, AUGUST + HOUR_MS)
  await until("the tick of August is in Postgres", async () => (await house.sql`select 1 from events where act = 'tick' and at_ms >= ${AUGUST}`).length > 0)
  await flushed()
  expect((await runJob(house, reconciliation, { ...JUNE, period: "2026-07" })).state).toBe("published")
  await good("POST", "/v1/reconciliation/2026-07/close", {})
  expect((await runJob(house, reconciliation, { ...JUNE, period: "2026-08" })).detail).toBeUndefined()
  expect(await adjusted("2026-08")).toEqual([])
  await bring("later", "later,1,bob,2026-06-21T00:00:00Z,placed,CNY,s,1,9000,c2,own-2026-06,4", "july,1,bob,2026-07-21T00:00:00Z,placed,CNY,s,1,9000,c3,own-2026-07,6")
  expect((await runJob(house, reconciliation, { ...JUNE, period: "2026-08" })).detail).toBeUndefined()
  expect(await adjusted("2026-08")).toEqual([["july", "2026-07", "orphan_order_discount", 6, 6, 0], ["later", "2026-06", "orphan_order_discount", 4, 4, 0]])
  expect((await good("GET", "/v1/reconciliation/2026-08")).totals).toMatchObject({ ordered_minor: 10, break_minor: 10 })

  // The closed books are as they were, and all that the feed says is in one month or another.
  const { closed: _, ...books } = await good("GET", "/v1/reconciliation/2026-06")
  expect(books).toEqual((({ closed: __, ...then }) => then)(june))
  const ordered = await Promise.all(["2026-06", "2026-07", "2026-08"].map(async (period) => (await good("GET", `/v1/reconciliation/${period}`)).totals.ordered_minor as number))
  expect(ordered.reduce((a, b) => a + b)).toBe(2_079 + 9 - back.break_minor + 10)
})
