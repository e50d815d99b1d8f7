/**
 * The processes that one start makes of itself: more API processes, and the scheduler. And how a child learns that its parent is gone.
 */
import { resolve } from "node:path"
import { type Child, superviseChild } from "../child.ts"
import { sidecarSettings } from "../sidecar.ts"
import type { Ground } from "./ground.ts"

/** From the request to stop until a child is killed: what requests in flight have. */
export const DRAIN_MS_MAX = 4_000

export type Env = Readonly<Record<string, string>>

/** The other API processes: this same program as role `api`, on the same port and servers. */
export const startApiProcesses = ({ config, log, redisUrl, databaseUrl }: Ground, env: Env): Child[] =>
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
