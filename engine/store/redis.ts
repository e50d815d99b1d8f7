/**
 * The one way to Redis: connections that never send twice, `run`, which calls an atomic act by its declaration, and `ask` for plain
 * commands. Both go to the master that serves the key.
 *
 * A command whose reply was lost may have been executed. So nothing is queued while offline, nothing is sent again by the
 * client, and every command has a time limit; what ends that way is `OutcomeUnknown`, and the caller repeats his request
 * under the same ids to learn the truth. Only refusals that Redis gives before it runs anything are `NotExecuted`. Those with which
 * a cluster says that a slot is elsewhere, or on its way, are followed here, and in the end told as what they are.
 */
import { Redis } from "ioredis"
import type { ArgsOf, FieldType, KeysOf, ReplyOf, Script } from "../../lua/declare.ts"
import { gate_state } from "../../lua/gate_state.ts"
import { cellOfKey, journalKey, quotaKey } from "../../lua/keys.ts"
import { library, type Library } from "../../lua/library.ts"
import { callAct, callDirectly, NEVER_SENT, sendGathered } from "./call.ts"
import type { Lane } from "./lanes.ts"
import { clusterMasters, type DurabilityPromise, type Masters, oneMaster } from "./masters.ts"

/** How long a caller waits for Redis before the outcome counts as unknown. */
export const COMMAND_TIMEOUT_MS = 3_000
/** Longest pause between two attempts to reach a Redis that is away. */
const RECONNECT_MS_MAX = 500
const RECONNECT_STEP_MS = 50
/** A Redis that loads its log is asked again after this: left to itself the client believes the server's own guess and sleeps up to 10 s. */
const LOADING_RETRY_MS = 50

/** Redis said no before it ran anything: the same call may be made again. */
export class NotExecuted extends Error { override readonly name = "NotExecuted" }
/** The reply is missing: the act may have happened. */
export class OutcomeUnknown extends Error { override readonly name = "OutcomeUnknown" }
/** Redis is out of memory for what spends; what gives back still runs. */
export class RedisFull extends Error { override readonly name = "RedisFull" }

const NOT_EXECUTED = /^(LOADING|BUSY|MISCONF|NOREPLICAS|READONLY|MASTERDOWN|CLUSTERDOWN|TRYAGAIN|MOVED|ASK|CROSSSLOT|NOAUTH|NOPERM)\b/
const NO_FUNCTION = /Function not found/

/** What a node of a cluster says when it is not the one to ask, or not yet. It has run nothing. */
const MOVED = /^MOVED (\d+) (\S+)/
const ASK = /^ASK \d+ (\S+)/
const NOT_NOW = /^(TRYAGAIN|CLUSTERDOWN|READONLY|LOADING|MASTERDOWN)\b/
/** So many times a call follows a slot to another node. */
const HOPS_MAX = 5
/** What is only not possible now is tried again after these pauses: a slot that moves, a master that is being replaced. */
const PAUSES_MS = [5, 20, 75]
/** A node that was named just now has so long to take a connection. */
const CONNECT_WAIT_MS = 500

/** Where Redis is: a url (`redis://host:port/0`), or the path of a unix socket. */
export type RedisAddress = string

/** The servers that hold the cells. A single connection is the simplest of them. */
export type Servers = Redis | Masters

/**
 * A connection with every rule above. `onError` hears of connection errors; without a listener they would end the process. Who would rather wait
 * longer for an answer than not know the outcome says how long.
 */
export const connectRedis = (address: RedisAddress, onError: (error: Error) => void, answer_ms: number = COMMAND_TIMEOUT_MS): Redis => {
  const redis = new Redis(address, {
    autoResendUnfulfilledCommands: false,
    maxRetriesPerRequest: 0,
    enableOfflineQueue: false,
    commandTimeout: answer_ms,
    connectTimeout: COMMAND_TIMEOUT_MS,
    maxLoadingRetryTime: LOADING_RETRY_MS,
    keepAlive: 5_000,
    noDelay: true,
    retryStrategy: (times) => Math.min(times * RECONNECT_STEP_MS, RECONNECT_MS_MAX),
    lazyConnect: true,
  })
  redis.on("error", onError)
  // Every cell that waits for this connection listens, and that is no leak.
  redis.setMaxListeners(0)
  return callDirectly(redis)
}

/** Several addresses, or `redis-cluster://`, are a cluster. */
export const isCluster = (addresses: string): boolean => addresses.includes(",") || /^rediss?-cluster:/.test(addresses)

