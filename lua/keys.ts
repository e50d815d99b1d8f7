/**
 * Ids, hashes and key names: where everything lives.
 *
 * Every key carries its cell as hash tag, so one function call touches one slot. Only hashes and numbers
 * enter a key; what a user typed never does. The hash of a user is the same for any client:
 *
 *   user hash  = base64url(first 16 bytes of SHA-256(user_id as UTF-8)), 22 characters
 *   cell       = (first 4 of those bytes as a big-endian integer) mod cells
 *   coupon_id  = user hash, then the wallet's field: 14 characters of SHA-256(campaign number NUL request_id), then the
 *                campaign's number in base 36
 *   redemption_id = user hash, then 12 characters of SHA-256(user hash NUL order_id NUL request_id)
 *   code hash  = base64url(first 10 bytes of the keyed hash of the code), 14 characters
 *   code cell  = (bytes 2 to 5 of those as a big-endian integer) mod cells
 *   claim hash = base64url(first 10 bytes of SHA-256(code hash NUL user hash NUL request_id)), 14 characters, in the code's cell
 *   hold-out   = first 4 bytes of SHA-256(campaign_id NUL user_id) mod 10000 < holdout_bp
 */
import { hash } from "node:crypto"

export const USER_HASH_CHARS = 22
export const COUPON_HASH_CHARS = 14
export const REDEMPTION_HASH_CHARS = 12
export const ORDER_HASH_CHARS = 12
export const ID_HASH_CHARS = 12
/** Sorts behind every character of an id: what lies between a user's hash and this behind it is his, found by the primary key. */
export const AFTER_IDS = "~"
export const FINGERPRINT_CHARS = 8
/** The mark that outlives an evicted coupon: characters of its field that stay. */
export const MARK_CHARS = 8
/** So many epochs of other cells' banks lie in one field of a cell: 16 up to 65,535 are 51 bytes, and above 64 a hash is no small one. */
export const CELLS_PER_FIELD = 16
export const HOUR_MS = 3_600_000

/** One shot, three times as fast as a hash object: a checkout takes four of these. */
const sha256 = (text: string): Buffer => hash("sha256", text, "buffer")
const hashText = (text: string, chars: number): string => hash("sha256", text, "base64url").slice(0, chars)

/** The 16 bytes of a user's hash. */
export const hashBytes = (user: string): Buffer => Buffer.from(user, "base64url")

/** 128 bits of a user's id, the same for any client: 22 characters of base64url. */
export const userHash = (user_id: string): string => sha256(user_id).toString("base64url", 0, 16)

/** The cell of a user hash: its first 32 bits, big endian, mod `cells`. */
export const cellOf = (user: string, cells: number): number =>
  cells === 1 ? 0 : Buffer.from(user.slice(0, 6), "base64url").readUInt32BE(0) % cells

/** The home cell of a quota's bank. */
export const homeOf = (quota: string, cells: number): number => cells === 1 ? 0 : sha256(quota).readUInt32BE(0) % cells

/** The place of a coupon in its holder's wallet; it carries the campaign's number. */
export const couponField = (campaign_no: number, request_id: string): string =>
  hashText(`${campaign_no}\0${request_id}`, COUPON_HASH_CHARS) + campaign_no.toString(36)

/** What a coupon_id says: its holder's hash, its wallet field and its campaign's number; nothing when it is not one of ours. */
export const readCouponId = (coupon_id: string): { user: string; field: string; campaign_no: number } | undefined => {
  const match = /^([A-Za-z0-9_-]{22})([A-Za-z0-9_-]{14}([1-9a-z][0-9a-z]{0,6}))$/.exec(coupon_id)
  return match ? { user: match[1]!, field: match[2]!, campaign_no: parseInt(match[3]!, 36) } : undefined
}

/** The campaign's number that a wallet field carries. */
export const campaignOfField = (field: string): number => parseInt(field.slice(COUPON_HASH_CHARS), 36)

/**
 * The name of a redemption in its cell, where all users' open ones lie in one hash: order ids need be unique per user only, so the
 * user is part of it.
 */
export const redemptionHash = (user: string, order_id: string, request_id: string): string =>
  hashText(`${user}\0${order_id}\0${request_id}`, REDEMPTION_HASH_CHARS)
export const orderHash = (order_id: string): string => hashText(order_id, ORDER_HASH_CHARS)
/** The hash under which an id of a caller (a refund, an addition) is kept. */
export const idHash = (id: string): string => hashText(id, ID_HASH_CHARS)

/** What a redemption_id says, or nothing when it is not one of ours. */
export const readRedemptionId = (redemption_id: string): { user: string; redemption: string } | undefined => {
  const match = /^([A-Za-z0-9_-]{22})([A-Za-z0-9_-]{12})$/.exec(redemption_id)
  return match ? { user: match[1]!, redemption: match[2]! } : undefined
}

