/**
 * Codes in streams of NDJSON: a generated batch going out, a partner's codes coming in.
 *
 * What must stay true: a stream has no limit and each piece of it has one; a reader who stops reading stops the making. A stream that
 * was cut, also by the stop of this process, is asked for again under its batch_id, and a whole one ends with a line that says so.
 */
import type { Hono } from "hono"
import type { Caller, No } from "../answers.ts"
import { type Check, check } from "../contract/check.ts"
import { type GenerateCodesAsk, generateCodes, ImportLine, importCodes, type ImportCodesAsk } from "../contract/codes.ts"
import type { Operation } from "../contract/operation.ts"
import type { Uses } from "../uses.ts"
import { answerLines, BULK_CALLS_MAX, makeGuard, NDJSON } from "./bulk.ts"
import { outcomeOfFault, problem } from "./problems.ts"
import { askReader, callerOf, type Http, honoPath, isCaller, settle } from "./serve.ts"

/** Lines of an import under way at a time: a few loads of them. */
export const IMPORTS_AT_ONCE = 2_000

const checkLine: Check = check(ImportLine)

/** Put both on the app. */
export const serveCodeStreams = (app: Hono, http: Http, { generate, import: importBatch }: Uses["codes"]): void => {
  const guard = makeGuard(BULK_CALLS_MAX)

  /** A route whose answer is a stream: `open` begins it and calls `end` once when it is over. */
  const serveStream = <Ask>(operation: Operation, open: (ask: Ask, caller: Caller, request: Request, end: (fault?: unknown) => void) => Promise<Response | No>): void => {
    const readAsk = askReader(operation)
    app.on(operation.method, honoPath(operation.path), async (c) => {
      const began_ms = performance.now()
      const { raw } = c.req
      let caller: Caller | undefined
      const refuse = (no: No): Response => {
        settle(http, operation, no.outcome, began_ms, caller, {})
        return problem(no)
      }
      let isOpen = false
      try {
        const who = await callerOf(http, raw, operation)
        if (!isCaller(who)) return refuse(who)
        caller = who
        const asked = await readAsk(c)
        if ("no" in asked) return refuse(asked.no)
        if (guard.isFull()) return refuse({ outcome: "overloaded" })
        guard.enter()
        isOpen = true
        const end = (fault?: unknown): void => {
          guard.leave()
          settle(http, operation, fault === undefined ? "changed" : outcomeOfFault(fault), began_ms, who, asked.ask, fault)
        }
        const opened = await open(asked.ask as Ask, who, raw, end)
        if (opened instanceof Response) return opened
        guard.leave()
        return refuse(opened)
      } catch (fault) {
        if (isOpen) guard.leave()
        const outcome = outcomeOfFault(fault)
        settle(http, operation, outcome, began_ms, caller, {}, fault)
        return problem({ outcome })
      }
    })
  }

  serveStream<GenerateCodesAsk>(generateCodes, async (ask, caller, _, end) => {
    const stream = await generate(ask, caller)
    if ("outcome" in stream) return stream
    const encoder = new TextEncoder()
    const { lines, hit } = stream
    let isGone = false
    const body = new ReadableStream<Uint8Array>({
      pull: async (controller) => {
        try {
          const { done, value } = http.ending.aborted ? await lines.return(undefined) : await lines.next()
          if (isGone) return
          if (!done) return controller.enqueue(encoder.encode(value))
          controller.close()
          end()
        } catch (fault) {
          if (isGone) return
          controller.error(fault)
          end(fault)
        }
      },
      // The caller may go while a line is made for him.
      cancel: async () => {
        isGone = true
        await lines.return(undefined)
        end()
      },
    }, { highWaterMark: 0 })
    return new Response(body, { headers: hit ? { ...NDJSON, "idempotency-hit": "true" } : NDJSON })
  })

  serveStream<ImportCodesAsk>(importCodes, async (ask, caller, { body }, end) => {
    const take = await importBatch(ask, caller)
    if (typeof take !== "function") return take
    if (body === null) {
      end()
      return new Response("", { headers: NDJSON })
    }
    return answerLines<{ code: string }>({
      http, operation: importCodes, caller, body, checkLine, at_once: () => IMPORTS_AT_ONCE, answer: async ({ code }) => take(code),
      onEnd: () => end(),
    })
  })
}
