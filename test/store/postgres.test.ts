/**
 * Connections to Postgres whose other end has gone without a word.
 */
import { afterAll, beforeAll, expect, test } from "bun:test"
import { openPostgres } from "../../engine/store/postgres.ts"
import { until } from "../support/run_engine.ts"
import { type Stack, stack } from "../support/stack.ts"
import { openProxy, type Proxy } from "../torture/proxy.ts"

/** Long enough that a busy machine is not taken for a silent one. */
const SILENT_MS = 2_000
const TEST_MS_MAX = 60_000
const CONNECTIONS = 2
let servers: Stack, proxy: Proxy, url: string
beforeAll(async () => {
  servers = await stack()
  const direct = new URL(servers.databaseUrl)
  proxy = await openProxy(Number(direct.port))
  direct.port = String(proxy.port)
  url = direct.href
}, TEST_MS_MAX)
afterAll(() => proxy.close())

const codeOf = (statement: Promise<unknown>): Promise<unknown> => statement.then(() => "answered", (fault: { code?: unknown }) => fault.code)

test("CONNECTION_CLOSED: a pool whose every connection has lost its server is whole again without a word from the system", async () => {
  const ended: number[] = []
  const { sql, close } = openPostgres(url, CONNECTIONS, { silent_ms: SILENT_MS, onSilent: (silent_ms) => ended.push(silent_ms) })
  try {
    await Promise.all(Array.from({ length: CONNECTIONS }, () => sql`select pg_sleep(0.1)`))
    proxy.lose("replies")
    const lost = await Promise.all(Array.from({ length: CONNECTIONS }, () => codeOf(sql`select 1`)))
    expect(lost).toEqual(Array(CONNECTIONS).fill("CONNECTION_CLOSED"))
    expect(ended).toEqual(Array(CONNECTIONS).fill(SILENT_MS))
    proxy.lose("nothing")
    await until("the pool answers", async () => await codeOf(sql`select 1`) === "answered")
  } finally {
    proxy.lose("nothing")
    await close()
  }
}, TEST_MS_MAX)

test("a connection that owes nothing is kept however long it is silent, and so is one that answers in time", async () => {
  const ended: number[] = []
  const { sql, close } = openPostgres(url, 1, { silent_ms: SILENT_MS, onSilent: (silent_ms) => ended.push(silent_ms) })
  try {
    const pid = async () => (await sql<{ pid: number }[]>`select pg_backend_pid() as pid`)[0]!.pid
    const before = await pid()
    await Bun.sleep(2 * SILENT_MS)
    for (let i = 0; i < 6; i++) await sql`select pg_sleep(${SILENT_MS / 4_000})`
    // A thousand rows come in many pieces, and the last of them ends what is owed.
    await sql`select repeat('x', 1000) from generate_series(1, 1000)`
    await Bun.sleep(2 * SILENT_MS)
    expect(await pid()).toBe(before)
    expect(ended).toEqual([])
  } finally {
    await close()
  }
}, TEST_MS_MAX)
