/**
 * The app with a use case that records what it is asked: routing, validation and answers are under test, no store is.
 */
import { type Answered, type Caller, SCOPES, type Scope } from "../../engine/answers.ts"
import { createApp } from "../../engine/http/app.ts"
import type { HttpConfig } from "../../engine/http/serve.ts"
import { makeMetrics } from "../../engine/http/metrics.ts"
import { type Log, quietLog } from "../../engine/log.ts"
import type { Use, Uses } from "../../engine/uses.ts"

/** Noon of a day that every test of this folder shares. */
export const NOON_MS = Date.parse("2026-11-22T12:00:00Z")

export interface Call { readonly use: string; readonly ask: Record<string, unknown>; readonly caller: Caller }

/** Keys by their tokens: `all` may do everything, every scope has a key of its own name. */
const KEYS = new Map<string, readonly Scope[]>([["all", SCOPES], ...SCOPES.map((scope): [string, readonly Scope[]] => [scope, [scope]])])

/** An app whose use cases all answer what `answer` says. */
export const smallApp = ({ answer = () => ({ outcome: "found", body: {} }), config = {}, log = quietLog, ending = new AbortController().signal, acts_under_way = () => 0 }: {
  answer?: (call: Call) => Answered | Promise<Answered>
  config?: Partial<HttpConfig>
  log?: Log
  ending?: AbortSignal
  acts_under_way?: () => number
} = {}) => {
  const calls: Call[] = []
  const use = (name: string): Use<unknown> => async (ask, caller) => {
    const call = { use: name, ask: ask as Record<string, unknown>, caller }
    calls.push(call)
    return answer(call)
  }
  const uses: Uses = {
    coupons: { issue: use("issue"), revoke: use("revoke"), list: use("list_coupons") },
    codes: {
      claim: use("claim"), putPublic: use("put_public_code"), list: use("list_codes"), revoke: use("revoke_codes"),
      generate: async () => ({ hit: false, lines: (async function* () { yield '{"code":"2222-2222-2222-2222"}\n' })() }),
      import: async () => async () => ({ outcome: "created", body: {} }),
    },
    checkout: {
      quote: use("quote"), discounts: use("checkout_discounts"), reserve: use("reserve"), confirm: use("confirm"), extend: use("extend"), cancel: use("cancel"), refund: use("refund"),
      get: use("get_redemption"), list: use("list_redemptions"),
    },
    budgets: { put: use("put_budget"), add: use("add_to_budget"), close: use("close_budget"), get: use("get_budget"), entries: use("list_budget_entries") },
    campaigns: { put: use("put_campaign"), activate: use("activate_campaign"), pause: use("pause_campaign"), stop: use("stop_campaign"), get: use("get_campaign") },
    events: { list: use("list_events") },
    badges: { put: use("put_badge"), activate: use("activate_badge"), get: use("get_badge"), list: use("list_user_badges"), claim: use("claim_badge") },
    reports: { list: use("list_reports"), get: use("get_report") },
    insights: {
      create_run: use("create_run"), get_run: use("get_run"), list_runs: use("list_runs"), publish_run: use("publish_run"), rollback_run: use("rollback_run"), diff_run: use("diff_run"),
      reconciliation: use("get_reconciliation"), reconciliation_keys: use("list_reconciliation_keys"), close_reconciliation: use("close_reconciliation"),
    },
    risk: { top: use("top_risk") },
    keys: { create: use("create_key"), revoke: use("revoke_key") },
  }
  const metrics = makeMetrics()
  const missing: string[] = []
  const told: number[] = []
  const app = createApp({
    uses, metrics, log,
    findKey: async (bearer) => {
      const scopes = KEYS.get(bearer)
      return scopes && { key_id: `key_${bearer}`, scopes, lines: ["*"] }
    },
    ready: () => ({ missing, durability: "local", clock: "system", cells: 1 }),
    clock: { now_ms: () => NOON_MS, told: (at_ms) => told.push(at_ms) },
    config: { clock: "system", log_requests: "faults", durability: "local", ...config },
    ending, acts_under_way,
  })
  /** Ask with the key that may do everything, or with another. */
  const ask = (method: string, path: string, body?: unknown, { key = "all", headers = {} }: { key?: string; headers?: Record<string, string> } = {}) =>
    app.request(path, {
      method,
      headers: { authorization: `Bearer ${key}`, ...headers },
      ...(body === undefined ? {} : { body: typeof body === "string" ? body : JSON.stringify(body) }),
    })
  return { app, ask, calls, metrics, missing, told }
}

/** A reserve of three lines, as a checkout would send it. */
export const threeLines = () => ({
  order_id: "order-1", user_id: "user-1", coupons: "best", hold_s: 600,
  order: {
    currency: "CNY", channel: "app", region: "east", payment_method: "card", shipping_minor: 800,
    lines: [
      { line_id: "1", sku: "sku-1", merchant_id: "m-1", category: "shoes", unit_price_minor: 19900, quantity: 1 },
      { line_id: "2", sku: "sku-2", category: "hats", unit_price_minor: 4900, quantity: 2 },
      { line_id: "3", sku: "sku-3", unit_price_minor: 100, quantity: 30 },
    ],
  },
})
