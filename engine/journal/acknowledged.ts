/**
 * What this process has answered with a yes and Postgres does not have yet: so that what a lost master takes with it has names.
 *
 * What must stay true: an act is remembered by its journal entry until the cell's cursor has passed that entry in its own epoch. Where
 * the cursor is in a later epoch instead, the first entry of the next one says where the act's epoch ended; what lies beyond that end was
 * answered and is lost, and is written down. Under `local` that may happen at a failover; at the other levels it takes two failures.
 *
 * The memory is bounded, and a process may die with it: what it had to forget, and whether it said goodbye, stands in `api_processes`,
 * so that whoever reads the list knows whether it may be too short.
 */
import { type Log } from "../log.ts"
import { type Loop, startEvery } from "../loop.ts"
import { answeringPostgres } from "../store/away.ts"
import type { Witness } from "../store/masters.ts"
import type { Sql } from "../store/postgres.ts"
import { cursorsOf } from "./caught_up.ts"
import { BIRTH, compareIds, idOf, textOf, type EntryId } from "./entry.ts"
import { jsonOf } from "./expected.ts"

/** Acts that are remembered at most: those of some ten seconds. The oldest are forgotten first. */
export const ACKNOWLEDGED_MAX = 50_000
const LOOK_EVERY_MS = 1_000
/** Lost acts that are named in the log, one line each; the table has them all. */
const LOGGED_MAX = 100
/** A goodbye waits so long for Postgres to have what was answered. */
const GOODBYE_MS_MAX = 1_500
const GOODBYE_POLL_MS = 50
/** A process that was not seen for so long has died. */
export const DEAD_MS = 10_000
/** And is told of for so long: as long as ids are remembered. */
export const TOLD_MS = 90 * 86_400_000

interface Acknowledged { readonly id: EntryId; readonly act: string; readonly args: Readonly<Record<string, unknown>> }

/** What an act was about, as its caller knows it. */
export const namesOf = ({ user, redemption, field, payload }: Readonly<Record<string, unknown>>): Record<string, string> => {
  const names: Record<string, string> = {}
  if (typeof user === "string" && typeof field === "string") names["coupon_id"] = user + field
  if (typeof user === "string" && typeof redemption === "string") names["redemption_id"] = user + redemption
  const facts = typeof payload === "string" && payload !== "" ? JSON.parse(payload) as Record<string, unknown> : {}
  for (const name of ["coupon_id", "redemption_id", "request_id", "order_id", "refund_id", "addition_id", "budget_id", "campaign_id"] as const) {
    if (typeof facts[name] === "string") names[name] = facts[name]
  }
  return names
}

export interface AcknowledgedParts {
  readonly sql: Sql
  readonly log: Log
  readonly now_ms: () => number
  readonly process_id: string
  readonly pid: number
  readonly acts_max?: number
}

export interface Memory {
  readonly witness: Witness
  /** Look once: forget what Postgres has, write down what is lost; how many acts that were. */
  look(): Promise<number>
  /** Look from now on; a stop waits a moment for Postgres, and says goodbye. */
  start(): Loop
}

/** Where an epoch ended, by the entry that opened the next one; nothing while Postgres has no later one. */
const endOf = async (sql: Sql, cell: number, epoch: number): Promise<EntryId | undefined> => {
  const [row] = await sql<{ payload: unknown }[]>`
    select payload from events where cell = ${cell} and epoch > ${epoch} and n = 0 and act = 'opened' order by epoch limit 1`
  const { tail } = (jsonOf(row?.payload ?? null) ?? {}) as { tail?: string }
  return tail === undefined ? undefined : idOf(tail)
}

