/**
 * What a test does to a private cluster: find who serves a key, stop and kill nodes by their pids, have a replica take over, add a master,
 * move a slot.
 */
import { mkdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { Redis } from "ioredis"
import { withDeathSignal } from "../../engine/child.ts"
import type { PrivateServers } from "../../engine/store/private.ts"
import { findRedisServer, freePort, redisConf } from "../../engine/store/private.ts"
import { clusterConf } from "../../engine/store/private_cluster.ts"
import { slotOf } from "../../engine/store/slots.ts"
import { until } from "./run_engine.ts"
import { scratchFolder } from "./scratch.ts"

const ANSWER_MS_MAX = 1_000

interface Member { readonly name: string; readonly port: number; readonly client: Redis }

const quiet = (url: string): Redis => new Redis(url, { retryStrategy: () => 50 }).on("error", () => {})

/** The hands of a test on a private cluster; what they opened is closed by what they give to `beforeEnd`. */
export const handsOn = (servers: Pick<PrivateServers, "redisUrl" | "pids">, beforeEnd: (close: () => Promise<void>) => void) => {
  const urls = (servers.redisUrl ?? "").split(",").map((url) => new URL(url.replace("redis-cluster:", "redis:")))
  const { password } = urls[0]!
  const members: Member[] = urls.map((url, i) => ({ name: `redis_${i + 1}`, port: Number(url.port), client: quiet(url.href) }))
  beforeEnd(async () => { for (const { client } of members) client.disconnect() })

  /** Who serves the slot of a key, as any node that answers says: the master and its first replica. */
  const serving = async (key: string): Promise<{ master: Member; replica: Member | undefined }> => {
    for (const { client } of members) {
      if (client.status !== "ready") continue
      // One that stands still does not answer; the next may.
      const slots = await Promise.race([client.call("CLUSTER", "SLOTS").catch(() => []), Bun.sleep(ANSWER_MS_MAX).then(() => [])]) as [number, number, ...[string, number][]][]
      const range = slots.find(([first, last]) => slotOf(key) >= first && slotOf(key) <= last)
      const of = (port: number | undefined) => members.find((member) => member.port === port)
      const master = of(range?.[2]?.[1])
      if (master) return { master, replica: of(range?.[3]?.[1]) }
    }
    throw new Error(`nobody serves ${key}`)
  }
  const signal = ({ name }: Member, word: NodeJS.Signals): void => { process.kill(servers.pids()[name]!, word) }

  return {
    members, serving, signal,
    /** Cut the master of a key off from its replica, which stands still from now on: what the master writes is nowhere else. */
    sever: async (key: string): Promise<void> => {
      const { master, replica } = await serving(key)
      signal(replica!, "SIGSTOP")
      await master.client.call("CONFIG", "SET", "min-replicas-to-write", "0")
      await master.client.call("CLIENT", "KILL", "TYPE", "replica")
    },
    /** Kill the master of a key for good measure and have its replica take its place; it comes back as a replica. */
    failOver: async (key: string): Promise<void> => {
      const { master, replica } = await serving(key)
      if (!replica) throw new Error(`${master.name} has no replica`)
      signal(master, "SIGKILL")
      signal(replica, "SIGCONT")
      await until("the replica takes over", async () => String(await replica.client.call("CLUSTER", "FAILOVER", "TAKEOVER").catch((fault: Error) => fault.message)).match(/OK|You should send CLUSTER FAILOVER to a replica/) !== null)
      await until("everyone sees the new master", async () => (await Promise.all(members.map(async ({ client }) => {
        const slots = await client.call("CLUSTER", "SLOTS").catch(() => []) as [number, number, ...[string, number][]][]
        return slots.some(([first, last, node]) => slotOf(key) >= first && slotOf(key) <= last && node?.[1] === replica.port)
      }))).every((sees) => sees))
    },
    /** Wait until every master has a replica that has caught up. */
    whole: () => until("every replica has caught up", async () => (await Promise.all(members.map(async ({ client }) => {
      const info = String(await client.info("replication").catch(() => ""))
      return /role:master/.test(info) ? !/connected_slaves:0/.test(info) || members.length > 6 && /db0/.test(info) : /master_link_status:up/.test(info)
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
