/** The worker of a start: a process beside the API, which answers without it and has it back when it dies. */
import { describe, expect, setDefaultTimeout, test } from "bun:test"
import { readFileSync } from "node:fs"
import { isAlive, signal } from "../../engine/child.ts"
import { askingAgain } from "../support/later.ts"
import { descendantsOf, runEngineProcess, until } from "../support/run_engine.ts"

/** It starts an engine with servers of its own, on a machine that may be busy. */
setDefaultTimeout(180_000)

const KEY = "worker-test-0123456789"
/** What a process was started with; nothing of one that has ended since it was seen, as a session of Postgres may. */
const environOf = (pid: number): string => { try { return readFileSync(`/proc/${pid}/environ`, "utf8") } catch { return "" } }
const workersOf = (pid: number) => descendantsOf(pid).filter((child) => environOf(child.pid).split("\0").includes("SCRIP_ROLE=worker"))

describe("the worker's process", () => {
  test("dies: acts are answered meanwhile, it is started again, and Postgres hears of them all", async () => {
    const engine = runEngineProcess({ SCRIP_BOOTSTRAP_KEY: KEY, SCRIP_CELLS: "7" }, "engine/main.ts")
    const url = await engine.url()
    // A sync that takes longer than a caller waits is a 503 that says "ask again".
    const call = askingAgain(async (method, path, body) => {
      const response = await fetch(`${url}${path}`, { method, headers: { authorization: `Bearer ${KEY}`, "content-type": "application/json" }, ...(body === undefined ? {} : { body: JSON.stringify(body) }) })
      return { status: response.status, body: await response.json(), headers: response.headers }
    })
    const limitInPostgres = async () => ((await call("GET", "/v1/budgets/b/entries")).body.items as { limit_minor: number }[] | undefined)?.reduce((sum, { limit_minor }) => sum + limit_minor, 0)
    const month = new Date().toISOString().slice(0, 7)
    expect((await call("PUT", "/v1/budgets/b", { line: "retail", month, currency: "CNY", limit_minor: 1_000 })).status).toBeOneOf([200, 201]) // 200 where it was asked again
    await until("the budget is in Postgres", async () => await limitInPostgres() === 1_000)

    const [worker, ...more] = workersOf(engine.pid)
    expect(worker && more).toEqual([])
    signal(worker!, "SIGKILL")
    await until("the worker is dead", () => !isAlive(worker!))
    expect((await call("POST", "/v1/budgets/b/additions", { addition_id: "a", amount_minor: 500 })).status).toBe(201)
    await until("the addition is in Postgres", async () => await limitInPostgres() === 1_500)
    expect(engine.said()).toContain('"child":"worker"')
    engine.kill("SIGTERM")
    expect(await engine.exited).toBe(0)
  })
})
