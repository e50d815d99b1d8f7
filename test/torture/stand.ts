/**
 * The stand: what is put to the test, in one of three layouts. `split` is two APIs, two workers, a Redis and a Postgres as processes of their
 * own, with a proxy between each engine and each server. `cluster` is the same with a Redis Cluster of three masters and three replicas, to
 * which the engines talk directly. `whole` is one engine with its servers as children, as `npm start` starts it.
 *
 * What must stay true: whatever dies is started again, as a supervisor would, and only what the stand has started is ever signalled. An
 * engine that ends without having been told to is a finding, not a detail.
 */
import { spawnSync } from "node:child_process"
import { mkdirSync } from "node:fs"
import { join } from "node:path"
import { isAlive, readIdentity } from "../../engine/child.ts"
import { caughtUp } from "../../engine/journal/caught_up.ts"
import { quietLog } from "../../engine/log.ts"
import { openPostgres } from "../../engine/store/postgres.ts"
import { rememberedServers, startPrivate } from "../../engine/private/start.ts"
import { connectServers, redisReady } from "../../engine/store/redis.ts"
import type { Durability } from "../../engine/config.ts"
import { handsOn } from "../support/cluster.ts"
import { runEngineProcess, type RunningEngine, until } from "../support/run_engine.ts"
import { scratchFolder } from "../support/scratch.ts"
import { openProxy, type Proxy } from "./proxy.ts"

export const KEY = "torture-bootstrap-key"
/** Whatever was killed is back after this at the latest. */
export const BACK_MS_MAX = 180_000
/** Who judges waits longer for Redis than a caller: a disk that is slow for seconds is no finding. */
export const JUDGE_WAIT_MS = 60_000
const RESTART_MS = 100
/** So much of an engine's last words is shown with a finding. */
const SAID_CHARS = 2_000
/** The disk of Redis where the stand may mount one: more than the journal and the log of a run, little enough to be filled. */
const DISK_BYTES = 512 * 1024 * 1024

export const LAYOUTS = ["split", "cluster", "whole"] as const
export type Layout = (typeof LAYOUTS)[number]
/** `engine` is the one of a whole layout. */
export type EngineName = "api_1" | "api_2" | "worker_1" | "worker_2" | "engine"
export type ServerName = "redis" | `redis_${number}` | "postgres"
export type PartName = EngineName | ServerName

export interface StandOptions {
  readonly layout: Layout
  /** The folder of the engine that is put to the test. */
  readonly tree: string
  readonly cells: number
  /** What a 2xx is to mean. */
  readonly durability: Durability
  /** Give Redis a small disk of its own where that is allowed; of a split layout only. */
  readonly ownDisk: boolean
}

export interface Stand {
  readonly redisUrl: string
  readonly databaseUrl: string
  readonly cells: number
  readonly durability: Durability
  readonly dataDir: string
  readonly parts: readonly PartName[]
  /** The hands on the nodes of a cluster. */
  readonly cluster: ReturnType<typeof handsOn> | undefined
  /** Where Redis writes, if it has a disk of its own. */
  readonly disk: string | undefined
  /** The addresses of the APIs that run now. */
  urls(): readonly string[]
  /** Every proxy, by engine and server. */
  readonly proxies: ReadonlyMap<`${EngineName}:${ServerName}`, Proxy>
  pidOf(part: PartName): number | undefined
  /** Kill a part outright, and come back when it runs again. */
  kill(part: PartName): Promise<void>
  /** Resolve when Postgres has all that was decided until now. */
  flushed(): Promise<void>
  /** Engines that ended although nobody had killed them, with their last words. */
  readonly findings: string[]
  said(): string
  stop(): Promise<void>
}

interface Kept { readonly name: EngineName; pid(): number | undefined; url(): string | undefined; kill(): Promise<void>; said(): string; stop(): Promise<void> }

