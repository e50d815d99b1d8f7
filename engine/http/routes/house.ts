/** What runs a house: does it live, can it serve, what does it count, what does it answer. No key is needed. */
import type { Hono } from "hono"
import { type Metrics, METRICS_TYPE } from "../metrics.ts"

/** Whether this process can serve, and what it promises. */
export interface Readiness {
  /** What is missing, in words; empty when nothing is. */
  readonly missing: readonly string[]
  readonly durability: string
  readonly clock: string
  readonly cells: number
  /** What else an operator should see. */
  readonly [more: string]: unknown
}

export interface HouseParts {
  readonly ready: () => Promise<Readiness> | Readiness
  readonly metrics: Metrics
  /** The OpenAPI document as text. */
  readonly document: string
  /** The page of docs as text. */
  readonly page: string
}

export const routeHouse = (app: Hono, { ready, metrics, document, page }: HouseParts): void => {
  app.get("/healthz", () => Response.json({ state: "alive" }))
  app.get("/readyz", async () => {
    const readiness = await ready()
    const isReady = readiness.missing.length === 0
    return Response.json({ ready: isReady, ...readiness }, { status: isReady ? 200 : 503, headers: isReady ? {} : { "retry-after": "1" } })
  })
  app.get("/metrics", async () => new Response(await metrics.page(), { headers: { "content-type": METRICS_TYPE } }))
  app.get("/openapi.json", () => new Response(document, { headers: { "content-type": "application/json" } }))
  app.get("/docs", () => new Response(page, { headers: { "content-type": "text/html; charset=utf-8" } }))
}
