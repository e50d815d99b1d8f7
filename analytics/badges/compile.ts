/**
 * A badge's rules as SQL: levels are expressions over whole numbers, and nothing is joined to find one.
 *
 * Pure. What must stay true: a condition over a value that is null is not met, and no rule has a negation, so an unknown never makes a level.
 * Measured 2026-11-22 on 500,000 users: see test/analytics/oracle.test.ts, which keeps the same rules as a join.
 */
import { literal } from "../dialects/dialect.ts"
import { named } from "../duck.ts"
import { type FieldType, type Spelling, spellingOf, wholeOf } from "../../engine/badges/grammar.ts"
import { badgesIn, type Condition, isBadge, isField, type Op, type Rules, type When } from "../../engine/badges/rules.ts"

/** A badge as a run judges it: its id, its number and the version of its rules. */
export interface RuledBadge { readonly badge_no: number; readonly badge_id: string; readonly version: number; readonly rules: Rules }

/** One column of whole numbers: a field of the feed in one spelling. Two badges that read a field alike share it. */
export interface ValueColumn { readonly column: string; readonly field: string; readonly spelling: Spelling }

/** One condition of one level, with its thresholds as whole numbers. */
export interface CompiledCondition {
  /** From 1, over all levels of the badge: its bit in `met` is the one before. */
  readonly condition: number
  readonly level: number
  /** From 1, within its level. */
  readonly place: number
  readonly of: Condition
  readonly column: string
  readonly thresholds: readonly bigint[]
  /** Holds, or null or false. */
  readonly sql: string
  /** How far the value is from meeting it: 0 or less when it does; null when that is no distance. */
  readonly missing: string
  /** How far the value may move before it is not met. */
  readonly margin: string
}

export interface CompiledBadge extends RuledBadge {
  /** Its place in the run's list, which names its columns. */
  readonly place: number
  readonly conditions: readonly CompiledCondition[]
  /** The level by the score alone. */
  readonly score: string
  /** The level after the policy for lower scores, and how many months in a row it has been kept above the score. */
  readonly level: string
  readonly low_months: string
}

export interface Compiled {
  /** Each badge after those that it looks at. */
  readonly badges: readonly CompiledBadge[]
  /** Badges that look only at earlier layers, layer by layer. */
  readonly layers: readonly (readonly CompiledBadge[])[]
  readonly values: readonly ValueColumn[]
}

/** Badges that look at each other in a circle, or at one that does not judge this month. */
export class RulesUnfit extends Error { override readonly name = "RulesUnfit" }

const comparison = (column: string, op: Op, thresholds: readonly bigint[]): string =>
  op === "in" ? `${column} in (${thresholds.join(", ")})` : `${column} ${op === "!=" ? "<>" : op} ${thresholds[0]}`

/** How far a value is from a threshold. */
const apart = (column: string, threshold: bigint): string => `case when ${column} < ${threshold} then ${threshold} - ${column} else ${column} - ${threshold} end`

/** What a value lacks of meeting a condition, and by how much it does meet it. */
const distances = (column: string, op: Op, thresholds: readonly bigint[]): { missing: string; margin: string } => {
  const threshold = thresholds[0]!
  switch (op) {
    case ">=": return { missing: `${threshold} - ${column}`, margin: `${column} - ${threshold}` }
    case ">": return { missing: `${threshold + 1n} - ${column}`, margin: `${column} - ${threshold + 1n}` }
    case "<=": return { missing: `${column} - ${threshold}`, margin: `${threshold} - ${column}` }
    case "<": return { missing: `${column} - ${threshold - 1n}`, margin: `${threshold - 1n} - ${column}` }
    case "=": return { missing: apart(column, threshold), margin: "0" }
    case "!=": return { missing: `case when ${column} is null then null when ${column} = ${threshold} then 1 else 0 end`, margin: `${apart(column, threshold)} - 1` }
    case "in": return { missing: `case when ${column} is null then null when ${comparison(column, op, thresholds)} then 0 else 1 end`, margin: "0" }
  }
}

