/**
 * What entries say of codes, folded into rows: the codes, the claims of them, and the grants that a user's cell has refused.
 *
 * Pure, as the fold it is a part of. A code's state is that of its last entry; of a public code only its claims change.
 */
import { ticketHex } from "../../lua/keys.ts"
import type { Entry } from "./entry.ts"

/** States of a code and of a claim in their tables. */
export const CODE = { free: 1, pending: 2, spent: 3, revoked: 4 } as const
export const CLAIM = { pending: 1, granted: 2, freed: 3 } as const

export interface CodeRow { code_hash: string; batch_no: number; state: number }
export interface ClaimRow {
  claim_hash: string; code_hash: string; batch_no: number; state: number; nonce: string; since_ms: number
  /** Said by the claim's own entry; null where only its end is in this run. */
  user: string | null; coupon: string | null; fingerprint: string | null; claimed_ms: number | null
}
export interface RefusedRow { user: string; nonce: string; at_ms: number }
export interface CodeRows { readonly codes: CodeRow[]; readonly claims: ClaimRow[]; readonly refused: RefusedRow[] }

const WORDS: Readonly<Partial<Record<Entry["act"], { claim: number; code: number }>>> = {
  code_claimed: { claim: CLAIM.pending, code: CODE.pending },
  code_spent: { claim: CLAIM.granted, code: CODE.spent },
  code_freed: { claim: CLAIM.freed, code: CODE.free },
}

const sorted = <T>(rows: ReadonlyMap<string, T>): T[] => [...rows].sort(([a], [b]) => a < b ? -1 : 1).map(([, row]) => row)

/** Takes entries in their order and answers the rows. */
export const codesFold = () => {
  const codes = new Map<string, CodeRow>(), claims = new Map<string, ClaimRow>(), refused = new Map<string, RefusedRow>()
  const put = (hash: string, batch: string, state: number): void => {
    const code_hash = ticketHex(hash)
    codes.set(code_hash, { code_hash, batch_no: parseInt(batch, 36), state })
  }
  return {
    take: ({ act, at_ms, user, facts }: Entry): void => {
      const { batch, code, claim, nonce } = facts
      if (act === "codes_loaded" && batch !== undefined && facts.codes) {
        for (const each of facts.codes.split(" ")) put(each, batch, CODE.free)
      } else if (act === "code_revoked" && batch !== undefined && code !== undefined) {
        put(code, batch, CODE.revoked)
      } else if (act === "grant_refused" && nonce !== undefined) {
        refused.set(`${user}${nonce}`, { user, nonce, at_ms })
      }
      const word = WORDS[act]
      if (!word || batch === undefined || code === undefined || claim === undefined || nonce === undefined) return
      if (facts.public !== 1) put(code, batch, word.code)
      const claim_hash = ticketHex(claim), before = claims.get(claim_hash)
      const isClaim = act === "code_claimed"
      claims.set(claim_hash, {
        claim_hash, code_hash: ticketHex(code), batch_no: parseInt(batch, 36), state: word.claim, nonce, since_ms: at_ms,
        user: isClaim ? user : before?.user ?? null, coupon: isClaim ? facts.coupon ?? null : before?.coupon ?? null,
        fingerprint: isClaim ? facts.fingerprint ?? null : before?.fingerprint ?? null, claimed_ms: isClaim ? at_ms : before?.claimed_ms ?? null,
      })
    },
    rows: (): CodeRows => ({ codes: sorted(codes), claims: sorted(claims), refused: sorted(refused) }),
  }
}
