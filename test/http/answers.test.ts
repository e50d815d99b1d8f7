/**
 * Who may ask, and how an outcome is told: by the table of answers and nothing else.
 */
import { describe, expect, test } from "bun:test"
import { ANSWERS, type Answered, type Outcome, SCOPES } from "../../engine/answers.ts"
import { OPERATIONS } from "../../engine/contract/operations.ts"
import { quietLog } from "../../engine/log.ts"
import { PostgresAway } from "../../engine/store/away.ts"
import { NotExecuted, OutcomeUnknown, RedisFull } from "../../engine/store/redis.ts"
import { NOON_MS, smallApp, threeLines } from "./small_app.ts"

const problemOf = async (response: Response) => {
  expect(response.headers.get("content-type")).toBe("application/problem+json")
  return await response.json() as Record<string, unknown>
}
const paths = (path: string) => path.replaceAll(/\{\w+\}/g, "id")

describe("who asks", () => {
  const { ask, app, calls } = smallApp()

  test("key_missing: 401 without a key, on every route", async () => {
    for (const { method, path } of OPERATIONS) {
      const response = await app.request(paths(path), { method })
      expect(response.status).toBe(401)
      expect(response.headers.get("www-authenticate")).toBe("Bearer")
      expect((await problemOf(response))["code"]).toBe("key_missing")
    }
    for (const authorization of ["Basic abc", "Bearer", "Bearer ", "all"]) expect((await app.request("/v1/keys", { method: "POST", headers: { authorization } })).status).toBe(401)
  })

  test("key_unknown: 401 with a key that nobody made", async () => {
    const response = await ask("POST", "/v1/redemptions", threeLines(), { key: "nobody" })
    expect([response.status, (await problemOf(response))["code"]]).toEqual([401, "key_unknown"])
  })

  test("scope_missing: 403 for a key with every scope but those that serve, before the body is looked at", async () => {
    for (const { method, path, scopes } of OPERATIONS) {
      for (const scope of SCOPES) {
        const response = await ask(method, paths(path), method === "GET" ? undefined : "{", { key: scope })
        expect([scope, path, response.status === 403]).toEqual([scope, path, scopes === "every" || !scopes.includes(scope)])
        if (response.status === 403) expect((await problemOf(response))["code"]).toBe("scope_missing")
      }
    }
  })

  test("the scheme is read in any case, and the use case hears who asks and when", async () => {
    expect((await app.request("/v1/budgets/b", { headers: { authorization: "bearer  read" } })).status).toBe(200)
    expect(calls.at(-1)!.caller).toEqual({ now_ms: NOON_MS, key_id: "key_read", scopes: ["read"], lines: ["*"] })
  })

  test("not_found: 404 for no such address and for no such method", async () => {
    for (const [method, path] of [["GET", "/"], ["GET", "/v1"], ["PATCH", "/v1/budgets/b"], ["DELETE", "/v1/redemptions/r"], ["POST", "/v1/coupons/c"], ["GET", "/v1/coupons"]] as const) {
      const response = await ask(method, path)
      expect([response.status, (await problemOf(response))["code"]]).toEqual([404, "not_found"])
    }
  })
})

describe("how an outcome is told", () => {
  for (const outcome of Object.keys(ANSWERS) as Outcome[]) {
    const { status, retry, say } = ANSWERS[outcome]
    test(`${outcome}: ${status}`, async () => {
      const isYes = status < 300
      const answered: Answered = isYes ? { outcome, body: { is: outcome } } : { outcome, needs: { spend_more_minor: 5 } }
      const { ask } = smallApp({ answer: () => answered })
      const response = await ask("POST", "/v1/redemptions", threeLines())
      expect(response.status).toBe(status)
      if (isYes) {
        expect(response.headers.get("content-type")).toBe("application/json")
        expect(await response.json()).toEqual({ is: outcome })
      } else {
        expect(await problemOf(response)).toEqual({ type: `/docs#${outcome}`, title: say, status, code: outcome, retry, detail: say, needs: { spend_more_minor: 5 } })
        expect(response.headers.has("retry-after")).toBe(status === 503 && retry)
      }
      expect(response.headers.has("idempotency-hit")).toBe(false)
    })
  }

  test("a repeat has the same status and body, and Idempotency-Hit", async () => {
    const { ask } = smallApp({ answer: () => ({ outcome: "reserved", body: { a: 1 }, hit: true }) })
    const response = await ask("POST", "/v1/redemptions", threeLines())
    expect([response.status, response.headers.get("idempotency-hit"), await response.json()]).toEqual([201, "true", { a: 1 }])
  })

  test("a use case's own sentence stands in detail", async () => {
    const { ask } = smallApp({ answer: () => ({ outcome: "terms_not_met", detail: "20.00 more is needed.", reason: "threshold" }) })
    expect(await problemOf(await ask("POST", "/v1/redemptions", threeLines()))).toMatchObject({ title: ANSWERS.terms_not_met.say, detail: "20.00 more is needed.", reason: "threshold" })
  })

  test("what is thrown is a 503 by its kind, and only a breakage is logged as an error", async () => {
    const thrown: [Error, Outcome][] = [
      [new NotExecuted("n"), "overloaded"], [new OutcomeUnknown("o"), "outcome_unknown"], [new RedisFull("r"), "journal_full"], [new PostgresAway("p"), "not_ready"], [new TypeError("bug"), "fault"],
    ]
    for (const [error, outcome] of thrown) {
      const said: string[] = []
      const log = { ...quietLog, warn: () => said.push("warn"), error: () => said.push("error") }
      const { ask } = smallApp({ answer: () => { throw error }, log })
      const response = await ask("POST", "/v1/redemptions", threeLines())
      const body = await problemOf(response)
      expect([response.status, body["code"], body["retry"]]).toEqual([outcome === "fault" ? 500 : 503, outcome, outcome !== "fault"])
      expect(JSON.stringify(body)).not.toContain(error.message === "bug" ? "bug" : "\u0000")
      expect(said).toEqual([outcome === "fault" ? "error" : "warn"])
    }
  })

  test("Prefer: the durability in force is applied and said so, and so is ledger; anything else is as if it were not said", async () => {
    const { ask, calls } = smallApp({ answer: () => ({ outcome: "reserved", body: {} }) })
    const applied = async (prefer: string) => (await ask("POST", "/v1/redemptions", threeLines(), { headers: { prefer } })).headers.get("preference-applied")
    expect(await applied("durability=local")).toBe("durability=local")
    expect(await applied('respond-async, Durability="local"; x=y')).toBe("durability=local")
    expect(calls.at(-1)!.caller.durability).toBeUndefined()
    expect(await applied("durability=ledger")).toBe("durability=ledger")
    expect(calls.at(-1)!.caller.durability).toBe("ledger")
    const memory = smallApp({ config: { durability: "memory" } })
    for (const prefer of ["durability=ledger", "durability=local"]) {
      expect((await memory.ask("POST", "/v1/redemptions", threeLines(), { headers: { prefer } })).headers.get("preference-applied")).toBeNull()
    }
    for (const prefer of ["durability=replicated", "durability=locally", "respond-async", "xdurability=local"]) expect(await applied(prefer)).toBeNull()
  })
})

