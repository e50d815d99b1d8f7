/**
 * The bench: what an act of Scrip costs, beside the least that it could cost and beside the same in Postgres.
 *
 *   npm run bench                    everything, within a quarter of an hour
 *   npm run bench -- --quick         smaller everywhere, about two minutes
 *   npm run bench -- --only acts     one scenario: acts, postgres, mixed, flash, redis_cpu, pricing, past, million, leases
 *   npm run bench -- --only overload --seconds 60   each load of the overload for so long; 10 s unless told, not part of the whole
 *   npm run bench -- --only away --minutes 5        Postgres away for so long, and how fast the flusher catches up; 0.5 unless told, apart too
 *   npm run bench -- --only cluster    a cluster beside one Redis, and how long a death lasts; not part of the whole either
 *   npm run bench -- --only analytics,badges,risk   what the jobs' heaviest work takes; not part of the whole either
 *   npm run bench -- --only beside     a checkout beside a job; not part of the whole either
 *   npm run bench -- --only risk --redemptions 2000000   another size; also --events, --keys, --users (of badges), --holders (of the job beside), --coupons
 *   npm run bench -- --json          the same as JSON on standard output
 *   npm run bench -- --keep          also append it to bench/results.md
 *   npm run bench -- --readme        also show it in README in the place of the run before
 *
 * What must stay true: it starts servers of its own, ends by itself and stops only what it started; it fails when a count is wrong,
 * and a target that is not reached is said and does not fail it, because that depends on the machine.
 */
import { parseArgs } from "node:util"
import { CAMPAIGN_ID, makeBudget, makeCampaign, proofsOf, type Tally } from "./contestants.ts"
import { thisMachine } from "./machine.ts"
import { keep, showInReadme, tableOf, textOf, figureLine } from "./report.ts"
import { isProved, type Result } from "./result.ts"
import { playActs, warmUp } from "./scenarios/acts.ts"
import { playCluster } from "./scenarios/cluster.ts"
import { playAway } from "./scenarios/away.ts"
import { playAnalytics } from "./scenarios/analytics.ts"
import { playBadges } from "./scenarios/badges.ts"
import { playBeside } from "./scenarios/beside.ts"
import { playFlash } from "./scenarios/flash.ts"
import { playLeases } from "./scenarios/leases.ts"
import { playMillion } from "./scenarios/million.ts"
import { playMixed } from "./scenarios/mixed.ts"
import { playOverload } from "./scenarios/overload.ts"
import { playPast } from "./scenarios/past.ts"
import { playPostgres } from "./scenarios/postgres.ts"
import { playPricing } from "./scenarios/pricing.ts"
import { playRedisCpu } from "./scenarios/redis_cpu.ts"
import { playRisk } from "./scenarios/risk.ts"
import { startStack, stopAll, type Stack } from "./stack.ts"

const SCENARIOS = ["acts", "postgres", "mixed", "flash", "redis_cpu", "pricing", "past", "million", "leases", "overload", "away", "cluster", "analytics", "badges", "risk", "beside"] as const
type Scenario = (typeof SCENARIOS)[number]
/** Played only where they are named: each takes minutes, and most of the machine. */
const APART: readonly Scenario[] = ["overload", "away", "cluster", "analytics", "badges", "risk", "beside"]

