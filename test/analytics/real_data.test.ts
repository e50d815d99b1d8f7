// Two real retailers' data through import and books. What comes out is held against figures that are counted here, row by row, from the data as
// it lies there. Complete Journey 2.0 is of 84.51° (CC0), Online Retail II of the UCI repository (CC BY 4.0).

import { afterAll, beforeAll, expect, test } from "bun:test"
import { existsSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { openDuck, quoted, type Duck } from "../../analytics/duck.ts"
import { importCommand } from "../../analytics/import_command.ts"
import { reconciliation } from "../../analytics/jobs/reconciliation.ts"
import { runJob } from "../../analytics/runner.ts"
import { scratchFolder } from "../support/scratch.ts"
import { october, openHouse, rowOf, type TestHouse } from "./house.ts"

const DATA = join(import.meta.dir, "../../../shared/data")
const JOURNEY = join(DATA, "completejourney/transactions_sample.parquet")
const RETAIL = join(DATA, "online_retail/uci_online_retail_ii_2009_2010.parquet")
const missing = [JOURNEY, RETAIL].filter((file) => !existsSync(file))
if (missing.length > 0) console.log(`skipped, because they are not here: ${missing.join(", ")}`)

/** A month of each in `npm test`, because every business day is a file that is synced; all of it with SCRIP_REAL_DATA=whole. */
const IS_WHOLE = process.env["SCRIP_REAL_DATA"] === "whole"
const JOURNEY_ROWS = IS_WHOLE ? "true" : "transaction_timestamp >= timestamp '2017-03-01' and transaction_timestamp < timestamp '2017-04-01'"
const RETAIL_ROWS = IS_WHOLE ? "true" : "invoice_ts >= timestamp '2010-11-01' and invoice_ts < timestamp '2010-11-16'"

let house: TestHouse
let duck: Duck
beforeAll(async () => {
  house = await openHouse({ time_zone: "America/New_York", memory_mb: 1024 })
  duck = await openDuck({ memory_mb: 512, threads: 2, temp_dir: house.lake.temp() })
})
afterAll(async () => {
  duck.close()
  await house.close()
})

interface Imported { rows: number; accepted: number; rejected: number; rejects_file: string | null }
const bring = async (file: string, words: string[]): Promise<Imported & { reasons: Record<string, number> }> => {
  const said: string[] = []
  await importCommand(["orders", file, ...words], "/", house, { say: (text) => said.push(text), progress: () => {} })
  const imported = JSON.parse(said.at(-1)!) as Imported
  const reasons: Record<string, number> = {}
  if (imported.rejects_file !== null) {
    for (const text of readFileSync(imported.rejects_file, "utf8").trimEnd().split("\n")) {
      const { column, reason } = JSON.parse(text) as { column: string; reason: string }
      reasons[`${column} ${reason}`] = (reasons[`${column} ${reason}`] ?? 0) + 1
    }
  }
  return { ...imported, reasons }
}

test.skipIf(!existsSync(JOURNEY))("Complete Journey: two payers of a retailer's lines, month by month to the cent", async () => {
  // One row per line and payer: the manufacturer's coupon and what the retailer adds to it.
  const feed = join(scratchFolder(), "journey.parquet")
  await duck.run(`copy (
    select basket_id as order_id, product_id as line_id, household_id as user_id, strftime(transaction_timestamp, '%Y-%m-%d %H:%M:%S') as at, 'placed' as state, 'USD' as currency, product_id as sku,
      store_id as merchant_id, quantity, 0 as unit_price_minor, payer.budget as budget_id, round(payer.amount * 100)::bigint as discount_minor
    from (select *, unnest([{budget: 'manufacturer', amount: coupon_disc}, {budget: 'retailer', amount: coupon_match_disc}]) as payer from read_parquet(${quoted(JOURNEY)}) where ${JOURNEY_ROWS})
  ) to ${quoted(feed)} (format parquet)`)

  const wanted = new Map<string, number>()
  let rows = 0, empty = 0
  const seen = new Set<string>()
  let repeated = 0
  await duck.each<{ basket_id: number; product_id: number; quantity: number; at: string; coupon: number; match: number }>(
    `select basket_id, product_id, quantity, strftime(transaction_timestamp, '%Y-%m-%d %H:%M:%S') as at, coupon_disc as coupon, coupon_match_disc as match from read_parquet(${quoted(JOURNEY)}) where ${JOURNEY_ROWS}`, (page) => {
      for (const { basket_id, product_id, quantity, at, coupon, match } of page) {
        rows += 2
        if (quantity === 0) { empty += 2; continue }
        if (seen.has(`${basket_id}/${product_id}`)) { repeated += 2; continue }
        seen.add(`${basket_id}/${product_id}`)
        const month = at.slice(0, 7)
        wanted.set(month, (wanted.get(month) ?? 0) + Math.round(coupon * 100) + Math.round(match * 100))
      }
    })
  const imported = await bring(feed, ["--set", "journey", "--zone", "America/New_York"])
  expect([imported.rows, imported.accepted]).toEqual([rows, rows - empty - repeated])
  expect((imported.reasons["quantity negative"] ?? 0) + (imported.reasons["order_id duplicate"] ?? 0)).toBe(empty + repeated)

  for (const period of IS_WHOLE ? ["2017-03", "2017-11", "2016-12"] : ["2017-03", "2016-12"]) {
    const ended = await runJob(house, reconciliation, { ...october, period, set: "journey" })
    expect([ended.state, ended.detail]).toEqual(["published", undefined])
    const { answer } = await rowOf(house.sql, ended.run_id) as { answer: { totals: Record<string, number> } }
    expect([period, answer.totals["ordered_minor"], answer.totals["break_minor"]]).toEqual([period, wanted.get(period) ?? 0, wanted.get(period) ?? 0])
  }
}, 300_000)

test.skipIf(!existsSync(RETAIL))("Online Retail: invoice lines, of which each that is not taken is counted by its reason", async () => {
  const feed = join(scratchFolder(), "retail.csv")
  await duck.run(`copy (
    select invoice as order_id, stock_code as line_id, customer_id::bigint as user_id, strftime(invoice_ts, '%Y-%m-%dT%H:%M:%SZ') as at, case when invoice like 'C%' then 'cancelled' else 'placed' end as state,
      'GBP' as currency, stock_code as sku, country as region, description as category, quantity, round(price * 100)::bigint as unit_price_minor
    from read_parquet(${quoted(RETAIL)}) where ${RETAIL_ROWS}
  ) to ${quoted(feed)} (format csv)`)
  const wanted: Record<string, number> = {}
  const seen = new Set<string>()
  let rows = 0, accepted = 0
  const because = (reason: string) => { wanted[reason] = (wanted[reason] ?? 0) + 1 }
  await duck.each<{ invoice: string; stock_code: string; customer: number | null; quantity: number }>(
    `select invoice, stock_code, customer_id::bigint as customer, quantity from read_parquet(${quoted(RETAIL)}) where ${RETAIL_ROWS}`, (page) => {
      for (const { invoice, stock_code, customer, quantity } of page) {
        rows += 1
        const state = invoice.startsWith("C") ? "cancelled" : "placed"
        if (customer === null) { because("user_id empty"); continue }
        if (quantity === 0 || quantity < 0 && state === "placed") { because("quantity negative"); continue }
        const key = `${invoice}/${stock_code}/${state}`
        if (seen.has(key)) { because("order_id duplicate"); continue }
        seen.add(key)
        accepted += 1
      }
    })
  const imported = await bring(feed, ["--set", "retail"])
  expect([imported.rows, imported.accepted, imported.rejected]).toEqual([rows, accepted, rows - accepted])
  expect(imported.reasons).toEqual(wanted)
  expect(IS_WHOLE ? rows : 525_461).toBe(525_461)
  expect(accepted).toBeGreaterThan(10_000)
}, 300_000)
