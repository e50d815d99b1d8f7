/**
 * The processes that one start makes of itself: the worker, more API processes, and the scheduler. And how a child learns that its parent is
 * gone.
 */
import { resolve } from "node:path"
import { type Child, superviseChild } from "../child.ts"
import { sidecarSettings } from "../sidecar.ts"
import type { Ground, Link } from "./ground.ts"

/** From the request to stop until a child is killed: what requests in flight have. */
export const DRAIN_MS_MAX = 4_000
/** What the worker has to flush what is left, and then to leave. */
export const WORKER_STOP_MS_MAX = 2_000
const WORKER_EXIT_MS_MAX = 500

export type Env = Readonly<Record<string, string>>

/** This same program in one role, on the same servers. */
const partOf = (role: "api" | "worker", { log, redisUrl, databaseUrl }: Ground, env: Env) => ({
  command: [process.execPath, Bun.main],
  env: { ...env, SCRIP_ROLE: role, SCRIP_API_PROCESSES: "1", SCRIP_CHILD_OF: String(process.pid), SCRIP_BOOTSTRAP_KEY: "", REDIS_URL: redisUrl, DATABASE_URL: databaseUrl },
  firstLine: "",
  stopSignals: ["SIGTERM"] as const,
  log,
})

/** The other API processes, on the same port. */
export const startApiProcesses = (ground: Ground, env: Env): Child[] =>
  Array.from({ length: ground.config.apiProcesses - 1 }, (_, i) => superviseChild({ ...partOf("api", ground, env), name: `api ${i + 2}`, stopWait_ms: DRAIN_MS_MAX }))

/**
 * The worker, and the link to it. A batch of the flusher keeps its process busy for tens of milliseconds, in which no checkout is answered and
 * Redis has nothing to do: measured 2026-11-22 in turns on two cores, 64 callers, with the worker in a process of its own a reserve had a p99
 * of 88 ms instead of 129 and 13 % more of them were served, a confirm 49 instead of 70.
 */
export const startWorkerProcess = (ground: Ground, env: Env): { readonly worker: Child; readonly link: Link; readonly running: Promise<void> } => {
  const listeners: ((message: unknown) => void)[] = []
  const running = Promise.withResolvers<void>()
  const worker = superviseChild({
    ...partOf("worker", ground, env), name: "worker", stopWait_ms: WORKER_STOP_MS_MAX + WORKER_EXIT_MS_MAX,
    onMessage: (message) => {
      running.resolve() // its first word is that it runs
      for (const listener of listeners) listener(message)
    },
  })
  return { worker, running: running.promise, link: { tell: (message) => worker.tell(message), hear: (listener) => { listeners.push(listener) } } }
}

/** The link to whoever started us as his worker. */
export const linkToParent = (): Link | undefined =>
  process.send && { tell: (message) => { process.send?.(message) }, hear: (listener) => { process.on("message", listener) } }

/** The scheduler: a process of the sidecar, which is told on its first line what it has to know. */
export const startScheduler = async ({ config, log, databaseUrl, postgres }: Ground, file: string, env: Env, port: number): Promise<Child> =>
  superviseChild({
    name: "scheduler",
    command: [process.execPath, resolve(import.meta.dir, "..", "..", file)],
    env: { PATH: env["PATH"] ?? "", TZ: "UTC" },
    firstLine: JSON.stringify(await sidecarSettings(config, databaseUrl, postgres.sql, port)),
    stopSignals: ["SIGTERM"],
    stopWait_ms: DRAIN_MS_MAX,
    log,
  })

/** The pipe from whoever started us as a part of himself ends when he does, however he ends. */
export const stopWithParent = async (stop: () => void): Promise<void> => {
  for await (const _ of process.stdin);
  stop()
}
