/**
 * A house of jobs for tests: a fresh database, a lake in a folder of its own, and a small job over a dataset of numbers.
 */
import type { Sql } from "postgres"
import { openDuck } from "../../analytics/duck.ts"
import type { Job, Ran } from "../../analytics/job.ts"
import { type Lake, openLake } from "../../analytics/lake.ts"
import type { House } from "../../analytics/runner.ts"
import { openTables } from "../../analytics/tables.ts"
import { stack } from "../support/stack.ts"
import { scratchFolder } from "../support/scratch.ts"

export interface TestHouse extends House { readonly database_url: string; close(): Promise<void> }

export const openHouse = async (changed: Partial<House> = {}): Promise<TestHouse> => {
  const database_url = await (await stack()).freshDatabase()
  const sql = openTables(database_url)
  return {
    sql, lake: openLake(scratchFolder()), time_zone: "UTC", memory_mb: 256, threads: 2, api: undefined, signal: new AbortController().signal, progress: () => {},
    database_url, close: () => sql.end({ timeout: 1 }), ...changed,
  }
}

/** Put numbers 0 to `count - 1`, each times `factor`, into the part of a month of the dataset `numbers`. */
export const putNumbers = async (lake: Lake, period: string, count: number, factor = 1): Promise<void> => {
  const duck = await openDuck({ memory_mb: 256, threads: 2, temp_dir: lake.temp() })
  try {
    const file = await lake.write(duck, { select: `select i as id, i * ${factor} as amount from range(${count}) r(i)`, order: "id", folder: `numbers/${period}`, name: period, range: "id", sums: ["amount"] })
    lake.publish({ dataset: "numbers", part: period, files: [file], facts: {} })
  } finally {
    duck.close()
  }
}

/** A job that doubles the numbers of its month; parts of it may be replaced. */
export const doubling = (changed: Partial<Job> = {}, ran: Partial<Ran> = {}): Job => ({
  name: "doubling", period: "month", sources: [import.meta.path], timeout_s: 60,
  inputs: async ({ lake, period }) => ({ inputs: { numbers: { files: lake.part("numbers", period.period)?.files ?? [], columns: { id: "BIGINT", amount: "BIGINT" } } }, rules: { factor: 2 } }),
  run: async ({ duck, write, rules }) => {
    const { factor } = rules as { factor: number }
    const doubled = await write({ name: "doubled", select: `select id, amount * ${factor} as amount from numbers`, key: ["id"], sums: ["amount"] })
    const { total } = await duck.one<{ total: number }>("select coalesce(sum(amount), 0) as total from numbers")
    return { checks: [{ name: "twice", left: String(2 * total), right: doubled.sums!["amount"]! }], answer: { total }, report: `${total} was doubled.`, ...ran }
  },
  ...changed,
})

export const october = { period: "2026-10", set: "", is_dry: false, is_first: false, options: {} } as const

/** Everything a run's row says. */
export const rowOf = async (sql: Sql, run_id: string): Promise<Record<string, unknown>> => (await sql`select * from runs where run_id = ${run_id}`)[0]!
