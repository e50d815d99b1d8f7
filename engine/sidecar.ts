/**
 * The door to the sidecar: what its processes are told, and its commands `npm run job` and `npm run import`, which run in a process of
 * their own. Nothing of analytics is imported here; it is started.
 *
 * What must stay true: a command works beside an engine, and without one: then it starts the folder's own Postgres for as long as it runs. It is a start of
 * its own, without the engine's code: that is 0.11 s of a processor that acts beside it want too, and 0.42 by way of main.ts (2026-11-23).
 */
import { join, resolve } from "node:path"
import { type Config, readConfig } from "./config.ts"
import { lastLineOf } from "./last_line.ts"
import { quietLog } from "./log.ts"
import { jobsKey } from "./operate/keys.ts"
import { lowerPriority } from "./priority.ts"
import { migrate, openPostgres, postgresReady, SchemaNewer, type Sql } from "./store/postgres.ts"
import { StartFault } from "./private/folder.ts"
import { rememberedServers, startPrivate } from "./private/start.ts"

const FILE = "analytics/command.ts"
/** How long a server that may be there is waited for. */
const SERVER_WAIT_MS = 2_000

/** The first line of a process of the sidecar. A port of 0 is one that nobody here knows. */
export const sidecarSettings = async ({ dataDir, lakeDir, timeZone, jobMemoryMb, jobThreads, keepMonths, timingDays, apiUrl, host }: Config, database_url: string, sql: Sql, port: number): Promise<object> => {
  const url = apiUrl ?? (port === 0 ? undefined : `http://${host.includes(":") ? `[${host}]` : host}:${port}`)
  return {
    database_url, time_zone: timeZone, lake_dir: resolve(lakeDir ?? join(dataDir, "lake")), memory_mb: jobMemoryMb, threads: jobThreads, keep_months: keepMonths, timing_days: timingDays,
    ...(url === undefined ? {} : { api: { url, key: await jobsKey(sql, Date.now()) } }),
  }
}

const answers = async (database_url: string): Promise<boolean> => {
  const postgres = openPostgres(database_url, 1)
  try {
    await postgresReady(postgres, SERVER_WAIT_MS)
    return true
  } catch {
    // Whoever asks starts one, or says that it is not there.
    return false
  } finally {
    await postgres.close()
  }
}

/** The database of an engine that runs or of a server that is named; else one of our own, until `stop`. */
const findDatabase = async ({ databaseUrl, dataDir }: Config): Promise<{ readonly url: string; readonly stop: () => Promise<void> }> => {
  const stop = async () => {}
  if (databaseUrl !== undefined) {
    if (!await answers(databaseUrl)) throw new StartFault("the Postgres of DATABASE_URL does not answer.")
    return { url: databaseUrl, stop }
  }
  const remembered = rememberedServers(dataDir)?.databaseUrl
  if (remembered !== undefined && await answers(remembered)) return { url: remembered, stop }
  const own = await startPrivate({ dataDir, log: quietLog, redis: false })
  if (own.databaseUrl === undefined) throw new Error("the private Postgres has no address")
  return { url: own.databaseUrl, stop: own.stop }
}

/** Run a command of the sidecar; answers its exit code. */
const runSidecar = async (env: Readonly<Record<string, string | undefined>>, words: readonly string[]): Promise<number> => {
  /** What could not be begun is said to a person, and in the last line to a program. */
  const unbegun = (reason: string, why: readonly string[]): number => {
    for (const each of why) console.error(each)
    const last = lastLineOf(words, reason, why.join(" "))
    if (last !== undefined) console.log(last)
    return 1
  }
  const read = readConfig(env)
  if ("mistakes" in read) return unbegun("config_invalid", read.mistakes)
  let stop: (() => Promise<void>) | undefined
  try {
    const database = await findDatabase(read.config)
    stop = database.stop
    await migrate(database.url)
    const postgres = openPostgres(database.url, 1)
    const settings = await sidecarSettings(read.config, database.url, postgres.sql, read.config.port)
    await postgres.close()
    const child = Bun.spawn([process.execPath, resolve(import.meta.dir, "..", FILE)], {
      env: { PATH: env["PATH"] ?? "", TZ: "UTC" }, stdin: "pipe", stdout: "inherit", stderr: "inherit", detached: true,
    })
    lowerPriority(child.pid)
    // In a session of its own it hears nothing of a terminal's Ctrl-C but through us; we wait for its end either way.
    for (const name of ["SIGTERM", "SIGINT"] as const) process.on(name, () => child.kill(name))
    child.stdin.write(`${JSON.stringify({ ...settings, words, cwd: env["INIT_CWD"] ?? process.cwd() })}\n`)
    await child.stdin.flush()
    return await child.exited
  } catch (fault) {
    const message = fault instanceof Error ? fault.message : String(fault)
    return unbegun(fault instanceof SchemaNewer ? "schema_newer" : fault instanceof StartFault ? "not_ready" : "fault", [`${words[0]} cannot run: ${message}`])
  } finally {
    await stop?.()
  }
}

if (import.meta.main) process.exit(await runSidecar(process.env, process.argv.slice(2)))
