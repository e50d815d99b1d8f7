/**
 * ClickHouse: a server or a cluster that reads the lake where it lies.
 *
 * Its defaults are its own; with SETTINGS it joins, names and adds up as SQL says. Measured with 26.7 (chdb 3.4.0), 2026-11-22.
 */
import { SPELLINGS } from "../../engine/badges/grammar.ts"
import type { ColumnType, Dialect } from "./dialect.ts"

/** What every session sets before anything else. */
export const SETTINGS = {
  // What a join does not find is null, not 0 or ''.
  join_use_nulls: 1,
  // In `sum(x) as x` the x inside is the column.
  prefer_column_name_to_alias: 1,
  // A cast of null is null; a sum of nothing is null.
  cast_keep_nullable: 1,
  aggregate_functions_null_for_empty: 1,
  // Files of one feed may have other columns than each other.
  schema_inference_mode: "union",
  // Whole numbers beyond 2^53 arrive as texts, and are refused by us and not rounded by JSON.
  output_format_json_quote_64bit_integers: 1,
} as const

/** The lake's types as ClickHouse calls them; any value may be none. */
export const TYPES: Readonly<Record<ColumnType, string>> = { VARCHAR: "Nullable(String)", INTEGER: "Nullable(Int32)", BIGINT: "Nullable(Int64)" }

const isSpelled = (spelling: keyof typeof SPELLINGS, text: string): string => `match(${text}, '^(?:${SPELLINGS[spelling]})$')`
const WIDE = "Nullable(Int256)", WHOLE = "Nullable(Int64)"

export const clickhouse: Dialect = {
  name: "clickhouse",
  macros: {
    whole_integer: `case when ${isSpelled("integer", "t")} then toInt64OrNull(t) end`,
    whole_flag: `case when t = '0' then cast(0 as ${WHOLE}) when t = '1' then cast(1 as ${WHOLE}) end`,
    whole_money_minor: `case when ${isSpelled("money_minor", "t")} then toInt64OrNull(t) end`,
    whole_money_major: `case when ${isSpelled("money_major", "t")} then toInt64OrNull(case when position('.' in t) = 0 then t || '00' when length(t) - position('.' in t) = 1 then replaceAll(t, '.', '') || '0' else replaceAll(t, '.', '') end) end`,
    user_hash: "lower(hex(SHA256(u)))",
    hash_prefix: "substring(h, 1, n)",
    share_bp: `case when whole > 0 then cast(intDiv(cast(part as ${WIDE}) * 10000, cast(whole as ${WIDE})) as ${WHOLE}) end`,
    square: `cast(x as ${WIDE}) * cast(x as ${WIDE})`,
    wide: `cast(x as ${WIDE})`,
    narrow: `cast(x as ${WHOLE})`,
    ratio_rounded: `case when whole > 0 then cast(case when part < 0 then -intDiv(-cast(part as ${WIDE}) * 2 + whole, cast(whole as ${WIDE}) * 2) else intDiv(cast(part as ${WIDE}) * 2 + whole, cast(whole as ${WIDE}) * 2) end as ${WHOLE}) end`,
    sorted_values: "arraySort(groupArray(x))",
    nth_of: `cast(arrayElement(l, n) as ${WHOLE})`,
    deviations: "arraySort(arrayMap(each -> toInt64(abs(each - assumeNotNull(m))), l))",
    text_of: "toString(x)",
    no_whole: `cast(null as ${WHOLE})`,
    no_text: "cast(null as Nullable(String))",
    backslash: "char(92)",
  },
  macro: (name, args, body) => `create or replace function ${name} as (${args.join(", ")}) -> ${body}`,
  keep: (name, select) => `create or replace table ${name} engine = MergeTree order by tuple() as ${select}`,
  drop: (name) => `drop table if exists ${name}`,

  // One table in the parts' order: a part is read by its index.
  spread: async (engine, { name, select, by, parts }) => {
    if (parts.length === 1) {
      await engine.run(clickhouse.keep(name, select))
      return () => name
    }
    await engine.run(`create or replace table ${name} engine = MergeTree order by part as select assumeNotNull(${by}) as part, * from (${select})`)
    return (part) => `(select * except (part) from ${name} where part = '${part}')`
  },
}
