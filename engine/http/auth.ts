/**
 * Who asks: a key, its scopes and its business lines.
 *
 * The lines are checked where what they concern is known, in the use cases; here a key is found and its scopes are weighed.
 */
import { type No, SCOPES, type Scope } from "../answers.ts"

/** A key as it was made; what it may do is fixed from then on. */
export interface Key {
  readonly key_id: string
  readonly scopes: readonly Scope[]
  /** "*" is all lines. */
  readonly lines: readonly string[]
}

/** The key of a bearer token; nothing when it is unknown or revoked. */
export type FindKey = (bearer: string, now_ms: number) => Promise<Key | undefined>

const BEARER = /^Bearer +(\S+) *$/i

/** The token of an Authorization header; nothing when there is none. */
export const bearerOf = (header: string | null): string | undefined => {
  if (header === null) return undefined
  // The spelling that every client uses needs no pattern.
  if (header.startsWith("Bearer ") && header.indexOf(" ", 7) === -1 && header.length > 7) return header.slice(7)
  return BEARER.exec(header)?.[1]
}

/** May a key with these scopes do it? One of `wanted` is enough; for `every` it needs all there are. */
export const mayDo = (scopes: readonly Scope[], wanted: readonly Scope[] | "every"): boolean => {
  if (wanted === "every") return SCOPES.every((scope) => scopes.includes(scope))
  for (const scope of wanted) if (scopes.includes(scope)) return true
  return false
}

export const keyMissing: No = { outcome: "key_missing" }
export const keyUnknown: No = { outcome: "key_unknown" }

/** The no that names what the key lacks. */
export const scopeMissing = (wanted: readonly Scope[] | "every"): No =>
  ({ outcome: "scope_missing", needs_scope: wanted === "every" ? [...SCOPES] : [...wanted] })