const FULL = {
  warm_up_acts: 20_000, acts: { rounds: 9, seconds: 180, acts_max: 6_000 }, postgres_acts: 400, mixed_s: 60, flash: { users: 20_000, stock: 5_000 },
  redis: { rounds: 5, calls: 3_000 }, pricing: { rounds: 20_000, instances: 1_000 }, past: { redemptions: 1_000_000, reserves: 4_000 }, coupons: 1_000_000,
  leases: { rounds: 5, acts: 2_000, budget_acts: 30_000 },
  cluster: { rounds: 5, seconds: 5, coupons: 1_000_000 },
  analytics: { events: 1_000_000, keys: 5_000_000 }, badge_users: 10_000_000, risk_redemptions: 10_000_000, holders: 1_000_000,
}
const QUICK: typeof FULL = {
  warm_up_acts: 8_000, acts: { rounds: 5, seconds: 20, acts_max: 1_000 }, postgres_acts: 100, mixed_s: 6, flash: { users: 2_000, stock: 500 },
  redis: { rounds: 3, calls: 1_000 }, pricing: { rounds: 3_000, instances: 100 }, past: { redemptions: 20_000, reserves: 1_000 }, coupons: 10_000,
  leases: { rounds: 2, acts: 500, budget_acts: 10_000 },
  cluster: { rounds: 3, seconds: 3, coupons: 10_000 },
  analytics: { events: 200_000, keys: 500_000 }, badge_users: 200_000, risk_redemptions: 300_000, holders: 100_000,
}
const STOCK = 100_000_000

const readOptions = () => {
  const { values } = parseArgs({ options: { quick: { type: "boolean" }, json: { type: "boolean" }, keep: { type: "boolean" }, readme: { type: "boolean" }, only: { type: "string", multiple: true }, seconds: { type: "string", default: "10" }, minutes: { type: "string", default: "0.5" }, events: { type: "string" }, keys: { type: "string" }, users: { type: "string" }, redemptions: { type: "string" }, holders: { type: "string" }, coupons: { type: "string" } } })
  const only = values.only?.flatMap((names) => names.split(",")) ?? []
  for (const name of only) {
    if (!SCENARIOS.some((scenario) => scenario === name)) throw new Error(`--only ${name}: there is ${SCENARIOS.join(", ")}`)
  }
  const size = (text: string | undefined, usual: number): number => {
    const size = text === undefined ? usual : Number(text)
    if (!Number.isSafeInteger(size) || size <= 0) throw new Error(`${text} is no size`)
    return size
  }
  const usual = values.quick === true ? QUICK : FULL
  const sizes: typeof FULL = {
    ...usual, analytics: { events: size(values.events, usual.analytics.events), keys: size(values.keys, usual.analytics.keys) },
    badge_users: size(values.users, usual.badge_users), risk_redemptions: size(values.redemptions, usual.risk_redemptions), holders: size(values.holders, usual.holders),
    coupons: size(values.coupons, usual.coupons), cluster: { ...usual.cluster, coupons: size(values.coupons, usual.cluster.coupons) },
  }
  return { sizes, isQuick: values.quick === true, isJson: values.json === true, isKept: values.keep === true, isShown: values.readme === true, seconds: Number(values.seconds), minutes: Number(values.minutes), has: (scenario: Scenario) => only.length === 0 ? !APART.includes(scenario) : only.includes(scenario) }
}

const { sizes, isQuick, isJson, isKept, isShown, seconds, minutes, has } = readOptions()
const began = performance.now()
const say = (text: string): void => console.error(`bench ${String(Math.round((performance.now() - began) / 1_000)).padStart(4)} s  ${text}`)

const results: Result[] = []
const done = (result: Result): void => {
  results.push(result)
  if (!isJson) console.log(["", tableOf(result.rows), ...result.figures.map(figureLine)].filter((line, i) => line !== "" || i === 0).join("\n"))
}

