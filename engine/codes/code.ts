/**
 * Codes as people read and type them: how they are made, how they are compared, and what is kept of them.
 *
 * What must stay true: whatever a person changes while he copies a code (case, spaces, dashes, full-width letters) leaves it the same
 * code; a generated code is 74 bits of a secret that came from the system's source of chance, and a check character; and nothing but
 * a keyed hash of a code is ever stored, so that a copy of the data is no list of codes.
 */
import { createHmac, randomBytes } from "node:crypto"

/** Digits and capital letters without 0, 1, I, L and O. There are 31, a prime, so that the check finds every wrong character and every two that changed places. */
export const ALPHABET = "23456789ABCDEFGHJKMNPQRSTUVWXYZ"
export const CODE_CHARS = 16
const BASE = ALPHABET.length
const GROUP_CHARS = 4
export const SECRET_BYTES = 32
/** A code that is longer once it is normalised is nobody's. */
export const CODE_CHARS_MAX = 64

/** A code as it is compared: compatible letters made one (NFKC), capitals, no spaces and no dashes. */
export const normalise = (code: string): string => code.normalize("NFKC").toUpperCase().replace(/[\s\p{Z}\p{Pd}]/gu, "")

/** The last character: the sum of the others, each times its place, as a digit of the alphabet. */
const checkOf = (digits: readonly number[]): number => digits.reduce((sum, digit, i) => sum + digit * (i + 1), 0) % BASE

/** Whether a code can be one of ours: what a till finds out without asking. */
export const isWellFormed = (code: string): boolean => {
  const digits = [...normalise(code)].map((char) => ALPHABET.indexOf(char))
  return digits.length === CODE_CHARS && !digits.includes(-1) && checkOf(digits.slice(0, -1)) === digits.at(-1)
}

/** What the codes of a batch are derived from. */
export const newSecret = (): Buffer => randomBytes(SECRET_BYTES)

/**
 * The code at a place of a batch, from 0: 15 digits of the keyed hash of its place, and the check. The same again each time it is asked for,
 * so that no code need be stored. The digits are the remainder of 128 bits by 31^15, even to one part in 2^53.
 */
export const codeAt = (secret: Uint8Array, place: number): string => {
  let left = BigInt(`0x${createHmac("sha256", secret).update(String(place)).digest("hex").slice(0, 32)}`)
  const digits: number[] = []
  for (let i = 1; i < CODE_CHARS; i += 1) {
    digits.push(Number(left % BigInt(BASE)))
    left /= BigInt(BASE)
  }
  digits.push(checkOf(digits))
  return digits.map((digit) => ALPHABET[digit]).join("")
}

/** A code as it is printed: in groups of four. */
export const printed = (code: string): string => (code.match(new RegExp(`.{1,${GROUP_CHARS}}`, "g")) ?? []).join("-")
