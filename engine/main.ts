/**
 * The start and the stop: the only file that starts anything.
 *
 * What must stay true: nothing answers before the servers are looked at and the tables are up to date. A stop lets what
 * is in flight finish, flushes what is left, ends every child and is over in STOP_MS_MAX, come what may.
 *
 *   start   settings -> private servers -> are they safe? -> tables -> worker -> API -> scheduler
 *   stop    not ready -> no new connections, in-flight done -> worker flushed -> scheduler -> private servers -> exit 0
 */
import { resolve } from "node:path"
import { type Child, superviseChild } from "./child.ts"
import { runCommand } from "./command.ts"
import { type AcceptedDurability, type Config, type Durability, readConfig } from "./config.ts"
import { problem } from "./http/problems.ts"
import { faultFields, type Log, makeLog } from "./log.ts"
import { migrate, openPostgres, type Postgres, postgresReady } from "./store/postgres.ts"
import type { Masters } from "./store/masters.ts"
import { type PrivateServers, StartFault, startPrivate } from "./store/private.ts"
import { askNode, connectServers, redisReady } from "./store/redis.ts"
import { checkServers, type Judgement } from "./store/safety.ts"
import { isSidecarCommand, runSidecar, sidecarSettings } from "./sidecar.ts"
import { wireEngine } from "./wire.ts"

/** From the signal to the exit. Whoever runs us waits ten seconds before he kills. */
const STOP_MS_MAX = 10_000
/** Of these: what requests in flight have, what the worker has, and what is kept for our own exit. */
const DRAIN_MS_MAX = 4_000
const WORKER_STOP_MS_MAX = 2_000
const EXIT_MS = 500
/** How long a server that is named may take to answer at the start. */
const SERVER_WAIT_MS_MAX = 5_000
/** And how long a replica, without which the start goes on. */
const REPLICA_WAIT_MS_MAX = 1_000
const POSTGRES_CONNECTIONS_MAX = 10
/** The most that any request may carry: bulk streams are bounded per line, and routes bound the others much lower. */
const REQUEST_BYTES_MAX = 256 * 1024 * 1024
/** A connection on which nothing moves is closed; one whose head or body comes too slowly, within four times as long. */
const IDLE_S_MAX = 30
/** Requests of one process under way at a time, those whose bodies are still coming among them. */
const PENDING_MAX = 10_000

/** What `/readyz` tells of this process. */
export interface Readiness {
  readonly durability: Durability | AcceptedDurability
  /** Why the servers are less than safe, where the operator has accepted that. */
  readonly accepted: readonly string[]
  /** True from the signal on. */
  isDraining(): boolean
}

/** What every piece stands on: settings, log, and servers that were looked at. */
export interface Ground {
  readonly config: Config
  readonly log: Log
  readonly redisUrl: string
  readonly databaseUrl: string
  readonly redis: Masters
  readonly postgres: Postgres
  readonly readiness: Readiness
  /** Restarts of the private servers, by name; empty where there are none. */
  serverRestarts(): Readonly<Record<string, number>>
}

/** Something that runs until it is stopped. `stop` comes back when nothing of it is left to do. */
export interface Piece {
  readonly name: string
  stop(): Promise<void>
}

/** What answers HTTP: a Hono app is one. */
export interface App {
  fetch(request: Request, server: Bun.Server<undefined>): Response | Promise<Response>
  /** What is left to do when the last request was answered. */
  stop?(): Promise<void>
}

/** What is started for each role. A piece that is not there is not started. */
export interface Wiring {
  readonly app?: (ground: Ground) => Promise<App>
  /** The loops beside the API, in the order in which they start; they stop in the opposite order. */
  readonly worker?: (ground: Ground) => Promise<readonly Piece[]>
  /** The scheduler's file. */
  readonly scheduler?: string
  /** What the operator is told once the API listens at an address. */
  readonly welcome?: (url: string) => string
}

/** Why this machine does not listen where it was told to, as the operator can mend it; nothing for what is no setting's fault. */
const whyNotHere = (fault: unknown, host: string, port: number): string | undefined => {
  switch ((fault as NodeJS.ErrnoException).code) {
    case "EADDRINUSE": return `Port ${port} of ${host} is taken. Stop what listens there, or name another PORT.`
    case "EACCES": return `PORT is ${port}, which this user may not listen on. Name one above 1023.`
    case "EINVAL": case "EADDRNOTAVAIL": case "ENOTFOUND": return `HOST is "${host}", which is no address of this machine. 127.0.0.1 is itself alone, 0.0.0.0 every address it has.`
  }
}

