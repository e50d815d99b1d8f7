/**
 * The page of a month's badges: who went from which level to which, and what a moved threshold would do.
 *
 * A curve moves one threshold and leaves all else as it is: whoever meets the level without that condition counts at every threshold, and
 * whoever needs it counts up to his value. So a curve is exact, and the table says the same numbers.
 */
import { type CompiledBadge, type CompiledCondition, compileRules, type RuledBadge } from "../badges/compile.ts"
import { isBadge, isField, type Level, type When } from "../../engine/badges/rules.ts"
import type { Duck } from "../duck.ts"
import type { BadgesAnswer } from "../jobs/badges.ts"
import { periodBefore } from "../periods.ts"
import { amountOf, curveChart, type Flow, flowChart, grouped, type Moved } from "./charts.ts"
import type { Section } from "./page.ts"
import { changeOf, filesOf, type Report, type Told } from "./report.ts"

/** Curves of one badge: its levels' first thresholds. */
const CURVES_MAX = 4
/** A threshold is moved in so many steps to either side, each a twentieth of it. */
const STEPS = 10
const NONE = "none"
const WORDS = { new: "new", up: "up", down: "down", lost: "lost", same: "the same" } as const

/** Whether a level holds, as SQL over the bits of what is met, with one condition taken as met or not. */
const holds = (when: When, conditions: readonly CompiledCondition[], met: string, moved: CompiledCondition, as: boolean): string => {
  if (isField(when) || isBadge(when)) {
    const own = conditions.find(({ of }) => of === when)!
    return own === moved ? String(as) : `((${met} >> ${own.condition - 1}) & 1) = 1`
  }
  const [parts, word] = "all" in when ? [when.all, " and "] : [when.any, " or "]
  return `(${parts.map((each) => holds(each, conditions, met, moved, as)).join(word)})`
}

const curveOf = async (duck: Duck, badge: CompiledBadge, level: Level, moved: CompiledCondition, cost_minor: number): Promise<readonly Moved[]> => {
  const now = Number(moved.thresholds[0]!), step = Math.max(1, Math.round(Math.abs(now) / (2 * STEPS)))
  const values = Array.from({ length: 2 * STEPS + 1 }, (_, i) => now + (i - STEPS) * step)
  const met = `met_${badge.place}`
  const without = holds(level.when, badge.conditions, met, moved, false), needs = `${holds(level.when, badge.conditions, met, moved, true)} and not ${without}`
  const counts = await duck.one<Record<string, number>>(`
    select count(*) filter (where ${without}) as always, ${values.map((value, i) => `count(*) filter (where ${needs} and ${moved.column} ${moved.of.op} ${value}) as at_${i}`).join(", ")} from explanations`)
  return values.map((value, i) => { const users = counts["always"]! + counts[`at_${i}`]!; return { value, users, cost_minor: users * cost_minor } })
}

/** A level by its name; where two are called alike, by its number too. */
const nameOf = ({ rules: { levels } }: CompiledBadge, level: number): string => {
  if (level === 0) return NONE
  const name = levels.find((each) => each.level === level)?.name
  return name === undefined ? `level ${level}` : name === NONE || levels.some((each) => each.level !== level && each.name === name) ? `${name} (level ${level})` : name
}

/** A threshold as its field's feed writes it. */
const thresholdOf = ({ rules }: CompiledBadge, field: string): ((value: number) => string) => rules.fields[field]?.type === "money" ? amountOf : (value) => value < 0 ? `−${grouped(-value)}` : grouped(value)