describe("what time it is", () => {
  test("in a replay each write says it, and a read may", async () => {
    const { ask, calls, told } = smallApp({ config: { clock: "replay" } })
    const at = (now: string) => ask("POST", "/v1/redemptions", threeLines(), { headers: { "scrip-now": now } })
    await at("2026-01-02T03:04:05Z")
    expect(calls.at(-1)!.caller.now_ms).toBe(Date.parse("2026-01-02T03:04:05Z"))
    await at("1700000000123")
    expect(calls.at(-1)!.caller.now_ms).toBe(1_700_000_000_123)
    await ask("POST", "/v1/redemptions", threeLines(), { key: "nobody", headers: { "scrip-now": "2040-01-01T00:00:00Z" } })
    expect(told).toEqual([Date.parse("2026-01-02T03:04:05Z"), 1_700_000_000_123])
    for (const response of [await at("noon"), await at("-1"), await ask("POST", "/v1/redemptions", threeLines())]) {
      expect([response.status, (await problemOf(response))["field"]]).toEqual([400, "Scrip-Now"])
    }
    expect((await ask("GET", "/v1/redemptions/r")).status).toBe(200)
    expect(calls.at(-1)!.caller.now_ms).toBe(NOON_MS)
  })

  test("otherwise nobody but the clock says it", async () => {
    const { ask, calls } = smallApp()
    await ask("POST", "/v1/redemptions", threeLines(), { headers: { "scrip-now": "2020-01-01T00:00:00Z" } })
    expect(calls.at(-1)!.caller.now_ms).toBe(NOON_MS)
  })
})

describe("the house", () => {
  test("/healthz lives, /readyz says what is missing and what a 2xx survives", async () => {
    const { app, missing } = smallApp()
    expect((await app.request("/healthz")).status).toBe(200)
    const ready = await app.request("/readyz")
    expect([ready.status, await ready.json()]).toEqual([200, { ready: true, missing: [], durability: "local", clock: "system", cells: 1 }])
    missing.push("redis")
    const not = await app.request("/readyz")
    expect([not.status, not.headers.get("retry-after"), (await not.json() as { missing: string[] }).missing]).toEqual([503, "1", ["redis"]])
  })

  test("/metrics counts acts by outcome, and a gauge that fails hides no other", async () => {
    const { app, ask, metrics } = smallApp({ answer: () => ({ outcome: "coupon_ended" }) })
    metrics.gauge({ name: "scrip_flush_lag_seconds", says: "How old the oldest unflushed entry is.", read: () => [{ labels: { cell: "0" }, value: 0.25 }] })
    metrics.gauge({ name: "scrip_broken", says: "It never answers.", read: () => { throw new Error("away") } })
    await ask("POST", "/v1/redemptions", threeLines())
    await ask("POST", "/v1/redemptions", { ...threeLines(), zz: 1 })
    const response = await app.request("/metrics")
    const text = await response.text()
    expect(response.headers.get("content-type")).toStartWith("text/plain")
    for (const line of [
      'scrip_acts_total{act="reserve",outcome="coupon_ended"} 1', 'scrip_acts_total{act="reserve",outcome="request_invalid"} 1',
      'scrip_act_seconds_bucket{act="reserve",outcome="coupon_ended",le="+Inf"} 1', 'scrip_act_seconds_count{act="reserve",outcome="coupon_ended"} 1',
      'scrip_flush_lag_seconds{cell="0"} 0.25', 'scrip_gauge_failures_total{gauge="scrip_broken"} 1',
    ]) expect(text.split("\n")).toContain(line)
  })

  test("a request leaves a line where that is wanted, and a user's id is the log's to hash", async () => {
    const lines: unknown[] = []
    const { ask } = smallApp({ config: { log_requests: "all" }, log: { ...quietLog, info: (_, fields) => lines.push(fields) } })
    await ask("POST", "/v1/redemptions", threeLines())
    expect(lines).toEqual([expect.objectContaining({ act: "reserve", outcome: "found", status: 200, route: "/v1/redemptions", api_key_id: "key_all", user_id: "user-1", order_id: "order-1" })])
  })
})
