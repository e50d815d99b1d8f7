/**
 * A month of badges: from the rows of the score feed and the levels of the month before to levels, events and explanations.
 *
 * What must stay true: a text becomes a number once, in the first pass, which also spreads the users over shards by their hash. From there
 * on a shard is a month of its own: no user of one looks at another, so memory is bounded by a shard, processor time grows with the users and
 * not faster, and shards may run on as many machines as there are. Every output has an order without ties.
 */
import type { Engine } from "../dialects/dialect.ts"
import type { Progress } from "../progress.ts"
import { type Compiled, eventsOf, explanationsOf, judge, levelsOf, masksOf, maskOf, parseValues, readValues, rightsOf } from "./compile.ts"

/** Rows of the feed in one shard, about; more rows make sixteen times as many shards. */
export const SHARD_ROWS_MAX = 800_000
const HEX = 16
const DIGITS_MAX = 3
/** Shards that are in memory at a time: one that is written and one that is judged. */
const TABLES = 2

/** How many hex digits of a user's hash name a shard. */
export const shardDigits = (rows: number): number => {
  for (let digits = 0; digits < DIGITS_MAX; digits++) if (rows <= SHARD_ROWS_MAX * HEX ** digits) return digits
  return DIGITS_MAX
}
/** The shards' names: the first digits of their users' hashes. */
export const shardsOf = (digits: number): string[] => Array.from({ length: HEX ** digits }, (_, i) => digits === 0 ? "" : i.toString(HEX).padStart(digits, "0"))

/** How an output of a shard is called: `levels`, or `levels_a` where there are sixteen. */
export const shardName = (output: string, shard: string): string => shard === "" ? output : `${output}_${shard}`

export interface Month {
  readonly compiled: Compiled
  /** YYYY-MM */
  readonly period: string
  readonly digits: number
  /** The relation of the feed's rows: user_pin, dt, import_no, row, and a text for each field. */
  readonly scores: string
  /** Of each badge that had levels in the month before, its place in that run. */
  readonly was: ReadonlyMap<string, number>
  /** The relation of a shard's levels of the month before, as `levelsOf` has written them; NO_LEVELS where there are none. */
  readonly previous: (shard: string) => string
  readonly progress: Progress
  readonly signal: AbortSignal
  /** Write an output of a shard. */
  readonly write: (output: { readonly name: string; readonly select: string; readonly key: readonly string[]; readonly is_sorted?: boolean }) => Promise<unknown>
}

/** What was seen of a month, badge by badge. */
export interface Seen {
  readonly users: number
  readonly without_row: number
  readonly badges: readonly {
    readonly badge_id: string; readonly version: number
    readonly levels: readonly { readonly level: number; readonly users: number }[]
    readonly events: Readonly<Record<"new" | "up" | "down" | "lost" | "same", number>>
  }[]
  /** Of each field's values in the rows that were judged: how many were missing, and how many no number. */
  readonly fields: readonly { readonly field: string; readonly missing: number; readonly not_a_number: number }[]
}

/** Read the feed once: whole numbers, and each user's shard. Answers where a shard's rows lie. */
const spread = (engine: Engine, { compiled, digits, scores }: Month): Promise<(shard: string) => string> => {
  const key = "dt, import_no, row"
  const rows = compiled.values.length === 0 ? `select user_pin as user_id, ${key} from ${scores}`
    : `select user_pin as user_id, ${key}, ${readValues(compiled)} from (select *, ${parseValues(compiled)} from ${scores}) as parsed`
  return engine.dialect.spread(engine, { name: "spread", select: rows, by: `hash_prefix(user_hash(user_id), ${digits})`, parts: shardsOf(digits) })
}

/** The users of a shard: the latest row of each, and the levels that they had. */
const usersOf = ({ compiled, was }: Month, rows: string, previous: string, isOneEach: boolean): string => {
  const { badges, values } = compiled
  const masks = masksOf(compiled)
  const columns = [...values.map(({ column }) => column), ...masks.flatMap((mask) => [`missing_${mask}`, `unread_${mask}`])]
  // A user without a row has no value: every one of them is missing.
  const all = (mask: number) => values.reduce((sum, _, nth) => maskOf(nth).mask === mask ? sum + maskOf(nth).bit : sum, 0n)
  const before = badges.map(({ badge_id, place }) => {
    const then = was.get(badge_id)
    return then === undefined ? `0 as p${place}, no_whole() as q${place}, 0 as g${place}`
      : `coalesce(before.level_${then}, 0) as p${place}, before.since_${then} as q${place}, coalesce(before.low_${then}, 0) as g${place}`
  })
  // A feed with one row a user has no latest to be found, and finding it takes a third of the judging.
  const latest = isOneEach ? rows : `(select *, row_number() over (partition by user_id order by dt desc, import_no desc, row desc) as nth from ${rows}) as ranked where nth = 1`
  return `select coalesce(latest.user_id, before.user_id) as user_id, case when latest.user_id is null then 0 else 1 end as has_row,
    ${[...values.map(({ column }) => `latest.${column} as ${column}`), ...masks.map((mask) => `coalesce(latest.missing_${mask}, ${all(mask)}) as missing_${mask}, coalesce(latest.unread_${mask}, 0) as unread_${mask}`), ...before].join(", ")}
    from (select ${["user_id", ...columns].join(", ")} from ${latest}) as latest
    full join ${previous} as before on latest.user_id = before.user_id`
}

