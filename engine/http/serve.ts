/**
 * One operation as a route: who asks, what is asked, the use case, the answer.
 *
 * What must stay true: whatever is sent, the answer is one of the documented ones; nobody hears about a body before his key is
 * known; a breakage is logged once, here. There is no middleware, because a route with a single handler is the fastest Hono has.
 */
import type { Context, Hono } from "hono"
import { Type } from "typebox"
import { type Answered, ANSWERS, type Caller, type No, type Outcome } from "../answers.ts"
import { closed, instantMs, PAGE_DEFAULT } from "../contract/basics.ts"
import { check, fieldName, type RequestFault } from "../contract/check.ts"
import { EVERY_LINE } from "../contract/keys.ts"
import type { AskOf, Operation } from "../contract/operation.ts"
import { faultFields, type Log, type LogFields } from "../log.ts"
import { bearerOf, type FindKey, keyMissing, keyUnknown, mayDo, scopeMissing } from "./auth.ts"
import { isRead, readBody } from "./body.ts"
import type { Metrics } from "./metrics.ts"
import { answer, outcomeOfFault, problem } from "./problems.ts"

/** What every route is given. */
export interface Http {
  readonly findKey: FindKey
  readonly metrics: Metrics
  readonly log: Log
  /** `told` hears what time it is in a replay, from a caller whose key may ask. */
  readonly clock: { now_ms(): number; told(at_ms: number): void }
  readonly config: HttpConfig
  /** Aborted when this process is to stop: what is under way is answered, and a stream ends early. */
  readonly ending: AbortSignal
  /** Acts of this process that are let in and not answered: what is done in bulk gives way to them. */
  readonly acts_under_way: () => number
}

export interface HttpConfig {
  /** In a replay the caller says what time it is. */
  readonly clock: "system" | "replay"
  /** What a 2xx has survived, unless its caller asks for more. */
  readonly durability: "memory" | "local" | "replicated" | "ledger"
  /** Which requests leave a line in the log. */
  readonly log_requests: "all" | "faults"
}

export const NOW_HEADER = "Scrip-Now"

/** Our paths in Hono's spelling. */
export const honoPath = (path: string): string => path.replaceAll(/\{(\w+)\}/g, ":$1")

const invalid = ({ field, detail }: RequestFault): No => ({ outcome: "request_invalid", field, detail })

const PREFERS = /(?:^|,)\s*durability\s*=\s*"?(local|replicated|ledger)"?\s*(?:;|,|$)/i

/**
 * RFC 7240: of what a caller prefers, the durability that is in force here is applied, and `ledger` wherever servers keep what they
 * answer; anything else is as if it were not said.
 */
const preferenceOf = (header: string | null, { durability }: HttpConfig): string | undefined => {
  if (header === null) return undefined
  const wanted = PREFERS.exec(header)?.[1]?.toLowerCase()
  return wanted !== undefined && (wanted === durability || (wanted === "ledger" && durability !== "memory")) ? `durability=${wanted}` : undefined
}

/** The instant of a request, or what is wrong with how the caller of a replay gave it. */
const nowOf = (http: Http, request: Request): number | RequestFault => {
  if (http.config.clock === "system") return http.clock.now_ms()
  const said = request.headers.get(NOW_HEADER)
  if (said === null) return request.method === "GET" ? http.clock.now_ms() : { field: NOW_HEADER, detail: `${NOW_HEADER} is missing: in a replay each request says what time it is.` }
  const now_ms = /^[0-9]{1,15}$/.test(said) ? Number(said) : instantMs(said)
  return now_ms ?? { field: NOW_HEADER, detail: `${NOW_HEADER} must be an instant of RFC 3339 in UTC or milliseconds.` }
}

type Ask = Record<string, unknown>
type Asked = { readonly ask: Ask } | { readonly no: No }
const NOTHING: Ask = {}

/** Put the query into `asked`: whole numbers where the contract wants them, and no name twice. */
const fillQuery = (asked: Ask, url: string, from: number, whole: ReadonlySet<string>): RequestFault | undefined => {
  for (const [name, value] of new URLSearchParams(url.slice(from + 1))) {
    if (Object.hasOwn(asked, name)) return { field: fieldName(undefined, [name]), detail: `${fieldName(undefined, [name])} stands twice in the query.` }
    const read = whole.has(name) && /^[0-9]{1,15}$/.test(value) ? Number(value) : value
    Object.defineProperty(asked, name, { value: read, enumerable: true, writable: true, configurable: true })
  }
  return undefined
}

const LEDGER = { durability: "ledger" } as const
const NO_QUERY = Type.Object({}, closed)

