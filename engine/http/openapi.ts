/**
 * The OpenAPI document, made from the operations of the contract and the table of answers: nothing in it is written twice.
 */
import { Type, type TSchema } from "typebox"
import { ANSWERS, type Outcome } from "../answers.ts"
import { ALWAYS, ALWAYS_WRITES, type Operation } from "../contract/operation.ts"
import { KIND_TERMS } from "../contract/campaigns.ts"
import { OPERATIONS } from "../contract/operations.ts"
import { generateCodes, importCodes, ImportLine } from "../contract/codes.ts"
import { issueCoupon, issueCoupons } from "../contract/coupons.ts"

export interface OpenApi {
  readonly openapi: "3.1.0"
  readonly info: Readonly<Record<string, string>>
  readonly tags: readonly { readonly name: string }[]
  readonly paths: Readonly<Record<string, Readonly<Record<string, Described>>>>
  readonly components: Readonly<Record<string, unknown>>
}

interface Media { readonly schema: object }
export interface Described {
  readonly operationId: string
  readonly tags: readonly string[]
  readonly summary: string
  readonly security: readonly object[]
  readonly parameters?: readonly { readonly name: string; readonly in: "path" | "query"; readonly required: boolean; readonly schema: object }[]
  readonly requestBody?: { readonly required: boolean; readonly content: Readonly<Record<string, Media>> }
  readonly responses: Readonly<Record<string, { readonly description: string; readonly headers?: object; readonly content?: Readonly<Record<string, Media>> }>>
  /** The scopes of which the key needs one, or all of them for "every". */
  readonly "x-scopes": readonly string[] | "every"
  /** Whether the key needs every business line. */
  readonly "x-every-line"?: true
}

const CODES = Object.keys(ANSWERS) as Outcome[]

/** Every no, as RFC 9457 has it; the fields that explain it stand beside these. */
export const ProblemSchema = Type.Object({
  type: Type.String({ description: "where the code is explained" }),
  title: Type.String(),
  status: Type.Integer(),
  code: Type.String({ description: "the outcome, in one word" }),
  retry: Type.Boolean({ description: "true: the same request may succeed later" }),
  detail: Type.String({ description: "a sentence" }),
  field: Type.Optional(Type.String({ description: "for request_invalid: the field at fault" })),
}, { additionalProperties: true })

/** Every word that an operation may answer, in the order of the table of answers. */
export const outcomesOf = (operation: Operation): Outcome[] => {
  const words = new Set<Outcome>([...(Object.keys(operation.yes) as Outcome[]), ...operation.no, ...ALWAYS, ...(operation.method === "GET" ? [] : ALWAYS_WRITES)])
  return CODES.filter((code) => words.has(code))
}

const HEADERS = {
  write: {
    "Idempotency-Hit": { description: "`true` when this answers a repeat.", schema: { type: "string", enum: ["true"] } },
    "Preference-Applied": { description: "What of `Prefer` was applied: `durability=local`.", schema: { type: "string" } },
  },
  retry: { "Retry-After": { description: "Seconds.", schema: { type: "integer" } } },
}

const properties = (schema: TSchema | undefined): [string, TSchema][] => Object.entries((schema as { properties?: Record<string, TSchema> } | undefined)?.properties ?? {})
const required = (schema: TSchema | undefined): readonly string[] => (schema as { required?: string[] } | undefined)?.required ?? []

const LINE_OUT = { type: "object", required: ["line", "status"], properties: { line: { type: "integer", description: "the number of the line that this answers, from 1" }, status: { type: "integer" } } }
const CODE_OUT = { anyOf: [ImportLine, { type: "object", required: ["codes"], properties: { codes: { type: "integer", description: "how many there are: the last line" } } }] }
const lines = (schema: object) => ({ "application/x-ndjson": { schema } })
/** What comes, and what is answered, line by line. */
const STREAMS: Readonly<Record<string, { readonly in?: object; readonly out: object; readonly says: string }>> = {
  [issueCoupons.name]: { in: issueCoupon.body!, out: LINE_OUT, says: "One line for each line that is not empty, in order: `line` and `status`, then the coupon or the problem." },
  [importCodes.name]: { in: ImportLine, out: LINE_OUT, says: "One line for each line that is not empty, in order: `line` and `status`, then the problem, if any." },
  [generateCodes.name]: { out: CODE_OUT, says: "One line for each code, and last how many there are." },
}

