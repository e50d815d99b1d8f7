/**
 * Issue many coupons in one call: NDJSON in, NDJSON out, one answer a line, in the order of the lines.
 *
 * What must stay true: the whole call has no limit and each piece of it has one: a line, the issues under way, the answers that nobody
 * has read yet, the calls at a time. What was answered has happened, also when either side cuts the stream; a repeat of the
 * whole call answers the same, because every line is idempotent by its own ids. A bad line is answered and stops nothing. When the process is to
 * stop, the lines under way are answered, then the first that was not read is answered `overloaded`, and the stream ends there.
 *
 * A caller may send everything before he reads anything: the answers wait for him up to ANSWERS_WAITING_CHARS_MAX, which is more
 * than 100,000 lines need. Beyond it we stop reading until he does.
 */
import type { Hono } from "hono"
import { type Answered, ANSWERS, type Caller, type No, type Outcome } from "../answers.ts"
import { type Check, check } from "../contract/check.ts"
import { type IssueAsk, issueCoupon, issueCoupons } from "../contract/coupons.ts"
import type { Operation } from "../contract/operation.ts"
import type { Use } from "../uses.ts"
import { makeGiveWay } from "./give_way.ts"
import { makeLineTally, type StreamEnd } from "./line_tally.ts"
import { type Line, linesOf, ReadingStopped } from "./lines.ts"
import { makeOutbox } from "./outbox.ts"
import { isYes, outcomeOfFault, problem, problemBody } from "./problems.ts"
import { callerOf, type Http, isCaller, settle } from "./serve.ts"

/** An issue with every field at its longest has less. */
export const LINE_BYTES_MAX = 16 * 1024
/** Issues of one call under way at a time where a yes is one only when a replica or Postgres has it: what waits for them is in nobody's way. */
const ISSUES_PROMISED_AT_ONCE = 64
/** Answers that wait for a reader, in characters; an answer has about 230. */
export const ANSWERS_WAITING_CHARS_MAX = 48 * 1024 * 1024
/** Bulk calls of one process at a time; more are `overloaded`. */
export const BULK_CALLS_MAX = 4

export const NDJSON = { "content-type": "application/x-ndjson" }
const utf8 = new TextDecoder("utf-8", { fatal: true })
const checkIssue = check(issueCoupon.body!, issueCoupon.rule)

const invalid = (field: string, detail: string): No => ({ outcome: "request_invalid", field, detail })
const stopped: No = { outcome: "overloaded", detail: "This server is being stopped: from this line on nothing was read. Send it and what follows again." }
const tooLong: No = { outcome: "request_too_large", detail: `A line has at most ${LINE_BYTES_MAX} bytes.`, bytes_max: LINE_BYTES_MAX }

/** What a line asks, or why it asks nothing; `undefined` for a blank one. */
const readLine = <Ask>(line: Line, checkLine: Check): { readonly ask: Ask } | { readonly no: No } | undefined => {
  if ("too_long" in line) return { no: tooLong }
  let value: unknown
  try {
    const text = utf8.decode(line.bytes)
    if (text.trim() === "") return undefined
    value = JSON.parse(text)
  } catch (error) {
    return { no: invalid("", `The line is not JSON: ${error instanceof Error ? error.message : "it cannot be read"}.`) }
  }
  const fault = checkLine(value)
  return fault ? { no: invalid(fault.field, fault.detail) } : { ask: value as Ask }
}

const answerLine = (number: number, answered: Answered): string =>
  isYes(answered)
    ? `${JSON.stringify({ line: number, status: ANSWERS[answered.outcome].status, ...(answered.hit ? { idempotency_hit: true } : {}), ...answered.body })}\n`
    : `${JSON.stringify({ line: number, ...problemBody(answered) })}\n`

/** What becomes of the lines of a stream. */
export interface LineWork<Ask> {
  readonly http: Http
  readonly operation: Operation
  readonly caller: Caller
  readonly body: ReadableStream<Uint8Array>
  readonly checkLine: Check
  /** Lines of this call under way at a time, now. */
  readonly at_once: () => number
  /** What it throws is an answer as well. */
  readonly answer: (ask: Ask) => Promise<Answered>
  /** All that could be answered was. */
  readonly onEnd: () => void
}

