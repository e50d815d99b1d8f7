/**
 * The settings: every environment variable there is, read in one place.
 *
 * What must stay true: `readConfig` is pure and names every mistake at once, so that an operator mends a start in one
 * round. A value that is set but empty counts as not set. Nothing else but main.ts reads the environment.
 */

export const ROLES = ["all", "api", "worker", "jobs"] as const
export type Role = (typeof ROLES)[number]

/** What a 2xx survives, weakest first. `memory` can be accepted by name and never be asked for. */
export const DURABILITIES = ["local", "replicated", "ledger"] as const
export type Durability = (typeof DURABILITIES)[number]
export const ACCEPTED_DURABILITIES = ["memory", "local"] as const
export type AcceptedDurability = (typeof ACCEPTED_DURABILITIES)[number]

/** One private Redis, or a cluster of three masters with a replica each. */
export const TOPOLOGIES = ["one", "cluster"] as const
export type Topology = (typeof TOPOLOGIES)[number]

export const CLOCKS = ["system", "replay"] as const
export type Clock = (typeof CLOCKS)[number]

const PORT_MAX = 65_535
/** Redis Cluster has so many slots; more cells than slots would only cost memory. */
const CELLS_MAX = 16_384
const API_PROCESSES_MAX = 64
/** A first key that can be guessed opens everything; those that Scrip makes have 43 random characters. */
const KEY_CHARS_MIN = 8
const KEY_CHARS_MAX = 256
/** What one run of a job may have: enough for a month of ten million users, on a laptop too. */
const JOB_MEMORY_MB = 2048
const JOB_MEMORY_MB_MAX = 1_048_576
const JOB_THREADS = 2
const JOB_THREADS_MAX = 256
/** Explanations, risk rows and scores of persons are kept so long; a month of badges looks back at the one before. */
const KEEP_MONTHS = 24
const KEEP_MONTHS_MIN = 2
const KEEP_MONTHS_MAX = 1_200
/** How far from its redemption an order may be booked in the month beside and is timing. */
const TIMING_DAYS = 3
const TIMING_DAYS_MAX = 28
const MISSES_MAX = 1_000_000_000
const DAY_S = 86_400

export interface Config {
  readonly port: number
  readonly host: string
  readonly dataDir: string
  /** One address (a unix socket's path too), or several of one cluster separated by commas. Nothing: a private Redis. */
  readonly redisUrl: string | undefined
  /** Nothing: a private Postgres. */
  readonly databaseUrl: string | undefined
  readonly role: Role
  readonly cells: number
  readonly durability: Durability
  readonly bootstrapKey: string | undefined
  readonly timeZone: string
  readonly clock: Clock
  /** What the private Redis is. */
  readonly privateRedis: Topology
  readonly acceptDurability: AcceptedDurability | undefined
  readonly logUsers: "hashed" | "clear"
  /** Which requests leave a line: those that broke, or all. */
  readonly logRequests: "faults" | "all"
  readonly apiProcesses: number
  /** Where feeds and what jobs have written lie; `lake` in the data folder unless told. */
  readonly lakeDir: string | undefined
  /** Where jobs find the API; HOST and PORT unless told. */
  readonly apiUrl: string | undefined
  readonly jobMemoryMb: number
  readonly jobThreads: number
  readonly keepMonths: number
  readonly timingDays: number
  /** How many wrong codes a key, a user and an address may try in a span of seconds. */
  readonly codeMissesKey: number
  readonly codeMissesUser: number
  readonly codeMissesAddress: number
  readonly codeMissesWindowS: number
  /** The pid of the Scrip that started this process as a part of itself, with servers it has looked at already. */
  readonly childOf: number | undefined
}

type Env = Readonly<Record<string, string | undefined>>