/** Listen. A port is shared only by processes that were started to share it; anyone else hears that it is taken. */
export const startApi = ({ config, log }: Pick<Ground, "config" | "log">, app: App, idle_s = IDLE_S_MAX): Piece & { readonly port: number } => {
  const { host, port, role, apiProcesses } = config
  const options = {
    hostname: host,
    development: false,
    maxRequestBodySize: REQUEST_BYTES_MAX,
    idleTimeout: idle_s,
    // What a caller sends slowly is under way all that time.
    fetch: (request: Request, server: Bun.Server<undefined>) => server.pendingRequests > PENDING_MAX ? problem({ outcome: "overloaded" }) : app.fetch(request, server),
    // The app answers its own faults. What comes here has broken the app itself, and tells the caller nothing.
    error: (fault: Error) => {
      log.error("a request has broken the app", faultFields(fault))
      return problem({ outcome: "fault" })
    },
  }
  const isShared = role === "api" || apiProcesses > 1
  try {
    // With a shared port the system would let strangers in silently: the first of us looks whether it is free. `false` is
    // said and not left out: where it is left out, Bun 1.4.5 shares the port.
    if (isShared && role === "all") void Bun.serve({ ...options, port, reusePort: false }).stop(true)
    const server = Bun.serve({ ...options, port, reusePort: isShared })
    return { name: "api", port: server.port ?? port, stop: async () => { await server.stop(); await app.stop?.() } }
  } catch (fault) {
    const why = whyNotHere(fault, host, port)
    if (why !== undefined) throw new StartFault(why)
    throw fault
  }
}

/** The other API processes: this same program as role `api`, on the same port and servers. */
const startApiProcesses = ({ config, log, redisUrl, databaseUrl }: Ground, env: Env): Child[] =>
  Array.from({ length: config.apiProcesses - 1 }, (_, i) =>
    superviseChild({
      name: `api ${i + 2}`,
      command: [process.execPath, Bun.main],
      env: {
        ...env, SCRIP_ROLE: "api", SCRIP_API_PROCESSES: "1", SCRIP_CHILD_OF: String(process.pid), SCRIP_BOOTSTRAP_KEY: "",
        REDIS_URL: redisUrl, DATABASE_URL: databaseUrl,
      },
      firstLine: "",
      stopSignals: ["SIGTERM"],
      stopWait_ms: DRAIN_MS_MAX,
      log,
    }),
  )

const startScheduler = async ({ config, log, databaseUrl, postgres }: Ground, file: string, env: Env, port: number): Promise<Child> =>
  superviseChild({
    name: "scheduler",
    command: [process.execPath, resolve(import.meta.dir, "..", file)],
    env: { PATH: env["PATH"] ?? "", TZ: "UTC" },
    firstLine: JSON.stringify(await sidecarSettings(config, databaseUrl, postgres.sql, port)),
    stopSignals: ["SIGTERM"],
    stopWait_ms: DRAIN_MS_MAX,
    log,
  })

type Env = Readonly<Record<string, string>>

/** Wait for a step of the stop, and go on without it when it takes too long. */
const within = async (wait_ms: number, step: string, log: Log, work: Promise<unknown>): Promise<void> => {
  let timer: Timer | undefined
  const late = new Promise<"late">((settle) => { timer = setTimeout(settle, wait_ms, "late") })
  try {
    if ((await Promise.race([work, late])) === "late") log.warn("a step of the stop takes too long and is left", { step, wait_ms })
  } catch (fault) {
    log.error("a step of the stop has failed", { step, ...faultFields(fault) })
  } finally {
    clearTimeout(timer)
  }
}

/** Where servers are, without their passwords. */
const placeOf = (urls: string): string => urls.split(",").map((url) => URL.canParse(url) ? new URL(url).host : url).join(", ")