const listOf = <T>(value: T | readonly T[]): readonly T[] => Array.isArray(value) ? value as readonly T[] : [value as T]

/** The months' policy as SQL, over the columns of a badge: score `s`, level before `p`, months kept before `g`. */
const policyOf = ({ levels, downgrade = "at_once" }: Rules, place: number): { level: string; low_months: string } => {
  const [s, p, g] = [`s${place}`, `p${place}`, `g${place}`]
  if (downgrade === "at_once") return { level: s, low_months: "0" }
  if (downgrade === "one_level") {
    const numbers = levels.map(({ level }) => level)
    const below = `case ${numbers.toReversed().map((level) => `when ${p} > ${level} then ${level}`).join(" ")} else 0 end`
    return { level: `case when ${s} >= ${p} then ${s} when ${s} > ${below} then ${s} else ${below} end`, low_months: "0" }
  }
  return {
    level: `case when ${s} >= ${p} or ${g} >= ${downgrade.grace_months} then ${s} else ${p} end`,
    low_months: `case when ${s} >= ${p} or ${g} >= ${downgrade.grace_months} then 0 else ${g} + 1 end`,
  }
}

/** Badges so that each comes after those that it looks at, in layers. */
const inLayers = (ruled: readonly RuledBadge[]): RuledBadge[][] => {
  const layers: RuledBadge[][] = []
  const done = new Set<string>()
  let left = ruled.toSorted((a, b) => a.badge_id < b.badge_id ? -1 : 1)
  for (const { badge_id, rules } of left) {
    const unknown = badgesIn(rules).find((each) => !left.some((other) => other.badge_id === each))
    if (unknown !== undefined) throw new RulesUnfit(`${badge_id} looks at ${unknown}, which has no rules for this month`)
  }
  while (left.length > 0) {
    const ready = left.filter(({ rules }) => badgesIn(rules).every((each) => done.has(each)))
    if (ready.length === 0) throw new RulesUnfit(`${left.map(({ badge_id }) => badge_id).join(", ")} look at each other in a circle`)
    layers.push(ready)
    for (const { badge_id } of ready) done.add(badge_id)
    left = left.filter(({ badge_id }) => !done.has(badge_id))
  }
  return layers
}

/** Compile the rules of a month. Throws RulesUnfit. */
export const compileRules = (ruled: readonly RuledBadge[]): Compiled => {
  const values = new Map<string, ValueColumn>()
  const columnOf = (field: string, type: FieldType): string => {
    const spelling = spellingOf(type)
    const key = `${spelling} ${field}`
    const known = values.get(key) ?? { column: `value_${values.size + 1}`, field, spelling }
    values.set(key, known)
    return known.column
  }
  const layers = inLayers(ruled)
  const placeOf = new Map(layers.flat().map(({ badge_id }, i) => [badge_id, i + 1]))

  const compileBadge = (badge: RuledBadge): CompiledBadge => {
    const { rules, badge_id } = badge
    const conditions: CompiledCondition[] = []
    const compileCondition = (of: Condition, level: number, place: number): CompiledCondition => {
      const column = isField(of) ? columnOf(of.field, rules.fields[of.field]!) : `l${placeOf.get(of.badge)!}`
      const thresholds = isField(of) ? listOf(of.value).map((value) => wholeOf(value, rules.fields[of.field]!)!) : listOf(of.level).map(BigInt)
      const made = { condition: conditions.length + 1, level, place, of, column, thresholds, sql: comparison(column, of.op, thresholds), ...distances(column, of.op, thresholds) }
      conditions.push(made)
      return made
    }
    const compileWhen = (when: When, level: number, next: { place: number }): string => {
      if (isField(when) || isBadge(when)) return compileCondition(when, level, next.place++).sql
      const [list, word] = "all" in when ? [when.all, " and "] as const : [when.any, " or "] as const
      return `(${list.map((each) => compileWhen(each, level, next)).join(word)})`
    }
    const whens = rules.levels.map(({ level, when }) => ({ level, sql: compileWhen(when, level, { place: 1 }) }))
    const place = placeOf.get(badge_id)!
    return {
      ...badge, place, conditions,
      score: `case when has_row = 0 then 0 ${whens.toReversed().map(({ level, sql }) => `when ${sql} then ${level}`).join(" ")} else 0 end`,
      ...policyOf(rules, place),
    }
  }
  const compiled = layers.map((layer) => layer.map(compileBadge))
  return { badges: compiled.flat(), layers: compiled, values: [...values.values()] }
}

