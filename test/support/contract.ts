/**
 * Does an answer keep the contract? For tests that see real answers: each must be one that its operation documents, word and shape.
 */
import type { TSchema } from "typebox"
import { ANSWERS, type Outcome } from "../../engine/answers.ts"
import { check } from "../../engine/contract/check.ts"
import type { Operation } from "../../engine/contract/operation.ts"
import { OPERATIONS } from "../../engine/contract/operations.ts"
import { outcomesOf, ProblemSchema } from "../../engine/http/openapi.ts"

const checkProblem = check(ProblemSchema)
const KNOWN = OPERATIONS.map((operation) => ({
  operation,
  // A parameter matches one segment; a fixed path stands before the parameter it looks like.
  path: new RegExp(`^${operation.path.replaceAll(/\{\w+\}/g, "[^/]+")}$`),
  yes: (Object.entries(operation.yes) as [Outcome, TSchema][]).map(([outcome, schema]) => ({ status: ANSWERS[outcome].status, check: check(schema) })),
}))

/** Their answers are lines. */
const STREAMS = ["issue_bulk", "generate_codes", "import_codes"]

const knownOf = (method: string, url: string) => {
  const path = url.split("?", 1)[0]!
  return KNOWN.find((each) => each.operation.method === method && each.path.test(path))
}

/** The operation of a request, if it is one of the contract. */
export const operationOf = (method: string, url: string): Operation | undefined => knownOf(method, url)?.operation

/** What in an answer the contract does not allow; nothing when it keeps it. Answers of other addresses are not looked at. */
export const brokenContract = (method: string, url: string, status: number, body: unknown): string | undefined => {
  const known = knownOf(method, url)
  if (!known || STREAMS.includes(known.operation.name)) return undefined
  const { operation, yes } = known
  const where = `${operation.name} answered ${status}`
  if (status >= 300) {
    const fault = checkProblem(body)
    if (fault) return `${where}, which is no problem: ${fault.detail}`
    const { code, retry, status: said } = body as { code: Outcome; retry: boolean; status: number }
    if (!outcomesOf(operation).includes(code)) return `${where} ${code}, which it does not document`
    // A no may be final though its word is not; never the other way.
    return said === status && ANSWERS[code].status === status && (ANSWERS[code].retry || !retry) ? undefined : `${where} ${code}, which the table of answers says otherwise`
  }
  const fitting = yes.filter((each) => each.status === status)
  if (fitting.length === 0) return `${where}, which it does not document`
  const faults = fitting.map((each) => each.check(body))
  return faults.some((fault) => fault === undefined) ? undefined : `${where}: ${faults[0]!.detail} ${JSON.stringify(body)}`
}
