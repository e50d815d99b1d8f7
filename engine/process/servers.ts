/**
 * The servers of a process: private ones started, named ones opened, and both looked at before anything trusts them.
 */
import type { Config } from "../config.ts"
import type { Log } from "../log.ts"
import type { Masters } from "../store/masters.ts"
import { openPostgres, type Postgres, postgresReady } from "../store/postgres.ts"
import { StartFault } from "../private/folder.ts"
import { type PrivateServers, startPrivate } from "../private/start.ts"
import { askNode, connectServers, redisReady } from "../store/redis.ts"
import { checkServers, type Judgement } from "../store/safety.ts"

/** How long a server that is named may take to answer at the start. */
const SERVER_WAIT_MS_MAX = 5_000
/** And how long a replica, without which the start goes on. */
const REPLICA_WAIT_MS_MAX = 1_000
const POSTGRES_CONNECTIONS_MAX = 10

/** Where servers are, without their passwords. */
const placeOf = (urls: string): string => urls.split(",").map((url) => URL.canParse(url) ? new URL(url).host : url).join(", ")

export interface OpenServers { readonly redis: Masters; readonly postgres: Postgres; readonly judgement: Judgement }

/** Open both servers, see that they answer, and judge what their word is worth. */
export const openServers = async (config: Config, log: Log, redisUrl: string, databaseUrl: string): Promise<OpenServers> => {
  const redis = connectServers(redisUrl, (fault) => log.warn("Redis is away", { error: fault.message }))
  const postgres = openPostgres(databaseUrl, POSTGRES_CONNECTIONS_MAX, {
    onSilent: (silent_ms) => log.warn("a connection to Postgres owed an answer, was silent and is ended", { wait_ms: silent_ms }),
  })
  try {
    await redisReady(redis, SERVER_WAIT_MS_MAX).catch((fault: unknown) => {
      throw new StartFault(`Redis at ${placeOf(redisUrl)} does not answer: ${fault instanceof Error ? fault.message : String(fault)}`)
    })
    await postgresReady(postgres, SERVER_WAIT_MS_MAX).catch((fault: unknown) => {
      throw new StartFault(`Postgres at ${placeOf(databaseUrl)} does not answer: ${fault instanceof Error ? fault.message : String(fault)}`)
    })
    // Replicas too: each may be a master one day.
    const nodes = redis.nodes().map(({ address, is_replica }) => ({ name: address, is_replica, node: redis.at(address, "plain") }))
    const reached = await Promise.all(nodes.map(async (each) => {
      try {
        await redisReady(each.node, each.is_replica ? REPLICA_WAIT_MS_MAX : SERVER_WAIT_MS_MAX)
        return [each]
      } catch (fault) {
        // A replica that is away is what replicas are for; it cannot be looked at, and takes no part until it is back.
        if (!each.is_replica) throw new StartFault(`Redis at ${each.name} does not answer: ${fault instanceof Error ? fault.message : String(fault)}`)
        log.warn("a replica does not answer and was not looked at", { host: each.name })
        return []
      }
    }))
    const asked = reached.flat().map(({ name, is_replica, node }) => ({ name, is_replica, call: (command: string, ...args: string[]) => askNode(node.call(command, ...args)) }))
    return { redis, postgres, judgement: await checkServers(asked, postgres.sql, config.durability, config.acceptDurability) }
  } catch (fault) {
    redis.disconnect()
    await postgres.close()
    throw fault
  }
}

/** Start the private servers that are wanted: a role of a larger installation, or a part of one, has none. */
export const startServers = async (config: Config, log: Log, signal: AbortSignal): Promise<PrivateServers | undefined> => {
  const { role, childOf, redisUrl, databaseUrl, dataDir } = config
  if (role !== "all" || childOf !== undefined || (redisUrl !== undefined && databaseUrl !== undefined)) return undefined
  return startPrivate({ dataDir, log, signal, redis: redisUrl === undefined, topology: config.privateRedis, postgres: databaseUrl === undefined })
}
