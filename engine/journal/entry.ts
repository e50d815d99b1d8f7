/**
 * One entry of a cell's journal, read from the stream.
 *
 * What must stay true: an id `<epoch>-<n>` is read exactly; a format higher than ours is never guessed at; and whatever
 * cannot be read is told as such with its raw bytes, because an entry that is skipped in silence is money that is lost.
 */
import { encode } from "@msgpack/msgpack"
import { ACTS, ENTRY_FACTS, FORMAT, fromValues, RECORDS, type Act, type Move, type Values } from "../../lua/records.ts"
import { unpackValue } from "./unpack_values.ts"

/** The place of an entry in its cell's journal. */
export interface EntryId { readonly epoch: number; readonly n: number }

/** Where every journal begins: before its first entry. */
export const BIRTH: EntryId = { epoch: 0, n: 0 }

export const textOf = ({ epoch, n }: EntryId): string => `${epoch}-${n}`

/** An id from its text. Throws on anything that is not one. */
export const idOf = (text: string): EntryId => {
  const match = /^(\d{1,10})-(\d{1,16})$/.exec(text)
  if (!match) throw new Error(`not an entry's id: ${text}`)
  return { epoch: Number(match[1]), n: Number(match[2]) }
}

/** Below zero when `a` comes before `b`. */
export const compareIds = (a: EntryId, b: EntryId): number => a.epoch - b.epoch || a.n - b.n

/** What the flusher reads of a payload; everything else of it passes through as text. */
export interface Facts {
  readonly user_id?: string
  readonly request_id?: string
  readonly order_id?: string
  readonly channel?: string
  readonly device?: string
  readonly version?: number
  readonly campaign_id?: string
  readonly campaign_no?: number
  readonly budget_id?: string
  readonly addition_id?: string
  readonly refund_id?: string
  readonly discount_minor?: number
  /** Of acts on codes: hashes, the batch's name in a cell, the attempt. */
  readonly batch?: string
  readonly codes?: string
  readonly code?: string
  readonly claim?: string
  readonly nonce?: string
  readonly public?: number
  readonly coupon?: string
  readonly fingerprint?: string
}

export interface Entry {
  readonly id: EntryId
  readonly bytes: number
  readonly act: Act
  readonly at_ms: number
  /** "" for an operator's act. */
  readonly user: string
  readonly moves: readonly Move[]
  readonly coupons: readonly [field: string, coupon: Values][]
  readonly redemptions: readonly [redemption: string, head: Values, body: string][]
  readonly counts: readonly [campaign_no: number, count: string][]
  /** As it was sent, without the user's id; "" for none, and for `opened` the tail of the epoch before. */
  readonly payload: string
  readonly facts: Facts
}

/** An entry that cannot be read. */
export interface Unreadable {
  readonly id: EntryId
  readonly bytes: number
  readonly raw: Buffer
  readonly reason: string
}

/** An entry of a format that only newer code knows. */
export interface Newer { readonly id: EntryId; readonly format: number }

export type Read = { readonly entry: Entry } | { readonly unreadable: Unreadable } | { readonly newer: Newer }

/** An entry as Redis answers it: its id, then names and values in turn. */
export type RawEntry = readonly [id: Buffer, fields: readonly Buffer[]]

const ACT_NAMES: ReadonlySet<string> = new Set(ACTS)
const NO_FACTS: Facts = {}
/** What a stream node spends on an entry beside its values, about. */
const ENTRY_OVERHEAD_BYTES = 40

const isList = (value: unknown): value is unknown[] => Array.isArray(value)

const listOf = (value: unknown, name: string, holds: (item: unknown[]) => boolean): unknown[][] => {
  if (!isList(value) || !value.every((item) => isList(item) && holds(item))) throw new Error(`the ${name} are not as declared`)
  return value as unknown[][]
}

const isMove = ([quota, ...deltas]: unknown[]): boolean => {
  if (typeof quota !== "string" || !/^[bki][1-9]\d{0,9}$/.test(quota)) return false
  const places = quota[0] === "b" ? 3 : quota[0] === "k" ? 5 : 2
  return deltas.length === places && deltas.every(Number.isSafeInteger)
}

/**
 * A payload without its user's id, cut out of the text: writing the whole anew would cost more than all else here. A quote
 * within a value is escaped, so the name can only stand where it is a name.
 */