/** Open both servers, see that they answer, and judge what their word is worth. */
const openServers = async (config: Config, log: Log, redisUrl: string, databaseUrl: string): Promise<{ redis: Masters; postgres: Postgres; judgement: Judgement }> => {
  const redis = connectServers(redisUrl, (fault) => log.warn("Redis is away", { error: fault.message }))
  const postgres = openPostgres(databaseUrl, POSTGRES_CONNECTIONS_MAX)
  try {
    await redisReady(redis, SERVER_WAIT_MS_MAX).catch((fault: unknown) => {
      throw new StartFault(`Redis at ${placeOf(redisUrl)} does not answer: ${fault instanceof Error ? fault.message : String(fault)}`)
    })
    await postgresReady(postgres, SERVER_WAIT_MS_MAX).catch((fault: unknown) => {
      throw new StartFault(`Postgres at ${placeOf(databaseUrl)} does not answer: ${fault instanceof Error ? fault.message : String(fault)}`)
    })
    // Replicas too: each may be a master one day.
    const nodes = redis.nodes().map(({ address, is_replica }) => ({ name: address, is_replica, node: redis.at(address, "all") }))
    const reached = await Promise.all(nodes.map(async (each) => {
      try {
        await redisReady(each.node, each.is_replica ? REPLICA_WAIT_MS_MAX : SERVER_WAIT_MS_MAX)
        return [each]
      } catch (fault) {
        // A replica that is away is what replicas are for; it cannot be looked at, and takes no part until it is back.
        if (!each.is_replica) throw new StartFault(`Redis at ${each.name} does not answer: ${fault instanceof Error ? fault.message : String(fault)}`)
        log.warn("a replica does not answer and was not looked at", { host: each.name })
        return []
      }
    }))
    const asked = reached.flat().map(({ name, is_replica, node }) => ({ name, is_replica, call: (command: string, ...args: string[]) => askNode(node.call(command, ...args)) }))
    return { redis, postgres, judgement: await checkServers(asked, postgres.sql, config.durability, config.acceptDurability) }
  } catch (fault) {
    redis.disconnect()
    await postgres.close()
    throw fault
  }
}

/** Start the private servers that are wanted: a role of a larger installation, or a part of one, has none. */
const startServers = async (config: Config, log: Log, signal: AbortSignal): Promise<PrivateServers | undefined> => {
  const { role, childOf, redisUrl, databaseUrl, dataDir } = config
  if (role !== "all" || childOf !== undefined || (redisUrl !== undefined && databaseUrl !== undefined)) return undefined
  return startPrivate({ dataDir, log, signal, redis: redisUrl === undefined, topology: config.privateRedis, postgres: databaseUrl === undefined })
}

const PROMISES: Readonly<Record<Durability | AcceptedDurability, string>> = {
  memory: "a 2xx may be lost when Redis or Postgres restarts",
  local: "a 2xx is on the disk of the Redis master",
  replicated: "a 2xx is on the disks of the Redis master and of a replica",
  ledger: "a 2xx is committed in Postgres",
}

