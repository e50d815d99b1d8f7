// Reports over HTTP: what is published, page by page, for a key of all lines.

import { expect, test } from "bun:test"
import { openShop } from "../support/shop.ts"

const put = async (sql: Awaited<ReturnType<typeof openShop>>["parts"]["postgres"]["sql"], period: string, jobs: readonly string[], is_published: boolean): Promise<void> => {
  const run_id = `run-${period}`
  await sql`insert into runs (run_id, job, period, state, requested_ms, published_ms) values (${run_id}, 'reports', ${period}, 'published', 1, ${Date.UTC(2026, 10, 1)})`
  if (is_published) await sql`insert into run_periods (job, period, set_name, run_id) values ('reports', ${period}, '', ${run_id})`
  for (const job of jobs) {
    await sql`insert into reports (run_id, job, period, set_name, title, sentence, html) values (${run_id}, ${job}, ${period}, '', ${`${job} of ${period}`}, 'As many as before.', '<!doctype html>')`
  }
}

test("report_unknown: only what is published is listed and read, the newest period first, page by page", async () => {
  const { call, parts } = await openShop()
  const { sql } = parts.postgres
  await put(sql, "2031-01", ["badges", "risk"], true)
  await put(sql, "2031-02", ["badges"], true)
  await put(sql, "2031-03", ["badges"], false)
  const first = (await call("GET", "/v1/reports?limit=2")).body
  expect(first.items.map(({ title }: { title: string }) => title)).toEqual(["badges of 2031-02", "badges of 2031-01"])
  const second = (await call("GET", `/v1/reports?limit=2&after=${first.next}`)).body
  expect(second).toMatchObject({ items: [{ title: "risk of 2031-01", page: "/v1/reports/risk/2031-01", published_at: "2026-11-01T00:00:00.000Z" }], next: null })
  expect((await call("GET", second.items[0].page)).body).toMatchObject({ job: "risk", period: "2031-01", set: "", html: "<!doctype html>" })
  for (const path of ["badges/2031-03", "badges/2031-04", "risk/2031-02", "badges/2031-01?set=other"]) {
    expect(await call("GET", `/v1/reports/${path}`)).toMatchObject({ status: 404, body: { code: "report_unknown" } })
  }
  for (const after of ["nonsense", Buffer.from(JSON.stringify(["\0", "", ""])).toString("base64url")]) {
    expect(await call("GET", `/v1/reports?after=${after}`)).toMatchObject({ status: 400, body: { code: "request_invalid", field: "after" } })
  }
})

test("scope_missing: a key of some lines reads no page, books, risk or run, because they tell of all", async () => {
  const { call } = await openShop()
  const { key } = (await call("POST", "/v1/keys", { name: "reader", scopes: ["read"], lines: ["wealth"] })).body
  const paths = ["/v1/reports", "/v1/reports/badges/2031-01", "/v1/reconciliation/2031-01", "/v1/reconciliation/2031-01/keys", "/v1/risk/top?dimension=user&day=2031-01-01", "/v1/runs", "/v1/runs/none", "/v1/runs/none/diff"]
  for (const path of paths) expect(await call("GET", path, undefined, { key })).toMatchObject({ status: 403, body: { code: "scope_missing", line: "*" } })
})