/** Judge every shard of a month and write its outputs. */
export const judgeMonth = async (engine: Engine, month: Month): Promise<Seen> => {
  const { compiled, period, digits, previous, progress, signal, write } = month
  const { badges } = compiled
  progress("reading the feed")
  const rowsOf = await spread(engine, month)
  const shards = shardsOf(digits)
  const counts = new Map<string, number>()
  const count = (key: string, more: number) => counts.set(key, (counts.get(key) ?? 0) + more)
  const ahead = await engine.beside()
  const tableOf = (i: number): string => `judged_${i % TABLES}`
  const judgeShard = async (i: number): Promise<void> => {
    const shard = shards[i]!, rows = rowsOf(shard)
    const seen = await ahead.one<{ rows: number; users: number }>(`select count(*) as rows, count(distinct user_id) as users from ${rows} as every`)
    const users = usersOf(month, rows, previous(shard), seen.rows === seen.users)
    await ahead.run(engine.dialect.keep(tableOf(i), `select * from ${judge(compiled, `(${users}) as both_of`)} order by user_id`))
  }
  // A shard is judged while the one before it is written: neither keeps two processors busy alone.
  const begin = (i: number) => {
    const judging = judgeShard(i)
    return { judging, ended: Promise.allSettled([judging]) }
  }
  let next = begin(0)
  try {
    for (const [i, shard] of shards.entries()) {
      signal.throwIfAborted()
      progress("judging", i / shards.length)
      await next.judging
      if (i + 1 < shards.length) next = begin(i + 1)
      const judged = tableOf(i)
      await write({ name: shardName("levels", shard), key: ["user_id"], is_sorted: true, select: levelsOf(compiled, period, judged) })
      await write({ name: shardName("events", shard), key: ["user_id"], is_sorted: true, select: eventsOf(compiled, judged) })
      await write({ name: shardName("explanations", shard), key: ["user_id"], is_sorted: true, select: explanationsOf(compiled, judged) })
      const rights = rightsOf(compiled, period, judged)
      if (rights) await write({ name: shardName("rights", shard), key: ["user_id", "badge_id", "campaign_id"], select: rights })
      for (const row of await engine.all<{ kind: string; a: number; b: number; users: number }>(`
        select 'user' as kind, narrow(has_row) as a, narrow(0) as b, count(*) as users from ${judged} group by has_row
        ${badges.map(({ place }) => `union all select 'badge ${place}', narrow(p${place}), narrow(l${place}), count(*) from ${judged} group by p${place}, l${place}`).join(" ")}
        ${masksOf(compiled).map((mask) => `union all select 'mask ${mask}', narrow(missing_${mask}), narrow(unread_${mask}), count(*) from ${judged} where has_row = 1 group by missing_${mask}, unread_${mask}`).join(" ")}`)) {
        count(`${row.kind} ${row.a} ${row.b}`, row.users)
      }
      await engine.run(engine.dialect.drop(judged))
    }
  } finally {
    await next.ended
  }
  await engine.run(engine.dialect.drop("spread"))
  return seenFrom(compiled, counts)
}

const seenFrom = ({ badges, values }: Compiled, counts: ReadonlyMap<string, number>): Seen => {
  const users = [...counts].filter(([key]) => key.startsWith("user ")).reduce((sum, [, more]) => sum + more, 0)
  return {
    users, without_row: counts.get("user 0 0") ?? 0,
    badges: badges.map(({ badge_id, version, place, rules }) => {
      const moves = [...counts].filter(([key]) => key.startsWith(`badge ${place} `)).map(([key, number]) => {
        const [from, to] = key.split(" ").slice(2).map(Number) as [number, number]
        return { from, to, number }
      })
      const sum = (holds: (from: number, to: number) => boolean): number => moves.reduce((total, { from, to, number }) => holds(from, to) ? total + number : total, 0)
      const levels = [...new Set([0, ...rules.levels.map(({ level }) => level), ...moves.map(({ to }) => to)])].sort((a, b) => a - b)
      return {
        badge_id, version,
        levels: levels.map((level) => ({ level, users: sum((_, to) => to === level) })),
        events: {
          new: sum((from, to) => from === 0 && to > 0), up: sum((from, to) => from > 0 && to > from), down: sum((from, to) => to > 0 && to < from),
          lost: sum((from, to) => from > 0 && to === 0), same: sum((from, to) => from > 0 && to === from),
        },
      }
    }),
    fields: values.map(({ field }, nth) => {
      const { mask, bit } = maskOf(nth)
      const masks = [...counts].filter(([key]) => key.startsWith(`mask ${mask} `)).map(([key, number]) => ({ bits: key.split(" ").slice(2).map(BigInt) as [bigint, bigint], number }))
      const sum = (which: 0 | 1): number => masks.reduce((total, { bits, number }) => (bits[which] & bit) === 0n ? total : total + number, 0)
      return { field, missing: sum(0), not_a_number: sum(1) }
    }),
  }
}

/** What the conditions of a run are: how `met`, `missing_n` and `margin_n` are read. */
export const conditionRows = ({ badges }: Compiled) => badges.flatMap(({ badge_id, version, place, conditions }) => conditions.map(({ condition, level, place: at, of, column, thresholds }) => ({
  badge_id, version, met_column: `met_${place}`, condition, level, place: at, value_column: column,
  field: "field" in of ? of.field : null, badge: "badge" in of ? of.badge : null, op: of.op, threshold: thresholds.join(","),
})))
export const CONDITION_COLUMNS = {
  badge_id: "varchar", version: "integer", met_column: "varchar", condition: "integer", level: "integer", place: "integer", value_column: "varchar",
  field: "varchar", badge: "varchar", op: "varchar", threshold: "varchar",
} as const

/** A relation without rows: there is no month before. */
export const NO_LEVELS = "(select no_text() as user_id where false)"
