// The import of feeds: every row is taken or named with its reason, and a file's spelling, encoding and size change nothing of that.

import { afterAll, beforeAll, describe, expect, test } from "bun:test"
import { readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { openDuck, quoted } from "../../analytics/duck.ts"
import { datasetOf, type Feed, REASONS } from "../../analytics/feeds.ts"
import { importCommand, readImport } from "../../analytics/import_command.ts"
import { holdParts, noticeParts } from "../../analytics/landed.ts"
import { openLake } from "../../analytics/lake.ts"
import { scratchFolder } from "../support/scratch.ts"
import { openHouse, type TestHouse } from "./house.ts"

let house: TestHouse
beforeAll(async () => { house = await openHouse() })
afterAll(() => house.close())

interface Answer { exit: number; said: string[]; last: { import_id: string; feed: string; rows: number; accepted: number; rejected: number; rejects_file: string | null }; rejects: { row: number; column: string; reason: string; raw: string }[] }

let files = 0
/** Import a text or bytes into a lake of its own (or the one that is named) and read what was said. */
const imported = async (feed: Feed, content: string | Buffer, words: string[] = [], { lake = openLake(scratchFolder()), name = "feed.csv" } = {}): Promise<Answer & { lake: typeof lake }> => {
  const file = join(scratchFolder(), `${files += 1}-${name}`)
  writeFileSync(file, content)
  const said: string[] = []
  const exit = await importCommand([feed, file, ...words], "/", { ...house, lake }, { say: (line) => said.push(line), progress: () => {} })
  const last = JSON.parse(said.at(-1)!) as Answer["last"]
  const rejects = last.rejects_file === null ? [] : readFileSync(last.rejects_file, "utf8").trimEnd().split("\n").map((line) => JSON.parse(line))
  for (const { reason } of rejects) expect(REASONS).toContain(reason)
  return { exit, said, last, rejects, lake }
}

/** All rows of a feed in a lake, in the order of imports and rows. */
const rowsOf = async (lake: Awaited<ReturnType<typeof imported>>["lake"], feed: Feed, set = "", columns = "*") => {
  const duck = await openDuck({ memory_mb: 256, threads: 2, temp_dir: lake.temp() })
  try {
    const paths = lake.parts(datasetOf(feed, set)).flatMap(({ files: each }) => each).map((file) => quoted(lake.place(file)))
    return paths.length === 0 ? [] : await duck.all<Record<string, unknown>>(`select ${columns} from read_parquet([${paths.join(", ")}], union_by_name = true) order by import_no, row`)
  } finally {
    duck.close()
  }
}

const HEADER = "order_id,line_id,user_id,at,state,currency,sku,quantity,unit_price_minor,coupon_id,budget_id,discount_minor"
const order = (changed: Record<string, string> = {}): string => {
  const row: Record<string, string> = {
    order_id: "o1", line_id: "1", user_id: "ann", at: "2026-10-05T12:00:00Z", state: "placed", currency: "CNY", sku: "kettle", quantity: "2", unit_price_minor: "1000",
    coupon_id: "c1", budget_id: "b1", discount_minor: "300", ...changed,
  }
  return HEADER.split(",").map((name) => row[name]).join(",")
}
const orders = (...rows: Record<string, string>[]): string => [HEADER, ...rows.map((row, i) => order({ line_id: String(i + 1), ...row }))].join("\n")

describe("taken", () => {
  test("every row good: exit 0, in the lake by business day, values as whole numbers", async () => {
    const { exit, last, lake } = await imported("orders", orders({}, { at: "2026-10-06T00:30:00+08:00", discount_minor: "" }, { state: "returned", quantity: "-1", unit_price_minor: "-5", at: "2026-10-31t23:59:59.999999999z" }))
    expect([exit, last.rows, last.accepted, last.rejected, last.rejects_file]).toEqual([0, 3, 3, 0, null])
    expect(await rowsOf(lake, "orders", "", "line_id, at_ms, day, quantity, unit_price_minor, discount_minor, merchant_id, import_no, row")).toEqual([
      { line_id: "1", at_ms: Date.parse("2026-10-05T12:00:00Z"), day: "2026-10-05", quantity: 2, unit_price_minor: 1000, discount_minor: 300, merchant_id: null, import_no: 1, row: 1 },
      { line_id: "2", at_ms: Date.parse("2026-10-05T16:30:00Z"), day: "2026-10-05", quantity: 2, unit_price_minor: 1000, discount_minor: 0, merchant_id: null, import_no: 1, row: 2 },
      { line_id: "3", at_ms: Date.parse("2026-10-31T23:59:59.999Z"), day: "2026-10-31", quantity: -1, unit_price_minor: -5, discount_minor: 300, merchant_id: null, import_no: 1, row: 3 },
    ])
    expect(lake.parts("orders")[0]!.files.map(({ day, rows }) => [day, rows])).toEqual([["2026-10-05", 2], ["2026-10-31", 1]])
  })
  test("the business day is that of SCRIP_TIME_ZONE", async () => {
    const lake = openLake(scratchFolder())
    const shanghai = { ...house, lake, time_zone: "Asia/Shanghai" }
    const file = join(scratchFolder(), "f.csv")
    writeFileSync(file, orders({ at: "2026-09-30T15:59:59Z" }, { at: "2026-09-30T16:00:00Z" }))
    expect(await importCommand(["orders", file], "/", shanghai, { say: () => {}, progress: () => {} })).toBe(0)
    expect(lake.parts("orders")[0]!.files.map(({ day }) => day)).toEqual(["2026-09-30", "2026-10-01"])
  })
  test("a BOM, CRLF, quotes, quoted newlines, empty lines and no newline at the end are no part of a value", async () => {
    const text = `\ufeff"order_id",line_id,user_id,at,state,currency,sku,quantity,unit_price_minor,category\r\n"o,1","say ""hi""",ann,2026-10-05T12:00:00Z,placed,CNY,"a\r\nb",1,5,\r\n\r\no2,1,ann,2026-10-05T12:00:00Z,placed,CNY,"",1,5,"x"`
    const { exit, rejects, lake } = await imported("orders", text)
    expect(exit).toBe(2)
    expect(await rowsOf(lake, "orders", "", "order_id, line_id, sku, category")).toEqual([{ order_id: "o,1", line_id: 'say "hi"', sku: "a\r\nb", category: null }])
    expect(rejects).toEqual([{ row: 2, column: "sku", reason: "empty", raw: 'o2,1,ann,2026-10-05T12:00:00Z,placed,CNY,"",1,5,"x"' }])
  })
  test("a quote that nobody closes ends with its line", async () => {
    const { last, rejects } = await imported("orders", `${HEADER}\n${order({ sku: '"open' })}\n${order({ line_id: "2" })}\n${order({ line_id: "3" })}`)
    expect([last.rows, last.accepted]).toEqual([3, 2])
    expect(rejects.map(({ row }) => row)).toEqual([1])
  })
  test("control characters in a value are the value", async () => {
    const { lake } = await imported("orders", orders({ sku: "a\x1fb\x1ac\x1a1" }))
    expect(await rowsOf(lake, "orders", "", "sku")).toEqual([{ sku: "a\x1fb\x1ac\x1a1" }])
  })
  test("columns that are not of the feed are ignored and named; missing values at the end are empty", async () => {
    const { exit, said, lake } = await imported("orders", `${HEADER},shoe_size,mood\n${order()},44,good\n${order({ line_id: "2" })},45`)
    expect(exit).toBe(0)
    expect(said[0]).toContain("shoe_size, mood")
    expect((await rowsOf(lake, "orders")).length).toBe(2)
  })
  test("--map reads a column under another name, --zone its wall clocks", async () => {
    const text = "basket,line_id,user_id,at,state,currency,sku,quantity,unit_price_minor\nx1,1,h,2017-03-12 01:59:59,placed,USD,s,1,5\nx2,1,h,2017-07-01T08:00:00,placed,USD,s,1,5\nx3,1,h,2017-07-01,placed,USD,s,1,5\nx4,1,h,2017-07-01T00:00:00Z,placed,USD,s,1,5"
    const { exit, lake } = await imported("orders", text, ["--map", '{"order_id":"basket"}', "--zone", "America/New_York"])
    expect(exit).toBe(0)
    expect((await rowsOf(lake, "orders", "", "order_id, at_ms")).map(({ order_id, at_ms }) => [order_id, new Date(at_ms as number).toISOString()])).toEqual([
      ["x1", "2017-03-12T06:59:59.000Z"], ["x2", "2017-07-01T12:00:00.000Z"], ["x3", "2017-07-01T04:00:00.000Z"], ["x4", "2017-07-01T00:00:00.000Z"],
    ])
  })
  test("NDJSON: a number keeps its spelling, null is empty, members may come in any order", async () => {
    const line = (changed: object) => JSON.stringify({ order_id: "o1", line_id: "1", user_id: "ann", at: "2026-10-05T12:00:00Z", state: "placed", currency: "CNY", sku: "k", quantity: 2, unit_price_minor: 1000, ...changed })
    const text = [line({}), line({ line_id: "2", coupon_id: null, extra: { a: [1, "}"] } }), line({ line_id: "3" }).replace('"quantity":2', '"quantity": 1e3'), line({ line_id: "4" }).replace(":1000", ":1000.0"), "{not json", line({ line_id: "é\n\"5" })].join("\n")
    const { exit, last, rejects, lake } = await imported("orders", text, [], { name: "feed.ndjson" })
    expect([exit, last.rows, last.accepted, last.rejected]).toEqual([2, 6, 3, 3])
    expect(rejects.map(({ row, column, reason }) => [row, column, reason])).toEqual([[3, "quantity", "not_a_number"], [4, "unit_price_minor", "not_a_number"], [5, "order_id", "empty"]])
    expect(rejects[2]!.raw).toBe("{not json")
    expect((await rowsOf(lake, "orders", "", "line_id")).map(({ line_id }) => line_id)).toEqual(["1", "2", "é\n\"5"])
  })
  test("Parquet: columns of any type are read by their text", async () => {
    const file = join(scratchFolder(), "f.parquet")
    const duck = await openDuck({ memory_mb: 128, threads: 1, temp_dir: join(scratchFolder(), "t") })
    await duck.run(`copy (select 'o' || i as order_id, 1 as line_id, 'u' as user_id, timestamptz '2026-10-05 12:00:00+00' + interval (i) hour as at, 'placed' as state, 'CNY' as currency,
      's' as sku, i::double as quantity, 10 as unit_price_minor from range(3) r(i)) to ${quoted(file)} (format parquet)`)
    duck.close()
    const first = await imported("orders", readFileSync(file), [], { name: "f.parquet" })
    // 0.0 is no spelling of a whole number.
    expect(first.rejects.map(({ column, reason }) => [column, reason])).toEqual([["quantity", "not_a_number"], ["quantity", "not_a_number"], ["quantity", "not_a_number"]])
    expect(JSON.parse(first.rejects[0]!.raw)).toMatchObject({ order_id: "o0" })
    const whole = join(scratchFolder(), "g.parquet")
    const again = await openDuck({ memory_mb: 128, threads: 1, temp_dir: join(scratchFolder(), "t") })
    await again.run(`copy (select * replace (quantity::integer + 1 as quantity) from read_parquet(${quoted(file)})) to ${quoted(whole)} (format parquet)`)
    again.close()
    const second = await imported("orders", readFileSync(whole), [], { name: "g.parquet" })
    expect([second.exit, second.last.accepted]).toEqual([0, 3])
    expect((await rowsOf(second.lake, "orders", "", "at_ms"))[2]).toEqual({ at_ms: Date.parse("2026-10-05T14:00:00Z") })
  })
})

describe("rejected", () => {
  const reasons = async (feed: Feed, text: string | Buffer, words: string[] = []) => {
    const { rejects } = await imported(feed, text, words)
    return rejects.map(({ row, column, reason }) => `${row} ${column} ${reason}`)
  }
  test("not_a_number: the grammar knows one spelling", async () => {
    const bad = ["1e3", "1_000", "+5", ".5", " 5", "5 ", "１２", "0x10", "05", "1.0", "--1", "9007199254740992", "99999999999999999", "NaN", "٣"]
    expect(await reasons("orders", orders(...bad.map((unit_price_minor) => ({ unit_price_minor }))))).toEqual(bad.map((_, i) => `${i + 1} unit_price_minor not_a_number`))
    expect(await reasons("orders", orders(...["0", "-0", "-7", "9007199254740991", "-9007199254740991"].map((unit_price_minor) => ({ unit_price_minor }))))).toEqual([])
  })
  test("not_a_date: a day that does not exist, a wall clock without a zone, another spelling", async () => {
    const bad = ["2026-02-29T00:00:00Z", "2026-13-01T00:00:00Z", "2026-10-05", "2026-10-05T12:00:00", "2026-10-05T24:00:00Z", "05.10.2026", "2026-10-05T12:00Z", "1759665600", "２０２６-10-05T12:00:00Z", "2026-10-05T12:00:00+0800"]
    expect(await reasons("orders", orders(...bad.map((at) => ({ at }))))).toEqual(bad.map((_, i) => `${i + 1} at not_a_date`))
    expect(await reasons("orders", orders({ at: "2024-02-29T00:00:00Z" }))).toEqual([])
    expect(await reasons("scores", "user_pin,dt\na,2026-02-29\nb,2024-02-29\nc,2026-2-1\nd,20260201")).toEqual(["1 dt not_a_date", "3 dt not_a_date", "4 dt not_a_date"])
  })
  test("empty, unknown_word, negative", async () => {
    expect(await reasons("orders", orders({ order_id: "" }, { state: "Placed" }, { currency: "cny" }, { discount_minor: "-1" }, { quantity: "-1" }, { quantity: "0" }, { state: "cancelled", quantity: "-1" })))
      .toEqual(["1 order_id empty", "2 state unknown_word", "3 currency unknown_word", "4 discount_minor negative", "5 quantity negative", "6 quantity negative"])
    expect(await reasons("books", "source,entry_id,order_id,amount_minor,at\nbudget,1,o,5,2026-10-05T00:00:00Z\nledger,2,o,5,2026-10-05T00:00:00Z\norder,3,o,-5,2026-10-05T00:00:00Z")).toEqual(["2 source unknown_word"])
  })
  test("unknown_word: an id that is too long for an index is one bad row, and not a month without books", async () => {
    const ids = ["x".repeat(801), "中".repeat(267), "x".repeat(800)]
    const { last, rejects } = await imported("orders", orders({ order_id: ids[0]! }, { coupon_id: ids[1]! }, { order_id: ids[2]!, coupon_id: ids[2]!, budget_id: ids[2]! }))
    expect([last.accepted, rejects.map(({ row, column, reason }) => [row, column, reason])]).toEqual([1, [[1, "order_id", "unknown_word"], [2, "coupon_id", "unknown_word"]]])
  })
  test("the first wrong column is the one that is named", async () => {
    expect(await reasons("orders", orders({ at: "x", quantity: "x", discount_minor: "-1" }))).toEqual(["1 at not_a_date"])
  })
  test("duplicate: one row per line and payer for each state; the first is taken", async () => {
    const rows: Record<string, string>[] = [{ line_id: "1" }, { line_id: "1", discount_minor: "7" }, { line_id: "1", budget_id: "b2" }, { line_id: "1", state: "returned" }, { line_id: "1" }]
    expect(await reasons("orders", orders(...rows))).toEqual(["2 order_id duplicate", "5 order_id duplicate"])
    expect(await reasons("books", "source,entry_id,order_id,amount_minor,at\nbudget,1,o,5,2026-10-05T00:00:00Z\nbudget,1,o,5,2026-10-05T00:00:00Z\norder,1,o,5,2026-10-05T00:00:00Z")).toEqual(["2 source duplicate"])
    expect(await reasons("scores", "user_pin,dt,lc_score\na,2026-10-01,5\na,2026-10-01,6")).toEqual([])
  })
  test("duplicate: a row that another import has brought; the same file again overwrites itself", async () => {
    const { lake, last: first } = await imported("orders", orders({}, {}))
    const second = await imported("orders", orders({}, {}, {}), [], { lake })
    expect(second.rejects.map(({ row, reason }) => [row, reason])).toEqual([[1, "duplicate"], [2, "duplicate"]])
    const again = await imported("orders", orders({}, {}), [], { lake })
    expect(again.last).toEqual(first)
    expect(again.exit).toBe(0)
    expect((await rowsOf(lake, "orders", "", "line_id, import_no")).map(({ line_id, import_no }) => [line_id, import_no])).toEqual([["1", 1], ["2", 1], ["3", 2]])
  })
  test("duplicate: a row that another import has brought with another day", async () => {
    const books = (...rows: string[]) => ["source,entry_id,order_id,amount_minor,at", ...rows].join("\n")
    const { lake } = await imported("books", books("budget,e1,o,100,2026-08-10T10:00:00Z"), ["--set", "partner"])
    const { rejects, last } = await imported("books", books("budget,e1,o,100,2026-08-11T10:00:00Z", "budget,e2,o,7,2026-08-11T10:00:00Z"), ["--set", "partner"], { lake })
    expect([last.accepted, rejects]).toEqual([1, [{ row: 1, column: "source", reason: "duplicate", raw: "budget,e1,o,100,2026-08-11T10:00:00Z" }]])
    expect((await imported("books", books("budget,e1,o,100,2026-08-11T10:00:00Z"), ["--set", "another"], { lake })).exit).toBe(0)
  })
  test("removed: an import is taken out, its days are noticed, and the same file may come again", async () => {
    const { lake, last } = await imported("books", "source,entry_id,order_id,amount_minor,at\nbudget,e1,o,100,2026-08-10T10:00:00Z", ["--set", "wrong"])
    await noticeParts(house.sql, lake)
    const remove = async (...words: string[]) => {
      const said: string[] = []
      return [await importCommand(["remove", ...words], "/", { ...house, lake }, { say: (line) => said.push(line), progress: () => {} }), JSON.parse(said.at(-1)!.split("\n").at(-1)!.startsWith("{") ? said.at(-1)! : "null")]
    }
    expect(await remove("books-0000000000000000")).toEqual([1, { import_id: "books-0000000000000000", feed: null, rows: 0, accepted: 0, rejected: 0, rejects_file: null }])
    expect((await remove("../books"))[0]).toBe(1)
    expect((await remove())[0]).toBe(1)
    expect(await remove(last.import_id)).toEqual([0, { ...last, accepted: 0 }])
    expect(await rowsOf(lake, "books", "wrong")).toEqual([])
    const markOf = async () => (await house.sql`select sha256, days from lake_parts where part = ${last.import_id}`)[0]!
    const before = await markOf()
    await noticeParts(house.sql, lake)
    const { sha256, days } = await markOf()
    expect([sha256 === before["sha256"], days]).toEqual([false, ["2026-08-10"]])
    expect((await imported("books", "source,entry_id,order_id,amount_minor,at\nbudget,e1,o,100,2026-08-10T10:00:00Z", ["--set", "wrong"], { lake })).last).toEqual(last)
    expect((await rowsOf(lake, "books", "wrong")).length).toBe(1)
    // What was lost with its manifest may be taken out too, or come again.
    rmSync(join(lake.root, "books@wrong"), { recursive: true })
    expect(await remove(last.import_id)).toEqual([0, { ...last, rows: 0, accepted: 0 }])
    await holdParts(house.sql, lake, [{ dataset: "books@wrong", from: "2026-08-01", to: "2026-08-31" }])
    expect((await imported("books", "source,entry_id,order_id,amount_minor,at\nbudget,e1,o,100,2026-08-10T10:00:00Z", ["--set", "wrong"], { lake })).last).toEqual(last)
    expect((await rowsOf(lake, "books", "wrong", "import_no")).map(({ import_no }) => import_no)).toEqual([1])
  })
  test("the raw row of a Parquet file has its columns alone, and decimals as they were", async () => {
    const file = join(scratchFolder(), "money.parquet")
    const duck = await openDuck({ memory_mb: 256, threads: 1, temp_dir: openLake(scratchFolder()).temp() })
    await duck.run(`copy (select 'budget' as source, 'e' as entry_id, 'o' as order_id, 100.00::decimal(9,2) as amount_minor, '2026-10-05T00:00:00Z' as at, null as state) to ${quoted(file)} (format parquet)`)
    duck.close()
    const { rejects } = await imported("books", readFileSync(file), [], { name: "money.parquet" })
    expect(rejects).toEqual([{ row: 1, column: "amount_minor", reason: "not_a_number", raw: '{"source":"budget","entry_id":"e","order_id":"o","amount_minor":"100.00","at":"2026-10-05T00:00:00Z","state":null}' }])
  })
  test("an import whose file is gone is whole again when it is imported again, and until then nothing else is", async () => {
    const { lake, last: first } = await imported("orders", orders({}, {}))
    await imported("orders", orders({ line_id: "9" }), [], { lake })
    const before = lake.parts("orders")
    rmSync(lake.place(before.find(({ part }) => part === first.import_id)!.files[0]!))
    const other = await imported("orders", orders({ line_id: "10" }), [], { lake })
    expect([other.exit, other.said[0]!.includes("which is not there")]).toEqual([1, true])
    const again = await imported("orders", orders({}, {}), [], { lake })
    expect([again.exit, again.last]).toEqual([0, first])
    expect(lake.parts("orders").map(({ files: each }) => each)).toEqual(before.map(({ files: each }) => each))
  })
  test("not_utf8: a row of other bytes is one bad row", async () => {
    const bytes = Buffer.concat([Buffer.from(`${HEADER}\n${order({ line_id: "1" })}\n`), Buffer.from(order({ line_id: "2", sku: "caf\xe9" }), "latin1"), Buffer.from(`\n${order({ line_id: "3", sku: "café" })}\n`)])
    const { last, rejects } = await imported("orders", bytes)
    expect([last.rows, last.accepted, last.rejected]).toEqual([3, 2, 1])
    expect(rejects).toMatchObject([{ row: 2, column: "sku", reason: "not_utf8" }])
  })
  test("not_utf8: a file in UTF-16 is nothing", async () => {
    const { exit, last, rejects } = await imported("orders", Buffer.from(`\ufeff${orders({})}`, "utf16le"))
    expect([exit, last.accepted, rejects[0]!.reason]).toEqual([1, 0, "not_utf8"])
  })
  test("not_utf8: a zero character or half of a pair is no text, in whatever file it comes", async () => {
    const zero = await imported("orders", Buffer.from(orders({ sku: "a\0b" }, {})))
    expect([zero.last.accepted, zero.rejects.map(({ row, column, reason }) => [row, column, reason])]).toEqual([1, [[1, "sku", "not_utf8"]]])
    const line = (changed: object) => JSON.stringify({ order_id: "o1", line_id: "1", user_id: "ann", at: "2026-10-05T12:00:00Z", state: "placed", currency: "CNY", sku: "k", quantity: 2, unit_price_minor: 1000, ...changed })
    const lines = await imported("orders", [line({ order_id: "a\0" }), line({ sku: "\ud83c" }), line({ sku: "\ud83c\udf4e" }), line({ "x\0": 1, line_id: "2" })].join("\n"), [], { name: "feed.ndjson" })
    expect([lines.last.accepted, lines.rejects.map(({ row, column, reason }) => [row, column, reason])]).toEqual([1, [[1, "order_id", "not_utf8"], [2, "sku", "not_utf8"], [4, "", "not_utf8"]]])
    const file = join(scratchFolder(), "zero.parquet")
    const duck = await openDuck({ memory_mb: 128, threads: 1, temp_dir: join(scratchFolder(), "t") })
    await duck.run(`copy (select 'u' || i as user_pin, '2026-10-01' as dt, case when i = 1 then 'a' || chr(0) else '5' end as "the score", case when i = 2 then '\\xD6\\xD0'::blob else encode('中') end as bytes from range(4) r(i)) to ${quoted(file)} (format parquet)`)
    duck.close()
    const parquet = await imported("scores", readFileSync(file), [], { name: "zero.parquet" })
    expect([parquet.last.accepted, parquet.rejects.map(({ row, column, reason }) => [row, column, reason])]).toEqual([2, [[2, "the score", "not_utf8"], [3, "bytes", "not_utf8"]]])
    expect(await rowsOf(parquet.lake, "scores", "", "user_pin, bytes")).toEqual([{ user_pin: "u0", bytes: "中" }, { user_pin: "u3", bytes: "中" }])
  })
  test("missing_column: the whole file, and every column is named", async () => {
    const { exit, last, rejects, lake } = await imported("orders", "order_id,line_id,user_id,at,state,sku,quantity\no,1,u,2026-10-05T12:00:00Z,placed,k,1\n")
    expect([exit, last.rows, last.accepted, last.rejected]).toEqual([1, 1, 0, 1])
    expect(rejects.map(({ column, reason }) => [column, reason])).toEqual([["currency", "missing_column"], ["unit_price_minor", "missing_column"]])
    expect(lake.parts("orders")).toEqual([])
    expect((await imported("orders", orders({}), ["--map", '{"order_id":"basket"}'])).rejects.map(({ column }) => column)).toEqual(["order_id"])
    expect((await imported("orders", "")).exit).toBe(1)
    expect((await imported("orders", HEADER)).exit).toBe(1)
  })
  test("a truncated Parquet file, a file that is not there, words that are none: nothing is taken, and why is said", async () => {
    const file = join(scratchFolder(), "f.parquet")
    const duck = await openDuck({ memory_mb: 128, threads: 1, temp_dir: join(scratchFolder(), "t") })
    await duck.run(`copy (select i as order_id from range(10000) r(i)) to ${quoted(file)} (format parquet)`)
    duck.close()
    const broken = readFileSync(file).fill(0xff, 4, 4_000)
    const { exit: anyway, said: told } = await imported("orders", broken, ["--map", JSON.stringify(Object.fromEntries(HEADER.split(",").slice(0, 9).map((name) => [name, "order_id"])))])
    expect([anyway, told[0]!.startsWith("Nothing was taken: ")]).toEqual([1, true])
    truncateSync(file, 1000)
    const { exit, said, last } = await imported("orders", readFileSync(file))
    expect([exit, last.accepted]).toEqual([1, 0])
    expect(said[0]).toContain("cannot be read")
    const missing = await importCommand(["orders", "/nowhere.csv"], "/", house, { say: () => {}, progress: () => {} })
    expect(missing).toBe(1)
    for (const words of [[], ["order", "f"], ["orders"], ["orders", "f", "g"], ["orders", "f", "--set", "../x"], ["orders", "f", "--map", "[]"], ["orders", "f", "--map", '{"x":"y"}'], ["orders", "f", "--zone", "Mars/Base"], ["orders", "f", "--what"]]) {
      expect(typeof readImport(words, "/")).toBe("string")
    }
  })
})

describe("scores", () => {
  test("every other column is a field, kept as its text, also a number's spelling in NDJSON", async () => {
    const text = [
      '{"user_pin":"xxx","lc_score":"450","gdlc_jy_flag":"0","xjk_jy_amt":"1600.00","jt_hold_amt":"3000.00","dt":"2022-11-30"}',
      '{"user_pin":"yyy","lc_score":1e3,"dt":"2022-11-30","new_field":" 1 "}',
      '{"user_pin":"zzz","lc_score":"","dt":"2022-11-29"}',
    ].join("\n")
    const { exit, lake } = await imported("scores", text, [], { name: "scores.json" })
    expect(exit).toBe(0)
    expect(await rowsOf(lake, "scores", "", "user_pin, dt, lc_score, jt_hold_amt, new_field, row")).toEqual([
      { user_pin: "xxx", dt: "2022-11-30", lc_score: "450", jt_hold_amt: "3000.00", new_field: null, row: 1 },
      { user_pin: "yyy", dt: "2022-11-30", lc_score: "1e3", jt_hold_amt: null, new_field: " 1 ", row: 2 },
      { user_pin: "zzz", dt: "2022-11-29", lc_score: null, jt_hold_amt: null, new_field: null, row: 3 },
    ])
  })
  test("a field may have any name: one that is the lake's own, or none, is ignored and named", async () => {
    const { exit, said, lake } = await imported("scores", 'user_pin,dt,what,__day,f0,"t dt",Row,DT,"a ""b""",,\na,2026-10-01,w,x,0,t,1,2,q,3,4')
    expect(exit).toBe(0)
    expect(said[0]).toContain("Row, DT, a column without a name, a column without a name")
    expect(await rowsOf(lake, "scores")).toEqual([{ user_pin: "a", dt: "2026-10-01", what: "w", __day: "x", f0: "0", "t dt": "t", 'a "b"': "q", import_no: 1, row: 1 }])
  })
  test("two fields that differ in their case alone are one to SQL: nothing is taken", async () => {
    const { exit, said } = await imported("scores", "user_pin,dt,lc_score,LC_SCORE\na,2026-10-01,1,2")
    expect([exit, said[0]]).toEqual([1, "Nothing was taken: the columns lc_score and LC_SCORE differ in their case alone."])
  })
  test("a later import has the higher number", async () => {
    const { lake } = await imported("scores", "user_pin,dt,s\na,2026-10-01,1")
    await imported("scores", "user_pin,dt,s\na,2026-10-01,2", [], { lake })
    expect((await rowsOf(lake, "scores", "", "s, import_no")).map(({ s, import_no }) => [s, import_no])).toEqual([["1", 1], ["2", 2]])
  })
})

test("sets are apart, and books always have one", async () => {
  const { lake } = await imported("books", "source,entry_id,order_id,amount_minor,at\nbudget,1,o,5,2026-10-05T00:00:00Z", ["--set", "partner"])
  await imported("books", "source,entry_id,order_id,amount_minor,at\nbudget,1,o,6,2026-10-05T00:00:00Z", [], { lake })
  expect((await rowsOf(lake, "books", "partner", "amount_minor"))).toEqual([{ amount_minor: 5 }])
  expect((await rowsOf(lake, "books", "default", "amount_minor"))).toEqual([{ amount_minor: 6 }])
})
