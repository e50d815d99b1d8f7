/**
 * Generations of badge levels: which month was published last, and by which rules.
 *
 * The one that counts is that of the latest month whose run is published: publishing and rolling back move one pointer. What a generation says
 * is never changed, so a process keeps what it has read of one.
 */
import type { Rules } from "../badges/rules.ts"
import { answeringPostgres } from "../store/away.ts"
import type { Sql } from "../store/postgres.ts"

/** One badge of a generation, at its place in the list. */
export interface RuledBadge { readonly badge_id: string; readonly version: number; readonly rules: Rules }

export interface Generation {
  readonly generation: number
  readonly period: string
  readonly users: number
  readonly blocks: number
  readonly badges: readonly RuledBadge[]
}

interface GenerationRow { generation: number; period: string; users: number; blocks: number; rules: [badge_no: number, version: number][] | string }

/** So many generations are remembered: the one that counts, the one before it, and what a rollback goes back to. */
const KNOWN_MAX = 8

const readOne = async (sql: Sql, row: GenerationRow): Promise<Generation> => {
  const places = typeof row.rules === "string" ? JSON.parse(row.rules) as [number, number][] : row.rules
  const rows = await sql<{ badge_no: number; badge_id: string; version: number; body: Rules | string }[]>`
    select v.badge_no, b.badge_id, v.version, v.body from badge_versions v join badges b using (badge_no) where v.badge_no = any(${places.map(([badge_no]) => badge_no)})`
  const badges = places.map(([badge_no, version]) => {
    const found = rows.find((each) => each.badge_no === badge_no && each.version === version)
    if (!found) throw new Error(`version ${version} of badge ${badge_no} has gone`)
    return { badge_id: found.badge_id, version, rules: typeof found.body === "string" ? JSON.parse(found.body) as Rules : found.body }
  })
  return { generation: row.generation, period: row.period, users: row.users, blocks: row.blocks, badges }
}

/** The generations of one process over one database. */
export const openGenerations = (sql: Sql) => {
  const known = new Map<number, Generation>()
  const learn = async (row: GenerationRow | undefined): Promise<Generation | undefined> => {
    if (!row) return undefined
    const before = known.get(row.generation)
    if (before) return before
    const generation = await readOne(sql, row)
    if (known.size >= KNOWN_MAX) known.clear()
    known.set(generation.generation, generation)
    return generation
  }
  return {
    /** The one that counts, as Postgres has it now; nothing before the first. */
    latest: () => answeringPostgres(async () =>
      learn((await sql<GenerationRow[]>`
        select g.generation, g.period, g.users, g.blocks, g.rules from run_periods p join level_generations g using (run_id)
        where p.job = 'badges' and p.set_name = '' order by p.period desc limit 1`)[0])),
    /** One by its number. */
    byNumber: async (generation: number): Promise<Generation | undefined> => known.get(generation) ?? answeringPostgres(async () =>
      learn((await sql<GenerationRow[]>`select generation, period, users, blocks, rules from level_generations where generation = ${generation}`)[0])),
  }
}
export type Generations = ReturnType<typeof openGenerations>
