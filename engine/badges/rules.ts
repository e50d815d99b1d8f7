/**
 * The rules of a badge: fields of a score feed, levels with the conditions that reach them, and what a lower score does.
 *
 * Pure. What must stay true: rules that `rulesFault` has passed always compile. A condition has no negation, so a value that is missing or
 * no number can only keep a level from being reached, and never make one.
 */
import { type FieldType, type Spelling, spellingOf, wholeOf } from "./grammar.ts"

export const OPS = [">=", ">", "<=", "<", "=", "!=", "in"] as const
export type Op = (typeof OPS)[number]

/** A field against a threshold, as text in the spelling of the field. `in` takes a list. */
export interface FieldCondition { readonly field: string; readonly op: Op; readonly value: string | readonly string[] }
/** The level that the user has of another badge in the same month. */
export interface BadgeCondition { readonly badge: string; readonly op: Op; readonly level: number | readonly number[] }
export type Condition = FieldCondition | BadgeCondition
export type When = Condition | { readonly all: readonly When[] } | { readonly any: readonly When[] }

export interface Level { readonly level: number; readonly name: string; readonly when: When }
/** What a score below the level does: it falls to the score, by one level a month, or after so many months in a row. */
export type Downgrade = "at_once" | "one_level" | { readonly grace_months: number }
/** What the holders of exactly this level are given each month: at once, or when they claim it. */
export interface Right { readonly level: number; readonly campaign_id: string; readonly claim: "automatic" | "activate" }

export interface Rules {
  readonly line: string
  readonly name: string
  /** The first month, YYYY-MM, that these rules judge. */
  readonly effective_month: string
  readonly fields: Readonly<Record<string, FieldType>>
  readonly levels: readonly Level[]
  readonly downgrade?: Downgrade
  readonly rights?: readonly Right[]
  /** A month in which more of the holders change than this share, in basis points, waits for a sign-off. */
  readonly change_max_bp?: number
}

export const FIELDS_MAX = 64
export const LEVELS_MAX = 32
/** A level is packed into one byte. */
export const LEVEL_MAX = 255
/** Conditions of one badge: which of them are met is one integer of 63 bits. */
export const CONDITIONS_MAX = 62
export const DEPTH_MAX = 8
export const IN_MAX = 64
export const GRACE_MONTHS_MAX = 24
export const RIGHTS_MAX = 32

/** The columns of a feed, and of what is kept of it, that are no fields. */
const NOT_FIELDS = ["user_pin", "dt", "day", "import_no", "row"]

export const isField = (condition: When): condition is FieldCondition => "field" in condition
export const isBadge = (condition: When): condition is BadgeCondition => "badge" in condition

/** What is wrong with rules: one place of them, and why as a sentence goes on after its name. */
export interface RulesFault { readonly field: string; readonly says: string }

type Raw = Readonly<Record<string, unknown>>
const isObject = (value: unknown): value is Raw => typeof value === "object" && value !== null && !Array.isArray(value)
const fault = (field: string, says: string): RulesFault => ({ field, says })
const strange = (value: Raw, at: string, names: readonly string[]): RulesFault | undefined => {
  const name = Object.keys(value).find((each) => !names.includes(each))
  return name === undefined ? undefined : fault(`${at}.${name}`, "is not a field of this request")
}

const KINDS_OF_NUMBER: Readonly<Record<Spelling, string>> = {
  integer: "an integer of at most 15 digits as text, as in \"360\"", flag: "\"0\" or \"1\"",
  money_major: "an amount of at most 15 digits and two decimals as text, as in \"2500.00\"", money_minor: "an amount in minor units of at most 15 digits as text",
}

const valueFault = (value: unknown, at: string, field: FieldType): RulesFault | undefined =>
  typeof value === "string" && wholeOf(value, field) !== undefined ? undefined
    : fault(at, `must be ${KINDS_OF_NUMBER[spellingOf(field)]}`)

const fieldFault = (value: Raw, at: string, fields: Rules["fields"]): RulesFault | undefined => {
  const wrong = strange(value, at, ["field", "op", "value"])
  if (wrong) return wrong
  const { field, op, value: threshold } = value
  if (typeof field !== "string" || !Object.hasOwn(fields, field)) return fault(`${at}.field`, `must be one of fields, and ${JSON.stringify(field) ?? "nothing"} is not`)
  if (!OPS.includes(op as Op)) return fault(`${at}.op`, `must be one of ${OPS.join(" ")}`)
  if (op !== "in") return valueFault(threshold, `${at}.value`, fields[field]!)
  if (!Array.isArray(threshold) || threshold.length < 1 || threshold.length > IN_MAX) return fault(`${at}.value`, `must be a list of 1 to ${IN_MAX} values`)
  for (const [i, each] of threshold.entries()) {
    const wrong = valueFault(each, `${at}.value[${i}]`, fields[field]!)
    if (wrong) return wrong
  }
  return undefined
}

