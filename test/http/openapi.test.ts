/**
 * The document says what the app does: each route once, each word that it may answer, each body as it is checked.
 */
import { describe, expect, test } from "bun:test"
import { Compile } from "typebox/compile"
import { ANSWERS, type Outcome } from "../../engine/answers.ts"
import { OPERATIONS } from "../../engine/contract/operations.ts"
import { KINDS } from "../../engine/pricing/kinds/index.ts"
import { docsPage } from "../../engine/http/docs.ts"
import { type Described, openapi, outcomesOf } from "../../engine/http/openapi.ts"
import { honoPath } from "../../engine/http/serve.ts"
import { smallApp, threeLines } from "./small_app.ts"

const document = openapi()
const described = Object.entries(document.paths).flatMap(([path, methods]) => Object.entries(methods).map(([method, each]) => ({ path, method: method.toUpperCase(), each })))

/** The words that a route's document lists for a status. */
const codesAt = (each: Described, status: number): string[] => {
  const schema = each.responses[status]?.content?.["application/problem+json"]?.schema as { allOf: [{ $ref: string }, { properties: { code: { enum: string[] } } }] } | undefined
  return schema?.allOf[1].properties.code.enum ?? []
}

describe("the document", () => {
  test("has each route of the app, and no other", () => {
    const { app } = smallApp()
    const served = app.routes.map(({ method, path }) => `${method} ${path}`)
    // The bulk issue is told from its neighbours by its handler, see bulk.ts.
    const documented = described.map(({ method, path }) => `${method} ${path === "/v1/coupons/bulk" ? "/v1/coupons/:coupon_id" : honoPath(path)}`)
    expect(documented.toSorted()).toEqual([...new Set(served)].toSorted())
    expect(new Set(served).size).toBe(served.length)
  })

  test("has each word of each operation under its status, and the common ones everywhere", () => {
    for (const operation of OPERATIONS) {
      const each = document.paths[operation.path]![operation.method.toLowerCase()]!
      for (const outcome of outcomesOf(operation)) {
        const { status } = ANSWERS[outcome]
        expect(each.responses).toHaveProperty(String(status))
        if (status >= 300) expect(codesAt(each, status)).toContain(outcome)
      }
      for (const outcome of ["request_invalid", "key_missing", "key_unknown", "scope_missing", "overloaded", "fault"] as const) expect(codesAt(each, ANSWERS[outcome].status)).toContain(outcome)
    }
  })

  test("leaves no word of the table of answers without a route that answers it", () => {
    const told = new Set<Outcome>(OPERATIONS.flatMap(outcomesOf))
    // Held by the app itself, for what is no route.
    const untold = (Object.keys(ANSWERS) as Outcome[]).filter((outcome) => !told.has(outcome))
    expect(untold).toEqual(["not_found"])
  })

  test("has schemas that compile on their own, closed where they are of a request", () => {
    for (const { each } of described) {
      for (const { schema } of Object.values(each.requestBody?.content ?? {})) {
        Compile(schema)
        expect(schema).toHaveProperty("additionalProperties", false)
      }
      for (const { content } of Object.values(each.responses)) for (const { schema } of Object.values(content ?? {})) if (!JSON.stringify(schema).includes("$ref")) Compile(schema)
      for (const { schema } of each.parameters ?? []) Compile(schema)
    }
  })

  test("checks as the app does: what its schemas refuse, the app refuses", async () => {
    const { ask } = smallApp()
    const schema = document.paths["/v1/redemptions"]!["post"]!.requestBody!.content["application/json"]!.schema
    const documented = Compile(schema)
    for (const [body, isGood] of [[threeLines(), true], [{ ...threeLines(), zz: 1 }, false], [{ ...threeLines(), hold_s: 0 }, false], [{ ...threeLines(), user_id: "\u0001" }, false]] as const) {
      expect(documented.Check(body)).toBe(isGood)
      expect((await ask("POST", "/v1/redemptions", body)).status).toBe(isGood ? 200 : 400)
    }
  })

  test("has the terms of every kind, with the limits that no schema checks in words", () => {
    const schemas = document.components["schemas"] as Record<string, { properties: Record<string, { description?: string }> }>
    expect(Object.keys(schemas).filter((name) => name.startsWith("terms_")).sort()).toEqual(KINDS.map(({ name }) => `terms_${name}`).sort())
    for (const { name } of KINDS) Compile(schemas[`terms_${name}`]!)
    expect(schemas["terms_rate_uplift"]!.properties["days"]!.description).toContain("3650000")
    expect(schemas["terms_tiered_off"]!.properties["repeat"]!.description).toContain("exactly one tier")
  })

  test("names each path parameter, requires them, and says who may call", () => {
    for (const { path, each } of described) {
      const inPath = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name!)
      expect((each.parameters ?? []).filter((parameter) => parameter.in === "path").map(({ name, required }) => [name, required])).toEqual(inPath.map((name) => [name, true]))
      expect(each.security.length).toBe(path.startsWith("/v1/") ? 1 : 0)
    }
    expect(new Set(described.map(({ each }) => each.operationId)).size).toBe(described.length)
  })

  test("describes a problem as it is sent", async () => {
    const { ask } = smallApp({ answer: () => ({ outcome: "terms_not_met", reason: "threshold", needs: { spend_more_minor: 1 } }) })
    const schema = (document.components as { schemas: { Problem: object } }).schemas.Problem
    expect(Compile(schema).Check(await (await ask("POST", "/v1/redemptions", threeLines())).json())).toBe(true)
    expect(Compile(schema).Check(await (await ask("POST", "/v1/redemptions", {})).json())).toBe(true)
  })

  test("is served, and so is its page, which loads nothing from elsewhere", async () => {
    const { app } = smallApp()
    expect(await (await app.request("/openapi.json")).json()).toEqual(JSON.parse(JSON.stringify(document)))
    const page = await (await app.request("/docs")).text()
    expect(page).toBe(docsPage(document))
    expect(page).not.toMatch(/(src|href)="(https?:)?\/\//)
    for (const { each } of described) expect(page).toContain(`id="${each.operationId}"`)
    for (const outcome of Object.keys(ANSWERS)) expect(page).toContain(`id="${outcome}"`)
  })
})