/** The servers at one address, or the masters of the cluster of which some nodes are named. `onError` hears of every connection's errors. */
export const connectServers = (addresses: string, onError: (error: Error) => void, answer_ms: number = COMMAND_TIMEOUT_MS): Masters => {
  if (!isCluster(addresses)) return oneMaster(() => connectRedis(addresses, onError, answer_ms), URL.canParse(addresses) ? new URL(addresses).host : addresses)
  const urls = addresses.split(",").map((address) => new URL(address.replace("-cluster:", ":")))
  const { protocol, username, password } = urls[0]!
  // Whoever names one node has named how to talk to all.
  const connect = (address: string): Redis => connectRedis(`${protocol}//${username}${password === "" ? "" : `:${password}@`}${address}`, onError, answer_ms)
  return clusterMasters(urls.map(({ hostname, port }) => `${hostname}:${port || DEFAULT_PORT}`), connect, (node) => { loadLibrary(node).catch(onError) })
}

const DEFAULT_PORT = "6379"

/** Wait until a lazy client is ready, at most `wait_ms`; throws `NotExecuted` when it is not by then. */
export const redisReady = async (servers: Servers, wait_ms: number): Promise<void> => {
  if (servers instanceof Redis) return nodeReady(servers, wait_ms)
  const until = performance.now() + wait_ms
  while (servers.all().length === 0) {
    if (performance.now() > until) throw new NotExecuted(`no node of the cluster has answered within ${wait_ms} ms`)
    await Promise.all([servers.look(), Bun.sleep(RECONNECT_STEP_MS)])
  }
  await Promise.all(servers.all().map((node) => nodeReady(node, Math.max(1, until - performance.now()))))
}

const nodeReady = async (redis: Redis, wait_ms: number): Promise<void> => {
  if (redis.status === "ready") return
  if (redis.status === "wait") redis.connect().catch(() => undefined) // the error listener hears of it, and the client tries again
  await new Promise<void>((resolve, reject) => {
    const timer = setTimeout(() => { redis.off("ready", done); reject(new NotExecuted(`Redis is not reachable within ${wait_ms} ms`)) }, wait_ms)
    const done = () => { clearTimeout(timer); resolve() }
    redis.once("ready", done)
  })
}

const classify = (error: unknown): Error => {
  const message = error instanceof Error ? error.message : String(error)
  if (message === NEVER_SENT || NOT_EXECUTED.test(message)) return new NotExecuted(message, { cause: error })
  if (message.startsWith("OOM")) return new RedisFull(message, { cause: error })
  if (/timed out|Connection is closed|max retries|ECONNRESET|EPIPE|Connection lost/i.test(message)) return new OutcomeUnknown(message, { cause: error })
  return error instanceof Error ? error : new Error(message)
}

/** A command to one node that was chosen already, with the same three kinds of failure as `run`. */
export const askNode = async <T>(command: Promise<T>): Promise<T> => {
  try { return await command } catch (error) { throw classify(error) }
}

let loaded: Library | undefined
/** The library of this process; made once. */
export const ourLibrary = (): Library => (loaded ??= library())

/** Load our library into a node where it is missing. Another process that was faster is not an error. */
export const loadLibrary = async (redis: Redis): Promise<void> => {
  try {
    await redis.call("FUNCTION", "LOAD", ourLibrary().source)
  } catch (error) {
    if (!(error instanceof Error && /already exists/.test(error.message))) throw classify(error)
  }
}

const corked = new WeakSet<Redis>()

/** Let the plain commands of one turn of the event loop leave in one write. */
const corkTurn = (redis: Redis): void => {
  if (redis.status !== "ready" || corked.has(redis)) return
  const { stream } = redis
  corked.add(redis)
  stream.cork()
  setImmediate(() => {
    corked.delete(redis)
    stream.uncork()
  })
}

/** A replica has so long to acknowledge; the connection stands still meanwhile. */
const REPLICA_WAIT_MS = 500
/** Acts that wait for a replica, by their connection: those for which WAIT was sent, and those for which it will be. */
const waited = new WeakSet<Redis>()
const waiting = new WeakMap<Redis, PromiseWithResolvers<void>>()

/**
 * Resolves once a replica has all that this connection has answered to acts sent until now: one WAIT for all acts of a turn, and for all
 * that are sent while another WAIT is on its way, because they run behind it. It covers what an act has only read, too: WAIT counts
 * what the master had written by then.
 */
