/**
 * The packed records: what Redis keeps and the journal carries.
 *
 * A record is a sequence of msgpack values in named places, declared once here. Lua gets `pack_<record>` and
 * `unpack_<record>` from the declaration, TypeScript the codec of the same name, so neither side ever counts
 * places. Optional places are left out from the end while they are empty: a plain issued coupon is three values, about
 * 20 bytes, which is why a wallet stays a listpack.
 *
 * A sequence and not an array, because Lua then packs and unpacks it without a table in between, and because a sequence behind an
 * array's first byte is that array: the journal entry takes up the bytes that Redis keeps. Tables cost the judge more than
 * the writes themselves (a reserve: 526,000 instructions before, most of them tables and packing).
 */
import { decodeMulti, encode } from "@msgpack/msgpack"

/** Code that meets a higher format leaves the cell to newer code. */
export const FORMAT = 1

/** The name of an entry's second field, the facts. */
export const ENTRY_FACTS = "p"

/** What a wallet keeps in place of a count for a user whom the hold-out kept from being issued. */
export const HELD_OUT_MARK = "h"

/** States of a coupon as they are packed, `issued` is 1. */
export const COUPON_STATES = ["issued", "reserved", "redeemed", "ended", "revoked"] as const
export type CouponState = (typeof COUPON_STATES)[number]

/** States of a redemption as they are packed, `reserved` is 1. */
export const REDEMPTION_STATES = ["reserved", "confirmed", "cancelled", "expired", "partly_refunded", "refunded"] as const
export type RedemptionState = (typeof REDEMPTION_STATES)[number]

/** States in which a cell knows a campaign; a draft is not in any cell. */
export const CAMPAIGN_STATES = ["live", "paused", "stopped"] as const
export type CampaignState = (typeof CAMPAIGN_STATES)[number]

/** States of a batch of codes as they are packed. */
export const BATCH_STATES = ["live", "revoked"] as const

/** Acts of the journal: what an entry says happened. */
export const ACTS = [
  "opened", "tick", "published", "paused", "stopped", "funded", "closed", "issued", "held_out", "revoked", "ended",
  "reserved", "extended", "confirmed", "cancelled", "expired", "refunded",
  "codes_loaded", "codes_revoked", "code_revoked", "code_claimed", "code_spent", "code_freed", "grant_refused",
] as const
export type Act = (typeof ACTS)[number]

interface Places { readonly always: readonly string[]; readonly optional: readonly string[] }

/**
 * cell: the cell's own record. `at_ms` never falls; `full` 1 refuses what spends; `rebuilding` 1 keeps every
 * gate shut; `evicted` is the journal's tail at the last eviction.
 * budget: one budget's share in this cell, minor units. available = granted - returned - held - spent.
 * campaign: one campaign in this cell. Stock left = granted - returned - issued + revoked. `idle` is
 * [[budget, held]…]: money held at issue for coupons that nobody has reserved, so that a stop is O(1).
 * bank: a quota's bank, in its home cell: [[cell, granted, returned, lent_ms, lent]…], the first two growing only, then when it
 * was lent to last and how much. `cut` is the addition that is taking its total down and has `taken` so much of it.
 * batch: a batch of codes in this cell, the ones that live here. `limit` is how often a public code may be claimed, 0 for a batch of unique
 * ones; `loaded` counts the codes, `claimed` the claims that stand, `revoked` the codes taken out one by one. A key sees it that may touch its `line`.
 * coupon: one right in a wallet. `redemption` and `since_ms` once it was used, `holds` [[budget, held]…] for money
 * held at issue.
 * redemption: coupons held for an order. `coupons` is [[field, campaign, cost, at_issue, [[budget, held, spent, back]…]]…],
 * `refunds` [[refund, fingerprint, answer]…].
 * entry: one of the journal, the first field of its stream's entry, under the format as its name. `user` is a hash, "" for an
 * operator's act; `moves` [[quota, delta…]…]; `coupons` [[field, coupon]…]; `redemptions` [[redemption, head, body]…], body ""
 * where it is as before; `counts` [[campaign, count]…]. The payload, the facts as JSON, is a field of its own, where there are any.
 */
export const RECORDS = {
  cell: { always: ["format", "epoch", "at_ms", "full", "rebuilding", "evicted"], optional: [] },
  budget: { always: ["opens_ms", "closes_ms", "granted", "returned", "held", "spent"], optional: [] },
  campaign: {
    always: ["version", "state", "starts_ms", "ends_ms", "per_user", "granted", "returned", "issued", "revoked", "reserved", "redeemed", "idle"],
    optional: [],
  },
  bank: { always: ["total", "leases"], optional: ["cut", "taken"] },
  batch: { always: ["campaign", "state", "limit", "loaded", "claimed", "revoked", "line"], optional: [] },
  coupon: { always: ["state", "ends_at_ms", "fingerprint"], optional: ["redemption", "since_ms", "holds"] },
  redemption: {
    always: ["format", "state", "order", "fingerprint", "reserved_ms", "expires_ms", "since_ms", "revision", "coupons"],
    optional: ["confirmed_ms", "refunds"],
  },
  entry: { always: ["act", "at_ms", "user", "moves", "coupons", "redemptions", "counts"], optional: [] },
} as const satisfies Record<string, Places>

