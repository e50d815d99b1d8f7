/** The Postgres client as it is mended after its installation: a connection that is cut never ends the process. */
import { expect, test } from "bun:test"
import postgres from "postgres"
import { withinWait } from "../../engine/store/away.ts"
import { stack } from "../support/stack.ts"

/** In this client a statement on such a connection may never settle, which is why the engine bounds every wait. */
const SILENT_MS = 1_000
/** A server end has so long to go: on a busy machine it may answer a statement yet after it was told to. */
const GONE_MS_MAX = 30_000

test("a reserved connection whose server end is gone refuses each statement or is silent, and the process lives", async () => {
  const { databaseUrl } = await stack()
  const sql = postgres(databaseUrl, { max: 2, onnotice: () => {} })
  const killer = postgres(databaseUrl, { max: 1, onnotice: () => {} })
  try {
    const reserved = await sql.reserve()
    const [row] = await reserved<{ pid: number }[]>`select pg_backend_pid() as pid`
    expect([...await killer`select pg_terminate_backend(${row!.pid}, ${GONE_MS_MAX}) as gone`]).toEqual([{ gone: true }])
    const refusals: string[] = []
    for (let tries = 0; tries < 3; tries++) await withinWait(reserved`select 1`, SILENT_MS).catch((fault: { code?: string }) => refusals.push(fault.code ?? String(fault)))
    expect(refusals).toHaveLength(3)
    expect([...await killer`select 1 as one`]).toEqual([{ one: 1 }])
  } finally {
    await Promise.all([sql.end({ timeout: 1 }), killer.end({ timeout: 1 })])
  }
})
