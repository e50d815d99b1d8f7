/**
 * The start and the stop: the only file that starts an engine.
 *
 * What must stay true: nothing answers before the servers are looked at and the tables are up to date. A stop lets what
 * is in flight finish, flushes what is left, ends every child and is over in STOP_MS_MAX, come what may.
 *
 *   start   settings -> private servers -> are they safe? -> tables -> cells open -> worker -> API -> scheduler
 *   stop    not ready -> no new connections, in-flight done -> worker flushed -> scheduler -> private servers -> exit 0
 */
import type { Child } from "./child.ts"
import { runCommand } from "./command.ts"
import { type AcceptedDurability, type Durability, readConfig } from "./config.ts"
import { faultFields, type Log, makeLog } from "./log.ts"
import { DRAIN_MS_MAX, type Env, linkToParent, startApiProcesses, startScheduler, startWorkerProcess, stopWithParent, WORKER_STOP_MS_MAX } from "./process/children.ts"
import type { Ground, Piece, Wiring } from "./process/ground.ts"
import { startApi, tryPort } from "./process/listen.ts"
import { type OpenServers, openServers, startServers } from "./process/servers.ts"
import { migrate } from "./store/postgres.ts"
import { StartFault } from "./private/folder.ts"
import { type PrivateServers } from "./private/start.ts"
import { wireEngine } from "./wire.ts"

/** From the signal to the exit. Whoever runs us waits ten seconds before he kills. */
const STOP_MS_MAX = 10_000
/** The worker's process runs by then; without it checkouts are served, and what they decide waits for it. */
const WORKER_START_MS_MAX = 10_000
/** Of the stop, what is kept for our own exit. */
const EXIT_MS = 500

/** Wait for a step, and go on without it when it takes too long. */
const within = async (wait_ms: number, step: string, log: Log, work: Promise<unknown>): Promise<void> => {
  let timer: Timer | undefined
  const late = new Promise<"late">((settle) => { timer = setTimeout(settle, wait_ms, "late") })
  try {
    if ((await Promise.race([work, late])) === "late") log.warn("a step takes too long and is left", { step, wait_ms })
  } catch (fault) {
    log.error("a step has failed", { step, ...faultFields(fault) })
  } finally {
    clearTimeout(timer)
  }
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
  const drained = new Promise<void>((resolve) => ending.signal.addEventListener("abort", () => resolve()))
  let servers: PrivateServers | undefined
  let opened: OpenServers | undefined
  let api: ReturnType<typeof startApi> | undefined
  const apiProcesses: Child[] = []
  const loops: Piece[] = []
  let worker: Child | undefined
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
    await worker?.stop()
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
    // The first start makes a key and shows it once: not before it is sure to come so far.
    if (wiring.app && role === "all" && config.childOf === undefined) tryPort(config)
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
    const isPart = config.childOf !== undefined
    if (wiring.worker && (role === "all" || role === "worker") && !isPart) await wiring.prepare?.(ground)
    if (isDraining()) return
    let link = isPart ? linkToParent() : undefined
    if (wiring.worker && role === "worker") {
      loops.push(...(await wiring.worker(link ? { ...ground, link } : ground)))
      link?.tell({})
    }
    let running: Promise<void> | undefined
    if (wiring.worker && role === "all") ({ worker, link, running } = startWorkerProcess(ground, environment))
    if (wiring.app && (role === "all" || role === "api")) {
      const app = await wiring.app(link ? { ...ground, link } : ground)
      await within(WORKER_START_MS_MAX, "worker", log, Promise.race([running, drained]))
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

if (import.meta.main) {
  const words = process.argv.slice(2)
  if (words.length === 0) await runEngine(process.env, wireEngine())
  else process.exit(await runCommand(process.env, words, { say: console.log, show: (line) => process.stderr.write(line), isTerminal: process.stderr.isTTY === true }))
}
