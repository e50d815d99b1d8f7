/** The Postgres client as it is mended after its installation: a connection that is cut never ends the process. */
import { expect, test } from "bun:test"
import postgres from "postgres"
import { stack } from "../support/stack.ts"

test("a reserved connection whose server end is gone refuses each statement, and the process lives", async () => {
  const { databaseUrl } = await stack()
  const sql = postgres(databaseUrl, { max: 2, onnotice: () => {} })
  const killer = postgres(databaseUrl, { max: 1, onnotice: () => {} })
  try {
    const reserved = await sql.reserve()
    const [row] = await reserved<{ pid: number }[]>`select pg_backend_pid() as pid`
    await killer`select pg_terminate_backend(${row!.pid})`
    const refusals: string[] = []
    for (let tries = 0; tries < 3; tries++) await reserved`select 1`.catch((fault: { code?: string }) => refusals.push(fault.code ?? String(fault)))
    expect(refusals).toHaveLength(3)
    expect([...await killer`select 1 as one`]).toEqual([{ one: 1 }])
  } finally {
    await Promise.all([sql.end({ timeout: 1 }), killer.end({ timeout: 1 })])
  }
})