/** The memory of one process. */
export const rememberAcknowledged = (parts: AcknowledgedParts): Memory => {
  const { sql, log, now_ms, process_id, pid, acts_max = ACKNOWLEDGED_MAX } = parts
  const byCell = new Map<number, Acknowledged[]>()
  const started_ms = now_ms()
  let count = 0, forgotten = 0

  const forgetOldest = (): void => {
    const [longest] = [...byCell.values()].sort((a, b) => b.length - a.length)
    const half = Math.ceil(longest!.length / 2)
    longest!.splice(0, half)
    count -= half
    forgotten += half
  }

  /** What of a cell's acts is lost; what is kept or lost leaves the memory. */
  const settle = async (cell: number, acts: Acknowledged[], cursor: EntryId): Promise<Acknowledged[]> => {
    const ends = new Map<number, EntryId | undefined>()
    for (const epoch of new Set(acts.filter(({ id }) => id.epoch < cursor.epoch).map(({ id }) => id.epoch))) ends.set(epoch, await endOf(sql, cell, epoch))
    const lost: Acknowledged[] = [], open: Acknowledged[] = []
    // Taken out in one step: acts that came while Postgres was asked stand behind those that were looked at.
    for (const each of acts.splice(0)) {
      const end = ends.get(each.id.epoch)
      if (each.id.epoch === cursor.epoch ? each.id.n > cursor.n : each.id.epoch > cursor.epoch || end === undefined) open.push(each)
      else if (end !== undefined && compareIds(each.id, end) > 0) lost.push(each)
    }
    acts.push(...open)
    return lost
  }

  const writeDown = async (cell: number, lost: readonly Acknowledged[]): Promise<void> => {
    for (const [i, { id, act, args }] of lost.entries()) {
      const names = namesOf(args)
      await sql`insert into lost_acts (cell, epoch, n, act, names, process_id, found_ms)
        values (${cell}, ${id.epoch}, ${id.n}, ${act}, ${JSON.stringify(names)}::text::jsonb, ${process_id}, ${now_ms()}) on conflict do nothing`
      if (i < LOGGED_MAX) log.error("an act was answered with a yes and is lost with its master", { cell, cursor: textOf(id), act, ...names })
    }
    if (lost.length > LOGGED_MAX) log.error("more acts are lost than are named here", { cell, rows: lost.length })
  }

  const look = async (): Promise<number> => {
    await answeringPostgres(() => sql`
      insert into api_processes (process_id, pid, started_ms, seen_ms, forgotten) values (${process_id}, ${pid}, ${started_ms}, ${now_ms()}, ${forgotten})
      on conflict (process_id) do update set seen_ms = excluded.seen_ms, forgotten = excluded.forgotten`)
    if (count === 0) return 0
    const cells = [...byCell].filter(([, acts]) => acts.length > 0)
    const cursors = await answeringPostgres(() => cursorsOf(sql, cells.map(([cell]) => cell)))
    let found = 0
    for (const [cell, acts] of cells) {
      const lost = await settle(cell, acts, cursors.get(cell) ?? BIRTH)
      await writeDown(cell, lost)
      found += lost.length
    }
    count = [...byCell.values()].reduce((sum, acts) => sum + acts.length, 0)
    return found
  }

  return {
    witness: (cell, entry_id, act, args) => {
      const acts = byCell.get(cell)
      const dash = entry_id.indexOf("-")
      const acknowledged = { id: { epoch: Number(entry_id.slice(0, dash)), n: Number(entry_id.slice(dash + 1)) }, act, args }
      if (acts) acts.push(acknowledged)
      else byCell.set(cell, [acknowledged])
      if (++count > acts_max) forgetOldest()
    },
    look,
    start: () => {
      let is_swept = false
      const loop = startEvery("acknowledged", LOOK_EVERY_MS, log, async () => {
        await look()
        if (is_swept) return
        await answeringPostgres(() => sql`delete from api_processes where seen_ms < ${now_ms() - TOLD_MS} or (left_ms is not null and forgotten = 0)`)
        is_swept = true
      })
      return {
        name: loop.name,
        stop: async () => {
          await loop.stop()
          const until = performance.now() + GOODBYE_MS_MAX
          await look()
          while (count > 0 && performance.now() < until) {
            await Bun.sleep(GOODBYE_POLL_MS)
            await look()
          }
          if (count > 0) return
          // Who has nothing to tell leaves no row: there would be one more for every start.
          if (forgotten === 0) await sql`delete from api_processes where process_id = ${process_id}`
          else await sql`update api_processes set left_ms = ${now_ms()} where process_id = ${process_id}`
        },
      }
    },
  }
}

export interface LostReport {
  readonly acts: readonly { cell: number; epoch: number; n: number; act: string; names: Record<string, string>; found_ms: number }[]
  /** Processes that died, or had to forget: what they had answered last may be missing from the list. */
  readonly silent: readonly { process_id: string; pid: number; seen_ms: number; forgotten: number }[]
}

/** Every act that is known as lost, and who may have known of more. */
export const readLost = async (sql: Sql, now_ms: number, rows_max: number): Promise<LostReport> => {
  const acts = await sql<LostReport["acts"][number][]>`select cell, epoch, n, act, names, found_ms from lost_acts order by found_ms, cell, epoch, n limit ${rows_max}`
  const silent = await sql<LostReport["silent"][number][]>`
    select process_id, pid, seen_ms, forgotten from api_processes where (left_ms is null and seen_ms < ${now_ms - DEAD_MS}) or forgotten > 0 order by seen_ms limit ${rows_max}`
  return { acts: acts.map((row) => ({ ...row, names: jsonOf(row.names) as Record<string, string> })), silent }
}