/** A month as a whole number, YYYYMM. */
export const monthNumber = (period: string): number => Number(period.replace("-", ""))

/** Bits of one mask: a whole number in every engine. */
export const MASK_BITS = 62
/** The masks that tell of each value why it is none, and the bit of a value in them. */
export const maskOf = (nth: number): { readonly mask: number; readonly bit: bigint } => ({ mask: Math.floor(nth / MASK_BITS) + 1, bit: 2n ** BigInt(nth % MASK_BITS) })
export const masksOf = ({ values }: Compiled): number[] => Array.from({ length: Math.ceil(values.length / MASK_BITS) }, (_, i) => i + 1)

const sumOf = (parts: readonly string[]): string => parts.length === 0 ? "0" : parts.join(" + ")

/**
 * Each value of the feed as a whole number, once; and why it is none, as bits of two masks: `missing` (or empty) and `unread` (not a
 * number). A null that is no number here never becomes one later.
 */
export const readValues = (compiled: Compiled): string => {
  const { values } = compiled
  const empty = (field: string): string => `(${named(field)} is null or ${named(field)} = '')`
  const masks = masksOf(compiled).flatMap((mask) => {
    const own = values.map((value, nth) => ({ ...value, nth })).filter(({ nth }) => maskOf(nth).mask === mask)
    const bits = (holds: (value: ValueColumn) => string) => sumOf(own.map((value) => `case when ${holds(value)} then ${maskOf(value.nth).bit} else 0 end`))
    return [`${bits(({ field }) => empty(field))} as missing_${mask}`, `${bits(({ column, field }) => `${column} is null and not ${empty(field)}`)} as unread_${mask}`]
  })
  return [...values.map(({ column }) => column), ...masks].join(", ")
}

/** The values alone, from the feed's texts. */
export const parseValues = ({ values }: Compiled): string => values.map(({ column, field, spelling }) => `whole_${spelling}(${named(field)}) as ${column}`).join(", ")

/**
 * Users of `both` (has_row, values, and for each badge the level before `p`, its month `q` and the months kept `g`) with the score `s`, the
 * level `l` and the months kept `k` of each badge.
 */
export const judge = ({ layers }: Compiled, both: string): string => layers.reduce((from, layer) => {
  const scored = `select *, ${layer.map(({ place, score }) => `${score} as s${place}`).join(", ")} from ${from}`
  return `(select *, ${layer.map(({ place, level, low_months }) => `${level} as l${place}, ${low_months} as k${place}`).join(", ")} from (${scored}) as scored_${layer[0]!.place}) as judged_${layer[0]!.place}`
}, both)

/** The bits of the conditions that are met. */
export const metBits = ({ conditions }: CompiledBadge): string =>
  sumOf(conditions.map(({ sql, condition }) => `case when ${sql} then ${2n ** BigInt(condition - 1)} else 0 end`))

const byLevel = (badge: CompiledBadge, level: string, each: (condition: CompiledCondition) => string, place: number): string => {
  const cases = badge.conditions.filter((condition) => condition.place === place).map((condition) => `when ${condition.level} then ${each(condition)}`)
  return cases.length === 0 ? "no_whole()" : `narrow(case ${level} ${cases.join(" ")} end)`
}

