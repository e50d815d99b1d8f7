/**
 * The masters that hold the cells: of one server, or of a Redis Cluster by its map of slots.
 *
 * Each master has connections of ours with the rules of redis.ts, so what is true of one server is true of each: nothing is queued, sent
 * twice or sent elsewhere behind our back. Acts have more of them (lanes.ts). ioredis' own Cluster client tries again by itself after a lost connection and draws a node by
 * chance where it knows none; here only the caller in redis.ts sends again, and only what a node has refused before it ran.
 *
 * The map is read from the node that has seen the newest epoch of the cluster, each second, and at once when a node says that it has
 * moved on (MOVED) or a connection is lost. A node that left the map keeps its connection until what it was asked is answered.
 */
import type { Redis } from "ioredis"
import { type Lane, type Lanes, lanesTo } from "./lanes.ts"
import { slotOf, SLOTS } from "./slots.ts"

/** Between two looks at the map; one that is asked for comes after LOOK_GAP_MS at the earliest. */
const LOOK_EVERY_MS = 1_000
const LOOK_GAP_MS = 20
/** A node that does not say its map within this is passed over. */
const LOOK_MS_MAX = 500
/** A connection that the map no longer names stays for so long: longer than any command may take. */
const LEAVE_MS = 5_000

/** What stands behind a yes, beyond the disk of the master that gave it. */
export interface DurabilityPromise {
  /** A replica has it too. */
  readonly is_replicated: boolean
  /** Postgres has it. */
  readonly ledger?: Ledger
}

/** The way to Postgres, as far as an act has to wait for it. */
export interface Ledger {
  /** Throws where the flusher is so late that an act had better not begin. */
  readonly begin: () => void
  /** Resolves once Postgres has a cell's journal up to an entry; throws where that is not to be known, or the entry was lost. */
  readonly passed: (cell: number, entry_id: string) => Promise<void>
}

/** Who hears of each act that has written an entry, before its caller does. */
export type Witness = (cell: number, entry_id: string, act: string, args: Readonly<Record<string, unknown>>) => void

/** A node of the servers: where it is, and whether it is a replica. */
export interface Node { readonly address: string; readonly is_replica: boolean }

export interface Masters {
  readonly is_cluster: boolean
  /** What an act must have survived before its caller hears of it, beyond the disk of its master. */
  readonly promise?: DurabilityPromise
  readonly witness?: Witness
  /** The master that serves a key now; nothing where none is known. */
  of(key: string, lane: Lane): Redis | undefined
  /** The connection to an address that a node has named. */
  at(address: string, lane: Lane): Redis
  /** Every master, each once. */
  all(): readonly Redis[]
  /** Every node there is, replicas too, as the newest map says. */
  nodes(): readonly Node[]
  /** A node has said that a slot is served at an address now. */
  moved(slot: number, address: string): void
  /** Read the map anew, unless that was done just now. */
  look(): Promise<void>
  disconnect(): void
}

/** One server is a map of one master. */
export const oneMaster = (connect: () => Redis, address: string): Masters => {
  const lanes = lanesTo(connect)
  return {
    is_cluster: false, of: (_, lane) => lanes.of(lane), at: (_, lane) => lanes.of(lane), all: () => [lanes.plain], nodes: () => [{ address, is_replica: false }],
    moved: () => undefined, look: async () => undefined, disconnect: lanes.disconnect,
  }
}

interface SlotMap { readonly epoch: number; readonly ranges: readonly { first: number; last: number; master: string }[]; readonly nodes: readonly Node[] }

const addressOf = (said: unknown[], asked: string): string => {
  const host = String(said[0] ?? "")
  // A node that does not know its own name is where it was asked.
  return `${host === "" || host === "?" ? asked.slice(0, asked.lastIndexOf(":")) : host}:${said[1]}`
}