/** Run the engine until a signal, or until whoever started it as a part of himself is gone. Ends the process. */
export const runEngine = async (env: Readonly<Record<string, string | undefined>>, wiring: Wiring): Promise<void> => {
  const read = readConfig(env)
  if ("mistakes" in read) {
    console.error(`Scrip does not start:\n${read.mistakes.map((mistake) => `- ${mistake}`).join("\n")}`)
    process.exit(1)
  }
  const { config } = read
  const { role } = config
  const log = makeLog({ users: config.logUsers, write: (line) => console.error(line), now_ms: () => Date.now() })
  const environment: Env = Object.fromEntries(Object.entries(env).flatMap(([name, value]) => (value === undefined ? [] : [[name, value]])))

  const ending = new AbortController()
  const isDraining = () => ending.signal.aborted
  let servers: PrivateServers | undefined
  let opened: Awaited<ReturnType<typeof openServers>> | undefined
  let api: ReturnType<typeof startApi> | undefined
  const apiProcesses: Child[] = []
  const loops: Piece[] = []
  let scheduler: Child | undefined

  let starting: Promise<void> | undefined
  let stopping: Promise<never> | undefined
  const stop = (exit_code: number): Promise<never> => (stopping ??= (async () => {
    const began = performance.now()
    ending.abort()
    setTimeout(() => {
      log.error("the stop has taken too long", { wait_ms: STOP_MS_MAX })
      process.exit(1)
    }, STOP_MS_MAX).unref()
    // A start under way comes to its next step and sees that it is over: then all that it has made is known.
    await within(DRAIN_MS_MAX, "start", log, starting?.catch(() => undefined) ?? Promise.resolve())
    await within(DRAIN_MS_MAX, "api", log, Promise.all([api?.stop(), ...apiProcesses.map((child) => child.stop()), scheduler?.stop()]))
    for (const loop of loops.toReversed()) await within(WORKER_STOP_MS_MAX / loops.length, loop.name, log, loop.stop())
    opened?.redis.disconnect()
    await within(EXIT_MS, "postgres", log, Promise.resolve(opened?.postgres.close()))
    await servers?.stop(Math.max(STOP_MS_MAX - 2 * EXIT_MS - (performance.now() - began), EXIT_MS))
    process.exit(exit_code)
  })())

  const start = async (): Promise<void> => {
    if (config.childOf !== undefined) {
      if (process.ppid !== config.childOf) throw new StartFault("SCRIP_CHILD_OF is set by Scrip itself: leave it out.")
      void stopWithParent(() => void stop(0))
    }
    servers = await startServers(config, log, ending.signal)
    if (isDraining()) return
    const redisUrl = servers?.redisUrl ?? config.redisUrl
    const databaseUrl = servers?.databaseUrl ?? config.databaseUrl
    if (redisUrl === undefined || databaseUrl === undefined) throw new Error("a role without servers has passed the settings")
    opened = await openServers(config, log, redisUrl, databaseUrl)
    if (isDraining()) return
    const { redis, postgres, judgement } = opened
    if (judgement.outcome === "unsafe") throw new StartFault(["the servers do not keep what they answer.", ...judgement.reasons].join("\n- "))
    const accepted = judgement.outcome === "accepted" ? judgement.reasons : []
    if (accepted.length > 0) log.warn("the servers are less than safe, and the operator has accepted it", { durability: judgement.durability, reasons: accepted })
    if (config.childOf === undefined) await migrate(databaseUrl)
    if (isDraining()) return

    const ground: Ground = {
      config, log, redisUrl, databaseUrl, redis, postgres,
      readiness: { durability: judgement.durability, accepted, isDraining },
      serverRestarts: () => servers?.restarts() ?? {},
    }
    if (wiring.worker && (role === "all" || role === "worker")) loops.push(...(await wiring.worker(ground)))
    if (isDraining()) return
    if (wiring.app && (role === "all" || role === "api")) {
      const app = await wiring.app(ground)
      if (isDraining()) return
      api = startApi(ground, app)
      apiProcesses.push(...startApiProcesses(ground, environment))
    }
    if (wiring.scheduler !== undefined && (role === "all" || role === "jobs")) scheduler = await startScheduler(ground, wiring.scheduler, environment, api?.port ?? config.port)
    log.info("started", { role, pid: process.pid, cells: config.cells, durability: judgement.durability, ...(api ? { port: api.port, host: config.host } : {}) })
    if (config.childOf !== undefined) return
    const url = api && `http://${config.host.includes(":") ? `[${config.host}]` : config.host}:${api.port}`
    console.log(`Scrip ${url ? `listens on ${url}` : `runs as ${role}`}\nDurability: ${judgement.durability}, ${PROMISES[judgement.durability]}.`)
    if (url && wiring.welcome) console.log(wiring.welcome(url))
  }

  // A terminal's Ctrl-C comes twice, from the terminal and from npm: the second changes nothing.
  for (const name of ["SIGTERM", "SIGINT"] as const) process.on(name, () => void stop(0))
  process.on("uncaughtException", (fault) => {
    log.error("the engine has broken and stops", faultFields(fault))
    void stop(1)
  })
  // A promise that nobody waited for is a bug, not a reason to leave: nothing that matters is held in this process.
  process.on("unhandledRejection", (fault) => log.error("a promise was broken and nobody waited for it", faultFields(fault)))

  starting = start()
  try {
    await starting
  } catch (fault) {
    if (isDraining()) return
    if (fault instanceof StartFault) console.error(`Scrip does not start: ${fault.message}`)
    else log.error("the start has failed", faultFields(fault))
    await stop(1)
  }
}

/** The pipe from whoever started us as a part of himself ends when he does, however he ends. */
const stopWithParent = async (stop: () => void): Promise<void> => {
  for await (const _ of process.stdin);
  stop()
}

if (import.meta.main) {
  const words = process.argv.slice(2)
  if (words.length === 0) await runEngine(process.env, wireEngine())
  else if (isSidecarCommand(words[0])) process.exit(await runSidecar(process.env, words))
  else process.exit(await runCommand(process.env, words, { say: console.log, show: (line) => process.stderr.write(line) }))
}
