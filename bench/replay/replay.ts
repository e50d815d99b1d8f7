/**
 * The replay as a whole: read, plan, play, prove, once or twice.
 *
 * It is proved three times: on the busiest day, when its orders are reserved and none is confirmed, so that money is held and coupons
 * are reserved; after the last act; and when every window is over, when nothing may be held any more.
 */
import { type Caller, callerOf } from "./caller.ts"
import { type Count, countAt, type Moment } from "./count.ts"
import { readData } from "./data.ts"
import { instant } from "./days.ts"
import type { Options } from "./options.ts"
import { type Plan, planOf } from "./plan.ts"
import { actsOf, type Difference, emptyMemory, type Memory, play, type Played } from "./play.ts"
import { openProgress } from "./progress.ts"
import { type Mismatch, mismatches } from "./prove.ts"
import { countOfApi, type Keepers, openKeepers } from "./read_back.ts"
import { type ReplayStack, serversOf, startStack } from "./stack.ts"
import { type Verified, verifyStack } from "./verified.ts"

/** The sweeper ends coupons and the flusher flushes in their own time; what is not settled by then, or has stood still for so long, is different. */
const SETTLE_MS_MAX = 90_000
const STILL_MS_MAX = 45_000
const POLL_MS = 250

export interface Proof {
  readonly title: string
  readonly own: Count
  readonly mismatches: readonly Mismatch[]
  /** Whether Redis and Postgres could be asked, and not the API alone. */
  readonly is_whole: boolean
  /** How long the sweeper and the flusher were waited for. */
  readonly waited_ms: number
  /** Redemptions that Redis still held. */
  readonly in_redis: number
}

export interface Replayed {
  readonly plan: Plan
  readonly played: Played
  readonly again: Played | undefined
  /** Events before and after the second run. */
  readonly events: { readonly before: number; readonly after: number } | undefined
  readonly proofs: readonly Proof[]
  readonly differences: readonly Difference[]
  readonly verified: Verified | undefined
  /** Attempts that had to be repeated, by what was answered. */
  readonly repeats: ReadonlyMap<string, number>
  readonly ms: { readonly read: number; readonly start: number; readonly play: number; readonly again: number; readonly all: number }
}

export interface ReplayParts {
  readonly options: Options
  readonly dataDir: string
  readonly env: Readonly<Record<string, string | undefined>>
  readonly out: { write(text: string): unknown; readonly isTTY?: boolean }
}

const busiestDay = ({ days }: Plan): string => days.reduce((most, each) => (each.orders.length > most.orders.length ? each : most)).day

