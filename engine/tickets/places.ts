/**
 * Where codes and claims live, and what is kept of a claim until its grant is known.
 */
import {
  bucketOf, cellOf, cellOfCode, claimsKey, COUPON_HASH_CHARS, couponField, dueKey, FINGERPRINT_CHARS, journalKey, missesKey, pendingKey, quotaKey, ticketsKey,
  USER_HASH_CHARS, walletKey,
} from "../../lua/keys.ts"

/** A code's place in an installation of so many cells. */
export const codePlaces = (code: string, cells: number) => {
  const cell = cellOfCode(code, cells)
  return {
    cell, bucket: bucketOf(code, cells),
    keys: { quota: quotaKey(cell), journal: journalKey(cell), due: dueKey(cell), tickets: ticketsKey(cell), claims: claimsKey(cell), pending: pendingKey(cell) },
    misses: (window: number): string => missesKey(cell, window),
  }
}

/** The user's side of a claim. */
export const userPlaces = (user: string, cells: number) => {
  const cell = cellOf(user, cells)
  return { cell, keys: { quota: quotaKey(cell), journal: journalKey(cell), due: dueKey(cell), wallet: walletKey(cell, user) } }
}

/** How long a claim may wait for its grant before a sweeper ends it: longer than any call of a process that lives. */
export const CLAIM_MS = 10_000

export const NONCE_BYTES = 9, NONCE_CHARS = 12
const CODE_CHARS = 14

/** A claim whose grant is not known yet: all that is needed to end it. */
export interface Held {
  /** Names the attempt. */
  readonly nonce: string
  readonly fingerprint: string
  readonly code: string
  readonly user: string
  /** The coupon's place in the wallet, without its campaign. */
  readonly coupon: string
  readonly campaign_no: number
}

/**
 * The place of a claim's coupon in the wallet, but for its campaign: a hash of the request_id, behind a character that no issue's can
 * have, so that neither is ever taken for the other.
 */
export const claimedCoupon = (request_id: string): string => couponField(0, `\0code\0${request_id}`).slice(0, COUPON_HASH_CHARS)
export const fieldOf = ({ coupon, campaign_no }: Pick<Held, "coupon" | "campaign_no">): string => coupon + campaign_no.toString(36)

/** What a cell keeps of a pending claim between its nonce and the number of its campaign. The widths are fixed: no separator can be part of any. */
export const heldText = ({ fingerprint, code, user, coupon }: Omit<Held, "nonce" | "campaign_no">): string => fingerprint + code + user + coupon

/** What `pending` holds of a claim. */
export const readHeld = (text: string): Held => {
  let at = 0
  const next = (chars: number): string => text.slice(at, at += chars)
  return {
    nonce: next(NONCE_CHARS), fingerprint: next(FINGERPRINT_CHARS), code: next(CODE_CHARS), user: next(USER_HASH_CHARS), coupon: next(COUPON_HASH_CHARS),
    campaign_no: Number(text.slice(at)),
  }
}