const sectionsOf = async (duck: Duck, badge: CompiledBadge, users: number, costs: Told["costs"]): Promise<Section[]> => {
  const { place, rules } = badge
  const moves = await duck.all<{ from_level: number; to_level: number; users: number }>(
    `select from_${place} as from_level, to_${place} as to_level, count(*) as users from events where from_${place} > 0 or to_${place} > 0 group by all order by all`)
  const moving = moves.reduce((sum, move) => sum + move.users, 0)
  const levels = [...new Set([0, ...rules.levels.map(({ level }) => level), ...moves.flatMap((move) => [move.from_level, move.to_level])])].sort((a, b) => a - b)
  const flows: Flow[] = moves.map((move) => ({ from: nameOf(badge, move.from_level), to: nameOf(badge, move.to_level), users: move.users }))
  const sections: Section[] = [{
    title: rules.name, says: `Line ${rules.line}, rules of version ${badge.version}. ${moving === 0 ? "Nobody has a level, in this month or in the one before." : `Users without a level in both months (${grouped(users - moving)}) are not drawn.`}`,
    ...(moving === 0 ? {} : { chart: flowChart(flows, levels.map((level) => nameOf(badge, level))), caption: "Left: the level of the month before. Right: the level now.",
    table: { columns: ["from", "to", "users"], rows: flows.map(({ from, to, users: n }) => [from, to, { number: grouped(n) }]) } }),
  }]
  let curves = 0
  for (const level of rules.levels) {
    const cost_minor = (rules.rights ?? []).filter((right) => right.level === level.level).reduce((sum, { campaign_id }) => sum + (costs[campaign_id] ?? 0), 0)
    for (const moved of badge.conditions.filter((each) => each.level === level.level && isField(each.of) && (each.of.op === ">=" || each.of.op === ">"))) {
      if (curves++ >= CURVES_MAX || !isField(moved.of)) break
      const points = await curveOf(duck, badge, level, moved, cost_minor)
      const now = Number(moved.thresholds[0]!), written = thresholdOf(badge, moved.of.field)
      sections.push({
        title: `${nameOf(badge, level.level)} if ${moved.of.field} were another than ${written(now)}`, says: `Every other condition stays as it is. The dot is the threshold that holds; ${cost_minor > 0 ? "the dashed line is what the level's rights cost at most" : "the level has no rights whose cost is known"}.`,
        chart: curveChart(points, now, moved.of.field, written),
        table: { columns: [moved.of.field, "users", "against now", "cost of rights"], rows: points.map((point) => [{ number: written(point.value) }, { number: grouped(point.users) }, { number: differenceOf(point.users - points[STEPS]!.users) }, { number: amountOf(point.cost_minor) }]) },
      })
    }
  }
  return sections
}

/** A difference with its sign. */
const differenceOf = (n: number): string => n === 0 ? "0" : `${n < 0 ? "−" : "+"}${grouped(Math.abs(n))}`

const held = (answer: BadgesAnswer): number => answer.badges.reduce((sum, { levels }) => sum + levels.reduce((users, { level, users: n }) => level > 0 ? users + n : users, 0), 0)

export const badgesReport: Report = {
  job: "badges",
  before: periodBefore,
  reads: (run) => ({
    events: { files: filesOf(run, "events"), columns: { user_id: "VARCHAR" } },
    explanations: { files: filesOf(run, "explanations"), columns: { user_id: "VARCHAR" } },
  }),
  page: async (duck, { run, before, costs, time_zone }) => {
    const answer = run.answer as BadgesAnswer
    const compiled = compileRules((run.rules as { badges: readonly RuledBadge[] }).badges)
    const sections: Section[] = []
    for (const badge of compiled.badges) sections.push(...await sectionsOf(duck, badge, answer.users, costs))
    const now = held(answer)
    return {
      title: `Badges of ${run.period}`, sentence: `${grouped(now)} levels are held in ${run.period}, ${changeOf(now, before && held(before.answer as BadgesAnswer))}.`,
      facts: [`${grouped(answer.users)} users judged`, (Object.keys(WORDS) as (keyof typeof WORDS)[]).map((word) => `${grouped(answer.badges.reduce((sum, { events }) => sum + events[word], 0))} ${WORDS[word]}`).join(", "), `revision ${run.revision}`, `business days in ${time_zone}`], sections,
    }
  },
}
