/**
 * The feeds from outside, column by column: what each is, what is required, and what a bad value is called.
 *
 * What must stay true: a value is judged once, here, when it is read; the lake holds text, whole numbers and instants in milliseconds, so the
 * jobs' SQL casts nothing. A number has one spelling (`INTEGER`).
 */
import { quoted } from "./duck.ts"

export const FEEDS = ["orders", "scores", "books"] as const
export type Feed = (typeof FEEDS)[number]

/** Why a row is not taken. `missing_column` is of the whole file. */
export const REASONS = ["missing_column", "empty", "not_a_number", "not_a_date", "negative", "unknown_word", "duplicate", "not_utf8"] as const
export type Reason = (typeof REASONS)[number]

/** The only spelling of a whole number there is. */
export const INTEGER = "^-?(0|[1-9][0-9]{0,15})$"
const WHOLE_MAX = "9007199254740991"
const CURRENCY = "^[A-Z]{3}$"

/** Bytes of an id: three of them are a key that Postgres can keep in an index, whose rows have at most 2,704. Ours have at most 128 characters. */
const ID_BYTES_MAX = 800

type ColumnKind = "text" | "id" | "integer" | "amount" | "instant" | "day" | "currency" | readonly string[]

export interface Column {
  readonly name: string
  readonly kind: ColumnKind
  readonly required?: true
  /** What an empty value of a column that is not required counts as; nothing unless told. */
  readonly fallback?: string
}

export interface FeedSchema {
  readonly columns: readonly Column[]
  /** The columns that tell one row from another; nothing: the same row may come twice, and a reader takes the later one. */
  readonly key: readonly string[]
  /** Every other column of the file is a field, kept as text. */
  readonly has_fields?: true
  /** The column from which a row's business day follows. */
  readonly dated: string
  readonly sums: readonly string[]
}

const required = true as const

export const SCHEMAS: Readonly<Record<Feed, FeedSchema>> = {
  orders: {
    columns: [
      { name: "order_id", kind: "id", required }, { name: "line_id", kind: "text", required }, { name: "user_id", kind: "text", required },
      { name: "at", kind: "instant", required }, { name: "state", kind: ["placed", "cancelled", "returned"], required }, { name: "currency", kind: "currency", required },
      { name: "sku", kind: "text", required }, { name: "merchant_id", kind: "text" }, { name: "category", kind: "text" }, { name: "region", kind: "text" },
      { name: "channel", kind: "text" }, { name: "payment_method", kind: "text" }, { name: "quantity", kind: "integer", required },
      { name: "unit_price_minor", kind: "integer", required }, { name: "coupon_id", kind: "id" }, { name: "budget_id", kind: "id" },
      { name: "discount_minor", kind: "amount", fallback: "0" },
    ],
    // One row per line and payer, for each state that the line has been in.
    key: ["order_id", "line_id", "state", "coupon_id", "budget_id"],
    dated: "at", sums: ["discount_minor", "quantity"],
  },
  scores: {
    columns: [{ name: "user_pin", kind: "text", required }, { name: "dt", kind: "day", required }],
    key: [], has_fields: true, dated: "dt", sums: [],
  },
  books: {
    columns: [
      { name: "source", kind: ["budget", "redemption", "order"], required }, { name: "entry_id", kind: "text", required }, { name: "order_id", kind: "id", required },
      { name: "coupon_id", kind: "id" }, { name: "budget_id", kind: "id" }, { name: "amount_minor", kind: "integer", required }, { name: "at", kind: "instant", required },
      { name: "state", kind: "text" },
    ],
    key: ["source", "entry_id"], dated: "at", sums: ["amount_minor"],
  },
}

/** The type of a column in the lake; an instant is called `<name>_ms`. */
export const typeOf = ({ kind }: Column): "VARCHAR" | "BIGINT" => kind === "integer" || kind === "amount" || kind === "instant" ? "BIGINT" : "VARCHAR"
export const lakeName = ({ name, kind }: Column): string => kind === "instant" ? `${name}_ms` : name

