/**
 * Whether the servers keep what they answer: looked at on every start, on the real servers, not in a file.
 *
 * What must stay true: a 2xx is never given by a server that could lose it unless the operator has accepted that by the
 * name of the lower level. Where the truth cannot be read, the answer is unsafe. `replicated` and `ledger` ask for more
 * than `local`; `ledger` asks of Redis what `local` does, because its promise rests on Postgres.
 *
 * A replica acknowledges what it has on its own disk: with `appendfsync always` it writes its log through before it sends anything, so
 * WAIT (Redis 7.0) is worth what WAITAOF (7.2) is, as long as every node has these settings.
 */
import type { AcceptedDurability, Durability } from "../config.ts"

/** Redis Functions came with 7.0; Valkey began above it. */
export const REDIS_MAJOR_MIN = 7
/** Asked of every node at `replicated`. */
const MIN_REPLICAS = "min-replicas-to-write"
const WANTED: Readonly<Record<string, { value: string; because: string }>> = {
  appendonly: { value: "yes", because: "without the log a restart forgets everything" },
  appendfsync: { value: "always", because: "otherwise an answer is given before the disk has it" },
  "no-appendfsync-on-rewrite": { value: "no", because: "otherwise nothing is synced while the log is rewritten" },
  "maxmemory-policy": { value: "noeviction", because: "otherwise a full memory throws coupons out" },
}

/** What a Redis says of itself. A setting that could not be read is absent. */
export interface RedisFacts {
  readonly name: string
  readonly version: readonly [number, number]
  readonly isValkey: boolean
  readonly replicas: number
  readonly isMaster: boolean
  /** It is known as a replica, and looked at because it may be a master one day. */
  readonly is_replica?: boolean
  readonly settings: Readonly<Record<string, string>>
}

/** What a Postgres says of itself. */
export interface PostgresFacts {
  readonly settings: Readonly<Record<string, string>>
}

/** A reason against serving, and the level that an operator accepts who serves all the same. */
export interface Reason {
  readonly level: AcceptedDurability
  readonly say: string
}

/** What stands against serving from this Redis at the level asked for. */
export const judgeRedis = (facts: RedisFacts, durability: Durability): Reason[] => {
  const { name, isMaster, is_replica, replicas, settings } = facts
  const reasons: Reason[] = []
  const against = (level: AcceptedDurability, say: string) => reasons.push({ level, say: `Redis ${name}: ${say}` })

  if (!isMaster && !is_replica) against("memory", "it is a replica; name its master.")
  for (const [setting, { value, because }] of Object.entries(WANTED)) {
    const found = settings[setting]
    if (found === undefined) against("memory", `${setting} cannot be read and must be "${value}": ${because}.`)
    else if (found !== value) against("memory", `${setting} is "${found}" and must be "${value}": ${because}.`)
  }
  const replicas_min = settings[MIN_REPLICAS]
  if (durability === "replicated" && !(Number(replicas_min) >= 1)) {
    against("local", `${MIN_REPLICAS} is ${replicas_min === undefined ? "not to be read" : `"${replicas_min}"`} and must be at least 1, so that a master without a replica takes nothing.`)
  }
  if (durability === "replicated" && isMaster && replicas === 0) against("local", "it has no replica, which SCRIP_DURABILITY=replicated needs.")
  if (durability === "local" && replicas > 0) {
    against("local", `it has ${replicas} replica${replicas === 1 ? "" : "s"}, and a failover to one may lose what "local" has answered; set SCRIP_DURABILITY to replicated or ledger.`)
  }
  return reasons
}

/** A server too old to have what we call: no accepted level mends that. */
export const tooOld = ({ name, version, isValkey }: RedisFacts): string[] =>
  isValkey || version[0] >= REDIS_MAJOR_MIN ? [] : [`Redis ${name}: it is version ${version.join(".")} and must be 7.0 or newer, or Valkey.`]

/** What stands against keeping the ledger in this Postgres. */
export const judgePostgres = ({ settings }: PostgresFacts): Reason[] => {
  const reasons: Reason[] = []
  for (const setting of ["fsync", "synchronous_commit"]) {
    const found = settings[setting]
    if (found === undefined || found === "off") {
      reasons.push({ level: "memory", say: `Postgres: ${setting} is "${found ?? "not readable"}" and must not be off: a commit could be lost.` })
    }
  }
  return reasons
}

