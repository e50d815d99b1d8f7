/**
 * Private servers: a Redis and a Postgres of our own, as children, with their data under one folder. They start together, are kept alive,
 * and stop in order; a server that a killed run left behind is ended once its pid file proves that it is ours.
 */
import { chmodSync, existsSync, mkdirSync } from "node:fs"
import { join, resolve } from "node:path"
import type { Child } from "../child.ts"
import type { Topology } from "../config.ts"
import type { Log } from "../log.ts"
import type { Loop } from "../loop.ts"
import { folderFault, inFolder, readMemory, remember, takeFolder } from "./folder.ts"
import { DATABASE, POSTGRES_STOP, postgresPidFile, postgresUrl, startPostgres } from "./postgres.ts"
import { REDIS_STOP, redisNames, redisPidFile, redisUrlOf, startCluster, startRedis } from "./redis.ts"
import { lowerRewrites } from "./rewrites.ts"
import { endLeftover, STOP_MS } from "./server.ts"
import { keepLogShort } from "./short_log.ts"

export interface PrivateParts {
  readonly dataDir: string
  readonly log: Log
  /** Leave one out when a real server takes its place. */
  readonly redis?: boolean
  /** One Redis, or a cluster of three masters with a replica each. */
  readonly topology?: Topology
  readonly postgres?: boolean
  /** Raised when the start is to be given up: it then ends what it has begun, and throws. */
  readonly signal?: AbortSignal
}

export interface PrivateServers {
  readonly redisUrl: string | undefined
  readonly databaseUrl: string | undefined
  /** The servers' present pids, by name. */
  pids(): Readonly<Record<string, number>>
  /** Restarts since the start, by name. */
  restarts(): Readonly<Record<string, number>>
  /** Stop them in order and give the folder back; `wait_ms` is the patience for both together. */
  stop(wait_ms?: number): Promise<void>
}

/** Where the private servers of a folder are, or were; nothing where the folder has never had any. */
export const rememberedServers = (dataDir: string): { readonly redisUrl: string; readonly databaseUrl: string } | undefined => {
  const root = resolve(dataDir)
  const { redis_port, redis_password, postgres_port, postgres_password, cluster } = inFolder(root, () => readMemory(join(root, "servers.json")))
  if (redis_port === undefined || redis_password === undefined || postgres_port === undefined || postgres_password === undefined) return undefined
  return {
    redisUrl: redisUrlOf({ redis_port, redis_password, ...(cluster ? { cluster } : {}) }),
    databaseUrl: postgresUrl({ redis_port, redis_password, postgres_port, postgres_password }, DATABASE),
  }
}

/** Start the private servers of a folder and say where they are. They are kept alive until `stop`. */
export const startPrivate = async (
  { dataDir, log, redis = true, topology = "one", postgres: wanted = true, signal = new AbortController().signal }: PrivateParts,
): Promise<PrivateServers> => {
  const root = resolve(dataDir)
  const giveBack = inFolder(root, () => {
    // Others may walk through to what is theirs below, and see nothing of what is here.
    if (!existsSync(root)) {
      mkdirSync(root, { recursive: true })
      chmodSync(root, 0o711)
    }
    return takeFolder(root)
  })
  const children: Child[] = []
  const watches: Loop[] = []
  let stopped: Promise<void> | undefined
  const stop = (wait_ms = 2 * STOP_MS) => (stopped ??= (async () => {
    await Promise.all(watches.map((watch) => watch.stop()))
    // Redis first: nothing it still holds is lost, because what it answered is on disk. Postgres last.
    const isPostgres = ({ name }: Child) => name === "postgres"
    await Promise.all(children.filter((child) => !isPostgres(child)).map((child) => child.stop(wait_ms / 2)))
    for (const child of children.filter(isPostgres)) await child.stop(wait_ms / 2)
    giveBack()
  })())
  try {
    // Before the ports are looked at: a server that was left behind holds its own.
    await Promise.all([
      ...(["one", "cluster"] as const).flatMap(redisNames).map((name) => endLeftover(redisPidFile(root, name), name, REDIS_STOP, log)),
      endLeftover(postgresPidFile(root), "postgres", POSTGRES_STOP, log),
    ])
    const memory = await remember(join(root, "servers.json"), topology)
    const started = await Promise.allSettled([
      ...(!redis ? [] : topology === "cluster" ? [startCluster(root, memory, log, signal)]
        : [startRedis(root, "redis", { port: memory.redis_port, password: memory.redis_password }, log, signal).then((child) => [child])]),
      ...(wanted ? [startPostgres(root, memory, log, signal).then((child) => [child])] : []),
    ])
    for (const each of started) if (each.status === "fulfilled") children.push(...each.value)
    const failed = started.find((each) => each.status === "rejected")
    if (failed) throw failed.reason
    const ports = !redis ? [] : topology === "cluster" ? (memory.cluster ?? []).map(({ port }) => port) : [memory.redis_port]
    watches.push(...ports.map((port) => keepLogShort(port, memory.redis_password, log)))
    if (process.platform === "linux") watches.push(...children.filter(({ name }) => name !== "postgres").map((child) => lowerRewrites(child.pid, log)))
    return {
      redisUrl: redis ? redisUrlOf(memory) : undefined,
      databaseUrl: wanted ? postgresUrl(memory, DATABASE) : undefined,
      pids: () => Object.fromEntries(children.flatMap((child) => { const pid = child.pid(); return pid === undefined ? [] : [[child.name, pid]] })),
      restarts: () => Object.fromEntries(children.map((child) => [child.name, child.restarts()])),
      stop,
    }
  } catch (fault) {
    await stop()
    throw folderFault(root, fault)
  }
}