/** Keep one engine alive until it is stopped. */
const keep = async (name: EngineName, env: Record<string, string>, tree: string, findings: string[]): Promise<Kept> => {
  const word = name.startsWith("worker") ? "runs as worker" : "listens on"
  let engine: RunningEngine | undefined, url: string | undefined
  let isStopping = false, isKilled = false, isUp = false, starts = 0
  const live = async (): Promise<void> => {
    // Ends when it is stopped; a start that fails because a server is away is tried again.
    while (!isStopping) {
      const running = engine = runEngineProcess({ SCRIP_BOOTSTRAP_KEY: KEY, ...env }, "engine/main.ts", tree)
      starts += 1
      const watch = setInterval(() => {
        if (isUp || !running.said().includes(word)) return
        isUp = true
        url = /listens on (http:\S+)/.exec(running.said())?.[1]
      }, 10)
      const code = await running.exited
      clearInterval(watch)
      if (isUp && !isKilled && !isStopping) findings.push(`${name} ended by itself with ${code}: ${running.said().slice(-SAID_CHARS)}`)
      isUp = isKilled = false
      url = undefined
      if (!isStopping) await Bun.sleep(RESTART_MS)
    }
  }
  const life = live()
  const untilUp = () => until(`${name} says "${word}"`, () => isUp, BACK_MS_MAX).catch((fault: Error) => { throw new Error(`${fault.message}: ${engine?.said().slice(-SAID_CHARS)}`) })
  await untilUp()
  return {
    name, pid: () => engine?.pid, url: () => url, said: () => engine?.said().slice(-SAID_CHARS) ?? "",
    kill: async () => {
      const before = starts
      isKilled = true
      engine?.kill("SIGKILL")
      await until(`${name} is started again`, () => starts > before, BACK_MS_MAX)
      await untilUp()
    },
    stop: async () => {
      isStopping = true
      engine?.kill("SIGCONT")
      engine?.kill("SIGTERM")
      await life
    },
  }
}

/** Mount a small disk, or say nothing where that is not allowed. */
const mountDisk = (folder: string): boolean => {
  mkdirSync(folder, { recursive: true, mode: 0o711 })
  return spawnSync("mount", ["-t", "tmpfs", "-o", `size=${DISK_BYTES}`, "tmpfs", folder]).status === 0
}

const through = (url: string, proxy: Proxy): string => {
  const changed = new URL(url)
  changed.port = String(proxy.port)
  return changed.href
}

/** Servers that live apart from the engines, or as the children of one. */
interface Servers {
  readonly names: readonly ServerName[]
  readonly redisUrl: string
  readonly databaseUrl: string
  readonly cluster: ReturnType<typeof handsOn> | undefined
  pidOf(name: ServerName): number | undefined
  stop(): Promise<void>
}

/** What every engine of a stand is told. A guesser's limits would stop the clients, who ask for spent codes all the time. */
const settingsOf = ({ cells, durability }: StandOptions): Record<string, string> =>
  ({ SCRIP_CELLS: String(cells), SCRIP_DURABILITY: durability, SCRIP_CODE_MISSES_KEY: "1000000000", SCRIP_CODE_MISSES_USER: "1000000000" })

/** Two of each engine, on servers that somebody else watches. */
const startSplit = async (dataDir: string, options: StandOptions, findings: string[], proxies: Map<`${EngineName}:${ServerName}`, Proxy>): Promise<{ engines: Kept[]; servers: Servers }> => {
  const isCluster = options.layout === "cluster"
  const started = await startPrivate({ dataDir, log: quietLog, topology: isCluster ? "cluster" : "one" })
  const redisUrl = started.redisUrl!, databaseUrl = started.databaseUrl!
  const closers: (() => Promise<void>)[] = []
  const engines: Kept[] = []
  for (const name of ["worker_1", "worker_2", "api_1", "api_2"] as const) {
    const postgres = await openProxy(Number(new URL(databaseUrl).port))
    proxies.set(`${name}:postgres`, postgres)
    // The nodes of a cluster tell their own addresses, so nothing can stand between.
    const redis = isCluster ? undefined : await openProxy(Number(new URL(redisUrl).port))
    if (redis) proxies.set(`${name}:redis`, redis)
    engines.push(await keep(name, {
      ...settingsOf(options), SCRIP_ROLE: name.startsWith("api") ? "api" : "worker",
      REDIS_URL: redis ? through(redisUrl, redis) : redisUrl, DATABASE_URL: through(databaseUrl, postgres),
    }, options.tree, findings))
  }
  return {
    engines, servers: {
      redisUrl, databaseUrl, names: Object.keys(started.pids()) as ServerName[], cluster: isCluster ? handsOn(started, (close) => closers.push(close)) : undefined,
      pidOf: (name) => started.pids()[name],
      stop: async () => { for (const close of closers) await close(); await started.stop() },
    },
  }
}

