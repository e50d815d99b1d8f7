/**
 * The grammar of the numbers in a score feed: the only spellings that are numbers, and the whole number that each is.
 *
 * What must stay true: a text becomes an integer here and nowhere else, so that a threshold of a rule and a value of a feed are read
 * by one grammar, and whatever computes with them sees integers only. Parsers of databases and languages disagree (`1e3`, `1_000`,
 * ` 450 `, `0x10`, `1600.005`); this grammar takes none of those. The jobs' SQL spells it once per engine; a test holds both together.
 */

/** What a field of a feed is. Money of unit `major` has up to two decimals and is kept in minor units; of unit `minor` it has none. */
export type FieldType =
  | { readonly type: "integer" }
  | { readonly type: "flag" }
  | { readonly type: "money"; readonly unit: "major" | "minor" }

/** As regular expressions that every engine of ours reads alike (RE2, JavaScript), over the whole text. */
export const SPELLINGS = {
  integer: "-?(0|[1-9][0-9]{0,14})",
  money_major: "-?(0|[1-9][0-9]{0,14})([.][0-9]{1,2})?",
  money_minor: "-?(0|[1-9][0-9]{0,14})",
  flag: "[01]",
} as const
export type Spelling = keyof typeof SPELLINGS

const PATTERNS = Object.fromEntries(Object.entries(SPELLINGS).map(([name, pattern]) => [name, new RegExp(`^(?:${pattern})$`)])) as Record<Spelling, RegExp>

/** Which spelling a field's values have. */
export const spellingOf = (field: FieldType): Spelling => field.type === "money" ? `money_${field.unit}` : field.type

/** The whole number that a text is (money in minor units), or nothing when it is none. Up to 17 digits, so a bigint. */
export const wholeOf = (text: string, field: FieldType): bigint | undefined => {
  if (!PATTERNS[spellingOf(field)].test(text)) return undefined
  if (field.type !== "money" || field.unit === "minor") return BigInt(text)
  const [whole, cents = ""] = text.split(".")
  return BigInt(`${whole}${cents.padEnd(2, "0")}`)
}