const withoutUser = (payload: string, facts: Facts): string => {
  if (facts.user_id === undefined) return payload
  const named = `"user_id":${JSON.stringify(facts.user_id)}`
  const from = payload.indexOf(named)
  if (from < 0 || payload.indexOf('"user_id":', from + named.length) >= 0) {
    const { user_id: _, ...rest } = JSON.parse(payload) as Facts
    return JSON.stringify(rest)
  }
  const to = from + named.length
  return payload[to] === "," ? payload.slice(0, from) + payload.slice(to + 1)
    : payload[from - 1] === "," ? payload.slice(0, from - 1) + payload.slice(to)
    : payload.slice(0, from) + payload.slice(to)
}

/** With which a reserve's order begins. No text has it: a quote within a value is escaped. */
const ORDER_BEGINS = ',"order":{'

/**
 * The facts of a payload. Of a reserve they stand before its order, and what comes from there on is nine tenths of it and passes through as text: to take
 * it apart was a tenth of the flusher's time (2026-11-22).
 */
const factsOf = (payload: string): Facts => {
  const order = payload.indexOf(ORDER_BEGINS)
  const parsed: unknown = JSON.parse(order < 0 ? payload : `${payload.slice(0, order)}}`)
  if (typeof parsed !== "object" || parsed === null || isList(parsed)) throw new Error("the payload is not an object")
  return parsed as Facts
}

const decodeEntry = (id: EntryId, bytes: number, packed: Buffer, payload: string): Entry => {
  const values = unpackValue(packed)
  if (!isList(values) || values.length !== RECORDS.entry.always.length) throw new Error("the entry is not as declared")
  const { act, at_ms, user, ...lists } = fromValues("entry", values)
  if (typeof act !== "string" || !ACT_NAMES.has(act)) throw new Error(`the act ${JSON.stringify(act)} is unknown`)
  if (!Number.isSafeInteger(at_ms) || at_ms < 0) throw new Error("the instant is not a whole number")
  if (typeof user !== "string" || (user !== "" && !/^[A-Za-z0-9_-]{22}$/.test(user))) throw new Error("the user is not a hash")
  const moves = listOf(lists.moves, "moves", isMove) as Move[]
  const coupons = listOf(lists.coupons, "coupons", ([field, coupon]) => typeof field === "string" && isList(coupon) && coupon.length >= 3)
  const redemptions = listOf(lists.redemptions, "redemptions", ([redemption, head, body]) =>
    typeof redemption === "string" && isList(head) && head.length >= 9 && typeof body === "string")
  const counts = listOf(lists.counts, "counts", ([campaign, count]) => Number.isSafeInteger(campaign) && typeof count === "string")
  if (user === "" && coupons.length + redemptions.length + counts.length > 0) throw new Error("a user's act names no user")
  const facts = payload === "" || act === "opened" ? NO_FACTS : factsOf(payload)
  return {
    id, bytes, act, at_ms, user, moves,
    coupons: coupons as [string, Values][],
    redemptions: redemptions as [string, Values, string][],
    counts: counts as [number, string][],
    payload: withoutUser(payload, facts), facts,
  }
}

/** An entry's names and values as they are kept in quarantine: one packed list. */
export const rawOf = ([, fields]: RawEntry): Buffer => Buffer.from(encode(fields))

/** Read one entry, or say why it cannot be read. Never throws on what the entry holds. */
export const readEntry = (rawEntry: RawEntry): Read => {
  const [rawId, [name, packed, factsName, facts]] = rawEntry
  const id = idOf(rawId.toString("latin1"))
  const bytes = ENTRY_OVERHEAD_BYTES + (packed?.length ?? 0) + (facts?.length ?? 0)
  const format = Number(name?.toString("latin1"))
  if (format > FORMAT) return { newer: { id, format } }
  try {
    if (format !== FORMAT || !packed) throw new Error(`the format ${String(name)} is unknown`)
    if (factsName && factsName.toString("latin1") !== ENTRY_FACTS) throw new Error(`the field ${factsName.toString("latin1")} is unknown`)
    return { entry: decodeEntry(id, bytes, packed, facts?.toString("utf8") ?? "") }
  } catch (fault) {
    return { unreadable: { id, bytes, raw: rawOf(rawEntry), reason: fault instanceof Error ? fault.message : String(fault) } }
  }
}