/** What is driven through HTTP: one stack of Scrip and one of the floors, for all these scenarios. */
const playOverHttp = async (): Promise<string> => {
  say("two stacks are started: Scrip and the floors")
  const [scrip, floors] = await Promise.all([startStack("Scrip", "engine/main.ts"), startStack("the floors", "bench/floors/main.ts")]) as [Stack, Stack]
  const [version] = await scrip.sql<{ server_version: string }[]>`show server_version`
  await makeBudget(scrip)
  const campaign_no = await makeCampaign(scrip, CAMPAIGN_ID, { stock: STOCK, per_user: 1_000 })
  const tally: Tally = { issued: 1, reserved: 0, confirmed: 0, cancelled: 0, refunded: 0 }
  let redemptions_per_s: number | undefined
  if (has("acts")) {
    say("both are warmed up")
    await warmUp(scrip, floors, campaign_no, sizes.warm_up_acts, tally)
    const result = await playActs(scrip, floors, campaign_no, sizes.acts, tally, say)
    redemptions_per_s = result.figures.find(({ name }) => name === "redemptions per second, Scrip")?.value
    done(result)
  }
  if (has("postgres")) done(await playPostgres(floors, sizes.postgres_acts, redemptions_per_s, say))
  if (has("mixed")) done(await playMixed(scrip, campaign_no, sizes.mixed_s, tally, say))
  if (has("flash")) {
    say("flash sale")
    const { issued, ...result } = await playFlash(scrip, sizes.flash)
    tally.issued += issued
    done(result)
  }
  done({ scenario: "counts", rows: [], figures: [], proofs: await proofsOf(scrip, tally) })
  await Promise.all([scrip.stop(), floors.stop()])
  return version!.server_version
}

/** A stack of its own: what is offered to it leaves nothing as it was. */
const playOverloaded = async (): Promise<void> => {
  const scrip = await startStack("Scrip", "engine/main.ts")
  await makeBudget(scrip)
  const campaign_no = await makeCampaign(scrip, CAMPAIGN_ID, { stock: STOCK, per_user: 1_000 })
  done(await playOverload(scrip, campaign_no, seconds, say))
  await scrip.stop()
}

/** A stack of its own: a month of badges leaves as many users as it has. */
const playJobBeside = async (): Promise<void> => {
  const scrip = await startStack("Scrip", "engine/main.ts")
  await makeBudget(scrip)
  const campaign_no = await makeCampaign(scrip, CAMPAIGN_ID, { stock: STOCK, per_user: 1_000 })
  const tally: Tally = { issued: 1, reserved: 0, confirmed: 0, cancelled: 0, refunded: 0 }
  done(await playBeside(scrip, campaign_no, sizes.holders, tally, say))
  await scrip.stop()
}

const play = async (): Promise<void> => {
  let postgres = "not started"
  if (has("acts") || has("postgres") || has("mixed") || has("flash")) postgres = await playOverHttp()
  if (has("overload")) await playOverloaded()
  if (has("away")) done(await playAway(minutes, say))
  if (has("redis_cpu")) done(await playRedisCpu(sizes.redis.rounds, sizes.redis.calls, say))
  if (has("pricing")) done(await playPricing(sizes.pricing.rounds, sizes.pricing.instances, say))
  if (has("past")) done(await playPast(sizes.past.redemptions, sizes.past.reserves, say))
  if (has("leases")) done(await playLeases(sizes.leases, say))
  if (has("analytics")) done(await playAnalytics(sizes.analytics, say))
  if (has("badges")) done(await playBadges(sizes.badge_users, say))
  if (has("risk")) done(await playRisk(sizes.risk_redemptions, say))
  if (has("beside")) await playJobBeside()
  if (has("million")) done(await playMillion(sizes.coupons, say))
  if (has("cluster")) done(await playCluster(sizes.cluster.rounds, sizes.cluster.seconds, sizes.cluster.coupons, say))
  const machine = { ...first, postgres }
  if (isJson) console.log(JSON.stringify({ machine, quick: isQuick, results, seconds: (performance.now() - began) / 1_000 }, null, 2))
  else console.log(textOf(machine, results))
  if (isKept) keep(machine, results, isQuick)
  if (isShown) showInReadme(machine, results)
  say("done")
}

for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => void stopAll().finally(() => process.exit(130)))
const first = thisMachine("")
let exit_code = 1
try {
  await play()
  exit_code = results.every(({ proofs }) => proofs.every(isProved)) ? 0 : 1
} catch (fault) {
  console.error(fault)
} finally {
  await stopAll()
}
process.exit(exit_code)