/** Answer each line of a body, in order, until the input ends, nobody is there to hear it, or the process is to stop. */
export const answerLines = <Ask>({ http, operation, caller, body, checkLine, at_once, answer, onEnd }: LineWork<Ask>): Response => {
  const outbox = makeOutbox(ANSWERS_WAITING_CHARS_MAX)
  const tally = makeLineTally(http.log, { act: operation.name, api_key_id: caller.key_id }, http.config.log_requests === "all")
  let under_way = 0
  let wake: (() => void) | undefined
  let answered = Promise.resolve()

  const answerOne = async (ask: Ask): Promise<Answered> => {
    try { return await answer(ask) } catch (fault) { return { outcome: tally.broke(fault) } }
  }
  const answerInOrder = (number: number, coming: Answered | Promise<Answered>) => {
    under_way += 1
    // Lines end in any order and are answered in their own: each waits for the one before.
    answered = answered.then(async () => {
      const said = await coming
      tally.note(said.outcome)
      outbox.put(answerLine(number, said))
      under_way -= 1
      wake?.()
      wake = undefined
    })
  }

  const run = async (): Promise<void> => {
    let end: StreamEnd = "whole"
    let cut: unknown
    http.ending.addEventListener("abort", outbox.letIn)
    try {
      for await (const line of linesOf(body, LINE_BYTES_MAX, http.ending)) {
        const read = readLine<Ask>(line, checkLine)
        if (!read) continue
        answerInOrder(line.number, "no" in read ? read.no : answerOne(read.ask))
        while (under_way >= at_once()) await new Promise<void>((resolve) => { wake = resolve })
        // Never more than its reader takes.
        await outbox.room()
        if (outbox.isLeft()) break
      }
    } catch (fault) {
      if (fault instanceof ReadingStopped) {
        end = "stopped"
        answerInOrder(fault.line, stopped)
      } else {
        end = "cut"
        cut = fault
      }
    } finally {
      http.ending.removeEventListener("abort", outbox.letIn)
      await answered
      outbox.end()
      tally.say(end, cut)
      onEnd()
    }
  }
  void run()
  return new Response(outbox.stream, { headers: NDJSON })
}

/** At most `max` calls at a time. */
export const makeGuard = (max: number) => {
  let calls = 0
  return { isFull: () => calls >= max, count: () => calls, enter: () => { calls += 1 }, leave: () => { calls -= 1 } }
}

/** Put the bulk issue on the app. */
export const serveBulk = (app: Hono, http: Http, issue: Use<IssueAsk>): void => {
  const guard = makeGuard(BULK_CALLS_MAX)
  const { durability } = http.config
  const giveWay = makeGiveWay(http.acts_under_way)
  const at_once = durability === "replicated" || durability === "ledger" ? () => ISSUES_PROMISED_AT_ONCE : () => Math.max(1, Math.floor(giveWay.lines() / guard.count()))

  const issueLine = async (ask: IssueAsk, caller: Caller): Promise<Answered> => {
    const began_ms = performance.now()
    const observe = (outcome: Outcome) => {
      const now_ms = performance.now()
      giveWay.note(began_ms, now_ms)
      http.metrics.observe(issueCoupon.name, outcome, (now_ms - began_ms) / 1000)
    }
    try {
      const answered = await issue(ask, caller)
      observe(answered.outcome)
      return answered
    } catch (fault) {
      observe(outcomeOfFault(fault))
      throw fault
    }
  }

  // The name stands where other routes have a coupon_id; beside that parameter a fixed name would cost every route Hono's faster router.
  app.post("/v1/coupons/:coupon_id", async (c) => {
    if (c.req.param("coupon_id") !== "bulk") return c.notFound()
    const began_ms = performance.now()
    const { raw } = c.req
    const refuse = (no: No): Response => {
      settle(http, issueCoupons, no.outcome, began_ms, undefined, {})
      return problem(no)
    }
    try {
      const caller = await callerOf(http, raw, issueCoupons)
      if (!isCaller(caller)) return refuse(caller)
      if (raw.url.includes("?")) return refuse(invalid("", "This call takes no query."))
      if (guard.isFull()) return refuse({ outcome: "overloaded" })
      if (raw.body === null) return new Response("", { headers: NDJSON })
      guard.enter()
      return answerLines<IssueAsk>({
        http, operation: issueCoupons, caller, body: raw.body, checkLine: checkIssue, at_once, answer: (ask) => issueLine(ask, caller),
        onEnd: () => {
          guard.leave()
          settle(http, issueCoupons, "changed", began_ms, caller, {})
        },
      })
    } catch (fault) {
      const outcome = outcomeOfFault(fault)
      settle(http, issueCoupons, outcome, began_ms, undefined, {}, fault)
      return problem({ outcome })
    }
  })
}
