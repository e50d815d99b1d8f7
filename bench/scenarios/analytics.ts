/**
 * What the jobs cost: the extraction beside the same by select and append, and the month's books of so many keys in three sources.
 *
 * What must stay true: both ways of the extraction take the same events from the same Postgres in the same run, one after the other, and both
 * must have them all. Wall time is what the numbers ask for; the processor time beside it says what the machine was doing else.
 */
import { rmSync } from "node:fs"
import { join } from "node:path"
import { DuckDBInstance } from "@duckdb/node-api"
import postgres from "postgres"
import { startPrivate } from "../../engine/private/start.ts"
import { migrate } from "../../engine/store/postgres.ts"
import { quietLog } from "../../engine/log.ts"
import { openDuck } from "../../analytics/duck.ts"
import { EVENTS, extractEvents } from "../../analytics/extract.ts"
import { reconciliation } from "../../analytics/jobs/reconciliation.ts"
import type { JobParts, Work } from "../../analytics/job.ts"
import { openLake, type Lake } from "../../analytics/lake.ts"
import { periodSpan } from "../../analytics/periods.ts"
import { openTables } from "../../analytics/tables.ts"
import { showInputs } from "../../analytics/runner.ts"
import { temporaryFolder } from "../bare.ts"
import { cpuOfFamily, forgetPeak, peakMb } from "../cpu.ts"
import type { Figure, Proof, Result } from "../result.ts"

const MEMORY_MB = 2_048
const THREADS = 2
/** With its columns an event has 410 bytes as text. */
const PAYLOAD_CHARS = 256
const PAGE = 10_000
/** The extraction and select and append are played so often, in turns, and the median counts: what else the machine does meanwhile befalls both. */
const TURNS = 3

/** Wall time, processor time of this process and of a server beside it, and the most memory of this process meanwhile. */
const timed = async <T>(work: () => Promise<T>, server_pid?: number): Promise<{ value: T; seconds: number; cpu_s: number; peak_mb: number }> => {
  const server = (): number => server_pid === undefined ? 0 : cpuOfFamily(server_pid)
  forgetPeak()
  const began = performance.now(), before = process.cpuUsage(), server_before = server()
  const value = await work()
  const cpu = process.cpuUsage(before)
  return { value, seconds: (performance.now() - began) / 1_000, cpu_s: (cpu.user + cpu.system + server() - server_before) / 1_000_000, peak_mb: peakMb() }
}

const signal = new AbortController().signal
const progress = (): void => {}

const APPENDED = "cell, epoch, n, act, at_ms, user_no, moves, payload, ref"
interface Row { readonly cell: number; readonly epoch: number; readonly n: string; readonly act: string; readonly at_ms: string; readonly user_no: number; readonly moves: unknown; readonly payload: unknown; readonly ref: string }
const asText = (value: unknown): string => typeof value === "string" ? value : JSON.stringify(value)

/**
 * What one writes first: the rows of a select as the driver gives them, JSON as values, into DuckDB's appender value by value, then one Parquet file with
 * snappy. A cursor, because a million rows are no list; no sums, no hash, no sync, no second look. Answers how many there are in the end.
 */
const selectAndAppend = async (select: postgres.PendingQuery<Row[]>, folder: string): Promise<number> => {
  const instance = await DuckDBInstance.create(":memory:", { threads: String(THREADS), memory_limit: `${MEMORY_MB}MB` })
  const connection = await instance.connect()
  try {
    await connection.run("create table appended (cell integer, epoch integer, n bigint, act varchar, at_ms bigint, user_no integer, moves varchar, payload varchar, ref varchar)")
    const appender = await connection.createAppender("appended")
    for await (const page of select.cursor(PAGE)) {
      for (const row of page) {
        appender.appendInteger(row.cell)
        appender.appendInteger(row.epoch)
        appender.appendBigInt(BigInt(row.n))
        appender.appendVarchar(row.act)
        appender.appendBigInt(BigInt(row.at_ms))
        appender.appendInteger(row.user_no)
        appender.appendVarchar(asText(row.moves))
        appender.appendVarchar(asText(row.payload))
        appender.appendVarchar(row.ref)
        appender.endRow()
      }
    }
    appender.closeSync()
    await connection.run(`copy appended to '${join(folder, "appended.parquet")}' (format parquet, compression snappy)`)
    const counted = await connection.runAndReadAll("select count(*)::integer from appended")
    return Number(counted.getRows()[0]?.[0])
  } finally {
    connection.closeSync()
    instance.closeSync()
  }
}

