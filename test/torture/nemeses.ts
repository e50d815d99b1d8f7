/**
 * What is done to a stand, one act of violence an object. A new one goes into NEMESES; the run chooses by the seed.
 *
 * What must stay true: each ends by itself and leaves the stand whole, so that what follows is judged and not only what is broken.
 */
import { readdirSync, statfsSync, statSync, truncateSync, unlinkSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { connectRedis, redisReady } from "../../engine/store/redis.ts"
import { until } from "../support/run_engine.ts"
import type { Chance } from "./chance.ts"
import type { Loss } from "./proxy.ts"
import { BACK_MS_MAX, type PartName, type Stand } from "./stand.ts"

export interface Nemesis {
  readonly name: string
  /** How often it is chosen, against the others. */
  readonly weight: number
  /** It kills a process. */
  readonly isKill?: true
  /** An engine that is whole stops at it for good, so it is chosen only when it is named. */
  readonly isFatal?: true
  /** Why this stand or machine cannot suffer it. */
  cannot?(stand: Stand): string | undefined
  /** Do it, undo it, and say to what. */
  strike(stand: Stand, chance: Chance): Promise<string>
}

/** More than half of all violence is a kill. */
const KILLS_WEIGHT = 6
/** How long a fault lasts: long enough for timeouts of some parts, too short for those of others. */
const FAULT_MS_MIN = 200
const FAULT_MS_MAX = 4_000
const faultMs = (chance: Chance): number => FAULT_MS_MIN + chance.below(FAULT_MS_MAX - FAULT_MS_MIN)
/** A disk or a memory is full for long enough to be met by every client. */
const FULL_MS = 2_500
/** So much room is left on a full disk. */
const ROOM_LEFT_BYTES = 16 * 1024
const ROOM_LEFT_MEMORY_BYTES = 64 * 1024
/** How long each fsync of a slow disk takes. */
const SLOW_FSYNC_US = 40_000
const SLOW_MS = 3_000
/** What a Redis that comes back has lost of its log: some dozen acts. */
const LOST_BYTES = 48 * 1024
/** So long workers stand still, and a replica, before what they have not seen is lost: some dozen acts, and less than a node's timeout. */
const UNFLUSHED_MS = 400
const BEHIND_MS = 800
/** How likely the workers go on meanwhile. */
const FLUSHED_BEHIND = 0.3
/** Between the keys of a slot that is moved. */
const SLOT_PAUSE_MS = 5

const NO_PART = "this layout has no such process"
const NO_PROXY = "this layout has no proxies"
const withoutProxies = ({ proxies }: Stand): string | undefined => proxies.size === 0 ? NO_PROXY : undefined

const kill = (name: string, weight: number, parts: readonly PartName[]): Nemesis => ({
  name, weight, isKill: true,
  cannot: (stand) => parts.some((part) => stand.parts.includes(part)) ? undefined : NO_PART,
  strike: async (stand, chance) => {
    const part = chance.pick(parts.filter((each) => stand.parts.includes(each)))
    await stand.kill(part)
    return part
  },
})

const REDIS_PARTS: readonly PartName[] = ["redis", "redis_1", "redis_2", "redis_3", "redis_4", "redis_5", "redis_6"]

/** A process that stands still is worse than a dead one: its connections are open, and it goes on where it was. */
const freeze: Nemesis = {
  name: "freeze", weight: 3,
  strike: async (stand, chance) => {
    const part = chance.pick(stand.parts), ms = faultMs(chance)
    const pid = stand.pidOf(part)
    if (pid === undefined) return `${part}, which was down`
    try {
      process.kill(pid, "SIGSTOP")
      await Bun.sleep(ms)
    } finally {
      if (stand.pidOf(part) === pid) process.kill(pid, "SIGCONT")
    }
    return `${part} for ${ms} ms`
  },
}

const lose = (name: string, weight: number, loss: Loss): Nemesis => ({
  name, weight, cannot: withoutProxies,
  strike: async (stand, chance) => {
    const link = chance.pick([...stand.proxies.keys()]), ms = faultMs(chance)
    const proxy = stand.proxies.get(link)!
    try {
      proxy.lose(loss)
      await Bun.sleep(ms)
    } finally {
      proxy.lose("nothing")
    }
    return `${link} for ${ms} ms`
  },
})

const cut: Nemesis = {
  name: "cut_connections", weight: 3, cannot: withoutProxies,
  strike: async (stand, chance) => {
    const link = chance.pick([...stand.proxies.keys()])
    stand.proxies.get(link)!.cut()
    return link
  },
}

/** Redis ends itself when its log cannot be written, and is started again and again until there is room. */
const fullDisk: Nemesis = {
  name: "full_disk", weight: 1,
  cannot: ({ disk }) => disk === undefined ? "Redis has no disk of its own here (mounting one needs root)" : undefined,
  strike: async (stand) => {
    const ballast = join(stand.disk!, "ballast")
    const { bavail, bsize } = statfsSync(stand.disk!)
    try {
      writeFileSync(ballast, Buffer.alloc(Math.max(0, bavail * bsize - ROOM_LEFT_BYTES)))
      await Bun.sleep(FULL_MS)
    } finally {
      unlinkSync(ballast)
    }
    await until("redis runs again", () => stand.pidOf("redis") !== undefined, BACK_MS_MAX)
    return `${FULL_MS} ms`
  },
}

const withRedis = async <T>(stand: Stand, work: (redis: ReturnType<typeof connectRedis>) => Promise<T>): Promise<T> => {
  const redis = connectRedis(stand.redisUrl, () => undefined)
  try {
    await redisReady(redis, BACK_MS_MAX)
    return await work(redis)
  } finally {
    redis.disconnect()
  }
}

/** A full memory refuses what takes and lets pass what gives back. Of a cluster it is the memory of one master. */
const fullMemory: Nemesis = {
  name: "full_memory", weight: 2,
  strike: async (stand, chance) => {
    const master = stand.cluster && (await stand.cluster.serving(cellKey(stand, chance))).master
    const on = <T>(work: (redis: ReturnType<typeof connectRedis>) => Promise<T>): Promise<T> => master ? work(master.client) : withRedis(stand, work)
    await on(async (redis) => {
      const used = Number(/used_memory:(\d+)/.exec(String(await redis.info("memory")))?.[1])
      await redis.config("SET", "maxmemory", String(used + ROOM_LEFT_MEMORY_BYTES))
    })
    await Bun.sleep(FULL_MS)
    await on((redis) => redis.config("SET", "maxmemory", "0"))
    return `${master?.name ?? "redis"} for ${FULL_MS} ms`
  },
}

/** A disk that takes its time: what is not synced is not answered. */
const slowDisk: Nemesis = {
  name: "slow_fsync", weight: 2,
  cannot: () => Bun.which("strace") === null ? "there is no strace here" : undefined,
  strike: async (stand, chance) => {
    const part = chance.pick(REDIS_PARTS.filter((each) => stand.parts.includes(each)))
    const pid = stand.pidOf(part)
    if (pid === undefined) return `${part}, which was down`
    const strace = Bun.spawn(["strace", "-f", "-qq", "-p", String(pid), "-e", "trace=fsync,fdatasync", "-e", `inject=fsync,fdatasync:delay_enter=${SLOW_FSYNC_US}`], { stdin: "ignore", stdout: "ignore", stderr: "ignore" })
    await Bun.sleep(SLOW_MS)
    strace.kill("SIGTERM")
    await strace.exited
    return `${SLOW_FSYNC_US} µs for each fsync of ${part}, for ${SLOW_MS} ms`
  },
}

/** What is done to the one Redis of a stand. */
const withCluster = ({ cluster }: Stand): string | undefined => cluster === undefined ? undefined : "there are several Redis"

/** The files of Redis' log, oldest first. */
const logFilesOf = (dataDir: string): string[] => {
  const folder = join(dataDir, "redis", "appendonlydir")
  return readdirSync(folder).filter((name) => name.endsWith(".incr.aof")).sort().map((name) => join(folder, name))
}

/** Kill Redis and have it come back without the last of its log. */
const cutTail = async (stand: Stand): Promise<string> => {
  const redis = stand.pidOf("redis")
  if (redis === undefined) return "redis, which was down"
  process.kill(redis, "SIGKILL")
  // Its supervisor lives in this process, so nothing starts it again before these lines are done.
  const file = logFilesOf(stand.dataDir).at(-1)!
  truncateSync(file, Math.max(0, statSync(file).size - LOST_BYTES))
  await until("redis runs again", () => { const now = stand.pidOf("redis"); return now !== undefined && now !== redis }, BACK_MS_MAX)
  return `the last ${LOST_BYTES} bytes`
}

/**
 * The same while the workers stand still, so that Postgres has not all of it either: what was told to be in the ledger is, and what is
 * lost nobody was promised.
 */
const loseUnflushed: Nemesis = {
  name: "lose_unflushed", weight: 2, isKill: true,
  cannot: (stand) => stand.durability !== "ledger" ? "only at ledger is nothing promised before Postgres has it" : stand.parts.includes("worker_1") ? withCluster(stand) : NO_PART,
  strike: async (stand) => {
    const pids = (["worker_1", "worker_2"] as const).flatMap((part) => stand.pidOf(part) ?? [])
    for (const pid of pids) process.kill(pid, "SIGSTOP")
    try {
      await Bun.sleep(UNFLUSHED_MS)
      return `${await cutTail(stand)}, ${UNFLUSHED_MS} ms after the workers stood still`
    } finally {
      for (const pid of pids) process.kill(pid, "SIGCONT")
    }
  },
}

/**
 * Redis comes back without the last it has answered, all of which Postgres has by then: a disk that lied, a backup, a replica that was
 * behind. The APIs stand still until then, so that nobody was promised what is nowhere.
 */
const loseTail: Nemesis = {
  name: "lose_tail", weight: 1, isKill: true,
  cannot: (stand) => stand.parts.includes("api_1") ? withCluster(stand) : NO_PART,
  strike: async (stand) => {
    const pids = (["api_1", "api_2"] as const).flatMap((part) => stand.pidOf(part) ?? [])
    for (const pid of pids) process.kill(pid, "SIGSTOP")
    try {
      await Bun.sleep(FAULT_MS_MIN) // what they had sent is done by then, or waits in them
      await stand.flushed()
      return await cutTail(stand)
    } finally {
      for (const pid of pids) process.kill(pid, "SIGCONT")
    }
  },
}

const withoutCluster = ({ cluster }: Stand): string | undefined => cluster === undefined ? "there is one Redis" : undefined
/** What a replica had not heard yet is gone with its master, answered or not. */
const withoutPromise = (stand: Stand): string | undefined => stand.durability === "local" ? "at local nothing is promised of a master that dies" : withoutCluster(stand)
/** A key of a cell, to name its slot. */
const cellKey = (stand: Stand, chance: Chance): string => `{c${chance.below(stand.cells)}}q`

/**
 * A master dies and its replica takes its place; what it comes back as is a replica. All replicas have caught up before: what a replica that
 * is behind loses with its master is the loss of two, which no level but `ledger` survives.
 */
const failOver: Nemesis = {
  name: "fail_over", weight: 3, isKill: true, cannot: withoutPromise,
  strike: async (stand, chance) => {
    const key = cellKey(stand, chance)
    await stand.cluster!.whole()
    await stand.cluster!.failOver(key)
    await stand.cluster!.whole()
    return `the master of ${key}`
  },
}

/**
 * A master goes on for a while after its replica has stood still, and dies: the replica takes its place without the last it wrote. Mostly the
 * workers stand still too, so that Postgres does not have it either; otherwise Postgres knows more than the new master.
 */
const failOverBehind: Nemesis = {
  name: "fail_over_behind", weight: 3, isKill: true, cannot: withoutPromise,
  strike: async (stand, chance) => {
    const key = cellKey(stand, chance)
    await stand.cluster!.whole()
    const nodes = await stand.cluster!.serving(key)
    const workers = chance.happens(FLUSHED_BEHIND) ? [] : (["worker_1", "worker_2"] as const).flatMap((part) => stand.pidOf(part) ?? [])
    for (const pid of workers) process.kill(pid, "SIGSTOP")
    try {
      await stand.cluster!.sever(nodes)
      await Bun.sleep(BEHIND_MS)
      await stand.cluster!.failOver(key, nodes)
    } finally {
      // Whatever went wrong: one that stands still would answer nobody, and could not be told to end.
      stand.cluster!.signal(nodes.replica!, "SIGCONT")
      for (const pid of workers) process.kill(pid, "SIGCONT")
    }
    await stand.cluster!.whole()
    return `the master of ${key}, ${BEHIND_MS} ms after its replica ${workers.length > 0 ? "and the workers " : ""}stood still`
  },
}

/** A slot goes to another master, key by key, while everybody goes on. */
const moveSlot: Nemesis = {
  name: "move_slot", weight: 2, cannot: withoutCluster,
  strike: async (stand, chance) => {
    const key = cellKey(stand, chance)
    await stand.cluster!.whole() // a master that is without its replica takes no key
    const { master } = await stand.cluster!.serving(key)
    const masters = new Set<string>()
    for (let cell = 0; cell < stand.cells; cell++) masters.add((await stand.cluster!.serving(`{c${cell}}q`)).master.name)
    const to = stand.cluster!.members.find(({ name }) => masters.has(name) && name !== master.name)
    if (!to) return "nowhere: one master serves all cells"
    await stand.cluster!.moveSlot(key, to, SLOT_PAUSE_MS)
    return `${key} from ${master.name} to ${to.name}`
  },
}

/** An entry that nobody has flushed yet is gone, as if Redis had lost it. */
const loseEntry: Nemesis = {
  name: "lose_entry", weight: 1, isFatal: true,
  strike: (stand) => withRedis(stand, async (redis) => {
    const pids = (["worker_1", "worker_2"] as const).flatMap((part) => stand.pidOf(part) ?? [])
    for (const pid of pids) process.kill(pid, "SIGSTOP")
    try {
      await Bun.sleep(FAULT_MS_MIN)
      const last = await redis.xrevrange("{c0}j", "+", "-", "COUNT", 10)
      const id = last.at(-1)?.[0]
      if (id !== undefined) await redis.xdel("{c0}j", id)
      return `entry ${id}`
    } finally {
      for (const pid of pids) process.kill(pid, "SIGCONT")
    }
  }),
}

export const NEMESES: readonly Nemesis[] = [
  kill("kill_api", KILLS_WEIGHT, ["api_1", "api_2"]),
  kill("kill_engine", KILLS_WEIGHT, ["engine"]),
  kill("kill_worker", KILLS_WEIGHT, ["worker_1", "worker_2"]),
  kill("kill_redis", KILLS_WEIGHT, REDIS_PARTS),
  kill("kill_postgres", KILLS_WEIGHT, ["postgres"]),
  freeze,
  cut,
  lose("lose_requests", 2, "requests"),
  lose("lose_replies", 3, "replies"),
  lose("lose_connections", 2, "connections"),
  fullDisk,
  fullMemory,
  slowDisk,
  loseTail,
  loseUnflushed,
  failOver,
  failOverBehind,
  moveSlot,
  loseEntry,
]

/** One of them, by its weight. */
export const chooseNemesis = (among: readonly Nemesis[], chance: Chance): Nemesis => {
  let left = chance() * among.reduce((sum, { weight }) => sum + weight, 0)
  return among.find(({ weight }) => (left -= weight) < 0) ?? among.at(-1)!
}
