/**
 * ClickHouse in this process, as an engine that a portable job runs in: the npm package `chdb`, installed in this folder alone.
 *
 * It is asked in SQL and answers in JSON, as a server does over HTTP; what a job sees of it is analytics/dialects' Engine.
 */
import { existsSync } from "node:fs"
import { createRequire } from "node:module"
import { join } from "node:path"
import { clickhouse, SETTINGS, TYPES } from "../../analytics/dialects/clickhouse.ts"
import type { ColumnType, Engine } from "../../analytics/dialects/dialect.ts"
import { named, type Row } from "../../analytics/duck.ts"
import type { Input } from "../../analytics/job.ts"

export const isInstalled = existsSync(join(import.meta.dir, "node_modules", "chdb"))

interface Session { query(sql: string, format?: string): string; close(): void }
interface Answer { readonly meta: readonly { readonly name: string; readonly type: string }[]; readonly data: readonly (readonly (string | number | null)[])[] }

export interface ClickHouse extends Engine {
  readonly version: string
  /** Make each input a view of its name, over the files of the lake in this folder. */
  show(inputs: Readonly<Record<string, Input>>, root: string): Promise<void>
  /** Write the rows of a query as Parquet. */
  write(select: string, order: string, file: string): Promise<void>
  close(): void
}

const typeOf = (type: string): string => {
  const known = TYPES[type.toUpperCase() as ColumnType]
  if (known === undefined) throw new Error(`${type} is no type of the lake`)
  return known
}
/** A text as ClickHouse writes it. */
const text = (value: string): string => `'${value.replaceAll("\\", "\\\\").replaceAll("'", "\\'")}'`
/** Any of some paths, as ClickHouse looks for files. */
const oneOf = (paths: readonly string[]): string => paths.length === 1 ? paths[0]! : `{${paths.join(",")}}`

const cellOf = (value: string | number | null, type: string): string | number | null => {
  if (value === null || !/^(Nullable\()?U?Int/.test(type)) return value
  if (!Number.isSafeInteger(Number(value))) throw new RangeError(`${value} is beyond 2^53-1`)
  return Number(value)
}

/** Open a database of its own in memory and on a folder that goes with it. One at a time in a process. */
export const openClickHouse = (): ClickHouse => {
  const { Session } = createRequire(import.meta.url)("chdb") as { Session: new () => Session }
  const session = new Session()
  const all = async <R>(sql: string): Promise<R[]> => {
    const { meta, data } = JSON.parse(session.query(sql, "JSONCompact")) as Answer
    return data.map((row) => Object.fromEntries(meta.map(({ name, type }, i) => [name, cellOf(row[i] ?? null, type)])) as R)
  }
  const run = async (sql: string): Promise<void> => { session.query(sql) }
  for (const [name, value] of Object.entries(SETTINGS)) session.query(`set ${name} = ${typeof value === "number" ? value : text(value)}`)
  const engine: ClickHouse = {
    dialect: clickhouse, run, all,
    beside: () => Promise.resolve(engine),
    version: session.query("select version()", "TSV").trim(),
    one: async <R = Row>(sql: string) => {
      const rows = await all<R>(sql)
      if (rows.length !== 1) throw new Error(`one row was asked for and ${rows.length} came`)
      return rows[0]!
    },
    columns: async (relation) => (await all<{ name: string }>(`describe (select * from ${relation})`)).map(({ name }) => name),
    table: async (name, columns, rows) => {
      await run(`create or replace table ${named(name)} (${Object.entries(columns).map(([column, type]) => `${named(column)} ${typeOf(type)}`).join(", ")}) engine = MergeTree order by tuple()`)
      if (rows.length > 0) await run(`insert into ${named(name)} format JSONEachRow ${rows.map((row) => JSON.stringify(row)).join("\n")}`)
    },
    show: async (inputs, root) => {
      for (const [name, { files, columns }] of Object.entries(inputs)) {
        await run(`create or replace view ${named(name)} as ${files.length === 0
          ? `select ${Object.entries(columns).map(([column, type]) => `cast(null as ${typeOf(type)}) as ${named(column)}`).join(", ")} where false`
          : `select * from file(${text(`${root}/${oneOf(files.map(({ path }) => path))}`)}, 'Parquet')`}`)
      }
    },
    write: (select, order, file) => run(`insert into function file(${text(file)}, 'Parquet') settings engine_file_truncate_on_insert = 1 select * from (${select}) order by ${order}`),
    close: () => session.close(),
  }
  return engine
}