/** One engine with everything in it. Its servers are found by what its folder remembers. */
const startWhole = async (dataDir: string, options: StandOptions, findings: string[]): Promise<{ engines: Kept[]; servers: Servers }> => {
  const engine = await keep("engine", { ...settingsOf(options), SCRIP_DATA_DIR: dataDir }, options.tree, findings)
  const pidOf = (name: ServerName): number | undefined => {
    const found = readIdentity(join(dataDir, `${name}.pid`))
    return found && isAlive(found) ? found.pid : undefined
  }
  return { engines: [engine], servers: { ...rememberedServers(dataDir)!, names: ["redis", "postgres"], cluster: undefined, pidOf, stop: async () => undefined } }
}

/** Start everything. */
export const openStand = async (options: StandOptions): Promise<Stand> => {
  const { layout, cells, durability, ownDisk } = options
  const dataDir = join(scratchFolder(), "data")
  mkdirSync(dataDir, { mode: 0o711 })
  const disk = join(dataDir, "redis")
  const hasDisk = layout === "split" && ownDisk && mountDisk(disk)
  const findings: string[] = []
  const proxies = new Map<`${EngineName}:${ServerName}`, Proxy>()
  const { engines, servers } = layout === "whole" ? await startWhole(dataDir, options, findings) : await startSplit(dataDir, options, findings, proxies)
  const { redisUrl, databaseUrl } = servers
  const engineOf = (part: PartName): Kept | undefined => engines.find(({ name }) => name === part)
  const pidOf = (part: PartName): number | undefined => servers.names.includes(part as ServerName) ? servers.pidOf(part as ServerName) : engineOf(part)?.pid()
  return {
    cluster: servers.cluster, pidOf, redisUrl, databaseUrl, cells, durability, dataDir, proxies, findings, disk: hasDisk ? disk : undefined,
    parts: [...engines.map(({ name }) => name), ...servers.names],
    urls: () => engines.flatMap((engine) => engine.url() ?? []),
    kill: async (part) => {
      const engine = engineOf(part)
      if (engine) return engine.kill()
      const pid = pidOf(part)
      if (pid === undefined) return // it is down already, and on its way back
      process.kill(pid, "SIGKILL")
      await until(`${part} is started again`, () => { const now = pidOf(part); return now !== undefined && now !== pid }, BACK_MS_MAX)
    },
    flushed: async () => {
      const redis = connectServers(redisUrl, () => undefined, JUDGE_WAIT_MS)
      const { sql, close } = openPostgres(databaseUrl, 1)
      try {
        await redisReady(redis, BACK_MS_MAX)
        await until("Postgres serves", async () => (await sql`select 1`.catch(() => [])).length === 1, BACK_MS_MAX)
        for (let cell = 0; cell < cells; cell++) await caughtUp({ redis, postgres: { sql } }, cell, BACK_MS_MAX)
      } finally {
        redis.disconnect()
        await close()
      }
    },
    said: () => engines.map((engine) => `-- ${engine.name}\n${engine.said()}`).join("\n"),
    stop: async () => {
      await Promise.all(engines.map((engine) => engine.stop()))
      await Promise.all([...proxies.values()].map((proxy) => proxy.close()))
      await servers.stop()
      if (hasDisk) spawnSync("umount", ["-l", disk])
    },
  }
}
