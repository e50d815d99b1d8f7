/**
 * A private Redis Cluster: how servers that have just started become one, and what each of them is told beyond a server's own settings.
 *
 * What must stay true: it may be called over servers that are a cluster already, or that a killed start has left half made, and then does
 * what is missing. A master's slots, its replica and its epoch follow from its place in the list, so every call means the same.
 */
import { connectRedis, askNode } from "../store/redis.ts"
import { SLOTS } from "../store/slots.ts"

/** Three masters are the fewest that can outvote a dead one. */
export const MASTERS = 3
export const REPLICAS = 3
/** A node that is silent for so long is taken for dead by the others, and its replica takes over. */
const NODE_TIMEOUT_MS = 5_000
/** A cluster has so long to come together. */
const FORM_MS_MAX = 60_000
const POLL_MS = 50

/** The words of redis.conf of one node. `bus_port` is where the nodes talk to each other. */
export const clusterConf = (bus_port: number, password: string): string =>
  [
    "cluster-enabled yes",
    "cluster-config-file nodes.conf",
    `cluster-port ${bus_port}`,
    `cluster-node-timeout ${NODE_TIMEOUT_MS}`,
    "# Cells whose master lives go on while another is being replaced.",
    "cluster-require-full-coverage no",
    "# A replica that has been cut off for long is still better than none: the gate looks at what it has.",
    "cluster-replica-validity-factor 0",
    "# A replica is named to callers once a byte of its master's has come, and of one that nobody writes to only its ping is: by default",
    "# every 10 s, and a copy waits 5 s for others who want one. A cluster was whole after 13 s, and is after 3 (2026-11-23).",
    "repl-ping-replica-period 1",
    "repl-diskless-sync-delay 0",
    `masterauth ${password}`,
    "# A master that has lost its replica takes nothing: what it answered could be lost with it.",
    "min-replicas-to-write 1",
    "min-replicas-max-lag 10",
    "",
  ].join("\n")

export interface ClusterNode { readonly port: number; readonly bus_port: number }

const fieldOf = (info: string, field: string): string => new RegExp(`^${field}:([^\\r\\n]*)`, "m").exec(info)?.[1] ?? ""

/** Make these servers one cluster, the first three its masters, and wait until every slot is served and every replica has caught up. */
export const formCluster = async (nodes: readonly ClusterNode[], password: string, signal: AbortSignal): Promise<void> => {
  const clients = nodes.map(({ port }) => connectRedis(`redis://:${password}@127.0.0.1:${port}`, () => undefined))
  const until_ms = performance.now() + FORM_MS_MAX
  const call = async (i: number, ...words: (string | number)[]): Promise<string> => String(await askNode(clients[i]!.call(String(words[0]), ...words.slice(1).map(String))))
  /** Do a step until it says that it is done. What a node is not ready for yet is tried again. */
  const step = async (what: string, isDone: () => Promise<boolean>): Promise<void> => {
    let fault: unknown
    while (!(await isDone().catch((thrown: unknown) => { fault = thrown; return false }))) {
      signal.throwIfAborted()
      if (performance.now() > until_ms) throw new Error(`the private cluster does not come together: ${what}`, { cause: fault })
      await Bun.sleep(POLL_MS)
    }
  }
  try {
    await Promise.all(clients.map((client) => client.connect()))
    const ids = await Promise.all(nodes.map((_, i) => call(i, "CLUSTER", "MYID")))
    const isFormed = async () => Number(fieldOf(await call(0, "CLUSTER", "INFO"), "cluster_slots_assigned")) === SLOTS
    if (!(await isFormed())) {
      for (let i = 0; i < MASTERS; i += 1) {
        const first = Math.ceil((i * SLOTS) / MASTERS), last = Math.ceil(((i + 1) * SLOTS) / MASTERS) - 1
        // Refused where it was done before.
        await call(i, "CLUSTER", "ADDSLOTSRANGE", first, last).catch(() => "")
        await call(i, "CLUSTER", "SET-CONFIG-EPOCH", i + 1).catch(() => "")
      }
    }
    // Every two of them: what they hear of each other from a third takes two seconds.
    for (let i = 0; i < nodes.length; i += 1) for (const { port, bus_port } of nodes.slice(i + 1)) await call(i, "CLUSTER", "MEET", "127.0.0.1", port, bus_port)
    for (let i = 0; i < nodes.length; i += 1) {
      await step("every node knows every other", async () => {
        const known = await call(i, "CLUSTER", "NODES")
        return ids.every((id) => known.includes(id)) && !known.includes("handshake")
      })
    }
    for (let i = MASTERS; i < nodes.length; i += 1) {
      await step("every replica has its master", async () => {
        // After a failover the places are changed: a node that serves slots stays a master.
        const own = (await call(i, "CLUSTER", "NODES")).split("\n").find((line) => line.includes("myself"))!.split(" ")
        if (own[2]!.includes("slave") || own.length > 8) return true
        await call(i, "CLUSTER", "REPLICATE", ids[i - MASTERS]!)
        return false
      })
    }
    for (let i = 0; i < nodes.length; i += 1) {
      await step("every node serves", async () => {
        const info = await call(i, "INFO", "replication")
        // Every node names all, so that whoever asks it learns of the replicas too.
        const slots = await askNode(clients[i]!.call("CLUSTER", "SLOTS")) as unknown[][]
        if (slots.length === 0 || slots.some((range) => range.length < 4)) return false
        return fieldOf(await call(i, "CLUSTER", "INFO"), "cluster_state") === "ok" && (fieldOf(info, "role") === "master" || fieldOf(info, "master_link_status") === "up")
      })
    }
  } finally {
    for (const client of clients) client.disconnect()
  }
}
