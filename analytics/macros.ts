/**
 * What the jobs' SQL may not say itself, behind names, with one definition for each engine.
 *
 * What must stay true: the jobs' SQL keeps to select, join, group by, window, case and filter over whole numbers and texts. Whatever engines
 * do differently (reading a text as a number, dividing, hashing, quantiles) stands here. A macro answers the same in every engine, row by row.
 */
import { SPELLINGS } from "../engine/badges/grammar.ts"

/** Macros by name: arguments and body, as DuckDB takes them. */
export type Macros = Readonly<Record<string, { readonly args: readonly string[]; readonly says: string; readonly duckdb: string }>>

const isSpelled = (spelling: keyof typeof SPELLINGS, text: string): string => `regexp_full_match(${text}, '${SPELLINGS[spelling]}')`

export const MACROS: Macros = {
  whole_integer: {
    args: ["t"], says: "the integer that a text is by the grammar, or null",
    duckdb: `case when ${isSpelled("integer", "t")} then cast(t as bigint) end`,
  },
  whole_flag: { args: ["t"], says: "0 or 1, or null", duckdb: "case when t = '0' then cast(0 as bigint) when t = '1' then cast(1 as bigint) end" },
  whole_money_minor: {
    args: ["t"], says: "an amount that is written in minor units, or null",
    duckdb: `case when ${isSpelled("money_minor", "t")} then cast(t as bigint) end`,
  },
  // A decimal would be exact too, but a text without its point is the number already.
  whole_money_major: {
    args: ["t"], says: "an amount that is written in major units, in minor units, or null",
    duckdb: `case when ${isSpelled("money_major", "t")} then cast(case when position('.' in t) = 0 then t || '00' when length(t) - position('.' in t) = 1 then replace(t, '.', '') || '0' else replace(t, '.', '') end as bigint) end`,
  },
  user_hash: { args: ["u"], says: "the hash by which users are spread, in hex", duckdb: "sha256(u)" },
  hash_prefix: { args: ["h", "n"], says: "the first hex digits of a hash", duckdb: "substr(h, 1, n)" },
  /** Shares are whole basis points, rounded down; nothing of nothing is null. */
  share_bp: { args: ["part", "whole"], says: "basis points of a whole, rounded down", duckdb: "case when whole > 0 then cast((cast(part as hugeint) * 10000) // cast(whole as hugeint) as bigint) end" },
  square: { args: ["x"], says: "a square, wide enough for any amount", duckdb: "cast(x as hugeint) * cast(x as hugeint)" },
  wide: { args: ["x"], says: "a sum, wide enough for any amount", duckdb: "cast(x as hugeint)" },
  narrow: { args: ["x"], says: "a sum that fits again", duckdb: "cast(x as bigint)" },
  /** Rounded half away from zero, so that a mirror image has the mirrored value. */
  ratio_rounded: {
    args: ["part", "whole"], says: "a quotient of whole numbers, rounded half away from zero; null where the whole is 0",
    duckdb: "case when whole > 0 then cast(case when part < 0 then -((-cast(part as hugeint) * 2 + whole) // (cast(whole as hugeint) * 2)) else (cast(part as hugeint) * 2 + whole) // (cast(whole as hugeint) * 2) end as bigint) end",
  },
}

/** The statements that define every macro in DuckDB. */
export const duckMacros = (): string => Object.entries(MACROS).map(([name, { args, duckdb }]) => `create or replace macro ${name}(${args.join(", ")}) as ${duckdb};`).join("\n")