/** What one node says of the cluster. */
const readMap = async (node: Redis, address: string): Promise<SlotMap> => {
  const [info, slots] = await Promise.all([node.call("CLUSTER", "INFO"), node.call("CLUSTER", "SLOTS")])
  const ranges: { first: number; last: number; master: string }[] = []
  const nodes = new Map<string, Node>()
  for (const [first, last, ...said] of slots as [number, number, ...unknown[][]][]) {
    const [master, ...replicas] = said.map((each) => addressOf(each, address))
    if (master === undefined) continue
    ranges.push({ first, last, master })
    nodes.set(master, { address: master, is_replica: false })
    for (const replica of replicas) nodes.set(replica, { address: replica, is_replica: true })
  }
  return { epoch: Number(/cluster_current_epoch:(\d+)/.exec(String(info))?.[1] ?? 0), ranges, nodes: [...nodes.values()] }
}

const withinLook = <T>(work: Promise<T>): Promise<T> => new Promise((resolve, reject) => {
  const timer = setTimeout(() => reject(new Error(`no map within ${LOOK_MS_MAX} ms`)), LOOK_MS_MAX)
  work.then(resolve, reject).finally(() => clearTimeout(timer))
})

/**
 * The masters of a cluster, found from some of its nodes. `connect` opens a connection to an address; `onMaster` hears of every master
 * when its connection is ready, also of one that joins later.
 */
export const clusterMasters = (seeds: readonly string[], connect: (address: string) => Redis, onMaster: (node: Redis) => void): Masters => {
  const connections = new Map<string, Lanes>()
  const owners: (string | undefined)[] = Array.from({ length: SLOTS })
  let masters: string[] = [], nodes: readonly Node[] = []
  let looking: Promise<void> | undefined, looked_at = -Infinity, is_closed = false

  const lanesAt = (address: string): Lanes => {
    let lanes = connections.get(address)
    if (!lanes) {
      connections.set(address, lanes = lanesTo(() => connect(address)))
      const { plain } = lanes
      plain.on("ready", () => {
        if (masters.includes(address)) onMaster(plain)
        void cluster.look()
      })
      plain.on("close", () => { if (!is_closed) void cluster.look() })
      plain.connect().catch(() => undefined) // it tries again by itself
    }
    return lanes
  }

  const take = (map: SlotMap): void => {
    owners.fill(undefined)
    for (const { first, last, master } of map.ranges) owners.fill(master, first, last + 1)
    const before = masters
    nodes = map.nodes
    masters = nodes.filter(({ is_replica }) => !is_replica).map(({ address }) => address)
    for (const address of masters) {
      const { plain: redis } = lanesAt(address)
      if (!before.includes(address) && redis.status === "ready") onMaster(redis)
    }
    for (const [address, gone] of connections) {
      if (nodes.some((node) => node.address === address) || seeds.includes(address)) continue
      connections.delete(address)
      setTimeout(gone.disconnect, LEAVE_MS).unref()
    }
  }

  const lookNow = async (): Promise<void> => {
    await Bun.sleep(Math.max(0, looked_at + LOOK_GAP_MS - performance.now()))
    for (const seed of seeds) lanesAt(seed)
    const maps = await Promise.allSettled([...connections].filter(([, { plain }]) => plain.status === "ready").map(([address, { plain }]) => withinLook(readMap(plain, address))))
    const found = maps.flatMap((map) => map.status === "fulfilled" && map.value.ranges.length > 0 ? [map.value] : [])
    looked_at = performance.now()
    if (found.length > 0 && !is_closed) take(found.reduce((newest, map) => map.epoch > newest.epoch ? map : newest))
  }

  const cluster: Masters = {
    is_cluster: true,
    of: (key, lane) => { const owner = owners[slotOf(key)]; return owner === undefined ? undefined : lanesAt(owner).of(lane) },
    at: (address, lane) => lanesAt(address).of(lane),
    all: () => masters.map((address) => lanesAt(address).plain),
    nodes: () => nodes,
    moved: (slot, address) => {
      owners[slot] = address
      void cluster.look()
    },
    look: () => (looking ??= lookNow().finally(() => { looking = undefined })),
    disconnect: () => {
      is_closed = true
      clearInterval(timer)
      for (const lanes of connections.values()) lanes.disconnect()
    },
  }
  const timer = setInterval(() => void cluster.look(), LOOK_EVERY_MS)
  timer.unref()
  void cluster.look()
  return cluster
}
