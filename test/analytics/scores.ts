/** Scores and rules for tests of badges: a month's feed in the lake as the import leaves it, and rules in the tables as the API leaves them. */
import type { Sql } from "postgres"
import { openDuck } from "../../analytics/duck.ts"
import type { Lake } from "../../analytics/lake.ts"
import type { FieldType } from "../../engine/badges/grammar.ts"
import type { Rules } from "../../engine/badges/rules.ts"

export interface ScoreRow { readonly user_pin: string; readonly dt: string; readonly fields: Readonly<Record<string, string | null>> }

/** Put one import into the lake: its rows in their order. */
export const putScores = async (lake: Lake, import_no: number, rows: readonly ScoreRow[]): Promise<void> => {
  const duck = await openDuck({ memory_mb: 256, threads: 2, temp_dir: lake.temp() })
  try {
    const names = [...new Set(rows.flatMap(({ fields }) => Object.keys(fields)))]
    await duck.table("rows_of", { user_pin: "varchar", dt: "varchar", day: "varchar", import_no: "bigint", row: "bigint", ...Object.fromEntries(names.map((name) => [name, "varchar"])) },
      rows.map(({ user_pin, dt, fields }, i) => ({ ...fields, user_pin, dt, day: dt, import_no, row: i + 1 })))
    const part = `import-${import_no}`
    const files = []
    for (const day of [...new Set(rows.map(({ dt }) => dt))].sort()) {
      files.push(await lake.write(duck, { select: `select * from rows_of where dt = '${day}'`, order: "row", folder: `scores/${part}`, name: day, day }))
    }
    lake.publish({ dataset: "scores", part, files, facts: {} })
  } finally {
    duck.close()
  }
}

export const INTEGER: FieldType = { type: "integer" }
export const MONEY: FieldType = { type: "money", unit: "major" }
export const FLAG: FieldType = { type: "flag" }

/** Rules that are active from their month on. */
export const putRules = async (sql: Sql, badge_id: string, rules: Rules, version = 1): Promise<void> => {
  await sql`insert into badges (badge_id, created_ms) values (${badge_id}, 0) on conflict do nothing`
  await sql`insert into badge_versions (badge_no, version, line, effective_month, body, fingerprint, created_ms, activated_ms)
    select badge_no, ${version}, ${rules.line}, ${rules.effective_month}, ${JSON.stringify(rules)}::text::jsonb, '', 0, ${version} from badges where badge_id = ${badge_id}`
}

export const wealth = (more: Partial<Rules> = {}): Rules => ({
  line: "wealth", name: "Wealth", effective_month: "2026-01", fields: { lc_score: INTEGER, gdlc_jy_flag: FLAG, hold_amt: MONEY },
  levels: [
    { level: 1, name: "Silver", when: { field: "lc_score", op: ">=", value: "120" } },
    { level: 2, name: "Gold", when: { any: [{ all: [{ field: "lc_score", op: ">=", value: "360" }, { field: "hold_amt", op: ">=", value: "2500.00" }] }, { field: "gdlc_jy_flag", op: "=", value: "1" }] } },
  ],
  downgrade: "at_once", rights: [], ...more,
})
