/**
 * A signed quote: what a quote has applied, signed, so that a redemption within its time is held at exactly that.
 *
 * What must stay true: the token says all that the price is made of and whom it is for; nobody can make one; it is read only after its
 * signature. Which device or card pays is not part of a price, so those ids may differ from the quote's order.
 */
import { createHash } from "node:crypto"
import { deflateRawSync, inflateRawSync } from "node:zlib"
import { userHash } from "../../lua/keys.ts"
import type { No } from "../answers.ts"
import { HOLD_DEFAULT_S, TOKEN_CHARS_MAX } from "../contract/basics.ts"
import type { Order } from "../contract/order.ts"
import type { Parts } from "../parts.ts"
import type { Profile } from "../pricing/policy.ts"
import type { Quote } from "../pricing/price.ts"
import { allocatedOf, decodeAllocation, encodeAllocation, pricedOf } from "./allocation.ts"

/** A price as it was signed. */
export interface Signed {
  readonly quote: Quote
  readonly coupon_ids: readonly string[]
  /** The versions of the campaigns that the coupons were priced from. */
  readonly versions: readonly number[]
  /** What the quote's request said. */
  readonly profile: Profile | undefined
  readonly signed_ms: number
  /** The order as it was priced, with the levels that were stored of the user then. */
  readonly order: Order
}

const FORMAT = 1
/** Enough to say what has changed; that nothing has is held by the whole hash. */
const MARK_CHARS = 6
const HASH_CHARS = 32

type LineMark = [unit_price_minor: number, quantity: number, rest: string]
interface Marks { readonly whole: string; readonly fields: Readonly<Record<string, string>>; readonly lines: readonly LineMark[] }
type Token = [format: number, user: string, marks: Marks, signed_ms: number, ends_ms: number, profile: Profile | 0, versions: number[], badges: Order["badges"] | 0, body: string]

const hashOf = (value: unknown, chars: number): string => createHash("sha256").update(JSON.stringify(value)).digest("base64url").slice(0, chars)

const FIELDS = ["currency", "channel", "region", "payment_method", "payment_instrument", "instalments", "first_order", "shipping_minor"] as const
const LINE_FIELDS = ["line_id", "sku", "merchant_id", "category", "brand", "floor_minor", "list_price_minor"] as const

/** What of an order its price depends on. */
const marksOf = (order: Order): Marks => {
  const values: Record<string, unknown> = { segments: order.segments, badges: order.badges && Object.entries(order.badges).sort() }
  for (const field of FIELDS) values[field] = order[field]
  const lines = order.lines.map((line) => [line.unit_price_minor, line.quantity, LINE_FIELDS.map((field) => line[field] ?? null)] as const)
  const fields: Record<string, string> = {}
  for (const [field, value] of Object.entries(values)) if (value !== undefined) fields[field] = hashOf(value, MARK_CHARS)
  return {
    whole: hashOf([Object.entries(values).map(([, value]) => value ?? null), lines], HASH_CHARS),
    fields, lines: lines.map(([price, quantity, rest]): LineMark => [price, quantity, hashOf(rest, MARK_CHARS)]),
  }
}

/** Which fields of the order are not as they were. */
const changedFields = (then: Marks, now: Marks): string[] => {
  if (then.whole === now.whole) return []
  const names = new Set([...Object.keys(then.fields), ...Object.keys(now.fields)])
  const changed = [...names].filter((name) => then.fields[name] !== now.fields[name]).map((name) => `order.${name}`)
  if (then.lines.length !== now.lines.length) return [...changed, "order.lines"]
  for (const [place, [price, quantity, rest]] of now.lines.entries()) {
    const [price_then, quantity_then, rest_then] = then.lines[place]!
    if (price !== price_then) changed.push(`order.lines[${place}].unit_price_minor`)
    if (quantity !== quantity_then) changed.push(`order.lines[${place}].quantity`)
    if (rest !== rest_then) changed.push(`order.lines[${place}]`)
  }
  return changed.length > 0 ? changed : ["order"]
}

/** What is signed, and to whom. */
export interface ToSign {
  readonly user_id: string
  readonly order: Order
  readonly profile?: Profile | undefined
  readonly hold_s?: number | undefined
  /** As they were priced. */
  readonly badges: Order["badges"]
}

/** Sign a price. The no is about a quote that no request could carry. */
export const signQuote = async ({ signer }: Parts, { user_id, order, profile, badges, hold_s = HOLD_DEFAULT_S }: ToSign, quote: Quote, versions: readonly number[], now_ms: number):
  Promise<{ quote: string; quote_ends_at: string } | No> => {
  const ends_ms = now_ms + hold_s * 1_000
  const body = encodeAllocation({ ...quote, order_id: "", user_id: "", request_id: "", hold_ms: 0, lines: [], applied: allocatedOf(quote.applied, order.lines), rejected: undefined })
  const token: Token = [FORMAT, userHash(user_id), marksOf(order), now_ms, ends_ms, profile ?? 0, [...versions], badges ?? 0, body]
  const text = await signer.sign(deflateRawSync(JSON.stringify(token)), now_ms)
  if (text.length > TOKEN_CHARS_MAX) return { outcome: "request_invalid", field: "hold", detail: "hold makes a quote that is too large to be sent back." }
  return { quote: text, quote_ends_at: new Date(ends_ms).toISOString() }
}

/** The price that a token promises this user for this order now, or why it does not. */
export const readSigned = async ({ signer }: Parts, token: string, user_id: string, order: Order, now_ms: number): Promise<Signed | { no: No }> => {
  const text = await signer.read(token, now_ms)
  if (!text) return { no: { outcome: "quote_unsigned" } }
  const [format, user, marks, signed_ms, ends_ms, profile, versions, badges, body] = JSON.parse(inflateRawSync(text).toString()) as Token
  if (format !== FORMAT) return { no: { outcome: "quote_unsigned" } }
  const changed = [...(user === userHash(user_id) ? [] : ["user_id"]), ...changedFields(marks, marksOf(order))]
  if (changed.length > 0) return { no: { outcome: "quote_mismatch", changed } }
  if (now_ms >= ends_ms) return { no: { outcome: "quote_ended", quote_ended_at: new Date(ends_ms).toISOString() } }
  const lines = order.lines.map(({ line_id, quantity, unit_price_minor }) => ({ line_id, quantity, refunded: 0, unit_price_minor }))
  const quote = { ...pricedOf({ ...decodeAllocation(body), lines }), rejected: [] }
  return {
    quote, coupon_ids: quote.applied.map(({ coupon_id }) => coupon_id), versions, profile: profile === 0 ? undefined : profile, signed_ms,
    order: badges === 0 ? order : { ...order, badges },
  }
}
