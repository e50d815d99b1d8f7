/**
 * What the command line of the bench may say, and how large each scenario is. Pure; every mistake is named at once.
 */
import { parseArgs } from "node:util"

export const SCENARIOS = ["acts", "postgres", "mixed", "flash", "redis_cpu", "pricing", "past", "million", "leases", "overload", "away", "cluster", "analytics", "badges", "risk", "beside"] as const
export type Scenario = (typeof SCENARIOS)[number]
/** Played only where they are named: each takes minutes, and most of the machine. */
const APART: readonly Scenario[] = ["overload", "away", "cluster", "analytics", "badges", "risk", "beside"]

const FULL = {
  warm_up_acts: 20_000, acts: { rounds: 9, seconds: 180, acts_max: 6_000 }, postgres_acts: 400, mixed_s: 60, flash: { users: 20_000, stock: 5_000 },
  redis: { rounds: 5, calls: 3_000 }, pricing: { rounds: 20_000, instances: 1_000 }, past: { redemptions: 1_000_000, reserves: 4_000 }, coupons: 1_000_000,
  leases: { rounds: 5, acts: 2_000, budget_acts: 30_000 },
  cluster: { rounds: 5, seconds: 5, coupons: 1_000_000 },
  analytics: { events: 2_000_000, keys: 5_000_000 }, badge_users: 10_000_000, risk_redemptions: 10_000_000, holders: 1_000_000,
  overload_s: 10, away_minutes: 0.5,
}
export type Sizes = typeof FULL
const QUICK: Sizes = {
  warm_up_acts: 8_000, acts: { rounds: 5, seconds: 20, acts_max: 1_000 }, postgres_acts: 100, mixed_s: 6, flash: { users: 2_000, stock: 500 },
  redis: { rounds: 3, calls: 1_000 }, pricing: { rounds: 3_000, instances: 100 }, past: { redemptions: 20_000, reserves: 1_000 }, coupons: 10_000,
  leases: { rounds: 2, acts: 500, budget_acts: 10_000 },
  cluster: { rounds: 3, seconds: 3, coupons: 10_000 },
  analytics: { events: 200_000, keys: 500_000 }, badge_users: 200_000, risk_redemptions: 300_000, holders: 100_000,
  overload_s: 10, away_minutes: 0.5,
}
/** A load lasts at most so long, and Postgres is away for at most so many minutes. */
const SECONDS_MAX = 3_600, MINUTES_MAX = 60
/** Of rows and users. */
const SIZE_MAX = 100_000_000

export interface Options {
  readonly sizes: Sizes
  readonly isQuick: boolean
  readonly isJson: boolean
  /** Appended to bench/results.md. */
  readonly isKept: boolean
  /** Shown in README in the place of the run before. */
  readonly isShown: boolean
  readonly has: (scenario: Scenario) => boolean
}

const WHOLE = SCENARIOS.filter((name) => !APART.includes(name))

export const USAGE = `npm run bench -- [options]

  (none)           the whole: ${WHOLE.join(", ")}; within a quarter of an hour
  --quick          smaller everywhere, about two minutes
  --only A,B       only these; not part of the whole: ${APART.join(", ")}
  --json           the same as JSON on standard output
  --keep           also append it to bench/results.md
  --readme         also show it in README in the place of the run before
  --help           this

Sizes
  --seconds S      overload: each load for so long (${FULL.overload_s}, at most ${SECONDS_MAX})
  --minutes M      away: Postgres away for so long (${FULL.away_minutes}, at most ${MINUTES_MAX})
  --coupons N      million and cluster: coupons that live (${FULL.coupons})
  --events N       analytics: events to extract (${FULL.analytics.events})
  --keys N         analytics: rows of the books (${FULL.analytics.keys})
  --users N        badges: users of a month (${FULL.badge_users})
  --redemptions N  risk: redemptions of 57 days (${FULL.risk_redemptions})
  --holders N      beside: users whom the job beside a checkout judges (${FULL.holders})`

const WORDS = {
  quick: { type: "boolean" }, json: { type: "boolean" }, keep: { type: "boolean" }, readme: { type: "boolean" }, help: { type: "boolean" },
  only: { type: "string", multiple: true }, seconds: { type: "string" }, minutes: { type: "string" }, events: { type: "string" }, keys: { type: "string" },
  users: { type: "string" }, redemptions: { type: "string" }, holders: { type: "string" }, coupons: { type: "string" },
} as const

const isScenario = (name: string): name is Scenario => SCENARIOS.some((scenario) => scenario === name)

/** The options, or every mistake in them; none where help was asked for. */
export const readOptions = (words: readonly string[]): { options: Options } | { mistakes: string[] } => {
  const mistakes: string[] = []
  const { values, tokens } = parseArgs({ args: [...words], options: WORDS, strict: false, tokens: true })
  for (const token of tokens) {
    if (token.kind === "positional") mistakes.push(`"${token.value}" is no option; a scenario is named behind --only.`)
    if (token.kind !== "option") continue
    const known = (WORDS as Record<string, { type: string } | undefined>)[token.name]
    if (!known) mistakes.push(`${token.rawName} is not an option.`)
    else if (known.type === "string" && token.value === undefined) mistakes.push(`${token.rawName} needs a value.`)
    else if (known.type === "boolean" && token.value !== undefined) mistakes.push(`${token.rawName} takes no value.`)
  }
  if (values.help === true) return { mistakes: [] }

  const only = (values.only ?? []).filter((each) => typeof each === "string").flatMap((names) => names.split(","))
  for (const name of only) if (!isScenario(name)) mistakes.push(`--only does not know "${name}"; there is ${SCENARIOS.join(", ")}.`)
  const number = (name: keyof typeof WORDS, usual: number, max: number, pattern = /^[1-9]\d{0,9}$/): number => {
    const value = values[name]
    if (typeof value !== "string") return usual
    if (pattern.test(value) && Number(value) > 0 && Number(value) <= max) return Number(value)
    mistakes.push(`--${name} is "${value}" and must be a number of at most ${max}.`)
    return usual
  }
  const usual = values.quick === true ? QUICK : FULL
  const sizes: Sizes = {
    ...usual,
    analytics: { events: number("events", usual.analytics.events, SIZE_MAX), keys: number("keys", usual.analytics.keys, SIZE_MAX) },
    badge_users: number("users", usual.badge_users, SIZE_MAX),
    risk_redemptions: number("redemptions", usual.risk_redemptions, SIZE_MAX),
    holders: number("holders", usual.holders, SIZE_MAX),
    coupons: number("coupons", usual.coupons, SIZE_MAX),
    cluster: { ...usual.cluster, coupons: number("coupons", usual.cluster.coupons, SIZE_MAX) },
    overload_s: number("seconds", usual.overload_s, SECONDS_MAX),
    away_minutes: number("minutes", usual.away_minutes, MINUTES_MAX, /^\d{1,3}(\.\d{1,3})?$/),
  }
  if (mistakes.length > 0) return { mistakes: [...new Set(mistakes)] }
  return { options: {
    sizes, isQuick: values.quick === true, isJson: values.json === true, isKept: values.keep === true, isShown: values.readme === true,
    has: (scenario) => only.length === 0 ? WHOLE.includes(scenario) : only.includes(scenario),
  } }
}