const replicated = (node: Redis): Promise<void> => {
  let ours = waiting.get(node)
  if (!ours) {
    waiting.set(node, ours = Promise.withResolvers<void>())
    ours.promise.catch(() => undefined) // heard by each act that waits
    setImmediate(() => sendWait(node))
  }
  return ours.promise
}

const sendWait = (node: Redis): void => {
  const ours = waiting.get(node)
  if (!ours || waited.has(node)) return
  waiting.delete(node)
  waited.add(node)
  sendGathered(node) // acts whose callers wait for this WAIT run before it
  node.wait(1, REPLICA_WAIT_MS).then(
    (replicas) => replicas >= 1 ? ours.resolve() : ours.reject(new OutcomeUnknown(`no replica has acknowledged within ${REPLICA_WAIT_MS} ms`)),
    (fault: unknown) => ours.reject(new OutcomeUnknown(`whether a replica has it is unknown: ${fault instanceof Error ? fault.message : String(fault)}`)),
  ).finally(() => {
    waited.delete(node)
    sendWait(node)
  })
}

/** What a refusal says of where to ask; a transaction says it in the command that was refused. */
const sayingOf = (fault: unknown): string => {
  const before = (fault as { previousErrors?: Error[] }).previousErrors?.[0] ?? fault
  return before instanceof Error ? before.message : String(before)
}

/**
 * Send something to the master of a key, and follow the slot where the cluster says that it has moved or is moving. `send` is called anew
 * only after a node has refused it before running anything.
 */
const follow = async <T>(masters: Masters, key: string, lane: Lane, send: (node: Redis) => Promise<T>): Promise<T> => {
  let asked: Redis | undefined
  for (let hops = 0, pauses = 0; ;) {
    const node = asked ?? masters.of(key, lane)
    try {
      if (!node) throw new NotExecuted("no master of the cluster is known to serve this")
      await untilOpen(node)
      // A connection that has ended says the same of what it never sent as of what it did: it is not asked.
      if (node.status !== "ready") throw new NotExecuted(NEVER_SENT)
      if (!asked) return await send(node)
      asked = undefined
      sendGathered(node)
      node.asking().catch(() => undefined) // on the same connection, just before
      const sent = send(node)
      sendGathered(node)
      return await sent
    } catch (fault) {
      const error = classify(fault)
      const says = sayingOf(fault)
      const moved = MOVED.exec(says), ask = ASK.exec(says)
      if ((moved || ask) && hops++ < HOPS_MAX) {
        if (moved) masters.moved(Number(moved[1]), moved[2]!)
        const next = masters.at(moved?.[2] ?? ask![1]!, lane)
        await nodeReady(next, CONNECT_WAIT_MS)
        if (ask) asked = next
        continue
      }
      const is_later = NOT_NOW.test(says) || says === NEVER_SENT || !node
      if (!is_later || pauses === PAUSES_MS.length) throw error
      await Promise.all([masters.look(), Bun.sleep(PAUSES_MS[pauses++]!)])
    }
  }
}

/**
 * Plain commands on the keys of one cell, sent to the master of `key`; with the same three kinds of failure as `run`. Several are sent
 * again as a whole, so they have to be safe to repeat.
 */
export const ask = <T>(servers: Servers, key: string, send: (node: Redis) => Promise<T>): Promise<T> =>
  askIn("plain", servers, key, (node) => {
    corkTurn(node)
    return send(node)
  })

const askIn = <T>(lane: Lane, servers: Servers, key: string, send: (node: Redis) => Promise<T>): Promise<T> => {
  if (!(servers instanceof Redis) && servers.is_cluster) return follow(servers, key, lane, send)
  const node = servers instanceof Redis ? servers : servers.of(key, lane)!
  const go = (): Promise<T> => askNode(send(node))
  return lane === "waiting" ? untilOpen(node).then(go) : go()
}

/** A connection that is being opened for the first time is waited for; one that was lost is not. */
const untilOpen = async (node: Redis): Promise<void> => {
  if (node.status === "connecting" || node.status === "connect") await nodeReady(node, CONNECT_WAIT_MS)
}

/** Every master, for what concerns a server and no cell. */
export const mastersOf = (servers: Servers): readonly Redis[] => servers instanceof Redis ? [servers] : servers.all()

const field = (bytes: Buffer, type: FieldType): string | number | Buffer =>
  type === "bytes" ? bytes : type === "int" ? Number(bytes.toString("latin1")) : bytes.toString("utf8")