const describe = (operation: Operation): Described => {
  const { name, method, family, says, scopes, every_line, params, query, body, body_optional, yes } = operation
  const responses: Record<string, Described["responses"][string]> = {}
  const stream = STREAMS[name]
  if (stream) responses["200"] = { description: stream.says, content: lines(stream.out) }

  const byStatus = new Map<number, Outcome[]>()
  for (const outcome of outcomesOf(operation)) {
    const { status } = ANSWERS[outcome]
    byStatus.set(status, [...(byStatus.get(status) ?? []), outcome])
  }
  for (const [status, outcomes] of [...byStatus].sort(([a], [b]) => a - b)) {
    const description = outcomes.map((outcome) => `\`${outcome}\`: ${ANSWERS[outcome].say}`).join(" ")
    if (status < 300) {
      const schemas = [...new Set(outcomes.map((outcome) => yes[outcome]!))]
      const schema = schemas.length === 1 ? schemas[0]! : { anyOf: schemas }
      responses[status] = { description, ...(method === "GET" ? {} : { headers: HEADERS.write }), content: { "application/json": { schema } } }
    } else {
      const schema = { allOf: [{ $ref: "#/components/schemas/Problem" }, { type: "object", properties: { code: { type: "string", enum: outcomes } } }] }
      responses[status] = { description, ...(status === 503 ? { headers: HEADERS.retry } : {}), content: { "application/problem+json": { schema } } }
    }
  }

  const parameters = [
    ...properties(params).map(([each, schema]) => ({ name: each, in: "path" as const, required: true, schema })),
    ...properties(query).map(([each, schema]) => ({ name: each, in: "query" as const, required: required(query).includes(each), schema })),
  ]
  return {
    operationId: name, tags: [family], summary: says, security: [{ key: [] }], "x-scopes": scopes, ...(every_line ? { "x-every-line": true } : {}),
    ...(parameters.length > 0 ? { parameters } : {}),
    ...(stream?.in ? { requestBody: { required: true, content: lines(stream.in) } } : {}),
    ...(body ? { requestBody: { required: !body_optional, content: { "application/json": { schema: body } } } } : {}),
    responses,
  }
}

const open = (operationId: string, summary: string, type: string): Described => ({
  operationId, tags: ["house"], summary, security: [], "x-scopes": [],
  responses: { 200: { description: "As said.", content: { [type]: { schema: type === "application/json" ? { type: "object" } : { type: "string" } } } } },
})

const HOUSE: Record<string, { get: Described }> = {
  "/healthz": { get: open("healthz", "The process lives.", "application/json") },
  "/readyz": {
    get: {
      ...open("readyz", "Whether it can serve, what is missing, and what a 2xx survives.", "application/json"),
      responses: {
        200: { description: "It can serve.", content: { "application/json": { schema: { type: "object" } } } },
        503: { description: "It cannot; `missing` says why.", content: { "application/json": { schema: { type: "object" } } } },
      },
    },
  },
  "/metrics": { get: open("metrics", "For Prometheus.", "text/plain") },
  "/openapi.json": { get: open("openapi", "This document.", "application/json") },
  "/docs": { get: open("docs", "This document as a page.", "text/html") },
}

const ABOUT = [
  "Money is in whole minor units (`_minor`), shares in basis points (`_bp`), instants in RFC 3339 in UTC (`_at`), spans in seconds (`_s`).",
  "Every write is idempotent by the ids in it: a repeat has the same status and body and `Idempotency-Hit: true`; the same ids with other content are `request_conflict`.",
  "A repeat of a budget's, a campaign's or a public code's PUT is 200, also where the first was 201; what has no id of its own (activate, pause, stop, close) says what is so now.",
  "In an address an id is percent-encoded. `.` and `..` cannot stand in one, however they are encoded: no budget, campaign or badge can be called so, and what a user called so has cannot be listed.",
  "A no is `application/problem+json`: `code` is the word, `retry` says whether the same request may succeed later, `detail` is a sentence.",
  "`outcome_unknown` means just that: send the same request again and it tells.",
  "Fields that are not named here are refused in a request, and may be added to an answer.",
].join(" ")

/** The document. Each call makes a new one, free of anything that JSON cannot say. */
export const openapi = (): OpenApi => {
  const paths: Record<string, Record<string, Described>> = {}
  for (const operation of OPERATIONS) (paths[operation.path] ??= {})[operation.method.toLowerCase()] = describe(operation)
  const document: OpenApi = {
    openapi: "3.1.0",
    info: { title: "Scrip", version: "0.1.0", description: ABOUT },
    tags: [...new Set(OPERATIONS.map(({ family }) => family)), "house"].map((name) => ({ name })),
    paths: { ...paths, ...HOUSE },
    components: { securitySchemes: { key: { type: "http", scheme: "bearer" } }, schemas: { Problem: ProblemSchema, ...Object.fromEntries([...KIND_TERMS].map(([kind, terms]) => [`terms_${kind}`, terms])) } },
  }
  return JSON.parse(JSON.stringify(document)) as OpenApi
}
