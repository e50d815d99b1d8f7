/**
 * The bench: what an act of Scrip costs, beside the least that it could cost and beside the same in Postgres.
 *
 * `npm run bench -- --help` says how it is asked (options.ts).
 *
 * What must stay true: it starts servers of its own, ends by itself and stops only what it started; it fails when a count is wrong,
 * and a target that is not reached is said and does not fail it, because that depends on the machine.
 */
import { CAMPAIGN_ID, makeBudget, makeCampaign, proofsOf, type Tally } from "./contestants.ts"
import { thisMachine } from "./machine.ts"
import { readOptions, USAGE } from "./options.ts"
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

const STOCK = 100_000_000

const read = readOptions(process.argv.slice(2))
if ("mistakes" in read) {
  console.error(read.mistakes.length === 0 ? USAGE : `${read.mistakes.join("\n")}\n\n${USAGE}`)
  process.exit(read.mistakes.length === 0 ? 0 : 2)
}
const { sizes, isQuick, isJson, isKept, isShown, has } = read.options
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
  done(await playOverload(scrip, campaign_no, sizes.overload_s, say))
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
  if (has("away")) done(await playAway(sizes.away_minutes, say))
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
