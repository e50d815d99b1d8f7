/**
 * Why a user has the levels that he has: each condition of each level with the value that was seen, its threshold, and whether it was met.
 *
 * What must stay true: what is told is what the published run has written, by the rules that it was computed with; nothing is judged again.
 */
import { spellingOf } from "../../engine/badges/grammar.ts"
import { isField, type Rules } from "../../engine/badges/rules.ts"
import { type Duck, quoted } from "../duck.ts"
import type { Output } from "../job.ts"
import type { Lake } from "../lake.ts"
import { type CompiledBadge, type CompiledCondition, compileRules, maskOf, type RuledBadge } from "./compile.ts"

/** A published run of `badges`, as it is kept. */
export interface ToldMonth { readonly outputs: readonly Output[]; readonly rules: { readonly badges: readonly RuledBadge[] } }

export interface ConditionTold {
  readonly level: number; readonly field?: string; readonly badge?: string; readonly op: string
  /** As the rules say it. */
  readonly threshold: string
  /** In the spelling of the field; why there is none where there is none. */
  readonly value: string | null
  readonly why?: "missing" | "not_a_number"
  readonly met: boolean
}
export interface BadgeTold {
  readonly badge_id: string; readonly version: number; readonly level: number; readonly name: string | null
  /** By the score alone, before what the rules do about a lower one. */
  readonly level_by_score: number
  readonly since_period: string | null
  readonly conditions: readonly ConditionTold[]
}
/** `has_row`: whether the month's feed has a row of the user; without one every level is 0 but for those that are kept for a while. */
export interface UserTold { readonly has_row: boolean; readonly badges: readonly BadgeTold[] }

type Texts = Readonly<Record<string, string | null>>

/** The user's row of an output, every value as text; a shard's file is one of the output's. */
const rowOf = async (duck: Duck, lake: Lake, outputs: readonly Output[], name: string, user_id: string): Promise<Texts | undefined> => {
  const files = outputs.filter((output) => output.name === name || output.name.startsWith(`${name}_`)).map((output) => quoted(lake.place(output)))
  if (files.length === 0) return undefined
  const [row] = await duck.all<Texts>(`select columns(*)::varchar from read_parquet([${files.join(", ")}]) where user_id = ${quoted(user_id)} limit 1`)
  return row
}

const isBit = (bits: string | null | undefined, bit: bigint): boolean => (BigInt(bits ?? 0) & bit) !== 0n

/** A whole number in the spelling of its field: money of unit `major` has two decimals. */
const spelled = (whole: string, rules: Rules, field: string): string => {
  if (spellingOf(rules.fields[field]!) !== "money_major") return whole
  const digits = whole.replace("-", "").padStart(3, "0")
  return `${whole.startsWith("-") ? "-" : ""}${digits.slice(0, -2)}.${digits.slice(-2)}`
}

const conditionTold = (compiled: ReturnType<typeof compileRules>, { rules, place }: CompiledBadge, { of, level, condition, column }: CompiledCondition, seen: Texts, levelOf: (place: number) => number): ConditionTold => {
  const met = isBit(seen[`met_${place}`], 2n ** BigInt(condition - 1))
  if (!isField(of)) return { level, badge: of.badge, op: of.op, threshold: String(of.level), value: String(levelOf(Number(column.slice(1)))), met }
  const { mask, bit } = maskOf(compiled.values.findIndex((value) => value.column === column))
  const value = seen[column] ?? null
  const why = value !== null ? undefined : isBit(seen[`unread_${mask}`], bit) ? "not_a_number" as const : "missing" as const
  return { level, field: of.field, op: of.op, threshold: String(of.value), value: value === null ? null : spelled(value, rules, of.field), ...(why === undefined ? {} : { why }), met }
}

/** What a published month says of a user; nothing where it has nothing of him. */
export const explainUser = async (duck: Duck, lake: Lake, { outputs, rules }: ToldMonth, user_id: string): Promise<UserTold | undefined> => {
  const seen = await rowOf(duck, lake, outputs, "explanations", user_id)
  if (!seen) return undefined
  const levels = await rowOf(duck, lake, outputs, "levels", user_id), compiled = compileRules(rules.badges)
  const levelOf = (place: number) => Number(levels?.[`level_${place}`] ?? 0)
  return {
    has_row: seen["has_row"] === "1",
    badges: compiled.badges.map((badge) => {
      const { badge_id, version, place } = badge, since = levels?.[`since_${place}`]
      return {
        badge_id, version, level: levelOf(place), name: badge.rules.levels.find(({ level }) => level === levelOf(place))?.name ?? null,
        level_by_score: Number(levels?.[`score_${place}`] ?? 0), since_period: since == null ? null : `${since.slice(0, 4)}-${since.slice(4)}`,
        conditions: badge.conditions.map((condition) => conditionTold(compiled, badge, condition, seen, levelOf)),
      }
    }),
  }
}