/** Compile what an operation takes into a function from a request to what is asked. */
export const askReader = (operation: Operation): ((c: Context) => Promise<Asked>) => {
  const { params, query, body, rule, body_optional } = operation
  const checkParams = params && check(params)
  const checkQuery = check(query ?? NO_QUERY)
  const checkBody = body && check(body, rule)
  const names = Object.keys(params?.properties ?? {})
  const whole = new Set(Object.entries(query?.properties ?? {}).filter(([, schema]) => (schema as { type?: string }).type === "integer").map(([name]) => name))
  const no = (fault: RequestFault): Asked => ({ no: invalid(fault) })

  const fillPath = (ask: Ask, c: Context): RequestFault | undefined => {
    for (const name of names) ask[name] = c.req.param(name)
    const { url } = c.req.raw
    if (url.includes("%")) {
      try { decodeURIComponent(new URL(url).pathname) } catch { return { field: names[0]!, detail: `${names[0]} is not UTF-8 in percent-encoding.` } }
    }
    return checkParams!(ask)
  }

  return async (c) => {
    const { raw } = c.req
    let ask = NOTHING
    if (checkParams) {
      const fault = fillPath(ask = {}, c)
      if (fault) return no(fault)
    }
    const from = raw.url.indexOf("?")
    if (query || from !== -1) {
      const asked: Ask = {}
      const fault = (from === -1 ? undefined : fillQuery(asked, raw.url, from, whole)) ?? checkQuery(asked)
      if (fault) return no(fault)
      if (query) ask = { ...(whole.has("limit") ? { limit: PAGE_DEFAULT } : NOTHING), ...ask, ...asked }
    }
    if (!checkBody) return { ask }
    const read = await readBody(raw)
    if (!isRead(read)) return { no: read }
    const value = read.value === undefined && body_optional ? NOTHING : read.value
    if (value === undefined) return no({ field: "", detail: "The body is missing." })
    const fault = checkBody(value)
    if (fault) return no(fault)
    return { ask: checkParams ? { ...ask, ...(value as Ask) } : value as Ask }
  }
}

/** The ids of an ask that a log line may carry; the log itself hashes the user's. */
const LOGGED = ["user_id", "order_id", "request_id", "redemption_id", "coupon_id", "campaign_id", "budget_id", "refund_id"] as const
const loggedOf = (ask: Ask): LogFields => {
  const fields: Record<string, string> = {}
  for (const name of LOGGED) if (typeof ask[name] === "string") fields[name] = ask[name]
  return fields
}

/** Who asks and when, or why he may not. */
export const callerOf = async (http: Http, request: Request, { scopes, every_line }: Pick<Operation, "scopes" | "every_line">): Promise<Caller | No> => {
  const now = nowOf(http, request)
  const bearer = bearerOf(request.headers.get("authorization"))
  if (bearer === undefined) return keyMissing
  const key = await http.findKey(bearer, typeof now === "number" ? now : http.clock.now_ms())
  if (key === undefined) return keyUnknown
  if (!mayDo(key.scopes, scopes)) return scopeMissing(scopes)
  if (every_line && !key.lines.includes(EVERY_LINE)) return { outcome: "scope_missing", line: EVERY_LINE }
  if (typeof now !== "number") return invalid(now)
  if (http.config.clock === "replay") http.clock.told(now)
  const is_ledger = preferenceOf(request.headers.get("prefer"), http.config) === "durability=ledger"
  return { now_ms: now, key_id: key.key_id, scopes: key.scopes, lines: key.lines, ...(is_ledger ? LEDGER : {}) }
}

export const isCaller = (caller: Caller | No): caller is Caller => "key_id" in caller

/** Say what became of a request: to the metrics always, to the log when it was wanted or something broke. */
export const settle = (http: Http, operation: Operation, outcome: Outcome, began_ms: number, caller: Caller | undefined, ask: Ask, fault?: unknown): void => {
  const duration_ms = performance.now() - began_ms
  http.metrics.observe(operation.name, outcome, duration_ms / 1000)
  const broke = fault !== undefined
  if (!broke && http.config.log_requests === "faults") return
  const fields: LogFields = {
    act: operation.name, outcome, status: ANSWERS[outcome].status, duration_ms: Math.round(duration_ms * 1000) / 1000,
    method: operation.method, route: operation.path, ...(caller ? { api_key_id: caller.key_id } : {}), ...loggedOf(ask),
    ...(broke ? faultFields(fault) : {}),
  }
  if (!broke) http.log.info("request", fields)
  else if (outcome === "fault") http.log.error("a request has failed", fields)
  else http.log.warn("a request could not be served", fields)
}

/** Put one operation on the app. */
export const serve = <O extends Operation>(app: Hono, http: Http, operation: O, use: (ask: AskOf<O>, caller: Caller) => Promise<Answered>): void => {
  const readAsk = askReader(operation)
  const run = use as (ask: Ask, caller: Caller) => Promise<Answered>
  app.on(operation.method, honoPath(operation.path), async (c) => {
    const began_ms = performance.now()
    const { raw } = c.req
    const preference = preferenceOf(raw.headers.get("prefer"), http.config)
    let caller: Caller | undefined
    let ask = NOTHING
    try {
      const who = await callerOf(http, raw, operation)
      if (!isCaller(who)) {
        settle(http, operation, who.outcome, began_ms, undefined, ask)
        return problem(who)
      }
      caller = who
      const asked = await readAsk(c)
      if ("no" in asked) {
        settle(http, operation, asked.no.outcome, began_ms, caller, ask)
        return problem(asked.no)
      }
      ask = asked.ask
      const answered = await run(ask, caller)
      settle(http, operation, answered.outcome, began_ms, caller, ask)
      return answer(answered, preference)
    } catch (fault) {
      const outcome = outcomeOfFault(fault)
      settle(http, operation, outcome, began_ms, caller, ask, fault)
      return problem({ outcome })
    }
  })
}
