/**
 * What engines do differently, behind names: the same jobs run in DuckDB here and in a ClickHouse cluster elsewhere.
 *
 * What must stay true: a portable job's SQL keeps to select, join, group by, window, case and filter over whole numbers and texts, the same text
 * for every engine; test/analytics/dialects.test.ts reads it. Whatever engines spell or reckon in ways of their own (reading a text as a
 * number, widths, dividing, hashing, tables, files) is a macro or a method here with one definition for each engine, and answers the same in
 * every engine, row by row: `npm run test:clickhouse`.
 */
import type { Row } from "../duck.ts"

/** Macros by name: what each takes and says. A macro that an engine lacks does not compile. */
export const MACROS = {
  whole_integer: { args: ["t"], says: "the integer that a text is by the grammar, or null" },
  whole_flag: { args: ["t"], says: "0 or 1, or null" },
  whole_money_minor: { args: ["t"], says: "an amount that is written in minor units, or null" },
  whole_money_major: { args: ["t"], says: "an amount that is written in major units, in minor units, or null" },
  user_hash: { args: ["u"], says: "the hash by which users are spread, in hex" },
  hash_prefix: { args: ["h", "n"], says: "the first hex digits of a hash" },
  share_bp: { args: ["part", "whole"], says: "basis points of a whole, rounded down; null of nothing" },
  square: { args: ["x"], says: "a square, wide enough for any amount" },
  wide: { args: ["x"], says: "a whole number, wide enough for sums of any amounts" },
  narrow: { args: ["x"], says: "a whole number of 64 bits again" },
  ratio_rounded: { args: ["part", "whole"], says: "a quotient of whole numbers, rounded half away from zero, so that a mirror image has the mirrored value; null where the whole is 0" },
  sorted_values: { args: ["x"], says: "of a group, its values in their order, as a list" },
  nth_of: { args: ["l", "n"], says: "the nth value of a list, from 1" },
  deviations: { args: ["l", "m"], says: "how far the values of a list are from m, in their order, as a list" },
  text_of: { args: ["x"], says: "a whole number as text" },
  no_whole: { args: [], says: "a whole number that is none" },
  no_text: { args: [], says: "a text that is none" },
  backslash: { args: [], says: "the sign that some engines take for the begin of another" },
} as const satisfies Readonly<Record<string, { readonly args: readonly string[]; readonly says: string }>>
export type Macro = keyof typeof MACROS

/** The types of columns that the lake has. */
export type ColumnType = "VARCHAR" | "INTEGER" | "BIGINT"

/** Rows that are kept apart by a text, each part to be read alone. */
export interface Spread { readonly name: string; readonly select: string; readonly by: string; readonly parts: readonly string[] }

/** One engine's ways. */
export interface Dialect {
  readonly name: "duckdb" | "clickhouse"
  readonly macros: Readonly<Record<Macro, string>>
  /** The statement that defines a macro. */
  macro(name: string, args: readonly string[], body: string): string
  /** The statement that leaves the rows of a query in a table of this name, in place of one that is there; every session sees it. */
  keep(name: string, select: string): string
  /** The statement that drops such a table where it is. */
  drop(name: string): string
  /** What `keep` makes, parted: answers the relation of each part. */
  spread(engine: Engine, spread: Spread): Promise<(part: string) => string>
}

/** An engine, as a portable job sees it. */
export interface Engine {
  readonly dialect: Dialect
  /** Run statements, without an answer. */
  run(sql: string): Promise<void>
  /** The rows that a query answers: whole numbers as numbers, everything else as text. Throws on a number beyond 2^53-1. */
  all<R = Row>(sql: string): Promise<R[]>
  /** The only row of a query. */
  one<R = Row>(sql: string): Promise<R>
  /** The names of a relation's columns, in their order. */
  columns(relation: string): Promise<string[]>
  /**
   * Another session of the same database, which ends with this one: what is asked of both runs at once, and each sees the tables that the other
   * keeps. An engine that runs one statement at a time answers itself.
   */
  beside(): Promise<Engine>
  /** A table of rows that are known here: few of them, since each value passes through text. */
  table(name: string, columns: Readonly<Record<string, string>>, rows: readonly Row[]): Promise<void>
}

/** Define every macro: once for each database. */
export const defineMacros = async ({ dialect, run }: Pick<Engine, "dialect" | "run">): Promise<void> => {
  for (const [name, { args }] of Object.entries(MACROS)) await run(dialect.macro(name, args, dialect.macros[name as Macro]))
}

/** A text as portable SQL writes it: in a literal, some engines read a backslash as the begin of another sign. */
export const literal = (text: string): string => text.split("\\").map((part) => `'${part.replaceAll("'", "''")}'`).join(" || backslash() || ")