/** A call by its declaration, as it goes to one node: where the library is missing it is loaded first. */
const fcall = <S extends Script>(script: S, call: { keys: KeysOf<S>; args: ArgsOf<S> }) => ({
  key: (call.keys as Record<string, string>)[script.keys[0]!]!,
  on: async (node: Redis): Promise<Buffer[]> => {
    const send = () => callAct(node, script, ourLibrary().hash, call)
    try {
      return await send()
    } catch (error) {
      if (!(error instanceof Error && NO_FUNCTION.test(error.message))) throw error
      await loadLibrary(node) // it was not there, so nothing has run
      return send()
    }
  },
})

/** A reply as the declaration names it. */
const replyOf = <S extends Script>(script: S, reply: readonly Buffer[]): ReplyOf<S> => {
  const outcome = reply[0]!.toString("latin1")
  const fields = script.outcomes[outcome]
  if (!fields) throw new Error(`${script.name} answered an undeclared word: ${outcome}`)
  const named: Record<string, unknown> = { outcome }
  let place = 1
  for (const key in fields) named[key] = field(reply[place++]!, fields[key]!)
  return named as ReplyOf<S>
}

/**
 * Run one atomic act. Keys and arguments are named as declared, the reply is a union on `outcome`.
 * Throws NotExecuted, OutcomeUnknown, RedisFull, or the script's own error, which is a bug.
 */
export const run = async <S extends Script>(servers: Servers, script: S, call: { keys: KeysOf<S>; args: ArgsOf<S> }): Promise<ReplyOf<S>> => {
  const { key, on } = fcall(script, call)
  return replyOf(script, await askIn("acts", servers, key, on))
}

type Open<R extends { readonly outcome: string }> = Exclude<R, { readonly outcome: "gate_closed" }>

/**
 * Run an act, and have its answer wait for what was promised: a replica, Postgres. What was decided is heard in any case; where the
 * promise cannot be kept it is OutcomeUnknown, and a repeat waits anew. The journal's tail is read on the same connection just behind
 * the act, so it is of the same server and not before what the act has written or has seen.
 */
const promised = async <S extends Script>(servers: Masters, { is_replicated, ledger }: DurabilityPromise, script: S, call: { keys: KeysOf<S>; args: ArgsOf<S> }): Promise<Buffer[]> => {
  const { key, on } = fcall(script, call)
  const waits = ledger && (script.keys.includes("journal") || script.tells) ? ledger : undefined
  waits?.begin()
  const cell = cellOfKey(key)
  const state = waits && fcall(gate_state, { keys: { quota: quotaKey(cell), journal: journalKey(cell) }, args: {} })
  const { reply, acknowledged, tail } = await askIn(is_replicated ? "waiting" : "acts", servers, key, async (node) => {
    const sent = on(node)
    const acknowledged = is_replicated ? replicated(node) : undefined
    const tail = state?.on(node).then((raw) => replyOf(gate_state, raw).tail)
    tail?.catch(() => undefined) // it matters only where the act has been heard of
    return { reply: await sent, acknowledged, tail: { tail } }
  })
  if (replyOf(script, reply).outcome === "gate_closed") return reply
  await acknowledged
  if (waits && tail.tail) {
    const entry_id = await tail.tail.catch((fault: unknown) => { throw new OutcomeUnknown("how far the journal was is unknown", { cause: fault }) })
    await waits.passed(cell, entry_id)
  }
  return reply
}

/** Run an act in its cell while the gate is open; a shut one is NotExecuted: the cell is being compared with Postgres. */
export const act = async <S extends Script>(servers: Servers, script: S, call: { keys: KeysOf<S>; args: ArgsOf<S> }): Promise<Open<ReplyOf<S>>> => {
  const { promise, witness } = servers instanceof Redis ? PLAIN : servers
  const { key, on } = fcall(script, call)
  const raw = promise ? await promised(servers as Masters, promise, script, call) : await askIn("acts", servers, key, on)
  const reply = replyOf(script, raw)
  if (reply.outcome === "gate_closed") throw new NotExecuted("the cell is being compared with Postgres")
  if (witness) {
    const fields = Object.keys(script.outcomes[reply.outcome as string]!).length
    if (raw.length > fields + 1) witness(cellOfKey(key), raw[fields + 1]!.toString("latin1"), script.name, call.args)
  }
  return reply as Open<ReplyOf<S>>
}
const PLAIN: Pick<Masters, "promise" | "witness"> = {}