/** Play the data and prove it. Stops what it started, also when it fails. */
export const replay = async ({ options, dataDir, env, out }: ReplayParts): Promise<Replayed> => {
  const began_ms = performance.now()
  const data = await readData(options.folder)
  const plan = planOf(data, options.limit)
  const read_ms = performance.now()

  let stack: ReplayStack | undefined
  let keepers: Keepers | undefined
  let cells = options.cells
  const repeats = new Map<string, number>()
  const start = async (): Promise<Caller> => {
    if (options.url === undefined) stack = await startStack(env, dataDir, options.cells)
    const { url, key } = stack ?? { url: options.url!, key: options.key! }
    cells = await cellsOfReplay(url)
    if (stack || options.dataDir !== undefined) keepers = await openKeepers(serversOf(dataDir), cells)
    return callerOf(url, key, repeats)
  }
  const stop = async (): Promise<void> => {
    await keepers?.close()
    await stack?.stop()
    keepers = stack = undefined
  }

  try {
    let caller = await start()
    const start_ms = performance.now()
    const memory: Memory = emptyMemory()
    const proofs: Proof[] = []
    const progress = openProgress(actsOf(plan), out)
    const prove = async (title: string, moment: Moment) => { proofs.push(await proofOf(title, plan, moment, { caller, memory, keepers, concurrency: options.concurrency })) }
    const busiest = busiestDay(plan)
    const isPlayed = await wasPlayed(plan, caller)
    const played = await play(plan, {
      caller, memory, concurrency: options.concurrency, progress, pauses: new Set([busiest]),
      when_reserved: (day) => prove(`${day}, its orders reserved`, { day, of_day: "reserved" }),
    }, isPlayed)
    progress.end()
    const play_ms = performance.now()
    const last_day = plan.days.at(-1)!.day
    // A stack that was played before has seen the end of all windows.
    if (!isPlayed && played.differences.length === 0) await prove(`${last_day}, after the last act`, { day: last_day, of_day: "everything" })

    let again: Played | undefined, events: Replayed["events"]
    const again_ms = performance.now()
    if (options.twice && played.differences.length === 0) {
      const before = (await keepers?.events()) ?? 0
      if (options.url === undefined) {
        await stop()
        caller = await start()
      }
      const bar = openProgress(actsOf(plan), out)
      again = await play(plan, { caller, memory, concurrency: options.concurrency, progress: bar, pauses: new Set(), when_reserved: async () => {} }, true)
      bar.end()
      await settled(async () => (await keepers?.isFlushed()) ?? true)
      events = { before, after: (await keepers?.events()) ?? 0 }
      await prove(`${last_day}, after everything was played again`, { day: last_day, of_day: "everything" })
    }
    const done_ms = performance.now()

    const differences = [...played.differences, ...(again?.differences ?? [])]
    if (differences.length === 0) {
      // One question in the new time is enough: the clock of a replay is the latest it was told.
      await caller({ method: "GET", path: `/v1/budgets/${plan.budgets[0]!.budget_id}`, now_ms: instant(plan.after_all) })
      await prove(`${plan.after_all}, when every window is over`, { day: plan.after_all, of_day: "everything" })
    }
    const verified = keepers && await verifyStack(serversOf(dataDir), cells, Math.max(memory.clock_ms, instant(plan.after_all)))
    return {
      plan, played, again, events, proofs, differences, repeats, verified,
      ms: { read: read_ms - began_ms, start: start_ms - read_ms, play: play_ms - start_ms, again: done_ms - again_ms, all: performance.now() - began_ms },
    }
  } finally {
    await stop()
  }
}

/** Whether a stack has been played before: its first budget is there. */
const wasPlayed = async (plan: Plan, caller: Caller): Promise<boolean> =>
  (await caller({ method: "GET", path: `/v1/budgets/${plan.budgets[0]!.budget_id}`, now_ms: 0 })).status === 200

/** How many cells a stack has. Throws when it does not run on the data's time. */
const cellsOfReplay = async (url: string): Promise<number> => {
  const ready = await (await fetch(`${url}/readyz`)).json() as { clock?: unknown; cells?: unknown }
  if (ready.clock !== "replay") throw new Error(`${url} takes its time from a clock: start it with SCRIP_CLOCK=replay and SCRIP_TIME_ZONE=America/New_York`)
  return Number(ready.cells)
}

/** Wait until something holds; false when it did not in time. */
const settled = async (holds: () => Promise<boolean>): Promise<boolean> => {
  const until = performance.now() + SETTLE_MS_MAX
  while (!(await holds())) {
    if (performance.now() > until) return false
    await Bun.sleep(POLL_MS)
  }
  return true
}

interface Asked { readonly caller: Caller; readonly memory: Memory; readonly keepers: Keepers | undefined; readonly concurrency: number }

const proofOf = async (title: string, plan: Plan, moment: Moment, { caller, memory, keepers, concurrency }: Asked): Promise<Proof> => {
  const began_ms = performance.now()
  const own = countAt(plan, moment)
  const found: Mismatch[] = []
  let in_redis = 0
  if (keepers) {
    let stores: Mismatch[] = []
    let last = "", moved_ms = began_ms
    await settled(async () => {
      const isFlushed = await keepers.isFlushed()
      const [redis, postgres] = [await keepers.redis(plan), await keepers.postgres(plan)]
      in_redis = redis.redemptions.size
      stores = [...mismatches(own, redis, "redis"), ...mismatches(own, postgres, "postgres")]
      const now = JSON.stringify([isFlushed, stores])
      if (now !== last) [last, moved_ms] = [now, performance.now()]
      return (isFlushed && stores.length === 0) || performance.now() - moved_ms > STILL_MS_MAX
    })
    found.push(...stores)
  }
  const waited_ms = performance.now() - began_ms
  found.push(...mismatches(own, await countOfApi(caller, memory.clock_ms, own, memory.redemptions, concurrency), "api"))
  return { title, own, mismatches: found, is_whole: keepers !== undefined, waited_ms, in_redis }
}