/** The settings, or every mistake in them. */
export const readConfig = (env: Env): { config: Config } | { mistakes: string[] } => {
  const mistakes: string[] = []

  const text = (name: string): string | undefined => {
    const value = env[name]?.trim()
    return value === "" ? undefined : value
  }
  const whole = (name: string, fallback: number, min: number, max: number): number => {
    const value = text(name)
    if (value === undefined) return fallback
    if (/^\d{1,15}$/.test(value) && Number(value) >= min && Number(value) <= max) return Number(value)
    mistakes.push(`${name} is "${value}" and must be a whole number of ${min} to ${max}.`)
    return fallback
  }
  const word = <const W extends string, F extends W | undefined>(name: string, words: readonly W[], fallback: F): W | F => {
    const value = text(name)
    if (value === undefined) return fallback
    const found = words.find((each) => each === value)
    if (found === undefined) mistakes.push(`${name} is "${value}" and must be one of ${words.join(", ")}.`)
    return found ?? fallback
  }
  const addresses = (name: string, protocols: readonly string[], several: boolean): string | undefined => {
    const value = text(name)
    if (value === undefined) return undefined
    // The value is not repeated: it may hold a password.
    const say = `${name} must be ${several ? "one or more addresses, separated by commas, that begin" : "an address that begins"} with ${protocols.join("// or ")}//.`
    const parts = several ? value.split(",").map((part) => part.trim()) : [value]
    const isSocket = (part: string) => several && part.startsWith("/")
    const isGood = parts.every((part) => isSocket(part) || URL.canParse(part) && protocols.includes(new URL(part).protocol) && new URL(part).hostname !== "")
    if (!isGood) mistakes.push(say)
    return parts.join(",")
  }

  const port = whole("PORT", 7070, 0, PORT_MAX)
  const host = text("HOST") ?? "127.0.0.1"
  if (!/^[A-Za-z0-9.:_-]+$/.test(host)) mistakes.push(`HOST is "${host}" and must be a host name or an IP address.`)
  const redisUrl = addresses("REDIS_URL", ["redis:", "rediss:", "redis-cluster:", "rediss-cluster:"], true)
  const databaseUrl = addresses("DATABASE_URL", ["postgres:", "postgresql:"], false)
  const role = word("SCRIP_ROLE", ROLES, "all")
  const cells = whole("SCRIP_CELLS", 1, 1, CELLS_MAX)
  const durability = word("SCRIP_DURABILITY", DURABILITIES, "local")
  const clock = word("SCRIP_CLOCK", CLOCKS, "system")
  const privateRedis = word("SCRIP_PRIVATE_REDIS", TOPOLOGIES, "one")
  const acceptDurability = word("SCRIP_ACCEPT_DURABILITY", ACCEPTED_DURABILITIES, undefined)
  const logUsers = word("SCRIP_LOG_USERS", ["hashed", "clear"], "hashed")
  const logRequests = word("SCRIP_LOG_REQUESTS", ["faults", "all"], "faults")
  const apiProcesses = whole("SCRIP_API_PROCESSES", 1, 1, API_PROCESSES_MAX)
  const jobMemoryMb = whole("SCRIP_JOB_MEMORY_MB", JOB_MEMORY_MB, 64, JOB_MEMORY_MB_MAX)
  const jobThreads = whole("SCRIP_JOB_THREADS", JOB_THREADS, 1, JOB_THREADS_MAX)
  const keepMonths = whole("SCRIP_KEEP_MONTHS", KEEP_MONTHS, KEEP_MONTHS_MIN, KEEP_MONTHS_MAX)
  const timingDays = whole("SCRIP_TIMING_DAYS", TIMING_DAYS, 0, TIMING_DAYS_MAX)
  const apiUrl = addresses("SCRIP_API_URL", ["http:", "https:"], false)
  const codeMissesKey = whole("SCRIP_CODE_MISSES_KEY", 10_000, 1, MISSES_MAX)
  const codeMissesUser = whole("SCRIP_CODE_MISSES_USER", 20, 1, MISSES_MAX)
  const codeMissesAddress = whole("SCRIP_CODE_MISSES_ADDRESS", 200, 1, MISSES_MAX)
  const codeMissesWindowS = whole("SCRIP_CODE_MISSES_WINDOW_S", 600, 1, DAY_S)
  const childPid = text("SCRIP_CHILD_OF")
  const childOf = childPid !== undefined && /^\d+$/.test(childPid) ? Number(childPid) : undefined
  if (childPid !== undefined && childOf === undefined) mistakes.push(`SCRIP_CHILD_OF is "${childPid}" and must be a pid. It is set by Scrip itself.`)

  const bootstrapKey = text("SCRIP_BOOTSTRAP_KEY")
  if (bootstrapKey !== undefined && !(/^[\x21-\x7e]+$/.test(bootstrapKey) && bootstrapKey.length >= KEY_CHARS_MIN && bootstrapKey.length <= KEY_CHARS_MAX)) {
    mistakes.push(`SCRIP_BOOTSTRAP_KEY must be ${KEY_CHARS_MIN} to ${KEY_CHARS_MAX} printable ASCII characters without a space.`)
  }

  const timeZone = text("SCRIP_TIME_ZONE") ?? "UTC"
  try {
    new Intl.DateTimeFormat("en", { timeZone })
  } catch {
    mistakes.push(`SCRIP_TIME_ZONE is "${timeZone}" and must be a zone of the time zone database, such as UTC or Asia/Shanghai.`)
  }

  // A replay takes the time from whoever asks, which no server that others use may suffer.
  const isPrivate = childOf !== undefined || (redisUrl === undefined && databaseUrl === undefined)
  if (clock === "replay" && !isPrivate) {
    mistakes.push("SCRIP_CLOCK is \"replay\", which is for the private servers only: leave out REDIS_URL and DATABASE_URL.")
  }
  if (role !== "all") {
    if (redisUrl === undefined) mistakes.push(`SCRIP_ROLE is "${role}", which needs REDIS_URL: the private Redis belongs to role all.`)
    if (databaseUrl === undefined) mistakes.push(`SCRIP_ROLE is "${role}", which needs DATABASE_URL: the private Postgres belongs to role all.`)
  }
  if (port === 0 && apiProcesses > 1) mistakes.push("PORT is 0, which several processes cannot share: SCRIP_API_PROCESSES needs a port.")

  if (mistakes.length > 0) return { mistakes }
  return {
    config: {
      port, host, dataDir: text("SCRIP_DATA_DIR") ?? ".scrip", redisUrl, databaseUrl, role, cells, durability, bootstrapKey,
      timeZone, clock, privateRedis, acceptDurability, logUsers, logRequests, apiProcesses, childOf,
      codeMissesKey, codeMissesUser, codeMissesAddress, codeMissesWindowS,
      lakeDir: text("SCRIP_LAKE_DIR"), apiUrl, jobMemoryMb, jobThreads, keepMonths, timingDays,
    },
  }
}
