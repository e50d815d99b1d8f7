/**
 * Codes in a cell of a test's own: every act on them with what a test does not speak of filled in. A test says "A" and here it becomes
 * a hash in its bucket.
 */
import { createHash } from "node:crypto"
import { run } from "../../engine/store/redis.ts"
import { heldText } from "../../engine/tickets/places.ts"
import { claim_code } from "../../lua/claim_code.ts"
import type { ArgsOf } from "../../lua/declare.ts"
import { drop_codes } from "../../lua/drop_codes.ts"
import { batchName, bucketOf, claimHash, claimsKey, couponField, missesKey, pendingKey, TICKET_HASH_BYTES, ticketsKey, userHash } from "../../lua/keys.ts"
import { load_codes } from "../../lua/load_codes.ts"
import { unpack } from "../../lua/records.ts"
import { refuse_grant } from "../../lua/refuse_grant.ts"
import { revoke_code } from "../../lua/revoke_code.ts"
import { revoke_codes } from "../../lua/revoke_codes.ts"
import { see_code } from "../../lua/see_code.ts"
import { settle_claim } from "../../lua/settle_claim.ts"
import { AGE_MS, type Cell, REMEMBER_MS, SPRING } from "./cell.ts"

export const BATCH = 7
const LINE = "retail"
const FORGET_MS = 600_000
const CLAIM_MS = 10_000

export const codeHashOf = (code: string): string => createHash("sha256").update(code).digest().subarray(0, TICKET_HASH_BYTES).toString("base64url")
/** Every code is in the first buckets, so that a test also sees what shares one. */
const bucket = (hash: string): number => bucketOf(hash, 16_384)

export interface Claiming { readonly user?: string; readonly request?: string; readonly nonce?: string }

export const codesOf = (cell: Cell) => {
  const { no, redis: on } = cell
  const keys = { ...cell.keys, tickets: ticketsKey(no), claims: claimsKey(no), pending: pendingKey(no), misses: missesKey(no, 1) }
  const claimOf = (code: string, { user = "ann", request = "first" }: Claiming): string => claimHash(codeHashOf(code), userHash(user), request)
  const nonceOf = ({ nonce = "1" }: Claiming): string => nonce.padEnd(12, "-")
  const missesOf = (code: string, user = "ann") => ({ missed_as: `${user} ${code}`, missed_by: ["key", "user"], misses_max: [1_000, 5], forget_ms: FORGET_MS })

  return {
    load: (codes: readonly string[], { limit = 0, batch = BATCH, campaign = SPRING }: { limit?: number; batch?: number; campaign?: number } = {}) =>
      run(on, load_codes, {
        keys, args: {
          now_ms: cell.now(), batch: batchName(batch), campaign, limit, line: LINE, codes: codes.map((code) => [bucket(codeHashOf(code)), codeHashOf(code)]),
          payload: `{"batch":"${batchName(batch)}","limit":${limit},"codes":"`,
        },
      }),
    claim: (code: string, { lines = ["*"], ...of }: Claiming & { lines?: readonly string[] } = {}) => {
      const hash = codeHashOf(code), claim = claimOf(code, of), user = userHash(of.user ?? "ann"), nonce = nonceOf(of)
      return run(on, claim_code, {
        keys, args: {
          now_ms: cell.now(), code: hash, bucket: bucket(hash), claim, claim_bucket: bucket(claim), nonce, user, lines, ...missesOf(code, of.user), due_ms: cell.now() + CLAIM_MS,
          grant: heldText({ fingerprint: "as--sent", code: hash, user, coupon: couponField(0, "claim").slice(0, 14) }),
          payload: JSON.stringify({ code: hash, claim, nonce }).slice(0, -1),
        },
      })
    },
    settle: (code: string, is_granted: number, of: Claiming = {}) => {
      const hash = codeHashOf(code), claim = claimOf(code, of), nonce = nonceOf(of)
      return run(on, settle_claim, {
        keys, args: {
          now_ms: cell.now(), code: hash, bucket: bucket(hash), claim, claim_bucket: bucket(claim), nonce, is_granted,
          payload: JSON.stringify({ code: hash, claim, nonce }).slice(0, -1),
        },
      })
    },
    refuse: (code: string, { request = "claim", ...of }: Claiming & Partial<ArgsOf<typeof refuse_grant>> = {}) => {
      const user = of.user ?? "ann"
      return run(on, refuse_grant, {
        keys: cell.keysFor(user), args: {
          now_ms: cell.now(), field: couponField(SPRING, request), fingerprint: "as-sent", is_new: 0, remember_ms: REMEMBER_MS,
          payload: JSON.stringify({ code: codeHashOf(code) }), ...of, nonce: nonceOf(of), user: userHash(user),
        },
      })
    },
    see: (code: string, lines: readonly string[] = ["*"]) =>
      run(on, see_code, { keys, args: { now_ms: cell.now(), code: codeHashOf(code), bucket: bucket(codeHashOf(code)), lines, ...missesOf(code) } }),
    revokeOne: (code: string, campaign = SPRING) =>
      run(on, revoke_code, { keys, args: { now_ms: cell.now(), campaign, code: codeHashOf(code), bucket: bucket(codeHashOf(code)), payload: `{"code":"${codeHashOf(code)}"` } }),
    revokeAll: () => run(on, revoke_codes, { keys, args: { now_ms: cell.now(), batch: batchName(BATCH), campaign: SPRING, limit: 0, line: LINE, payload: "{}" } }),
    drop: (codes: readonly string[]) => {
      const buckets = [...new Set(codes.map((code) => bucket(codeHashOf(code))))]
      return run(on, drop_codes, { keys, args: { now_ms: cell.now(), batches: [batchName(BATCH)], buckets, claim_buckets: buckets, age_ms: AGE_MS } })
    },
    /** The batch's record. */
    batch: async (batch = BATCH) => {
      const raw = await on.hgetBuffer(keys.quota, `t${batchName(batch)}`)
      return raw ? unpack("batch", raw) : undefined
    },
    pends: async (): Promise<number> => on.hlen(keys.pending),
    /** Characters of all codes' buckets. */
    chars: async (): Promise<number> => (await on.hvals(keys.tickets)).reduce((sum, text) => sum + text.length, 0),
  }
}
