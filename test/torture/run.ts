/**
 * One run of the harness: a stand, clients, one nemesis after the other, then silence and the checks.
 */
import { verifyAll } from "../../engine/journal/verify.ts"
import { AGE_MS, REMEMBER_MS } from "../../engine/parts.ts"
import type { Durability } from "../../engine/config.ts"
import { openPostgres } from "../../engine/store/postgres.ts"
import { connectServers, redisReady } from "../../engine/store/redis.ts"
import { until } from "../support/run_engine.ts"
import { chanceFrom } from "./chance.ts"
import { CHECKS, FAULTS_MAX, type Found, type World } from "./checks.ts"
import { claimant, follower, operator, readFrom, rival, sayTo, type Scene, shopper, Unanswered } from "./clients.ts"
import { chooseNemesis, NEMESES, type Nemesis } from "./nemeses.ts"
import { watch, type Watched } from "./online.ts"
import { historiesOf, isArenaDue, openArena, openShelf } from "./shelf.ts"
import { BACK_MS_MAX, JUDGE_WAIT_MS, type Layout, openStand, type Stand } from "./stand.ts"

const RIVALS = 6
/** Who else is there: a crowd, or hardly anybody where a run is for histories, so that nearly all acts are of those. */
const CROWD = { shoppers: 6, claimants: 2 }, FEW = { shoppers: 1, claimants: 1 }
/**
 * So many more yeses are heard between one nemesis and the next, each time a few more or less. A history of 500 acts has about 250, so that
 * a run for histories has faults in each and is not spent on waiting for what was killed.
 */
const YESES_BETWEEN = 30, YESES_BETWEEN_FOR_HISTORIES = 200
/** A machine that does much else has taken more than 90 s to write a large cell anew. */
const CALM_MS_MAX = 300_000
const CONNECTIONS = 4
const WATCH_MS = 50
/** Holds that ran out while everything was broken are swept within this. */
const SWEPT_MS_MAX = 60_000
/** And within this everything is answered again: a request that nobody can answer then, none ever will. */
const ANSWERED_MS_MAX = 60_000
/** A hold that ends within this is one of the short ones; the long ones last a day. */
const SHORT_HOLD_MS_MAX = 3_600_000

export interface RunOptions {
  readonly seed: number
  readonly layout: Layout
  /** Ends after so many kills and so many histories that are long enough to be judged, or after so many minutes, whichever comes first. */
  readonly kills: number
  readonly histories: number
  readonly minutes: number
  readonly cells: number
  readonly durability: Durability
  /** The folder of the engine that is put to the test. */
  readonly tree: string
  /** Only nemeses of these names; all where it is missing. */
  readonly only?: readonly string[]
  readonly onStrike?: (strike: Strike) => void
}

export interface Strike { readonly at_ms: number; readonly name: string; readonly isKill: boolean; readonly what: string }
export interface Checked { readonly name: string; readonly says: string; readonly faults: readonly unknown[]; readonly counted: Readonly<Record<string, number>> }
export interface RunResult {
  readonly options: Omit<RunOptions, "onStrike">
  readonly strikes: readonly Strike[]
  readonly skipped: readonly { readonly name: string; readonly why: string }[]
  readonly acts: number
  readonly yeses: number
  readonly unknown: number
  readonly checked: readonly Checked[]
  /** What was found while it ran: engines that ended by themselves, two answers to one request, answers of 5xx that are faults. */
  readonly findings: readonly string[]
  readonly took_ms: number
}

/** Whether nothing was found. */
export const isClean = ({ checked, findings }: RunResult): boolean => findings.length === 0 && checked.every(({ faults }) => faults.length === 0)

const isForHistories = ({ histories, kills }: RunOptions): boolean => histories > 0 && kills === 0

/** Strike until there were enough kills or it is time, and wait after each until the shop sells again. */
const strikeAll = async (stand: Stand, scene: Scene, among: readonly Nemesis[], options: RunOptions): Promise<Strike[]> => {
  const strikes: Strike[] = []
  const yeses_between = isForHistories(options) ? YESES_BETWEEN_FOR_HISTORIES : YESES_BETWEEN
  const chance = chanceFrom(options.seed).fork("nemesis")
  const began = performance.now()
  let kills = 0
  const isDone = (): boolean => kills >= options.kills && historiesOf(scene.shelf) >= options.histories
  // Bounded by the minutes: each turn takes at least as long as its yeses.
  while (!isDone() && performance.now() - began < options.minutes * 60_000) {
    const before = scene.yeses, wanted = Math.ceil(yeses_between * (0.5 + chance()))
    await until(`${wanted} yeses after ${strikes.at(-1)?.name ?? "the start"}`, () => scene.yeses - before >= wanted, CALM_MS_MAX)
    const nemesis = chooseNemesis(among, chance)
    scene.struck_ms.push(performance.now())
    const what = await nemesis.strike(stand, chance)
    const strike = { at_ms: Math.round(performance.now() - began), name: nemesis.name, isKill: nemesis.isKill === true, what }
    strikes.push(strike)
    options.onStrike?.(strike)
    if (nemesis.isKill) kills += 1
  }
  return strikes
}

/** By how much the clock of this host, which is Redis' too, is ahead of the one that the history counts by. */
const aheadMs = (): number => Date.now() - performance.now()

