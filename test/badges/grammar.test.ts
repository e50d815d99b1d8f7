// The grammar of a feed's numbers: what is one, what is none, and which whole number it is.
import { expect, test } from "bun:test"
import { type FieldType, wholeOf } from "../../engine/badges/grammar.ts"

const INTEGER: FieldType = { type: "integer" }, MAJOR: FieldType = { type: "money", unit: "major" }, MINOR: FieldType = { type: "money", unit: "minor" }, FLAG: FieldType = { type: "flag" }

test("integers: digits with at most a minus before them, and no zero in front", () => {
  expect(["0", "-0", "7", "-7", "450", "999999999999999", "-999999999999999"].map((text) => wholeOf(text, INTEGER))).toEqual([0n, 0n, 7n, -7n, 450n, 999999999999999n, -999999999999999n])
})

test("money: major units become minor ones exactly, and minor ones stay", () => {
  expect(["1600.00", "1600", "0.5", "-0.05", "-3.1", "999999999999999.99"].map((text) => wholeOf(text, MAJOR))).toEqual([160000n, 160000n, 50n, -5n, -310n, 99999999999999999n])
  expect(["160000", "-5"].map((text) => wholeOf(text, MINOR))).toEqual([160000n, -5n])
  expect(wholeOf("1600.00", MINOR)).toBeUndefined()
})

/** Spellings that some parser somewhere takes for a number. */
export const NO_NUMBERS = [
  "", " ", "1e3", "1E3", "1_000", "1,000", "+5", ".5", "5.", " 450", "450 ", "450\n", "\t450", "0x10", "0b1", "007", "00", "-", "--5", "- 5", "１２", "４５０", "٤٥٠", "NaN", "Infinity", "inf",
  "null", "true", "1600.005", "1.0.0", "1000000000000000", "-1000000000000000", "1'000", "½", "2²", "5\u00a0", "\ufeff5", "5\u0000",
]

test("nothing else is a number, for any type", () => {
  for (const text of NO_NUMBERS) for (const field of [INTEGER, MAJOR, MINOR, FLAG]) expect([text, field, wholeOf(text, field)]).toEqual([text, field, undefined])
  expect(["2", "-1", "01", "yes", "0.0"].map((text) => wholeOf(text, FLAG))).toEqual([undefined, undefined, undefined, undefined, undefined])
  expect(["0", "1"].map((text) => wholeOf(text, FLAG))).toEqual([0n, 1n])
})