export type RecordName = keyof typeof RECORDS

export interface CellRecord { format: number; epoch: number; at_ms: number; full: number; rebuilding: number; evicted: string }
export interface BudgetRecord { opens_ms: number; closes_ms: number; granted: number; returned: number; held: number; spent: number }
export interface CampaignRecord {
  version: number; state: number; starts_ms: number; ends_ms: number; per_user: number
  granted: number; returned: number; issued: number; revoked: number; reserved: number; redeemed: number; idle: [budget: number, held: number][]
}
export interface BankRecord {
  total: number; leases: [cell: number, granted: number, returned: number, lent_ms?: number, lent?: number][]
  cut?: string; taken?: number
}
export interface BatchRecord { campaign: number; state: number; limit: number; loaded: number; claimed: number; revoked: number; line: string }
export interface CouponRecord {
  state: number; ends_at_ms: number; fingerprint: string
  redemption?: string; since_ms?: number; holds?: [budget: number, held: number][]
}
/** One budget's part of one coupon in a redemption, minor units: held while reserved, spent once confirmed, back by refunds. */
export type ShareRecord = [budget: number, held: number, spent: number, back: number]
export type HeldCouponRecord = [field: string, campaign: number, cost_minor: number, at_issue: number, shares: ShareRecord[]]
export interface RedemptionRecord {
  format: number; state: number; order: string; fingerprint: string; reserved_ms: number; expires_ms: number
  since_ms: number; revision: number; coupons: HeldCouponRecord[]
  confirmed_ms?: number; refunds?: [refund: string, fingerprint: string, answer: string][]
}
/**
 * A delta on one quota. A budget's is ["b7", limit, held, spent]; a campaign's ["k12", stock, issued, revoked,
 * reserved, redeemed]; idle money of a campaign in a budget ["i12", budget, held].
 */
export type Move = [quota: string, ...deltas: number[]]
export interface EntryRecord {
  act: Act
  at_ms: number
  user: string
  moves: Move[]
  coupons: [field: string, coupon: Values][]
  redemptions: [redemption: string, head: Values, body: string][]
  counts: [campaign: number, count: string][]
}

/** A record's values in the order of its places, as the array that is packed. */
export type Values = readonly unknown[]

interface Types {
  cell: CellRecord; budget: BudgetRecord; campaign: CampaignRecord; bank: BankRecord; batch: BatchRecord
  coupon: CouponRecord; redemption: RedemptionRecord; entry: EntryRecord
}

const isEmpty = (value: unknown): boolean => value === undefined || value === "" || value === 0 || (Array.isArray(value) && value.length === 0)

/** A record as the array of its places. Optional places are cut from the end while they are empty; an empty one in between is "". */
export const valuesOf = <N extends RecordName>(name: N, record: Types[N]): Values => {
  const { always, optional }: Places = RECORDS[name]
  const named = record as unknown as Record<string, unknown>
  const values: unknown[] = always.map((place) => named[place])
  const last = optional.findLastIndex((place) => !isEmpty(named[place]))
  for (const place of optional.slice(0, last + 1)) values.push(isEmpty(named[place]) ? "" : named[place])
  return values
}

/** The record that an array of places says. Throws when there are too few or too many. */
export const fromValues = <N extends RecordName>(name: N, values: unknown): Types[N] => {
  const { always, optional }: Places = RECORDS[name]
  if (!Array.isArray(values) || values.length < always.length || values.length > always.length + optional.length)
    throw new Error(`not a ${name} record`)
  const record: Record<string, unknown> = {}
  always.forEach((place, i) => { record[place] = values[i] })
  optional.forEach((place, i) => { const value: unknown = values[always.length + i]; if (!isEmpty(value)) record[place] = value })
  return record as unknown as Types[N]
}

/** The most places a record may have: so many stand behind an array's single first byte. */
export const PLACES_MAX = 15

/** Pack a record as Redis keeps it: the array of its values without the array's first byte. */
export const pack = <N extends RecordName>(name: N, record: Types[N]): Buffer => Buffer.from(encode(valuesOf(name, record)).subarray(1))

/** Unpack a record that Redis kept. Throws when the bytes are not the values of the declared places. */
export const unpack = <N extends RecordName>(name: N, bytes: Uint8Array): Types[N] => fromValues(name, [...decodeMulti(bytes)])

/** A redemption as Redis keeps it: its body, the text that only its answers and refunds read, and behind it the places of its record. */
export interface KeptRedemption { readonly head: RedemptionRecord; readonly body: string }

/** Pack a redemption as Redis keeps it: one value, because each field of a hash is two arguments of every call that moves it. */
export const packKept = ({ head, body }: KeptRedemption): Buffer => Buffer.concat([encode(body), pack("redemption", head)])