/** Judge a stand whose clients are silent. */
const judge = async (stand: Stand, scene: Scene, watched: Watched, offset_ms: number): Promise<Checked[]> => {
  const redis = connectServers(stand.redisUrl, () => undefined, JUDGE_WAIT_MS)
  const { sql, close } = openPostgres(stand.databaseUrl, CONNECTIONS)
  try {
    await redisReady(redis, BACK_MS_MAX)
    await until("Postgres serves", async () => (await sql`select 1`.catch(() => [])).length === 1, BACK_MS_MAX)
    const world: World = {
      sql, say: sayTo(stand, chanceFrom(0), ANSWERED_MS_MAX), history: scene.history, shelf: scene.shelf, struck_ms: scene.struck_ms, followed: scene.followed, watched, flushed: stand.flushed, offset_ms,
      verify: async () => (await verifyAll({ redis, sql, cells: stand.cells, ages: () => ({ now_ms: Date.now(), age_ms: AGE_MS, remember_ms: REMEMBER_MS }) })).differences,
    }
    // A hold that runs out while its budget is looked at would be held in one place and given back in the other.
    let open: readonly unknown[] = []
    for (const end = performance.now() + SWEPT_MS_MAX; ;) {
      await stand.flushed()
      open = await sql`select redemption_id, head from redemptions where state = 1 and (head->>5)::bigint < ${Date.now() + SHORT_HOLD_MS_MAX} limit ${FAULTS_MAX}`
      if (open.length === 0 || performance.now() > end) break
      await Bun.sleep(WATCH_MS)
    }
    const checked: Checked[] = [{ name: "holds", says: "a hold that ran out is given back", faults: open, counted: {} }]
    for (const { name, says, look } of CHECKS) {
      const { faults, counted = {} } = await look(world).catch((fault: unknown): Found => {
        if (!(fault instanceof Unanswered)) throw fault
        return { faults: [fault.message] }
      })
      checked.push({ name, says, faults: faults.slice(0, FAULTS_MAX), counted: { ...counted, ...(faults.length > FAULTS_MAX ? { faults: faults.length } : {}) } })
    }
    return checked
  } finally {
    redis.disconnect()
    await close()
  }
}

/** Run once. Throws when the shop does not come back; a broken invariant is in the result. */
export const runOnce = async (options: RunOptions): Promise<RunResult> => {
  const began = performance.now()
  const chance = chanceFrom(options.seed)
  const stand = await openStand({ ...options, ownDisk: true })
  const watching = connectServers(stand.redisUrl, () => undefined)
  try {
    const wanted = NEMESES.filter(({ name, isFatal }) => options.only?.includes(name) ?? !isFatal)
    const skipped = wanted.flatMap((nemesis) => { const why = nemesis.cannot?.(stand); return why === undefined ? [] : [{ name: nemesis.name, why }] })
    const among = wanted.filter((nemesis) => nemesis.cannot?.(stand) === undefined)
    const say = sayTo(stand, chance.fork("house"), BACK_MS_MAX)
    let isOver = false, offset_ms = aheadMs()
    const scene: Scene = { urls: stand.urls, shelf: await openShelf(say, readFrom(stand, chance.fork("codes"), BACK_MS_MAX)), history: [], struck_ms: [], followed: { ids: [], after: "" }, findings: [], yeses: 0, isOver: () => isOver }
    const watched: Watched = { looked_at: 0, faults: [] }
    const rivals = Array.from({ length: RIVALS }, (_, no) => `rival-${no}`)
    await openArena(say, scene.shelf, rivals)
    const others = isForHistories(options) ? FEW : CROWD
    const actors = [
      ...Array.from({ length: others.shoppers }, (_, no) => shopper(scene, chance.fork(`shopper-${no}`), `shopper-${options.seed}-${no}`)),
      ...rivals.map((name) => rival(scene, chance.fork(name), name)),
      ...Array.from({ length: others.claimants }, (_, no) => claimant(scene, chance.fork(`claimant-${no}`), `claimant-${options.seed}-${no}`)),
      operator(scene, chance.fork("operator")),
      follower(scene, chance.fork("follower")),
      watch(watching, stand.cells, watched, () => isOver),
      (async () => { while (!isOver) { if (isArenaDue(scene.shelf)) await openArena(say, scene.shelf, rivals); await Bun.sleep(WATCH_MS) } })(),
      // A host's clock may be set while it runs: what is most ahead makes no entry younger than it is.
      (async () => { while (!isOver) { offset_ms = Math.max(offset_ms, aheadMs()); await Bun.sleep(WATCH_MS) } })(),
    ]
    // An actor that breaks ends the run at once, not at its end.
    const broken = Promise.all(actors).then(() => { throw new Error("the clients have ended before their time") })
    let strikes: Strike[]
    const withLastWords = (fault: unknown): never => { throw new Error(`${fault instanceof Error ? fault.message : String(fault)}\n${stand.said()}`) }
    try {
      strikes = await Promise.race([strikeAll(stand, scene, among, options), broken]).catch(withLastWords)
    } finally {
      isOver = true
      broken.catch(() => undefined)
      await Promise.allSettled(actors)
    }
    const checked = await judge(stand, scene, watched, offset_ms).catch(withLastWords)
    const { onStrike: _, ...asked } = options
    return {
      options: asked, strikes, skipped, checked, acts: scene.history.length, yeses: scene.yeses,
      unknown: scene.history.filter(({ heard }) => heard === "unknown").length,
      findings: [...scene.findings, ...stand.findings], took_ms: Math.round(performance.now() - began),
    }
  } finally {
    watching.disconnect()
    await stand.stop()
  }
}