const median = (values: readonly number[]): number => [...values].sort((a, b) => a - b)[values.length >> 1]!

const playExtraction = async (folder: string, rows: number): Promise<{ figures: Figure[]; proofs: Proof[] }> => {
  const servers = await startPrivate({ dataDir: join(folder, "data"), log: quietLog, redis: false })
  const sql = openTables(servers.databaseUrl!), plain = postgres(servers.databaseUrl!, { max: 1 })
  try {
    await migrate(servers.databaseUrl!)
    await sql.unsafe(`insert into events (cell, epoch, n, act, at_ms, user_no, moves, payload, ref)
      select i % 4, 1, i / 4, 'confirmed', 1790000000000 + i * 20, i % 50000, ('[["b7",0,-' || i || ',' || i || '],["k12",0,0,0,-1,1]]')::json,
        ('{"order_id":"order-' || i || '","note":"' || repeat(md5(i::text), ${Math.ceil(PAYLOAD_CHARS / 32)}) || '"}')::json, md5(i::text) from generate_series(0, ${rows - 1}) i`)
    await sql`insert into cells (cell, epoch, n, at_ms) select cell, 1, max(n), max(at_ms) from events group by cell`
    await sql`vacuum analyze events`
    const postgres_pid = servers.pids()["postgres"]!
    const extracted = async (turn: number): Promise<number> => {
      const lake = openLake(join(folder, `lake ${turn}`))
      const duck = await openDuck({ memory_mb: MEMORY_MB, threads: THREADS, temp_dir: lake.temp() })
      try {
        await extractEvents({ lake, duck, time_zone: "UTC", signal, progress, sql } as unknown as JobParts)
        return lake.parts(EVENTS).reduce((sum, part) => sum + part.rows, 0)
      } finally {
        duck.close()
        rmSync(lake.root, { recursive: true, force: true })
      }
    }
    const appended = (columns: string) => selectAndAppend(plain`select ${plain.unsafe(columns)} from events order by cell, epoch, n`, folder)
    const ways = {
      ours: extracted,
      theirs: () => appended(APPENDED),
      texts: () => appended(APPENDED.replace("moves, payload", "moves::text, payload::text")),
    }
    const played: Record<keyof typeof ways, Awaited<ReturnType<typeof timed<number>>>[]> = { ours: [], theirs: [], texts: [] }
    for (let turn = 0; turn < TURNS; turn += 1) {
      for (const way of ["ours", "theirs"] as const) played[way].push(await timed(() => ways[way](turn), postgres_pid))
    }
    played.texts.push(await timed(ways.texts, postgres_pid))
    const seconds = (way: keyof typeof ways): number => median(played[way].map(({ seconds }) => seconds))
    const cpu = (way: keyof typeof ways): number => median(played[way].map(({ cpu_s }) => cpu_s)) / rows * 1_000_000
    return {
      figures: [
        { name: "events extracted", value: rows / seconds("ours"), unit: "/s", wanted: { at: "least", value: 100_000 } },
        { name: "extraction against select and append", value: seconds("theirs") / seconds("ours"), unit: "×", wanted: { at: "least", value: 4 } },
        { name: "extraction against select and append that leaves JSON as text", value: seconds("texts") / seconds("ours"), unit: "×" },
        { name: "processor time of the extraction with Postgres', a million events", value: cpu("ours"), unit: "s" },
        { name: "processor time of select and append with Postgres', a million events", value: cpu("theirs"), unit: "s" },
        { name: "most memory of the process while it extracts", value: Math.max(...played.ours.map(({ peak_mb }) => peak_mb)), unit: "MB" },
      ],
      proofs: Object.entries({ ours: "events in the lake", theirs: "events appended", texts: "events appended with JSON as text" })
        .map(([way, name]) => ({ name: `${name}, in each turn`, wanted: rows * (way === "texts" ? 1 : TURNS), found: played[way as keyof typeof ways].reduce((sum, { value }) => sum + value, 0) })),
    }
  } finally {
    await plain.end({ timeout: 1 })
    await sql.end({ timeout: 1 })
    await servers.stop()
  }
}