/** Unpack a redemption that Redis kept. Throws when the bytes are not a text and the values of the declared places. */
export const unpackKept = (bytes: Uint8Array): KeptRedemption => {
  const [body, ...head] = decodeMulti(bytes)
  if (typeof body !== "string") throw new Error("not a redemption with its body")
  return { body, head: fromValues("redemption", head) }
}

/** What Lua finds before a record's places, and keeps in the same table: it is no part of the record, and the entry has it apart. */
const BEFORE: Partial<Record<RecordName, string>> = { redemption: "body" }

/** How Lua packs a place: a text, a list, or else a number. */
const TEXTS: readonly string[] = ["evicted", "cut", "order", "fingerprint", "redemption", "line"]
const LISTS: readonly string[] = ["idle", "leases", "holds", "refunds"]

/**
 * What else a quota's record has while it is in memory: the bytes it was written as, whether it has changed, and by how much (`more` of
 * a limit or stock). They stand in the table from the start, so that it never grows.
 */
const MEMORY: Partial<Record<RecordName, string>> = {
  cell: "raw = false, is_touched = false",
  bank: "raw = false, is_touched = false",
  budget: "raw = false, still = false, is_touched = false, is_moved = false, more = 0, held_more = 0, spent_more = 0",
  campaign: "raw = false, still = false, is_touched = false, is_moved = false, more = 0, issued_more = 0, revoked_more = 0, reserved_more = 0, redeemed_more = 0",
}

/**
 * Places of a quota's record that hardly ever change: packed again only when one of them has, which is 250 instructions a place less in
 * every act.
 */
const STILL: Partial<Record<RecordName, number>> = { budget: 4, campaign: 7 }

/** A record's places as one joined text, which costs less than struct.pack does with numbers that are at hand. `open` are optional places that may be empty. */
const joinedInLua = (places: readonly string[], open: readonly string[]): string => places.map((place) => {
  const value = `t.${place}`, isOpen = open.includes(place)
  if (place === "coupons") return `packed_coupons(${value})`
  if (TEXTS.includes(place)) return isOpen ? `TEXT[#(${value} or "")] .. (${value} or "")` : `TEXT[#${value}] .. ${value}`
  if (LISTS.includes(place)) return isOpen ? `(${value} and packed_list(${value}) or TEXT[0])` : `packed_list(${value})`
  return isOpen ? `(${value} and NUMBER[${value}] or TEXT[0])` : `NUMBER[${value}]`
}).join(" .. ")

/** Counts as one call of struct.pack: a number of nine bytes is its first byte and eight more (`BI8`), what is packed already a text (`c0`). */
const countsInLua = (before: readonly string[], places: readonly string[]): string => {
  const lists = places.map((place) => LISTS.includes(place))
  return `struct.pack(">${before.map(() => "c0").join("")}${lists.map((isList) => isList ? "c0" : "BI8").join("")}", ${[...before, ...places.map((place, i) => lists[i] ? `packed_list(t.${place})` : `207, t.${place}`)].join(", ")})`
}

/** The Lua function that packs a quota's record: what stands still as it was packed last, and the counts. */
const quotaInLua = (name: RecordName, places: readonly string[], count: number): string => {
  const still = places.slice(0, count), was = (place: string) => `t.was_${place}`
  return `local function pack_${name}(t)\n  if ${still.map((place) => `t.${place} ~= ${was(place)}`).join(" or ")} then\n` +
    `    t.still = ${countsInLua([], still)}\n    ${still.map(was).join(", ")} = ${still.map((place) => `t.${place}`).join(", ")}\n  end\n` +
    `  return ${countsInLua(["t.still"], places.slice(count))}, ${places.length}\nend\n`
}

/**
 * The Lua functions `pack_<record>`, which answers the packed bytes and how many places they are, and `unpack_<record>`, made from
 * the declarations above.
 */
export const recordsInLua = (): string =>
  (Object.entries(RECORDS) as [RecordName, Places][]).filter(([name]) => name !== "entry").map(([name, { always, optional }]) => {
    const places = [...always, ...optional]
    if (places.length > PLACES_MAX) throw new Error(`a ${name} record has more than ${PLACES_MAX} places`)
    const reads = places.map((place, i) => i < always.length ? `${place} = ${place}` : `${place} = ${place} ~= "" and ${place} or nil`)
    const packed = (count: number) => joinedInLua(places.slice(0, always.length + count), optional.slice(0, Math.max(0, count - 1)))
    const longer = optional.map((place, i) => `  if t.${place} then return ${packed(i + 1)}, ${always.length + i + 1} end\n`).toReversed()
    const memory = MEMORY[name], before = BEFORE[name], still = STILL[name]
    const found = before ? [before, ...places] : places
    return `local function unpack_${name}(raw)\n  local ${found.join(", ")} = cmsgpack.unpack(raw)\n  return { ${[...(before ? [`${before} = ${before}`] : []), ...reads, ...(memory ? [memory] : [])].join(", ")} }\nend\n` +
      (still ? quotaInLua(name, places, still) : `local function pack_${name}(t)\n${longer.join("")}  return ${packed(0)}, ${always.length}\nend\n`)
  }).join("\n")
