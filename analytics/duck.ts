/**
 * DuckDB: one database in memory for each run, with its limits set.
 *
 * What must stay true: a run has so much memory, so much of the disk and so many threads, and one that needs more fails by name; a whole
 * number comes back as a number or not at all. What is written in a stated order is the same, byte for byte, with one thread and with
 * many (test/analytics/lake.test.ts).
 */
import { mkdirSync, rmSync } from "node:fs"
import { type DuckDBConnection, DuckDBInstance, type DuckDBValue } from "@duckdb/node-api"
import type { Engine } from "./dialects/dialect.ts"
import { duckdb } from "./dialects/duckdb.ts"

export interface DuckLimits {
  readonly memory_mb: number
  readonly threads: number
  /** A folder of this run's own, which is removed with it. */
  readonly temp_dir: string
}

/** What DuckDB may put on the disk when its memory is full, for each MB of memory. */
const TEMP_PER_MEMORY = 20

/** The run needs more memory or disk than it may have. */
export class OverLimit extends Error { override readonly name = "OverLimit" }

/** A whole number that no double holds: a sum of amounts, each of which was one. */
export class NumberTooLarge extends Error { override readonly name = "NumberTooLarge" }

export type Cell = string | number | boolean | null
export type Row = Readonly<Record<string, Cell>>

export interface Duck extends Engine {
  /** The rows of a query, in pieces, for what does not fit into memory. */
  each<R = Row>(sql: string, visit: (rows: R[]) => Promise<void> | void): Promise<void>
  /** How far what is running is, 0 to 1, where DuckDB knows. */
  part(): number | undefined
  /** Break off what is running, in every session; it throws. */
  interrupt(): void
  close(): void
}

/** A text as SQL writes it. */
export const quoted = (text: string): string => `'${text.replaceAll("'", "''")}'`
/** A name as SQL writes it. */
export const named = (name: string): string => `"${name.replaceAll('"', '""')}"`

const cellOf = (name: string, value: DuckDBValue): Cell => {
  if (typeof value === "bigint") {
    const number = Number(value)
    if (!Number.isSafeInteger(number)) throw new NumberTooLarge(`${name} is ${value}, which is beyond 2^53-1`)
    return number
  }
  return value === null || typeof value === "string" || typeof value === "number" || typeof value === "boolean" ? value : String(value)
}

const judged = (fault: unknown): unknown => {
  const text = fault instanceof Error ? fault.message : String(fault)
  return /Out of Memory Error|failed to (allocate|pin|offload)|max_temp_directory_size/i.test(text) ? new OverLimit(text) : fault
}

/** Open a database in memory. */
export const openDuck = async ({ memory_mb, threads, temp_dir }: DuckLimits): Promise<Duck> => {
  mkdirSync(temp_dir, { recursive: true })
  const instance = await DuckDBInstance.create(":memory:", {
    memory_limit: `${memory_mb}MB`, threads: String(threads), temp_directory: temp_dir, max_temp_directory_size: `${memory_mb * TEMP_PER_MEMORY}MB`,
    // What is not there is a fault here, and never fetched from somewhere.
    autoinstall_known_extensions: "false", autoload_known_extensions: "false",
    preserve_insertion_order: "true",
  })
  const asked = async <T>(work: () => Promise<T>): Promise<T> => {
    try {
      return await work()
    } catch (fault) {
      throw judged(fault)
    }
  }
  const rowsOf = <R>(names: readonly string[], rows: readonly (readonly DuckDBValue[])[]): R[] =>
    rows.map((row) => Object.fromEntries(names.map((name, i) => [name, cellOf(name, row[i] ?? null)])) as R)
  const connections: DuckDBConnection[] = []
  const openSession = async (): Promise<Omit<Duck, "part" | "interrupt" | "close">> => {
    const connection = await instance.connect()
    connections.push(connection)
    await connection.run("set TimeZone = 'UTC'; set enable_progress_bar = true; set enable_progress_bar_print = false")
    const all = <R>(sql: string): Promise<R[]> => asked(async () => {
      const reader = await connection.runAndReadAll(sql)
      return rowsOf<R>(reader.columnNames(), reader.getRows())
    })
    const session: Omit<Duck, "part" | "interrupt" | "close"> = {
      dialect: duckdb,
      run: (sql) => asked(async () => { await connection.run(sql) }),
      all,
      one: async <R>(sql: string) => {
        const rows = await all<R>(sql)
        if (rows.length !== 1) throw new Error(`one row was asked for and ${rows.length} came`)
        return rows[0]!
      },
      each: <R>(sql: string, visit: (rows: R[]) => Promise<void> | void) => asked(async () => {
        const result = await connection.stream(sql)
        const names = result.columnNames()
        for (let chunk = await result.fetchChunk(); chunk !== null && chunk.rowCount > 0; chunk = await result.fetchChunk()) await visit(rowsOf<R>(names, chunk.getRows()))
      }),
      columns: async (relation) => (await all<{ column_name: string }>(`describe select * from ${relation}`)).map(({ column_name }) => column_name),
      table: (name, columns, rows) => asked(async () => {
        const list = Object.entries(columns)
        await connection.run(`create table ${named(name)} (${list.map(([column, type]) => `${named(column)} ${type}`).join(", ")})`)
        if (rows.length === 0) return
        const shape = `[{${list.map(([column]) => `"${column}":"VARCHAR"`).join(",")}}]`
        const texts = rows.map((row) => Object.fromEntries(list.map(([column]) => [column, row[column] === undefined || row[column] === null ? null : String(row[column])])))
        await connection.run(
          `insert into ${named(name)} select ${list.map(([column, type]) => `r.${named(column)}::${type}`).join(", ")} from (select unnest(from_json($1::json, '${shape}')) as r)`,
          [JSON.stringify(texts)],
        )
      }),
      // One thread is one statement at a time: whoever asked for one gets no second by this door.
      beside: () => threads > 1 ? openSession() : Promise.resolve(session),
    }
    return session
  }
  return {
    ...await openSession(),
    part: () => connections.map((connection) => connection.progress.percentage / 100).find((part) => part > 0),
    interrupt: () => { for (const connection of connections) connection.interrupt() },
    close: () => {
      for (const connection of connections) connection.closeSync()
      instance.closeSync()
      rmSync(temp_dir, { recursive: true, force: true })
    },
  }
}