/** The columns of a feed in the lake: its own, the business day, and where each row came from. */
export const lakeColumns = (feed: Feed): Record<string, string> => ({
  ...Object.fromEntries(SCHEMAS[feed].columns.map((column) => [lakeName(column), typeOf(column)])),
  ...(feed === "scores" ? {} : { day: "VARCHAR" }),
  // A later import has the higher number; within one, `row` is the row's place in the file.
  import_no: "BIGINT", row: "BIGINT",
})

/** The dataset of a feed, or of its named set. */
export const datasetOf = (feed: Feed, set: string): string => set === "" ? feed : `${feed}@${set}`

const RFC3339 = "^[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ]([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]([.][0-9]{1,9})?([Zz]|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$"
/** What a wall clock shows: taken where the file's zone was told. A date alone is its midnight. */
const WALL_CLOCK = "^[0-9]{4}-[0-9]{2}-[0-9]{2}([Tt ]([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9]([.][0-9]{1,9})?)?)?$"
const DAY = "^[0-9]{4}-[0-9]{2}-[0-9]{2}$"

/** The instant of a text in milliseconds, as SQL; null for what is none. `zone`: of wall clocks, where one was told. */
const instantOf = (text: string, zone: string | undefined): string => {
  // Nothing finer than a microsecond is kept, and DuckDB knows no lower-case letters here.
  const absolute = `case when regexp_matches(${text}, '${RFC3339}') then epoch_ms(try_cast(upper(replace(${text}, ' ', 'T')) as timestamptz)) end`
  return zone === undefined ? absolute : `coalesce(${absolute}, case when regexp_matches(${text}, '${WALL_CLOCK}') then epoch_ms(timezone(${quoted(zone)}, try_cast(${text} as timestamp))) end)`
}

const wholeOf = (text: string): string =>
  `case when regexp_matches(${text}, '${INTEGER}') and abs(${text}::bigint) <= ${WHOLE_MAX} then ${text}::bigint end`

/** The value of a column in the lake, as SQL over its text; null for what is none. */
export const valueOf = ({ kind }: Column, text: string, zone: string | undefined): string =>
  kind === "integer" || kind === "amount" ? wholeOf(text)
  : kind === "instant" ? instantOf(text, zone)
  : kind === "day" ? `case when regexp_matches(${text}, '${DAY}') and try_cast(${text} as date) is not null then ${text} end`
  : text

/** The reason why a text is no value of a column, as SQL over the text and its value; null when it is one. */
const reasonOf = ({ kind, required: isRequired }: Column, text: string, value: string): string => {
  const empty = isRequired ? `when ${text} is null then 'empty'` : `when ${text} is null then null`
  const wrong = kind === "integer" ? `when ${value} is null then 'not_a_number'`
    : kind === "amount" ? `when ${value} is null then 'not_a_number' when ${value} < 0 then 'negative'`
    : kind === "instant" || kind === "day" ? `when ${value} is null then 'not_a_date'`
    : kind === "currency" ? `when not regexp_matches(${text}, '${CURRENCY}') then 'unknown_word'`
    : kind === "id" ? `when strlen(${text}) > ${ID_BYTES_MAX} then 'unknown_word'`
    : kind === "text" ? "" : `when ${text} not in (${kind.map(quoted).join(", ")}) then 'unknown_word'`
  return `case ${empty} ${wrong} end`
}

/**
 * The first column of a row that is wrong, with the reason, as SQL: `column reason`, or null. `textOf` names a column's text, `named` its
 * value. The columns are judged in the order of the schema.
 */
export const faultOf = (feed: Feed, textOf: (name: string) => string, valueNamed: (name: string) => string): string => {
  const faults = SCHEMAS[feed].columns.map((column) => {
    const reason = reasonOf(column, textOf(column.name), valueNamed(column.name))
    // A line without a quantity is none, and less than nothing is what was taken back.
    const sign = feed === "orders" && column.name === "quantity"
      ? `when ${valueNamed("quantity")} = 0 or ${valueNamed("quantity")} < 0 and ${textOf("state")} = 'placed' then 'negative'` : ""
    const whole = sign === "" ? reason : reason.replace(/ end$/, ` ${sign} end`)
    return column.kind === "text" && !column.required ? undefined : `${quoted(`${column.name} `)} || (${whole})`
  }).filter((fault) => fault !== undefined)
  return `coalesce(${faults.join(", ")}, null)`
}
