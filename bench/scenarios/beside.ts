/**
 * The heaviest job beside a checkout: a month of badges, from the command to rights in the wallets, while shoppers come at half the measured
 * capacity, whether they are answered or not.
 *
 * What must stay true: the job is the one that `npm run job` starts, in a process of its own at the lowest priority, with all that follows from
 * it: levels into Postgres and Redis, rights through the bulk issue. Its first attempt is killed while it issues rights, so that the second
 * goes on; each user has one coupon in the end. Beside and alone are measured in turn: after each slice beside the job it is made to stand still
 * for one, because a machine that others use is twice as fast at one time as at another: such a turn is one measurement, of p99 with the job against p99 without
 * it, and the median of them is the job's share of it, which a slice in which the disk or the host stood still moves neither way. All slices together are
 * what the machine's worst seconds were, with the job or without. A slice in which nobody works, while a dead attempt's lease runs out, is neither.
 */
import { readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { openDuck } from "../../analytics/duck.ts"
import { openLake } from "../../analytics/lake.ts"
import { confirmRequest, issueRequest, reserveRequest, type Tally } from "../contestants.ts"
import { cpuOfMachine, cpuOfTree, median, percentile } from "../cpu.ts"
import { driveSources } from "../drive.ts"
import { type Asked, offer, type Sample } from "../open_loop.ts"
import type { Figure, Result } from "../result.ts"
import { campaignBody, shopper } from "../shop.ts"
import { must, type Stack } from "../stack.ts"

const PERIOD = "2026-06"
const RIGHTS_CAMPAIGN = "bench-rights"
/** One user in so many has a level with a right. */
const RIGHT_OF = 10
const CAPACITY_ACTS = 12_000
/** A shopper's coupon is reserved so many shoppers after it was issued, and confirmed so many later: by then the answer is there. */
const BEHIND = 300
const SLICE_S = 5
const JOB_S_MAX = 280
/** A slice in which others used less than this share of a processor is one at rest. */
const REST_MOST = 0.2
/** What a job that stands still has asked for is answered by then. */
const STILL_MS = 500
const P99_MOST = 2, RIGHTS_LEAST = 2_000
const LOWEST = 19
/** A process that has just begun lowers itself. */
const SETTLED_MS = 3_000
const SHARE = 0.5

/** A shop's acts in turn: a coupon for one, a reserve of one who came before, a confirm of one before him. */
const shoppers = (scrip: Stack, name: string, campaign_no: number, tally: Tally) => {
  let turn = 0
  return (): Buffer => {
    const number = Math.floor(turn / 3), act = turn++ % 3
    const who = (back: number) => shopper(name, number - back, campaign_no)
    if (act === 1 && number >= BEHIND) { tally.reserved += 1; return reserveRequest(scrip, "", who(BEHIND)) }
    if (act === 2 && number >= 2 * BEHIND) { tally.confirmed += 1; return confirmRequest(scrip, "", who(2 * BEHIND)) }
    // The first ones have nobody before them: they only get their coupons, under names of their own.
    tally.issued += 1
    return issueRequest(scrip, act === 0 ? shopper(name, number, campaign_no) : shopper(`${name}-${act}`, number, campaign_no))
  }
}

const p99 = (samples: readonly Sample[]): number => percentile(samples.map(({ latency_ms }) => latency_ms), 0.99)
const refused = (samples: readonly Sample[]): number => samples.filter(({ status }) => status !== 200 && status !== 201).length

/** The feed of a month in the lake, as the import leaves it, and rules by which every user has a level and one in RIGHT_OF a right. */
const prepare = async (scrip: Stack, users: number): Promise<void> => {
  const lake = openLake(join(scrip.folder, "data", "lake"))
  const duck = await openDuck({ memory_mb: 1_000, threads: 2, temp_dir: lake.temp() })
  try {
    const file = await lake.write(duck, {
      select: `select 'holder-' || i as user_pin, '${PERIOD}-15' as dt, '${PERIOD}-15' as day, 1 as import_no, i + 1 as row, (case when i % ${RIGHT_OF} = 0 then 900 else hash(i, 1) % 800 end)::varchar as lc_score,
        (hash(i, 2) % 2)::varchar as gdlc_jy_flag, (hash(i, 3) % 90000)::varchar || '.' || lpad((hash(i, 4) % 100)::varchar, 2, '0') as jt_hold_amt from range(${users}) r(i)`,
      order: "row", folder: "scores/bench", name: PERIOD, day: `${PERIOD}-15`,
    })
    lake.publish({ dataset: "scores", part: "bench", files: [file], facts: {} })
  } finally {
    duck.close()
  }
  await must(scrip, "PUT", `/v1/campaigns/${RIGHTS_CAMPAIGN}`, campaignBody(Date.now(), { stock: users, per_user: 1 }))
  await must(scrip, "POST", `/v1/campaigns/${RIGHTS_CAMPAIGN}/activate`, {})
  const at = (field: string, op: string, value: string) => ({ field, op, value })
  const { version } = await must<{ version: number }>(scrip, "PUT", "/v1/badges/bench", {
    line: "retail", name: "Bench", effective_month: PERIOD, fields: { lc_score: { type: "integer" }, gdlc_jy_flag: { type: "flag" }, jt_hold_amt: { type: "money", unit: "major" } },
    levels: [
      { level: 1, name: "L1", when: at("lc_score", ">=", "0") },
      { level: 2, name: "L2", when: { any: [{ all: [at("lc_score", ">=", "360"), at("jt_hold_amt", ">=", "2500.00")] }, at("gdlc_jy_flag", "=", "1")] } },
      { level: 3, name: "L3", when: at("lc_score", ">=", "900") },
    ],
    downgrade: "at_once", rights: [{ level: 3, campaign_id: RIGHTS_CAMPAIGN, claim: "automatic" }],
  })
  await must(scrip, "POST", "/v1/badges/bench/activate", { version })
}

/** The niceness that every thread of a process has at least. */
const niceOf = (pid: number): number => Math.min(...readdirSync(`/proc/${pid}/task`).map((thread) => {
  const text = readFileSync(`/proc/${pid}/task/${thread}/stat`, "utf8")
  return Number(text.slice(text.lastIndexOf(")") + 2).split(" ")[16])
}))

/** Start the job as its command does, and the process that does the work. */
const startJob = (scrip: Stack) => Bun.spawn([process.execPath, join(import.meta.dir, "../../engine/sidecar.ts"), "job", "badges", "--period", PERIOD, "--first"], {
  env: { ...scrip.env, SCRIP_API_URL: scrip.url }, stdin: "ignore", stdout: "pipe", stderr: "inherit",
})

const childrenOf = (pid: number): number[] => readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").split(" ").filter((text) => text !== "").map(Number)
const childOf = (pid: number): number | undefined => childrenOf(pid)[0]

/** The process in which the schedule goes on with what a dead attempt owes: a child of the engine's scheduler. */
const scheduledJob = (scrip: Stack): number | undefined => {
  const scheduler = childrenOf(scrip.pid).find((pid) => readFileSync(`/proc/${pid}/cmdline`, "utf8").includes("scheduler.ts"))
  return scheduler === undefined ? undefined : childOf(scheduler)
}

/** Play it with a feed of so many users. */
export const playBeside = async (scrip: Stack, campaign_no: number, users: number, tally: Tally, say: (text: string) => void): Promise<Result> => {
  await prepare(scrip, users)
  const rights = Math.ceil(users / RIGHT_OF)
  say("the capacity of a checkout, closed loop")
  const warm = shoppers(scrip, "beside-warm", campaign_no, tally), closed = shoppers(scrip, "beside-closed", campaign_no, tally)
  await driveSources({ stack: scrip }, CAPACITY_ACTS, () => warm)
  const lap = await driveSources({ stack: scrip }, CAPACITY_ACTS, () => closed)
  const capacity = lap.acts / lap.seconds
  const next = shoppers(scrip, "beside", campaign_no, tally)
  const one = (): Asked => ({ is_give: false, bytes: next() })
  /** What others than this bench and all that it has started used of a processor in the last slices, one after the other. */
  const others: number[] = []
  const slice = async (): Promise<Sample[]> => {
    const before_us = cpuOfMachine() - cpuOfTree(process.pid), from = performance.now()
    const { samples, unsent } = await offer(scrip.url, capacity * SHARE, SLICE_S, one)
    others.push(Math.max(0, cpuOfMachine() - cpuOfTree(process.pid) - before_us) / ((performance.now() - from) * 1_000))
    if (unsent > 0) say(`${unsent} could not be sent`)
    return samples
  }
  await slice()
  const alone = await slice()
  say(`half of ${Math.round(capacity)} acts a second: p99 ${p99(alone).toFixed(1)} ms alone`)

  /** The campaign's own count: the job's tells a shard's rights when all of them are issued, which is one slice's or none. */
  const progress = async () => {
    const [[row], { issued }] = await Promise.all([
      scrip.sql<{ published: boolean }[]>`select exists (select 1 from run_periods where job = 'badges' and period = ${PERIOD} and run_id is not null) as published`,
      must<{ issued: number }>(scrip, "GET", `/v1/campaigns/${RIGHTS_CAMPAIGN}`),
    ])
    return { published: row!.published, issued }
  }
  const judging: Sample[] = [], issuing: Sample[] = []
  /** Of each turn, p99 beside the job against p99 without it; and those in which nobody else was at work. */
  const turns: number[] = [], calm: number[] = []
  let nice = LOWEST, killed_at = 0
  /** Rights a second of each slice that was filled with them. */
  const steady: number[] = []
  let job = startJob(scrip)
  const began = performance.now()
  let started = began
  let ended = false
  void job.exited.then(() => { ended = true })
  /** A slice without the job, which goes on afterwards. */
  const sliceAlone = async (worker: number | undefined): Promise<Sample[]> => {
    if (worker === undefined) return slice()
    process.kill(worker, "SIGSTOP")
    try {
      await Bun.sleep(STILL_MS)
      return await slice()
    } finally {
      process.kill(worker, "SIGCONT")
    }
  }
  // Where the first attempt has published already, the second has nothing to do: the schedule goes on with the rights.
  while ((!ended || (await progress()).issued < rights) && performance.now() - began < JOB_S_MAX * 1_000) {
    const before = await progress(), from = performance.now()
    const samples = await slice()
    const after = await progress(), took_s = (performance.now() - from) / 1_000
    const isWaiting = before.published && after.issued === before.issued
    if (!isWaiting) (before.published ? issuing : judging).push(...samples)
    const child = ended ? undefined : childOf(job.pid)
    if (child !== undefined && performance.now() - started > SETTLED_MS) nice = Math.min(nice, niceOf(child))
    if (before.published && !isWaiting && after.issued < rights) steady.push((after.issued - before.issued) / took_s)
    const without = isWaiting ? [] : await sliceAlone(child ?? scheduledJob(scrip))
    alone.push(...without)
    if (!isWaiting) {
      turns.push(p99(samples) / p99(without))
      if (Math.max(...others.slice(-2)) < REST_MOST) calm.push(turns.at(-1)!)
    }
    const statuses = Object.entries(Object.groupBy([...samples, ...without], ({ status }) => status)).map(([status, those]) => `${those!.length} of ${status}`).join(", ")
    say(`beside ${after.published ? "rights" : "the judging"}${isWaiting ? ", which nobody issues yet" : ""}: p99 ${p99(samples).toFixed(1)} ms${isWaiting ? "" : `, ${p99(without).toFixed(1)} ms without`}, ${after.issued} rights issued; ${statuses}; others used ${others.slice(isWaiting ? -1 : -2).map((share) => share.toFixed(2)).join(" and ")} of a processor`)
    if (child !== undefined && killed_at === 0 && after.issued > 0 && after.issued < rights) {
      killed_at = after.issued
      process.kill(child, "SIGKILL")
      await job.exited
      ended = false
      job = startJob(scrip)
      started = performance.now()
      void job.exited.then(() => { ended = true })
    }
  }
  await scrip.flushed()
  const held = await must<{ issued: number }>(scrip, "GET", `/v1/campaigns/${RIGHTS_CAMPAIGN}`)
  const both = [...judging, ...issuing]
  const figures: Figure[] = [
    { name: `beside: capacity of a checkout's acts (issue, reserve, confirm), closed loop`, value: capacity, unit: "/s" },
    { name: "beside: p99 at half of it, alone", value: p99(alone), unit: "ms" },
    { name: `beside: p99 at half of it, while badges of ${users} users are judged`, value: p99(judging), unit: "ms" },
    { name: "beside: p99 at half of it, while their rights are issued", value: p99(issuing), unit: "ms" },
    { name: "beside: p99 beside the whole job, against alone", value: p99(both) / p99(alone), unit: "×", wanted: { at: "most", value: P99_MOST } },
    { name: `beside: p99 beside the job against p99 without it, median of ${turns.length} turns`, value: median(turns), unit: "×", wanted: { at: "most", value: P99_MOST } },
    ...(calm.length === 0 ? [] : [{ name: `beside: the same of the ${calm.length} turns in which others used less than ${REST_MOST} of a processor`, value: median(calm), unit: "×", wanted: { at: "most" as const, value: P99_MOST } }]),
    { name: "beside: rights issued, median of the slices", value: median(steady), unit: "/s", wanted: { at: "least", value: RIGHTS_LEAST } },
    { name: "beside: rights that were issued when the job was killed", value: killed_at, unit: "" },
  ]
  return {
    scenario: "beside", rows: [], figures,
    proofs: [
      { name: "beside: coupons of the rights, one a user", wanted: rights, found: held.issued },
      { name: "beside: answers that were no 2xx", wanted: 0, found: refused([...alone, ...both]) },
      { name: "beside: priority of every thread of the job", wanted: LOWEST, found: nice },
      { name: "beside: how the job ended", wanted: 0, found: job.exitCode ?? "not" },
    ],
  }
}
