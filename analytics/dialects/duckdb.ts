/** DuckDB: one process, files of the lake in place. */
import { SPELLINGS } from "../../engine/badges/grammar.ts"
import type { Dialect } from "./dialect.ts"

const isSpelled = (spelling: keyof typeof SPELLINGS, text: string): string => `regexp_full_match(${text}, '${SPELLINGS[spelling]}')`

export const duckdb: Dialect = {
  name: "duckdb",
  macros: {
    whole_integer: `case when ${isSpelled("integer", "t")} then cast(t as bigint) end`,
    whole_flag: "case when t = '0' then cast(0 as bigint) when t = '1' then cast(1 as bigint) end",
    whole_money_minor: `case when ${isSpelled("money_minor", "t")} then cast(t as bigint) end`,
    // A decimal would be exact too, but a text without its point is the number already.
    whole_money_major: `case when ${isSpelled("money_major", "t")} then cast(case when position('.' in t) = 0 then t || '00' when length(t) - position('.' in t) = 1 then replace(t, '.', '') || '0' else replace(t, '.', '') end as bigint) end`,
    user_hash: "sha256(u)",
    hash_prefix: "substr(h, 1, n)",
    // Nearly every share is of 64 bits; a wide division costs ten times as much.
    share_bp: "case when whole > 0 then case when part between -900000000000000 and 900000000000000 and whole <= 9000000000000000000 then (cast(part as bigint) * 10000) // cast(whole as bigint) else cast((cast(part as hugeint) * 10000) // cast(whole as hugeint) as bigint) end end",
    square: "cast(x as hugeint) * cast(x as hugeint)",
    wide: "cast(x as hugeint)",
    narrow: "cast(x as bigint)",
    ratio_rounded: "case when whole > 0 then cast(case when part < 0 then -((-cast(part as hugeint) * 2 + whole) // (cast(whole as hugeint) * 2)) else (cast(part as hugeint) * 2 + whole) // (cast(whole as hugeint) * 2) end as bigint) end",
    sorted_values: "list_sort(list(x))",
    nth_of: "list_extract(l, n)",
    deviations: "list_sort(list_transform(l, lambda each: abs(each - m)))",
    text_of: "cast(x as varchar)",
    no_whole: "cast(null as bigint)",
    no_text: "cast(null as varchar)",
    backslash: "chr(92)",
  },
  macro: (name, args, body) => `create or replace macro ${name}(${args.join(", ")}) as ${body}`,
  keep: (name, select) => `create or replace table ${name} as ${select}`,
  drop: (name) => `drop table if exists ${name}`,

  // As files, so that memory holds one part at a time.
  spread: async (engine, { name, select, by, parts }) => {
    if (parts.length === 1) {
      await engine.run(duckdb.keep(name, select))
      return () => name
    }
    const folder = `${(await engine.one<{ folder: string }>("select current_setting('temp_directory') as folder")).folder}/${name}`
    await engine.run(`copy (select ${by} as part, * from (${select})) to '${folder.replaceAll("'", "''")}' (format parquet, partition_by (part), compression lz4, overwrite_or_ignore true)`)
    const there = new Set((await engine.all<{ part: string }>(`select distinct split_part(split_part(file, 'part=', 2), '/', 1) as part from glob('${folder.replaceAll("'", "''")}/*/*.parquet')`)).map(({ part }) => part))
    const empty = `(select * from (${select}) where false)`
    return (part) => there.has(part) ? `read_parquet('${folder.replaceAll("'", "''")}/part=${part}/*.parquet', hive_partitioning = false)` : empty
  },
}
