/**
 * A private Redis, or a cluster of them.
 *
 * What must stay true: it answers on the loopback only, with a password that only the folder's owner can read; and what it has answered is on
 * its disk (`appendfsync always`), and nothing is thrown out for room (`noeviction`).
 */
import { mkdirSync } from "node:fs"
import { join } from "node:path"
import { type Child, type StopSignals, superviseChild, withDeathSignal } from "../child.ts"
import type { Topology } from "../config.ts"
import type { Log } from "../log.ts"
import { REDIS_MAJOR_MIN } from "../store/safety.ts"
import { clusterConf, formCluster, MASTERS, REPLICAS } from "./cluster.ts"
import { type Memory, StartFault, writeWhole } from "./folder.ts"
import { childEnv, STOP_MS, untilReady } from "./server.ts"

export const REDIS_STOP: StopSignals = ["SIGTERM"]

export const redisPidFile = (dataDir: string, name: string): string => join(dataDir, `${name}.pid`)
/** The names of the servers of a private Redis, as logs, folders and pids know them. */
export const redisNames = (topology: Topology): string[] => topology === "one" ? ["redis"] : Array.from({ length: MASTERS + REPLICAS }, (_, i) => `redis_${i + 1}`)

/** The major version that a server binary says it has, or nothing when it does not say. */
export const majorOf = (said: string): number | undefined => {
  const match = /v=(\d+)\.\d+/.exec(said)
  return match ? Number(match[1]) : undefined
}

/** The redis-server or valkey-server on the PATH that is new enough. */
export const findRedisServer = (): string | undefined =>
  ["redis-server", "valkey-server"]
    .map((name) => Bun.which(name))
    .find((path): path is string => {
      if (path === null) return false
      const major = majorOf(Bun.spawnSync([path, "--version"]).stdout.toString())
      return major !== undefined && major >= REDIS_MAJOR_MIN
    })

/** The words of redis.conf. Every one is here for a reason; the rest is the server's own default. */
export const redisConf = (dir: string, port: number, password: string): string =>
  [
    "bind 127.0.0.1",
    `port ${port}`,
    "protected-mode yes",
    `requirepass ${password}`,
    `dir ${JSON.stringify(dir)}`,
    "daemonize no",
    "# An answer is given after the disk has it. It is one fsync for all commands of an event loop turn.",
    "appendonly yes",
    "appendfsync always",
    "no-appendfsync-on-rewrite no",
    "# A killed server is back when it has read its log: entry by entry that is some ten times slower than a snapshot.",
    "# Entries of 128 MB are read in 1.5 s; a rewrite takes 0.4 s of a processor, 0.6 if it compressed, and before 128 MB it came every 14,000 redemptions.",
    "auto-aof-rewrite-min-size 128mb",
    "auto-aof-rewrite-percentage 50",
    "aof-use-rdb-preamble yes",
    "rdbcompression no",
    'save ""',
    "# Nobody asks for it, and an act is counted eight times: once itself, once for each command in it. Without it an act takes Redis some 3 % less.",
    "latency-tracking no",
    "# A full memory refuses new work; it never forgets a coupon.",
    "maxmemory-policy noeviction",
    "",
  ].join("\n")

/** Ask a Redis whether it serves yet: one connection, two commands, no client library that would retry behind us. */
const redisServes = (port: number, password: string): Promise<boolean> =>
  new Promise((settle) => {
    let heard = ""
    const done = (yes: boolean) => {
      socket.then((open) => open.end(), () => {})
      settle(yes)
    }
    const socket = Bun.connect({
      hostname: "127.0.0.1",
      port,
      socket: {
        open: (open) => void open.write(`AUTH ${password}\r\nPING\r\n`),
        data: (_, bytes) => {
          heard += bytes.toString()
          if (heard.includes("+PONG")) done(true)
          // Not yet: it loads its log, or another server that does not know the password has taken the port.
          else if (heard.includes("-")) done(false)
        },
        close: () => settle(false),
        error: () => settle(false),
        connectError: () => settle(false),
      },
    })
    socket.catch(() => settle(false))
  })

export const startRedis = async (dataDir: string, name: string, { port, password, more = "" }: { port: number; password: string; more?: string }, log: Log, signal: AbortSignal): Promise<Child> => {
  const binary = findRedisServer()
  if (binary === undefined) {
    throw new StartFault("There is no redis-server or valkey-server of version 7.0 or newer on the PATH. Install one, or name one in REDIS_URL.")
  }
  const dir = join(dataDir, name)
  mkdirSync(dir, { recursive: true, mode: 0o700 })
  const conf = join(dir, "redis.conf")
  writeWhole(conf, redisConf(dir, port, password) + more)
  const child = superviseChild({
    name,
    command: withDeathSignal(REDIS_STOP[0], [binary, conf]),
    cwd: dir,
    env: childEnv(),
    logFile: join(dataDir, `${name}.log`),
    pidFile: redisPidFile(dataDir, name),
    stopSignals: REDIS_STOP,
    stopWait_ms: STOP_MS,
    log,
  })
  await untilReady(child, () => redisServes(port, password), join(dataDir, `${name}.log`), signal)
  return child
}

/** The nodes of a private cluster, started and made one. */
export const startCluster = async (dataDir: string, { cluster = [], redis_password: password }: Memory, log: Log, signal: AbortSignal): Promise<Child[]> => {
  const started = await Promise.allSettled(cluster.map(({ port, bus_port }, i) =>
    startRedis(dataDir, redisNames("cluster")[i]!, { port, password, more: clusterConf(bus_port, password) }, log, signal)))
  const children = started.flatMap((each) => each.status === "fulfilled" ? [each.value] : [])
  const failed = started.find((each) => each.status === "rejected")
  try {
    if (failed) throw failed.reason
    await formCluster(cluster, password, signal)
    return children
  } catch (fault) {
    await Promise.all(children.map((child) => child.stop()))
    throw fault
  }
}

export const redisUrlOf = ({ redis_port, redis_password, cluster }: Pick<Memory, "redis_port" | "redis_password" | "cluster">): string =>
  cluster === undefined ? `redis://:${redis_password}@127.0.0.1:${redis_port}` : cluster.map(({ port }) => `redis-cluster://:${redis_password}@127.0.0.1:${port}`).join(",")
