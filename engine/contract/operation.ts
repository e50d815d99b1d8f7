/**
 * What an operation is: one call of the API with all that may be sent and all that may be answered.
 *
 * From this one declaration come the route, the validation, the types of the use case, the OpenAPI document and the page of docs.
 */
import type { Static, TObject, TProperties, TSchema } from "typebox"
import type { Outcome, Scope } from "../answers.ts"
import type { RequestFault } from "./check.ts"

export type Method = "GET" | "POST" | "PUT" | "DELETE"

export interface Operation<Params extends TObject = TObject, Query extends TObject = TObject, Body extends TSchema = TSchema> {
  /** The act, as metrics, logs and the operationId call it. */
  readonly name: string
  readonly method: Method
  /** With parameters in braces, as OpenAPI writes it. */
  readonly path: string
  readonly family: string
  readonly says: string
  /** One of these is enough; for `every` the key needs all scopes there are. */
  readonly scopes: readonly Scope[] | "every"
  /** What it tells or does is of all business lines at once, so the key needs all of them. */
  readonly every_line?: true
  readonly params?: Params
  readonly query?: Query
  readonly body?: Body
  /** No body means `{}`. */
  readonly body_optional?: true
  /** What a schema cannot say; the first fault is the answer. */
  rule?(value: Static<Body>): RequestFault | undefined
  /** The words of success, each with what it answers. */
  readonly yes: Readonly<Partial<Record<Outcome, TSchema>>>
  /** The words of refusal that this act may give, beside those that every act may. */
  readonly no: readonly Outcome[]
}

/** What the use case of an operation is asked: path, query and body as one. The route fills in how many items a page has. */
export type AskOf<O> = O extends Operation<infer Params, infer Query, infer Body> ? Readonly<Filled<Fields<Params> & Fields<Query> & Fields<Body>>> : never
type Fields<S> = S extends TObject<infer P> ? (TProperties extends P ? unknown : Static<S>) : S extends TSchema ? (TSchema extends S ? unknown : Static<S>) : unknown
type Filled<Asked> = "limit" extends keyof Asked ? Asked & { limit: number } : Asked

/** Declare one operation. */
export const operation = <
  Params extends TObject = TObject<{}>,
  Query extends TObject = TObject<{}>,
  Body extends TSchema = TObject<{}>,
>(declared: Operation<Params, Query, Body>): Operation<Params, Query, Body> => declared

/** What any call with a key may be answered. */
export const ALWAYS: readonly Outcome[] = ["request_invalid", "key_missing", "key_unknown", "scope_missing", "overloaded", "not_ready", "fault"]
/** What any write may be answered. */
export const ALWAYS_WRITES: readonly Outcome[] = ["request_too_large", "outcome_unknown"]
