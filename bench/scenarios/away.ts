/**
 * Postgres away: acts arrive at a fixed rate all the time, Postgres is stopped for some minutes and started again, and the flusher has to
 * catch up while as many arrive.
 *
 * What must stay true: arrivals are an open loop that does not slow down, of issue, reserve and confirm in equal parts; Postgres is a server
 * of the bench's own, stopped and started as an operator would, and truly gone meanwhile.
 */
import { rmSync } from "node:fs"
import { join } from "node:path"
import { readIdentity } from "../../engine/child.ts"
import { quietLog } from "../../engine/log.ts"
import { startPrivate } from "../../engine/private/start.ts"
import { temporaryFolder } from "../bare.ts"
import { CAMPAIGN_ID, confirmRequest, issueRequest, makeBudget, makeCampaign, reserveRequest } from "../contestants.ts"
import { cpuOfFamily, exactCpuOf, percentile } from "../cpu.ts"
import { type Asked, isYes, offer } from "../open_loop.ts"
import type { Result } from "../result.ts"
import { shopper } from "../shop.ts"
import { startStack } from "../stack.ts"

const RATE = 1_000
const CATCH_UP_LEAST = 3
/** A user's next act comes so many users later, when his last one was answered long ago. */
const USERS_BETWEEN = 1_000
const WARM_UP_S = 5
/** Postgres has caught up when it is so little behind: what a batch gathers. */
const LAG_CAUGHT_UP = RATE / 2
const POLL_MS = 250
const CATCH_UP_S_MAX = 600

/** Play it with Postgres away for so many minutes. */
export const playAway = async (minutes: number, say: (text: string) => void): Promise<Result> => {
  const folder = temporaryFolder()
  const start = () => startPrivate({ dataDir: join(folder, "postgres"), log: quietLog, redis: false })
  let postgres = await start()
  const scrip = await startStack("away", "engine/main.ts", 1, postgres.databaseUrl)
  try {
    await makeBudget(scrip)
    const campaign_no = await makeCampaign(scrip, CAMPAIGN_ID, { stock: 100_000_000, per_user: 1_000 })
    let turn = 0
    const next = (): Asked => {
      const user = Math.floor(turn / 3), phase = turn % 3
      turn += 1
      const who = (number: number) => shopper("away", number, campaign_no)
      const bytes = phase === 1 && user >= USERS_BETWEEN ? reserveRequest(scrip, "", who(user - USERS_BETWEEN))
        : phase === 2 && user >= 2 * USERS_BETWEEN ? confirmRequest(scrip, "", who(user - 2 * USERS_BETWEEN))
        : issueRequest(scrip, { ...who(user), order_id: phase === 0 ? who(user).order_id : `more-${turn}` })
      return { bytes, is_give: phase === 2 }
    }
    let isOver = false
    const arriving = offer(scrip.url, RATE, WARM_UP_S + minutes * 60 + CATCH_UP_S_MAX, next, () => isOver)
    await Bun.sleep(WARM_UP_S * 1_000)
    say(`Postgres is stopped for ${minutes} minutes, ${RATE} acts a second arrive`)
    await postgres.stop()
    const away_ms = performance.now()
    await Bun.sleep(minutes * 60_000)
    say("Postgres is started again")
    postgres = await start()
    const cursor = async (): Promise<number> => Number((await scrip.sql<{ n: string }[]>`select sum(n) as n from cells`)[0]!.n)
    const redis_pid = readIdentity(join(scrip.folder, "data", "redis.pid"))!.pid, postgres_pid = postgres.pids()["postgres"]!
    /** Microseconds so far of each process that shares the machine. */
    const cpu = (): [name: string, us: number][] => {
      const { user, system } = process.cpuUsage()
      return [["the engine", scrip.engineCpu()], ["Redis", exactCpuOf(redis_pid)], ["Postgres", cpuOfFamily(postgres_pid)], ["the driver", user + system]]
    }
    const back_ms = performance.now(), first = await cursor(), backlog = await scrip.lag(), before = cpu()
    say(`${backlog} entries wait`)
    while (await scrip.lag() > LAG_CAUGHT_UP && performance.now() - back_ms < CATCH_UP_S_MAX * 1_000) await Bun.sleep(POLL_MS)
    const caught_s = (performance.now() - back_ms) / 1_000, flushed = await cursor() - first, after = cpu()
    isOver = true
    const { samples, unsent } = await arriving
    await scrip.flushed()
    const arrived = samples.filter((sample) => isYes(sample)).length, lasted_s = samples.reduce((last, { at_ms }) => Math.max(last, at_ms), 0) / 1_000
    const meanwhile = samples.filter(({ at_ms }) => at_ms > WARM_UP_S * 1_000 && at_ms < WARM_UP_S * 1_000 + minutes * 60_000)
    const rate = flushed / caught_s
    return {
      scenario: "away", rows: [],
      figures: [
        { name: `Postgres away for ${minutes} minutes: acts that were a yes, per second`, value: arrived / lasted_s, unit: "/s" },
        { name: "acts that were no yes, or were not answered", value: samples.length - arrived + unsent, unit: `of ${samples.length}` },
        { name: "p99 of acts while Postgres was away", value: percentile(meanwhile.map(({ latency_ms }) => latency_ms), 0.99), unit: "ms" },
        { name: "entries that waited when Postgres was back", value: backlog, unit: "entries" },
        { name: "caught up, while as many arrived, after", value: caught_s, unit: "s" },
        { name: "flusher, entries per second until then", value: rate, unit: "/s" },
        { name: "the same against the arrival", value: rate / (arrived / lasted_s), unit: "×", wanted: { at: "least", value: CATCH_UP_LEAST } },
        ...after.map(([name, us], i) => ({ name: `processors until then: ${name}`, value: (us - before[i]![1]) / 1e6 / caught_s, unit: "" })),
      ],
      proofs: [{ name: "away: entries that Postgres does not have in the end", wanted: 0, found: await scrip.lag() }, { name: "away: minutes without Postgres at least", wanted: "yes", found: back_ms - away_ms >= minutes * 60_000 ? "yes" : "no" }],
    }
  } finally {
    await scrip.stop()
    await postgres.stop()
    rmSync(folder, { recursive: true, force: true })
  }
}
