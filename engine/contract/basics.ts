/**
 * The words that every body is made of: ids, money, instants, months, and how much of each a request may carry.
 *
 * What must stay true: a value that passes here can be stored and hashed everywhere. Text has no control character and no half of
 * a surrogate pair (jsonb takes neither), a number is whole and at most 2^53-1 (Lua's numbers are doubles), and an instant is one
 * that exists. What a pattern means stands in MEANINGS, so that a refusal is a sentence.
 */
import { Type } from "typebox"

/** The largest amount, count or counter there is: 2^53-1. */
export const WHOLE_MAX = Number.MAX_SAFE_INTEGER
export const ID_CHARS_MAX = 128
export const TEXT_CHARS_MAX = 500
export const LIST_MAX = 1000
/** Lines of an order. */
export const LINES_MAX = 500
/** Coupons that one order may name. */
export const COUPONS_MAX = 100
/** Budgets that may share one campaign's cost. */
export const FUNDING_MAX = 16
export const CURSOR_CHARS_MAX = 512
/** A signed quote fits into a request beside its order. */
export const TOKEN_CHARS_MAX = 512 * 1024
export const PAGE_DEFAULT = 100
export const PAGE_MAX = 1000
export const HOLD_DEFAULT_S = 900
export const HOLD_S_MAX = 86_400
/** A coupon lives at most a hundred years after its issue. */
export const VALID_S_MAX = 100 * 366 * 86_400

/** Printable text: everything but control characters and halves of surrogate pairs. */
const PRINTABLE = "^[^\\p{Cc}\\p{Cs}]*$"

const UNSEEN = "\\p{Cc}\\p{Cf}\\p{Cs}\\p{Zl}\\p{Zp}\\p{NChar}"
/**
 * What an id is made of: nothing that is not seen, or two ids could look like one. What joins an emoji stands between two characters, and
 * tags only behind the flag that they name a place of. Unrolled, so that nothing is looked at twice: 130 ns for 29 characters, as PRINTABLE.
 */
export const ID_PATTERN = `^[^${UNSEEN}]*(?:(?<=.)\\u200D[^${UNSEEN}]+|(?<=\\u{1F3F4})[\\u{E0020}-\\u{E007E}]+\\u{E007F}[^${UNSEEN}]*)*$`

export const Id = Type.String({ minLength: 1, maxLength: ID_CHARS_MAX, pattern: ID_PATTERN, description: "1 to 128 printable characters" })
export const Text = Type.String({ minLength: 1, maxLength: TEXT_CHARS_MAX, pattern: PRINTABLE, description: "1 to 500 printable characters" })

/** An amount of money: whole minor units, not negative. */
export const Money = Type.Integer({ minimum: 0, maximum: WHOLE_MAX, description: "whole minor units, 0 to 2^53-1" })
/** An amount that is added or, negative, taken away. */
export const MoneyChange = Type.Integer({ minimum: -WHOLE_MAX, maximum: WHOLE_MAX, description: "whole minor units; negative takes away" })
export const Count = Type.Integer({ minimum: 0, maximum: WHOLE_MAX, description: "a whole number from 0" })
export const CountFromOne = Type.Integer({ minimum: 1, maximum: WHOLE_MAX, description: "a whole number from 1" })
/** Basis points: 10000 is the whole. */
export const Bp = Type.Integer({ minimum: 0, maximum: 10_000, description: "basis points, 0 to 10000" })
export const BpFromOne = Type.Integer({ minimum: 1, maximum: 10_000, description: "basis points, 1 to 10000" })

const CURRENCY = "^[A-Z]{3}$"
/** From 1971 on, so that a month begins after the first instant in every zone. */
const MONTH = "^(197[1-9]|19[89][0-9]|[2-9][0-9]{3})-(0[1-9]|1[0-2])$"
export const Currency = Type.String({ pattern: CURRENCY, description: "three capital letters, as in CNY" })
export const Month = Type.String({ pattern: MONTH, description: "a month as YYYY-MM" })

const INSTANT = /^(19[7-9][0-9]|[2-9][0-9]{3})-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])[Tt]([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{1,9})?([Zz]|[+]00:00)$/

/** The milliseconds of an instant of the contract; nothing when the text is none, or names a day that does not exist. */
export const instantMs = (text: string): number | undefined => {
  if (!INSTANT.test(text)) return undefined
  const at_ms = Date.parse(text.toUpperCase())
  // The 30th of February parses as a day in March.
  return Number.isNaN(at_ms) || new Date(at_ms).getUTCDate() !== Number(text.slice(8, 10)) ? undefined : at_ms
}

/** RFC 3339 in UTC, from 1970 on. */
export const Instant = Type.Refine(
  Type.String({ format: "date-time", description: "an instant of RFC 3339 in UTC, as in 2026-11-22T00:00:00Z" }),
  (text) => instantMs(text) !== undefined,
)

/** What a pattern or a format asks for, as the end of a sentence that begins with "must". */
export const MEANINGS: ReadonlyMap<string, string> = new Map([
  [PRINTABLE, "have only printable characters"],
  [ID_PATTERN, "have only printable characters"],
  [CURRENCY, "be three capital letters, as in CNY"],
  [MONTH, "be a month as YYYY-MM"],
  ["date-time", "be an instant of RFC 3339 in UTC, as in 2026-11-22T00:00:00Z"],
])

const UNPRINTABLE = /[\p{Cc}\p{Cs}]/u
/** Is every text in a value printable, names and values alike? The value is JSON that a schema has passed, so it is not deep. */
export const isPrintable = (value: unknown): boolean => {
  if (typeof value === "string") return !UNPRINTABLE.test(value)
  if (typeof value !== "object" || value === null) return true
  return Object.entries(value).every(([name, each]) => !UNPRINTABLE.test(name) && isPrintable(each))
}

/** What an answer says of an instant: the same text, not checked again. */
export const InstantOut = Type.String({ format: "date-time" })

/** A page of a list, as the query names it. */
export const PAGE = {
  limit: Type.Optional(Type.Integer({ minimum: 1, maximum: PAGE_MAX, default: PAGE_DEFAULT, description: `how many items, 1 to ${PAGE_MAX}; ${PAGE_DEFAULT} unless told` })),
  after: Type.Optional(Type.String({ minLength: 1, maxLength: CURSOR_CHARS_MAX, pattern: PRINTABLE, description: "the `next` of the page before" })),
}

/** Objects of the contract take no field that is not named. */
export const closed = { additionalProperties: false } as const