const playBooks = async (lake: Lake, keys: number): Promise<{ figures: Figure[]; proofs: Proof[] }> => {
  const duck = await openDuck({ memory_mb: MEMORY_MB, threads: THREADS, temp_dir: lake.temp() })
  try {
    // One key in a hundred is broken, each class in its turn.
    const file = await lake.write(duck, {
      select: `select source, source || i as entry_id, 'order-' || i as order_id, 'coupon-' || i as coupon_id, 'budget-' || (i % 50) as budget_id,
        1000 + i % 7 + case when i % 100 = 0 and source = 'order' then 5 else 0 end as amount_minor, 1790812800000 + (i % 2600000) * 1000 as at_ms
        from range(${keys}) r(i), (values ('budget'), ('redemption'), ('order')) s(source) where not (i % 200 = 50 and source = 'order')`,
      order: "order_id, source", folder: "books@bench/1", name: "books",
    })
    const period = periodSpan("2026-10", "UTC")
    const inputs = { books: { files: [file], columns: {} }, orders: { files: [], columns: { order_id: "VARCHAR", coupon_id: "VARCHAR", budget_id: "VARCHAR", state: "VARCHAR", discount_minor: "BIGINT", at_ms: "BIGINT" } } }
    const ran = await timed(async () => {
      await showInputs(duck, lake, inputs)
      return reconciliation.run({
        engine: duck, duck, period, time_zone: "UTC", set: "bench", options: {}, signal, progress, rules: { budgets: [], controls: [], timing_days: 3, is_over: true, time_zone: "UTC", adjusted: [] },
        write: async ({ name, select, key, sums = [] }) => ({ ...await lake.write(duck, { select, order: key.join(", "), folder: "outputs/bench", name, sums }), name, key }),
      } as Work)
    })
    const { totals } = ran.value.answer as { totals: { breaks: number } }
    return {
      figures: [
        { name: `books of ${keys.toLocaleString("en")} keys in three sources`, value: ran.seconds, unit: "s", wanted: { at: "most", value: 20 * keys / 5_000_000 } },
        { name: "processor time of these books", value: ran.cpu_s, unit: "s" },
        { name: "most memory of the process while it makes them", value: ran.peak_mb, unit: "MB" },
      ],
      proofs: [
        { name: "keys that are broken", wanted: Math.ceil(keys / 100) + Math.ceil((keys - 50) / 200), found: totals.breaks },
        { name: "checks that do not agree", wanted: 0, found: ran.value.checks.filter(({ left, right }) => left !== right).length },
      ],
    }
  } finally {
    duck.close()
  }
}

/** Extraction and books. */
export const playAnalytics = async ({ events, keys }: { readonly events: number; readonly keys: number }, say: (text: string) => void): Promise<Result> => {
  const folder = temporaryFolder()
  const lake = openLake(join(folder, "lake"))
  try {
    say(`${events} events are extracted`)
    const extraction = await playExtraction(folder, events)
    say(`books of ${keys} keys`)
    const books = await playBooks(lake, keys)
    return { scenario: "analytics", rows: [], figures: [...extraction.figures, ...books.figures], proofs: [...extraction.proofs, ...books.proofs] }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}
