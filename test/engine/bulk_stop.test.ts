/** A stop in the middle of a long bulk issue is a short one, and what was answered has happened. */
import { expect, setDefaultTimeout, test } from "bun:test"
import { connect } from "node:net"
import { runEngineProcess, until } from "../support/run_engine.ts"
import { stack } from "../support/stack.ts"

/** It starts an engine, on a machine that may be busy. */
setDefaultTimeout(180_000)

const KEY = "bulk-stop-test-0123456789"
const LINES = 100_000
const LOG_CHARS_MAX = 20_000

test("SIGINT while a bulk issue runs, and while another's answers are not read: over in its time, all that was answered is in Postgres, the log is short", async () => {
  const { ownRedis, freshDatabase } = await stack()
  const DATABASE_URL = await freshDatabase()
  const { redisUrl } = await ownRedis()
  const engine = runEngineProcess({ REDIS_URL: redisUrl, DATABASE_URL, SCRIP_BOOTSTRAP_KEY: KEY }, "engine/main.ts")
  const url = await engine.url()
  const headers = { authorization: `Bearer ${KEY}`, "content-type": "application/json" }
  const call = async (method: string, path: string, body?: unknown) => {
    const response = await fetch(`${url}${path}`, { method, headers, ...(body === undefined ? {} : { body: JSON.stringify(body) }) })
    expect([path, response.status < 300, await response.text()]).toEqual([path, true, expect.any(String)])
  }
  const at = (days: number) => new Date(Date.now() + days * 86_400_000).toISOString()
  await call("PUT", "/v1/budgets/b", { line: "retail", month: new Date().toISOString().slice(0, 7), currency: "CNY", limit_minor: 1_000_000_000 })
  await call("PUT", "/v1/campaigns/c", {
    line: "retail", name: "Many", currency: "CNY", kind: "amount_off", terms: { amount_minor: 100 }, starts_at: at(-1), ends_at: at(1), coupon_valid_s: 3_600,
    stock: 1_000_000, per_user: 1, hold_at: "reserve", funding: [{ budget_id: "b", share_bp: 10_000 }], on_refund: "keep",
  })
  await call("POST", "/v1/campaigns/c/activate", {})
  const lines = (user: string) => Array.from({ length: LINES }, (_, place) => `${JSON.stringify({ request_id: `r${place}`, campaign_id: "c", user_id: `${user}${place}` })}\n`).join("")

  // One who sends it all and reads nothing.
  const { port } = new URL(url)
  const deaf = connect(Number(port), "127.0.0.1", () => {
    const body = lines("deaf")
    deaf.write(`POST /v1/coupons/bulk HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${KEY}\r\nContent-Length: ${body.length}\r\n\r\n${body}`)
  })
  deaf.pause().on("error", () => undefined)

  const response = await fetch(`${url}/v1/coupons/bulk`, { method: "POST", headers, body: lines("u") })
  let said = ""
  const reading = (async () => {
    for await (const chunk of response.body!.pipeThrough(new TextDecoderStream() as unknown as TransformStream<Uint8Array, string>)) said += chunk
  })()
  await until("some thousand were answered", () => said.length > 500_000)
  engine.kill("SIGINT")
  await reading
  // It exits with 1 where its time for the stop was not kept.
  expect(await engine.exited).toBe(0)
  deaf.destroy()

  const answers = said.split("\n").filter((text) => text !== "").map((text) => JSON.parse(text) as { line: number; status: number; code?: string; coupon_id?: string })
  const last = answers.pop()!
  expect(last).toMatchObject({ line: answers.length + 1, status: 503, code: "overloaded" })
  expect(answers.length).toBeLessThan(LINES)
  // A line whose sync took longer than a caller waits says that its end is unknown.
  expect(answers.filter(({ status, code }) => status !== 201 && code !== "outcome_unknown")).toEqual([])
  expect(answers.filter(({ status }) => status === 201).length).toBeGreaterThan(1_000)
  expect(engine.said()).not.toContain("too long")
  expect(engine.said().length).toBeLessThan(LOG_CHARS_MAX)
  expect(engine.said().split("a stream of lines was ended by the stop")).toHaveLength(3)

  const sql = new Bun.SQL(DATABASE_URL)
  const rows = await sql`select coupon_id from coupons` as { coupon_id: string }[]
  await sql.close()
  const kept = new Set(rows.map(({ coupon_id }) => coupon_id))
  expect(answers.filter(({ status, coupon_id }) => status === 201 && !kept.has(coupon_id!))).toEqual([])
})
