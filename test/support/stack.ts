/**
 * One private Redis and one private Postgres for a whole test run, started when the first test asks and gone at its end.
 *
 * What must stay true: a test shares the servers and nothing else. It takes a fresh database, or ids and cells that no
 * other test uses, so the order of tests means nothing and the suite passes twice in a row.
 */
import { afterAll } from "bun:test"
import { randomBytes } from "node:crypto"
import { join } from "node:path"
import postgres from "postgres"
import type { Topology } from "../../engine/config.ts"
import { quietLog } from "../../engine/log.ts"
import { migrate } from "../../engine/store/postgres.ts"
import { type PrivateServers, startPrivate } from "../../engine/private/start.ts"
import { removeScratch, scratchFolder } from "./scratch.ts"

/** The servers of this run. */
export interface Stack {
  readonly redisUrl: string
  /** A database with our tables, shared by every test that uses ids of its own. */
  readonly databaseUrl: string
  /** A new database with our tables and nothing in them. */
  freshDatabase(): Promise<string>
  /** A second Redis of the caller's own, to restart, fill or break; it ends with the run at the latest. */
  ownRedis(topology?: Topology): Promise<PrivateServers & { readonly redisUrl: string }>
}

/**
 * A test waits longer for Redis than a caller: a machine that does much else may take seconds for a sync, and an outcome that is unknown is then
 * no finding. Where nodes are stopped and killed, it says that it waits as a caller does.
 */
export const ANSWER_MS_MAX = 60_000

const closers: (() => Promise<void>)[] = []
const servers: PrivateServers[] = []

const withDatabase = (url: string, database: string): string => {
  const changed = new URL(url)
  changed.pathname = `/${database}`
  return changed.href
}

const start = async (): Promise<Stack> => {
  const both = await startPrivate({ dataDir: join(scratchFolder(), "data"), log: quietLog })
  servers.push(both)
  const { redisUrl, databaseUrl } = both
  if (redisUrl === undefined || databaseUrl === undefined) throw new Error("the private servers have no address")
  // Every fresh database is a copy of this one, which is faster than its migrations and connects to nobody.
  const template = withDatabase(databaseUrl, "template_scrip")
  const admin = async (statement: string) => {
    const sql = postgres(withDatabase(databaseUrl, "postgres"), { max: 1, onnotice: () => {} })
    try {
      await sql.unsafe(statement)
    } finally {
      await sql.end()
    }
  }
  await admin("create database template_scrip")
  await migrate(template)
  await migrate(databaseUrl)
  return {
    redisUrl,
    databaseUrl,
    freshDatabase: async () => {
      const name = `test_${randomBytes(8).toString("hex")}`
      await admin(`create database ${name} template template_scrip`)
      return withDatabase(databaseUrl, name)
    },
    ownRedis: async (topology = "one") => {
      const own = await startPrivate({ dataDir: join(scratchFolder(), "data"), log: quietLog, topology, postgres: false })
      servers.push(own)
      if (own.redisUrl === undefined) throw new Error("the private Redis has no address")
      return { ...own, redisUrl: own.redisUrl }
    },
  }
}

let started: Promise<Stack> | undefined

/** The servers of this run; the first caller starts them. */
export const stack = (): Promise<Stack> => (started ??= start())

/** Have something closed at the end of the run, while the servers still answer. */
export const beforeEnd = (close: () => Promise<void>): void => { closers.push(close) }

/** Stop what was started and remove what was written. */
export const endStack = async (): Promise<void> => {
  for (const close of closers.splice(0).toReversed()) await close()
  await started?.catch(() => {})
  await Promise.all(servers.splice(0).map((each) => each.stop()))
  removeScratch()
}

// As a preload this file's hook closes the run, not one file of it.
afterAll(endStack)
