/**
 * What a test does to a private cluster: find who serves a key, stop and kill nodes by their pids, have a replica take over, add a master,
 * move a slot.
 */
import { mkdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { Redis } from "ioredis"
import { withDeathSignal } from "../../engine/child.ts"
import type { PrivateServers } from "../../engine/private/start.ts"
import { freePort } from "../../engine/private/folder.ts"
import { findRedisServer, redisConf } from "../../engine/private/redis.ts"
import { clusterConf } from "../../engine/private/cluster.ts"
import { slotOf } from "../../engine/store/slots.ts"
import { until } from "./run_engine.ts"
import { scratchFolder } from "./scratch.ts"

const ANSWER_MS_MAX = 1_000

interface Member { readonly name: string; readonly port: number; readonly client: Redis }
/** Who serves a slot. */
export interface Pair { readonly master: Member; readonly replica: Member | undefined }

const quiet = (url: string): Redis => new Redis(url, { retryStrategy: () => 50 }).on("error", () => {})

/** The hands of a test on a private cluster; what they opened is closed by what they give to `beforeEnd`. */
export const handsOn = (servers: Pick<PrivateServers, "redisUrl" | "pids">, beforeEnd: (close: () => Promise<void>) => void) => {
  const urls = (servers.redisUrl ?? "").split(",").map((url) => new URL(url.replace("redis-cluster:", "redis:")))
  const { password } = urls[0]!
  const members: Member[] = urls.map((url, i) => ({ name: `redis_${i + 1}`, port: Number(url.port), client: quiet(url.href) }))
  beforeEnd(async () => { for (const { client } of members) client.disconnect() })

  /** What a node answers; nothing where it is away or stands still, so that nobody waits for it without an end. */
  const answerOf = ({ client }: Member, ...[command, ...words]: [string, ...string[]]): Promise<unknown> =>
    client.status === "ready" ? Promise.race([client.call(command, ...words).catch(() => undefined), Bun.sleep(ANSWER_MS_MAX)]) : Promise.resolve(undefined)
  /** Which nodes serve which slots, as one node says: the master first. */
  const slotsOf = async (member: Member) => (await answerOf(member, "CLUSTER", "SLOTS") ?? []) as [first: number, last: number, ...nodes: [host: string, port: number][]][]
  const nodesOf = async (member: Member, key: string) => {
    const [, , ...nodes] = (await slotsOf(member)).find(([first, last]) => slotOf(key) >= first && slotOf(key) <= last) ?? [0, 0]
    return nodes
  }

  /** Who serves the slot of a key, as any node that answers says: the master and its first replica. */
  const serving = async (key: string): Promise<Pair> => {
    for (const member of members) {
      const nodes = await nodesOf(member, key)
      const of = (port: number | undefined) => members.find((member) => member.port === port)
      const master = of(nodes[0]?.[1])
      if (master) return { master, replica: of(nodes[1]?.[1]) }
    }
    throw new Error(`nobody serves ${key}`)
  }
  const signal = ({ name }: Member, word: NodeJS.Signals): void => { process.kill(servers.pids()[name]!, word) }

  return {
    members, serving, signal,
    /** Cut a master off from its replica, which stands still from now on: what the master writes is nowhere else. */
    sever: async ({ master, replica }: Pair): Promise<void> => {
      signal(replica!, "SIGSTOP")
      await master.client.call("CONFIG", "SET", "min-replicas-to-write", "0")
      await master.client.call("CLIENT", "KILL", "TYPE", "replica")
    },
    /** Kill the master of a key for good measure and have its replica take its place; it comes back as a replica. Nodes that were severed are named. */
    failOver: async (key: string, nodes?: Pair): Promise<void> => {
      const { master, replica } = nodes ?? await serving(key)
      if (!replica) throw new Error(`${master.name} has no replica`)
      signal(master, "SIGKILL")
      signal(replica, "SIGCONT")
      await until("the replica takes over", async () => String(await replica.client.call("CLUSTER", "FAILOVER", "TAKEOVER").catch((fault: Error) => fault.message)).match(/OK|You should send CLUSTER FAILOVER to a replica/) !== null)
      await until("everyone sees the new master", async () => (await Promise.all(members.map(async (member) => (await nodesOf(member, key))[0]?.[1] === replica.port))).every((sees) => sees))
    },
    /** Wait until every master has a replica that has caught up, and every node knows of it. A master that has joined has none. */
    whole: () => until("every replica has caught up", async () => (await Promise.all(members.map(async (member) => {
      const info = String(await answerOf(member, "INFO", "replication") ?? "")
      if (!/role:master/.test(info)) return /master_link_status:up/.test(info)
      if (members.length > 6) return !/connected_slaves:0/.test(info) || /db0/.test(info)
      return !/connected_slaves:0/.test(info) && (await slotsOf(member)).every((range) => range.length > 3)
    }))).every((ok) => ok)),
    /** Start one more node, without slots: a master that joins. */
    join: async (): Promise<Member> => {
      const dir = join(scratchFolder(), "joined")
      mkdirSync(dir)
      const [port, bus_port] = [await freePort(), await freePort()]
      writeFileSync(join(dir, "redis.conf"), `${redisConf(dir, port, password)}${clusterConf(bus_port, password)}min-replicas-to-write 0\n`)
      const process = Bun.spawn(withDeathSignal("SIGKILL", [findRedisServer() ?? "", join(dir, "redis.conf")]), { stdout: "ignore", stderr: "ignore", detached: true })
      beforeEnd(async () => { process.kill("SIGKILL"); await process.exited })
      const member = { name: "joined", port, client: quiet(`redis://:${password}@127.0.0.1:${port}`) }
      await until("the new node answers", async () => await member.client.ping().catch(() => "") === "PONG")
      await members[0]!.client.call("CLUSTER", "MEET", "127.0.0.1", port, bus_port)
      members.push(member)
      beforeEnd(async () => member.client.disconnect())
      await until("everyone knows it", async () => (await Promise.all(members.map(async ({ client }) => {
        const known = String(await client.call("CLUSTER", "NODES"))
        const info = String(await client.call("CLUSTER", "INFO"))
        return known.includes(`:${port}@`) && !known.includes("handshake") && info.includes("cluster_state:ok")
      }))).every((knows) => knows))
      return member
    },
    /** Move the slot of a key to another master, key by key, while everyone goes on. */
    moveSlot: async (key: string, to: Member, pause_ms: number): Promise<void> => {
      const slot = slotOf(key), { master: from } = await serving(key)
      const idOf = async ({ client }: Member) => String(await client.call("CLUSTER", "MYID"))
      const [from_id, to_id] = [await idOf(from), await idOf(to)]
      await to.client.call("CLUSTER", "SETSLOT", slot, "IMPORTING", from_id)
      await from.client.call("CLUSTER", "SETSLOT", slot, "MIGRATING", to_id)
      for (;;) {
        const keys = await from.client.call("CLUSTER", "GETKEYSINSLOT", slot, 3) as string[]
        if (keys.length === 0) break
        await from.client.call("MIGRATE", "127.0.0.1", to.port, "", 0, 5_000, "AUTH", password, "KEYS", ...keys)
        await Bun.sleep(pause_ms)
      }
      await to.client.call("CLUSTER", "SETSLOT", slot, "NODE", to_id)
      for (const { client, port } of members) if (port !== to.port) await client.call("CLUSTER", "SETSLOT", slot, "NODE", to_id).catch(() => undefined)
    },
  }
}
