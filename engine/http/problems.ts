/**
 * How an outcome becomes an HTTP answer: through ANSWERS alone, so that no route chooses a status or a sentence of its own.
 *
 * A yes is its body as JSON. A no is application/problem+json (RFC 9457): `code` is the outcome's word, `retry` whether the same
 * request may succeed later, `detail` a sentence, and then the fields that explain it.
 */
import { ANSWERS, type Answered, type No, type Outcome, type Yes } from "../answers.ts"
import { PostgresAway } from "../store/away.ts"
import { NotExecuted, OutcomeUnknown, RedisFull } from "../store/redis.ts"

/** How long a caller should wait before he tries again, where he should: what moves or restarts is back in a second, a backlog takes longer. */
const RETRY_AFTER_S: Partial<Record<Outcome, string>> = { overloaded: "1", outcome_unknown: "1", quota_busy: "1", not_ready: "2", journal_full: "5" }

const JSON_TYPE = { "content-type": "application/json" }
const JSON_TYPE_HIT = { "content-type": "application/json", "idempotency-hit": "true" }

export const isYes = (answered: Answered): answered is Yes => answered.body !== undefined

/** The members of a problem; the fields that explain it stand last, and replace only the sentence and, where a no is final though its word is not, `retry`. */
export const problemBody = ({ outcome, detail, body: _, ...fields }: No): Record<string, unknown> => {
  const { status, retry, say } = ANSWERS[outcome]
  return { type: `/docs#${outcome}`, title: say, status, code: outcome, retry, detail: typeof detail === "string" ? detail : say, ...fields }
}

export const problem = (no: No, preference?: string): Response => {
  const { status } = ANSWERS[no.outcome]
  const headers: Record<string, string> = { "content-type": "application/problem+json" }
  // A no that knows when it ends says so itself.
  const { retry_after_s } = no
  const retry_after = typeof retry_after_s === "number" ? String(retry_after_s) : RETRY_AFTER_S[no.outcome]
  if (retry_after !== undefined) headers["retry-after"] = retry_after
  if (status === 401) headers["www-authenticate"] = "Bearer"
  if (preference !== undefined) headers["preference-applied"] = preference
  return new Response(JSON.stringify(problemBody(no)), { status, headers })
}

/** The HTTP answer of a use case. */
export const answer = (answered: Answered, preference?: string): Response => {
  if (!isYes(answered)) return problem(answered, preference)
  const { outcome, body, hit } = answered
  const plain = hit ? JSON_TYPE_HIT : JSON_TYPE
  return new Response(JSON.stringify(body), {
    status: ANSWERS[outcome].status,
    headers: preference === undefined ? plain : { ...plain, "preference-applied": preference },
  })
}

/** What a thrown breakage is answered as. */
export const outcomeOfFault = (fault: unknown): Outcome => {
  if (fault instanceof OutcomeUnknown) return "outcome_unknown"
  if (fault instanceof NotExecuted) return "overloaded"
  if (fault instanceof RedisFull) return "journal_full"
  if (fault instanceof PostgresAway) return "not_ready"
  return "fault"
}