/** The places of conditions that a badge's levels have. */
const placesOf = ({ conditions }: CompiledBadge): number[] => [...new Set(conditions.map(({ place }) => place))].sort((a, b) => a - b)

/** The lowest level above the one held; null at the top. */
const nextLevel = ({ rules, place }: CompiledBadge): string => `case ${rules.levels.map(({ level }) => `when l${place} < ${level} then ${level}`).join(" ")} end`

/**
 * The event of each badge, one row a user: from which level to which, what each condition of the next level lacks (above 0, or null where the
 * value is none: not met) and by how much each of the present one is met (0 or more).
 */
export const eventsOf = ({ badges }: Compiled, from: string): string => {
  const columns = badges.flatMap((badge) => {
    const { place } = badge
    const [p, l, n] = [`p${place}`, `l${place}`, `n${place}`]
    return [
      `case when ${p} = 0 and ${l} = 0 then null when ${p} = 0 then 'new' when ${l} = 0 then 'lost' when ${l} > ${p} then 'up' when ${l} < ${p} then 'down' else 'same' end as event_${place}`,
      `${p} as from_${place}, ${l} as to_${place}, ${n} as next_${place}`,
      ...placesOf(badge).map((at) => `${byLevel(badge, n, ({ missing }) => missing, at)} as missing_${place}_${at}, ${byLevel(badge, l, ({ margin }) => margin, at)} as margin_${place}_${at}`),
    ]
  })
  return `select user_id, ${columns.join(", ")} from (select *, ${badges.map((badge) => `${nextLevel(badge)} as n${badge.place}`).join(", ")} from ${from}) as next_of where ${badges.map(({ place }) => `p${place} > 0 or l${place} > 0`).join(" or ")}`
}

/** The levels, one row a user who has any: each badge's level, the level by the score alone, since which month, and for how many months it was kept above the score. */
export const levelsOf = ({ badges }: Compiled, period: string, from: string): string =>
  `select user_id, ${badges.map(({ place }) => `l${place} as level_${place}, s${place} as score_${place}, case when l${place} = 0 then null when l${place} = p${place} then q${place} else ${monthNumber(period)} end as since_${place}, k${place} as low_${place}`).join(", ")}
    from ${from} where ${badges.map(({ place }) => `l${place} > 0`).join(" or ")}`

/** What was seen of each user: the values, which of them are none and why, and the bits of the conditions that are met, badge by badge. */
export const explanationsOf = (compiled: Compiled, from: string): string => {
  const masks = masksOf(compiled).flatMap((mask) => [`missing_${mask}`, `unread_${mask}`])
  return `select user_id, has_row, ${[...compiled.values.map(({ column }) => column), ...masks, ...compiled.badges.map((badge) => `narrow(${metBits(badge)}) as met_${badge.place}`)].join(", ")} from ${from}`
}

/** The request_id under which a level's rights are issued in a month; the engine's own claim uses the same. */
export const rightRequest = (period: string, badge_id: string, level: number): string => `badge:${period}:${badge_id}:${level}`

/** The rights that are issued without being claimed: who gets a coupon of which campaign, under which request_id. Nothing where there are none. */
export const rightsOf = ({ badges }: Compiled, period: string, from: string): string | undefined => {
  const parts = badges.flatMap(({ badge_id, place, rules: { rights = [] } }) => rights.filter(({ claim }) => claim === "automatic").map(({ level, campaign_id }) =>
    `select user_id, ${literal(badge_id)} as badge_id, ${level} as level, ${literal(campaign_id)} as campaign_id, ${literal(rightRequest(period, badge_id, level))} as request_id from ${from} where l${place} = ${level}`))
  return parts.length === 0 ? undefined : parts.join(" union all ")
}
