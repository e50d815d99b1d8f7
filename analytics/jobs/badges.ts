/**
 * `badges`, monthly: who has which level of which badge, by the rules of the month and the score feed.
 *
 * What must stay true: months run in their order, because a level depends on the one before; the same feed, rules and month before are the
 * same bytes. A badge whose holders change more than its band allows holds the run for a sign-off. Publishing makes the levels visible to the
 * hot path; the rights are issued afterwards, each under an id of its own, and go on where they were cut off.
 */
import { join } from "node:path"
import { compileRules, type RuledBadge } from "../badges/compile.ts"
import { dropOldBlocks, writeBlocks } from "../badges/blocks.ts"
import { conditionRows, CONDITION_COLUMNS, judgeMonth, NO_LEVELS, type Seen, shardDigits, shardName, shardsOf } from "../badges/month.ts"
import { issueRights } from "../badges/rights.ts"
import { rulesFor, rulesForTrial } from "../badges/rules.ts"
import { defineMacros } from "../dialects/dialect.ts"
import { named, quoted } from "../duck.ts"
import type { Input, JobParts, Output, PortableJob, PublishedRun } from "../job.ts"
import { periodBefore } from "../periods.ts"

const BADGES = join(import.meta.dir, "..", "badges")
const HOURS_MAX_S = 6 * 3_600
/** Where no month is published the schedule begins with the last closed one; an earlier one is asked for by name. */
const MONTHS_MAX = 1
const WHOLE_BP = 10_000

/** What a run keeps beside its files. */
export interface BadgesAnswer extends Omit<Seen, "badges"> {
  readonly period: string
  readonly previous_period: string | null
  readonly digits: number
  readonly badges: readonly (Seen["badges"][number] & { readonly badge_no: number; readonly place: number; readonly change_bp: number | null })[]
}

interface BadgesRules {
  readonly badges: readonly RuledBadge[]
  readonly is_first: boolean
  /** Of the month before: its shards' digits, and each badge's place in it. */
  readonly previous: { readonly period: string; readonly digits: number; readonly places: Readonly<Record<string, number>> } | null
}

const SCORES: Input["columns"] = { user_pin: "VARCHAR", dt: "VARCHAR", import_no: "BIGINT", row: "BIGINT" }
const LEVELS: Input["columns"] = { user_id: "VARCHAR" }
const isLevels = ({ name }: Output): boolean => name === "levels" || name.startsWith("levels_")

/** A version that a dry run is asked to try in place of what is active. */
const trialOf = ({ options }: Pick<JobParts, "options">): { badge_id: string; version: number } | undefined => {
  const { badge_id, version } = options
  return typeof badge_id === "string" && typeof version === "number" ? { badge_id, version } : undefined
}

/** The month before, and whether there is none: because it was said so, or was when this month was published. */
const previousOf = async ({ period, is_first, published }: JobParts): Promise<{ readonly previous: PublishedRun | undefined; readonly is_first: boolean }> => {
  const previous = is_first ? undefined : await published("badges", periodBefore(period.period))
  if (is_first || previous) return { previous, is_first }
  const now = await published("badges", period.period)
  return { previous, is_first: now !== undefined && (now.answer as BadgesAnswer).previous_period === null }
}

/** The share of a badge's holders, of this month or the one before, whose level is another; null where nobody had one before. */
const changeOf = ({ events }: Seen["badges"][number], had: boolean): number | null => {
  const changed = events.new + events.up + events.down + events.lost
  return !had || changed + events.same === 0 ? null : Math.floor((changed * WHOLE_BP) / (changed + events.same))
}