/** What the start says: serve at this level, or stop for these reasons. */
export type Judgement =
  | { readonly outcome: "safe"; readonly durability: Durability }
  | { readonly outcome: "accepted"; readonly durability: AcceptedDurability; readonly reasons: readonly string[] }
  | { readonly outcome: "unsafe"; readonly reasons: readonly string[] }

/** Weigh the reasons against what the operator has accepted by name: accepting `memory` accepts `local` too. */
export const judge = (reasons: readonly Reason[], durability: Durability, accepted: AcceptedDurability | undefined): Judgement => {
  const said = reasons.map(({ say }) => say)
  if (reasons.length === 0) return { outcome: "safe", durability }
  const worst = reasons.some(({ level }) => level === "memory") ? "memory" : "local"
  if (accepted === "memory" || accepted === worst) return { outcome: "accepted", durability: worst, reasons: said }
  return { outcome: "unsafe", reasons: [...said, `To serve all the same, set SCRIP_ACCEPT_DURABILITY=${worst}: it names what a 2xx is then worth.`] }
}

/** The one thing this file needs of a Redis client: to send a command to one node. */
export interface RedisNode {
  readonly name: string
  readonly is_replica?: boolean
  call(command: string, ...args: string[]): Promise<unknown>
}

const pairsOf = (reply: unknown): Record<string, string> => {
  if (reply instanceof Map) return Object.fromEntries([...reply].map(([name, value]) => [String(name), String(value)]))
  if (Array.isArray(reply)) {
    return Object.fromEntries(Array.from({ length: Math.floor(reply.length / 2) }, (_, i) => [String(reply[2 * i]), String(reply[2 * i + 1])]))
  }
  if (typeof reply !== "object" || reply === null) return {}
  return Object.fromEntries(Object.entries(reply).map(([name, value]) => [name, String(value)]))
}

const infoOf = (reply: unknown): Record<string, string> =>
  Object.fromEntries(String(reply).split(/\r?\n/).filter((line) => line.includes(":") && !line.startsWith("#")).map((line) => [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 1)]))

/** Ask a Redis node what it is. Where CONFIG is forbidden its settings stay unread, which is judged unsafe. */
export const redisFacts = async (node: RedisNode): Promise<RedisFacts> => {
  const info = infoOf(await node.call("INFO"))
  const settings: Record<string, string> = {}
  for (const setting of [...Object.keys(WANTED), MIN_REPLICAS]) {
    try {
      Object.assign(settings, pairsOf(await node.call("CONFIG", "GET", setting)))
    } catch (fault) {
      if (!/unknown command|NOPERM|unknown subcommand/i.test(String(fault))) throw fault
    }
  }
  const isValkey = info["server_name"] === "valkey"
  const [major, minor] = (isValkey ? info["valkey_version"] : info["redis_version"])?.split(".").map(Number) ?? []
  return {
    name: node.name,
    version: [major ?? 0, minor ?? 0],
    isValkey,
    isMaster: info["role"] === "master",
    is_replica: node.is_replica ?? false,
    replicas: Number(info["connected_slaves"] ?? 0),
    settings,
  }
}

/** The one thing this file needs of a Postgres client. */
export interface PostgresAsker {
  unsafe(statement: string): PromiseLike<readonly Record<string, unknown>[]>
}

/** Ask Postgres what a commit is worth. */
export const postgresFacts = async (sql: PostgresAsker): Promise<PostgresFacts> => {
  const rows = await sql.unsafe("select name, setting from pg_settings where name in ('fsync', 'synchronous_commit')")
  return { settings: Object.fromEntries(rows.map(({ name, setting }) => [String(name), String(setting)])) }
}

/** Look at every server and say whether to serve. */
export const checkServers = async (
  nodes: readonly RedisNode[], sql: PostgresAsker, durability: Durability, accepted: AcceptedDurability | undefined,
): Promise<Judgement> => {
  const [redis, ledger] = await Promise.all([Promise.all(nodes.map(redisFacts)), postgresFacts(sql)])
  const old = redis.flatMap(tooOld)
  if (old.length > 0) return { outcome: "unsafe", reasons: old }
  return judge([...redis.flatMap((facts) => judgeRedis(facts, durability)), ...judgePostgres(ledger)], durability, accepted)
}