const isLevel = (value: unknown): boolean => Number.isInteger(value) && (value as number) >= 0 && (value as number) <= LEVEL_MAX
const badgeFault = (value: Raw, at: string): RulesFault | undefined => {
  const wrong = strange(value, at, ["badge", "op", "level"])
  if (wrong) return wrong
  const { badge, op, level } = value
  if (typeof badge !== "string" || badge === "") return fault(`${at}.badge`, "must be the id of a badge")
  if (!OPS.includes(op as Op)) return fault(`${at}.op`, `must be one of ${OPS.join(" ")}`)
  if (op !== "in") return isLevel(level) ? undefined : fault(`${at}.level`, `must be a level of 0 to ${LEVEL_MAX}`)
  return Array.isArray(level) && level.length >= 1 && level.length <= IN_MAX && level.every(isLevel) ? undefined
    : fault(`${at}.level`, `must be a list of 1 to ${IN_MAX} levels`)
}

const whenFault = (value: unknown, at: string, fields: Rules["fields"], depth: number): RulesFault | undefined => {
  if (depth > DEPTH_MAX) return fault(at, `must not be deeper than ${DEPTH_MAX}`)
  if (!isObject(value)) return fault(at, "must be a condition, or all or any of some")
  if ("field" in value) return fieldFault(value, at, fields)
  if ("badge" in value) return badgeFault(value, at)
  const word = "all" in value ? "all" : "any"
  if (!(word in value)) return fault(at, "must have field, badge, all or any")
  const wrong = strange(value, at, [word])
  if (wrong) return wrong
  const inner = value[word]
  if (!Array.isArray(inner) || inner.length < 1) return fault(`${at}.${word}`, "must be a list of at least one condition")
  for (const [i, each] of inner.entries()) {
    const wrong = whenFault(each, `${at}.${word}[${i}]`, fields, depth + 1)
    if (wrong) return wrong
  }
  return undefined
}

/** The conditions of a level in the order in which they are written. */
export const conditionsOf = (when: When): Condition[] =>
  isField(when) || isBadge(when) ? [when] : ("all" in when ? when.all : when.any).flatMap(conditionsOf)

/** What no schema can say of rules whose shape, but for `when`, has been checked. */
export const rulesFault = ({ fields, levels, rights = [] }: Rules): RulesFault | undefined => {
  if (Object.keys(fields).length > FIELDS_MAX) return fault("fields", `must be at most ${FIELDS_MAX}`)
  for (const name of Object.keys(fields)) {
    if (NOT_FIELDS.includes(name)) return fault(`fields.${name}`, "names a column of the feed that is no field")
    const field = fields[name] as { type: string; unit?: string }
    if (field.type === "money" && field.unit === undefined) return fault(`fields.${name}.unit`, "is missing: money is in major or minor units")
    if (field.type !== "money" && field.unit !== undefined) return fault(`fields.${name}.unit`, "is for money only")
  }
  const lower = new Map<string, string>()
  for (const name of Object.keys(fields)) {
    const twin = lower.get(name.toLowerCase())
    if (twin !== undefined) return fault(`fields.${name}`, `differs from ${twin} only by the case of its letters`)
    lower.set(name.toLowerCase(), name)
  }
  const seen = new Set<number>()
  let conditions = 0, above = 0
  for (const [i, { level, when }] of levels.entries()) {
    if (seen.has(level)) return fault(`levels[${i}].level`, "stands twice")
    if (level < above) return fault(`levels[${i}].level`, "must be above the level before it")
    above = level
    seen.add(level)
    const wrong = whenFault(when, `levels[${i}].when`, fields, 1)
    if (wrong) return wrong
    conditions += conditionsOf(when).length
  }
  if (conditions > CONDITIONS_MAX) return fault("levels", `must have at most ${CONDITIONS_MAX} conditions in all`)
  for (const [i, { level, campaign_id, claim }] of rights.entries()) {
    if (!seen.has(level)) return fault(`rights[${i}].level`, "is no level of this badge")
    if (rights.findIndex((each) => each.level === level && each.campaign_id === campaign_id) < i) return fault(`rights[${i}]`, `gives ${claim === "activate" ? "a claim of " : ""}the same campaign twice`)
  }
  return undefined
}

/** The other badges that a badge's levels look at. */
export const badgesIn = ({ levels }: Pick<Rules, "levels">): string[] =>
  [...new Set(levels.flatMap(({ when }) => conditionsOf(when)).filter(isBadge).map(({ badge }) => badge))]

/** What each badge looks at, by its id. */
export type Graph = ReadonlyMap<string, readonly string[]>

/** A circle of badges that look at each other, from a badge back to it, or nothing. */
export const circleFrom = (badge: string, graph: Graph): string[] | undefined => {
  const clear = new Set<string>()
  const walk = (at: string, way: readonly string[]): string[] | undefined => {
    if (way.includes(at)) return [...way.slice(way.indexOf(at)), at]
    if (clear.has(at)) return undefined
    for (const next of graph.get(at) ?? []) {
      const circle = walk(next, [...way, at])
      if (circle) return circle
    }
    clear.add(at)
    return undefined
  }
  return walk(badge, [])
}