export const badges: PortableJob = {
  name: "badges",
  period: "month",
  sources: [
    import.meta.path, ...["blocks", "compile", "month"].map((name) => join(BADGES, `${name}.ts`)), ...["dialect", "duckdb"].map((name) => join(import.meta.dir, "..", "dialects", `${name}.ts`)),
    ...["grammar", "rules"].map((name) => join(import.meta.dir, "..", "..", "engine", "badges", `${name}.ts`)),
  ],
  timeout_s: HOURS_MAX_S,
  schedule: { kind: "month", periods_max: MONTHS_MAX, isInOrder: true },
  isWanted: async (sql) => (await sql`select 1 from badge_versions where activated_ms is not null limit 1`).length > 0,

  reads: async ({ sql, period: { period } }) => {
    // A month follows from the one before: where that was published anew, or rolled back, this one is another.
    const [before] = await sql<{ published_ms: number }[]>`
      select r.published_ms from run_periods p join runs r on r.run_id = p.run_id where p.job = 'badges' and p.set_name = '' and p.period = ${periodBefore(period)}`
    return { days: [{ dataset: "scores", from: `${period}-01`, to: `${period}-31` }], ...(before ? { changed_ms: before.published_ms } : {}) }
  },
  inputs: async (parts) => {
    const { sql, lake, period } = parts
    const trial = trialOf(parts)
    const ruled = trial ? await rulesForTrial(sql, period.period, trial.badge_id, trial.version) : await rulesFor(sql, period.period)
    const scores = lake.parts("scores").flatMap(({ files }) => files).filter(({ day }) => day?.startsWith(period.period) === true).toSorted((a, b) => a.path < b.path ? -1 : 1)
    const { previous, is_first } = await previousOf(parts)
    const then = previous?.answer as BadgesAnswer | undefined
    const levels = previous?.outputs.filter(isLevels) ?? []
    const rules: BadgesRules = {
      badges: ruled, is_first,
      previous: then === undefined ? null : { period: then.period, digits: then.digits, places: Object.fromEntries(then.badges.map(({ badge_id, place }) => [badge_id, place])) },
    }
    const inputs = { scores: { files: scores, columns: SCORES }, ...Object.fromEntries(levels.map((output) => [`previous_${output.name}`, { files: [output], columns: LEVELS }])) }
    const missing = (reason: string, detail: string) => ({ inputs, rules, missing: { reason, detail } })
    if (ruled.length === 0) return missing("rules_missing", `No badge has rules that are active for ${period.period}.`)
    if (scores.length === 0) return missing("scores_missing", `The feed has no row of ${period.period}: import its scores first.`)
    if (!previous && !is_first && !trial) {
      return missing("previous_period_missing", `${periodBefore(period.period)} has no published run, and months run in their order. If there is none before ${period.period}, say --first.`)
    }
    return { inputs, rules }
  },

  run: async ({ engine, period, rules, signal, progress, write }) => {
    const { badges: ruled, previous } = rules as BadgesRules
    const compiled = compileRules(ruled)
    await defineMacros(engine)
    // A field that no file of the month has is missing for everybody.
    const there = new Set((await engine.columns("scores")).map((name) => name.toLowerCase()))
    const fields = [...new Set(compiled.values.map(({ field }) => field))]
    const scores = `(select user_pin, dt, import_no, row, ${fields.map((field) => there.has(field.toLowerCase()) ? named(field) : `no_text() as ${named(field)}`).concat("1 as one").join(", ")} from scores)`
    const { rows } = await engine.one<{ rows: number }>("select count(*) as rows from scores")
    const digits = shardDigits(rows)
    const before = (shard: string): string => {
      if (!previous) return NO_LEVELS
      if (previous.digits === digits) return named(shardName("previous_levels", shard))
      const all = shardsOf(previous.digits).map((each) => `select * from ${named(shardName("previous_levels", each))}`).join(" union all ")
      return `(select * from (${all}) as every where hash_prefix(user_hash(user_id), ${digits}) = ${quoted(shard)})`
    }
    const seen = await judgeMonth(engine, {
      compiled, period: period.period, digits, scores, was: new Map(Object.entries(previous?.places ?? {})), previous: before, progress, signal, write,
    })
    await engine.table("conditions", CONDITION_COLUMNS, conditionRows(compiled))
    await write({ name: "conditions", select: "select * from conditions", key: ["badge_id", "condition"] })
    const judged = seen.badges.map((badge) => ({
      ...badge, badge_no: compiled.badges.find(({ badge_id }) => badge_id === badge.badge_id)!.badge_no, place: compiled.badges.find(({ badge_id }) => badge_id === badge.badge_id)!.place,
      change_bp: changeOf(badge, previous !== null && Object.hasOwn(previous.places, badge.badge_id)),
    }))
    const outside = judged.filter(({ badge_id, change_bp }) => change_bp !== null && change_bp > (ruled.find((each) => each.badge_id === badge_id)?.rules.change_max_bp ?? WHOLE_BP))
    const held = judged.reduce((sum, { levels }) => sum + levels.reduce((users, { level, users: more }) => level > 0 ? users + more : users, 0), 0)
    const sum = (word: keyof Seen["badges"][number]["events"]): number => judged.reduce((total, { events }) => total + events[word], 0)
    const answer: BadgesAnswer = { ...seen, badges: judged, period: period.period, previous_period: previous?.period ?? null, digits }
    return {
      checks: judged.map((badge) => ({
        name: `${badge.badge_id}: every user has one level`, left: String(badge.levels.reduce((total, { users }) => total + users, 0)), right: String(seen.users),
      })),
      ...(outside.length > 0 ? { hold: "change_rate" } : {}),
      answer,
      report: `${held} levels are held in ${period.period}: ${sum("new")} new, ${sum("up")} up, ${sum("down")} down, ${sum("lost")} lost, ${sum("same")} the same.${
        outside.map(({ badge_id, change_bp }) => ` ${badge_id} changes for ${change_bp} bp of its holders, which is outside its band.`).join("")}`,
    }
  },

  stage: async ({ duck, sql, lake, signal, progress, run_id, period, outputs, answer }) => {
    await defineMacros(duck)
    const files = outputs.filter(isLevels).toSorted((a, b) => a.name < b.name ? -1 : 1).map((output) => ({ place: lake.place(output), rows: output.rows }))
    await writeBlocks({ duck, sql, signal, progress }, { run_id, period: period.period, badges: (answer as BadgesAnswer).badges.toSorted((a, b) => a.place - b.place), files })
  },

  after: async (finished) => {
    await dropOldBlocks(finished.sql)
    await issueRights(finished)
  },
}