/** Whether the documented hash puts this user into the campaign's hold-out group. */
export const isHeldOut = (campaign_id: string, user_id: string, holdout_bp: number): boolean =>
  holdout_bp > 0 && sha256(`${campaign_id}\0${user_id}`).readUInt32BE(0) % 10_000 < holdout_bp

const NAMES_BY_HAND_MAX = 16
/** The names of an object in order. The few that an object of a request has are put in order by hand before `sort` begins. */
const namesOf = (named: object): string[] => {
  const names = Object.keys(named)
  if (names.length > NAMES_BY_HAND_MAX) return names.sort()
  for (let i = 1; i < names.length; i += 1) {
    const name = names[i]!
    let place = i
    for (; place > 0 && names[place - 1]! > name; place -= 1) names[place] = names[place - 1]!
    names[place] = name
  }
  return names
}

/** A value with the names of its objects in order, so that equal content has equal JSON. */
const inOrder = (value: unknown): unknown => {
  if (typeof value !== "object" || value === null) return value
  if (Array.isArray(value)) {
    const items: unknown[] = []
    for (const item of value as unknown[]) items.push(inOrder(item))
    return items
  }
  const named = value as Record<string, unknown>
  const sorted: Record<string, unknown> = {}
  for (const name of namesOf(named)) {
    const its = named[name]
    sorted[name] = typeof its === "object" ? inOrder(its) : its
  }
  return sorted
}

/**
 * The fingerprint of a request as sent: 48 bits of the SHA-256 of its JSON with names in order. One stringify of a sorted copy
 * takes 6 µs for three lines, a stringify of each part 27; with the names put in order by `sort` it was half more.
 */
export const fingerprintOf = (request: unknown): string => hashText(JSON.stringify(inOrder(request)), FINGERPRINT_CHARS)

export const quotaKey = (cell: number): string => `{c${cell}}q`
/** The cell that a key of one names. */
export const cellOfKey = (key: string): number => Number(key.slice("{c".length, key.indexOf("}")))
export const journalKey = (cell: number): string => `{c${cell}}j`
export const openKey = (cell: number): string => `{c${cell}}o`
export const dueKey = (cell: number): string => `{c${cell}}d`
export const settledKey = (cell: number, hour: number): string => `{c${cell}}h${hour}`
export const walletKey = (cell: number, user: string): string => `{c${cell}}w${user}`
/** Which generation of badge levels a cell has, and in how many buckets. */
export const levelsKey = (cell: number): string => `{c${cell}}l`
export const levelBucketKey = (cell: number, generation: number, bucket: number): string => `{c${cell}}l${generation}.${bucket}`
export const hourOf = (at_ms: number): number => Math.floor(at_ms / HOUR_MS)

/** Characters of a code's or a claim's hash. */
export const TICKET_HASH_BYTES = 10
/** Buckets of tickets over all cells, as a power of two: at a million codes 30 in each, so that a bucket costs little beside what is in it. */
const BUCKET_BITS = 15
const bytesOfTicket = (hash: string): Buffer => Buffer.from(hash, "base64url")

/** The hash of one claim of a code. */
export const claimHash = (code: string, user: string, request_id: string): string =>
  sha256(`${code}\0${user}\0${request_id}`).subarray(0, TICKET_HASH_BYTES).toString("base64url")
/** The cell of a code. Its claims are in the same. */
export const cellOfCode = (code: string, cells: number): number => cells === 1 ? 0 : bytesOfTicket(code).readUInt32BE(2) % cells
/** How many of the leading bits of a ticket's hash name its bucket. */
export const bucketBits = (cells: number): number => Math.max(0, BUCKET_BITS - Math.floor(Math.log2(cells)))
/** The bucket of a code or a claim in its cell: the leading bits of its hash, so that buckets in order are hashes in order. */
export const bucketOf = (hash: string, cells: number): number => bytesOfTicket(hash).readUInt16BE(0) >>> (16 - bucketBits(cells))
/** A ticket's hash as Postgres has it: 20 hexadecimal digits, which sort as its bytes do. */
export const ticketHex = (hash: string): string => bytesOfTicket(hash).toString("hex")
export const ticketOfHex = (hex: string): string => Buffer.from(hex, "hex").toString("base64url")

const BATCH_CHARS = 4
/** The number of a batch of codes as its records in a cell have it. Throws beyond the 1,679,615th. */
export const batchName = (batch_no: number): string => {
  const name = batch_no.toString(36)
  if (name.length > BATCH_CHARS) throw new Error(`batch ${batch_no} is beyond the last number of a batch of codes`)
  return name.padStart(BATCH_CHARS, "0")
}

/** A cell's codes and the claims of them, by bucket; the claims whose grant is not known yet; and the misses of a span of time. */
export const ticketsKey = (cell: number): string => `{c${cell}}x`
export const claimsKey = (cell: number): string => `{c${cell}}y`
export const pendingKey = (cell: number): string => `{c${cell}}p`
export const missesKey = (cell: number, window: number): string => `{c${cell}}m${window}`
