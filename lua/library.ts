/**
 * The library: one text made from the declarations and their bodies, under a name that carries its hash.
 *
 * Because the names carry the hash of the source, an old and a new engine run side by side on one Redis, each
 * calling its own functions; loading is never a replacement.
 */
import { createHash } from "node:crypto"
import { readFileSync } from "node:fs"
import type { Script } from "./declare.ts"
import { ACTS_MIN, GROWTH_MAX, LENT_FOR_MS, SHARES_PER_CELL } from "./grant.ts"
import { SCRIPTS } from "./index.ts"
import { COUPON_HASH_CHARS, CELLS_PER_FIELD, HOUR_MS, MARK_CHARS } from "./keys.ts"
import { ACTS, BATCH_STATES, CAMPAIGN_STATES, COUPON_STATES, ENTRY_FACTS, FORMAT, HELD_OUT_MARK, REDEMPTION_STATES, recordsInLua } from "./records.ts"

const read = (file: string): string => readFileSync(new URL(file, import.meta.url), "utf8")

const valueIn = (words: readonly string[], word: string): string => {
  if (!words.includes(word)) throw new Error(`no such word in lua: ${word}`)
  return `${words.indexOf(word) + 1}`
}

/** The words of the records' states and acts, as bodies write them (`COUPON.issued`): their values stand in the source, so nothing is looked up. */
const WORDS: Readonly<Record<string, (word: string) => string>> = {
  COUPON: (word) => valueIn(COUPON_STATES, word),
  REDEMPTION: (word) => valueIn(REDEMPTION_STATES, word),
  CAMPAIGN: (word) => valueIn(CAMPAIGN_STATES, word),
  BATCH: (word) => valueIn(BATCH_STATES, word),
  ACT: (word) => `"${ACTS[Number(valueIn(ACTS, word)) - 1]}"`,
}
/** What of the prelude's heads of texts and lists is known beforehand: `LIST[2]` stands in the source as the byte it is. */
const HEADS: Readonly<Record<string, number>> = { LIST: 144, TEXT: 160 }
const withValues = (lua: string): string =>
  lua.replace(/\b(LIST|TEXT)\[(\d+)\]/g, (_, list: string, length: string) => `"\\${HEADS[list]! + Number(length)}"`).replace(/\b(COUPON|REDEMPTION|CAMPAIGN|BATCH|ACT)\.([a-z_]+)/g, (_, list: string, word: string) => WORDS[list]!(word))

/** A body's outcomes in place of their names; a word that was not declared stays a name that nothing defines. */
const withOutcomes = (words: readonly string[], lua: string): string =>
  lua.replace(/\breturn \{ ([A-Z_]+)/g, (said, name: string) => words.includes(name.toLowerCase()) ? `return { "${name.toLowerCase()}"` : said)

const flagsOf = ({ nature }: Script): string =>
  nature === "read" ? `{ "no-writes" }` : nature === "give" ? `{ "allow-oom" }` : "{}"

const guard = (name: string, type: string, i: number): string =>
  type === "int" ? `SHORT[args[${i + 1}]] or whole(args[${i + 1}], "${name}")` : type === "json" ? `list(args[${i + 1}], "${name}")` : `args[${i + 1}]`

const functionOf = (script: Script, hash: string): string => {
  const args = Object.entries(script.args)
  const words = Object.keys(script.outcomes)
  return `local function ${script.name}(keys, args)
  if #keys ~= ${script.keys.length} or #args ~= ${args.length} then error("${script.name}: wrong number of keys or arguments") end
  local ${script.keys.join(", ")} = ${script.keys.map((_, i) => `keys[${i + 1}]`).join(", ")}
${args.map(([name, type], i) => `  local ${name} = ${guard(name, type, i)}\n`).join("")}${withOutcomes(words, withValues(read(`${script.name}.lua`)))}
end
register_function{
  function_name = "${script.name}_${hash}",
  callback = function(keys, args)
    if not is_ready then make_ready() end
    written = false
    return said(${script.name}(keys, args))
  end,
  flags = ${flagsOf(script)},
}
`
}

// Replies are texts only: numbers would be cut to integers, and a nil would end the array.
const SAID = `local function said(reply)
  for i = 2, #reply do
    if type(reply[i]) == "number" then reply[i] = digits(reply[i]) end
  end
  if written then reply[#reply + 1], written = written, false end
  return reply
end
`

/** What every body shares, each part using only what is before it; the records' functions stand behind the first. */
export const PRELUDE = ["values", "book", "act", "leases", "holds", "tickets"] as const

const prelude = (): string => PRELUDE.map((part, i) => read(`prelude/${part}.lua`) + (i === 0 ? recordsInLua() : "")).join("\n")

const shared = (): string =>
  `local FORMAT, ENTRY_FORMAT, ENTRY_FACTS = ${FORMAT}, "${FORMAT}", "${ENTRY_FACTS}"\n` +
  `local MARK_CHARS, COUPON_HASH_CHARS, CELLS_PER_FIELD, HOUR_MS, HELD_OUT_MARK = ${MARK_CHARS}, ${COUPON_HASH_CHARS}, ${CELLS_PER_FIELD}, ${HOUR_MS}, "${HELD_OUT_MARK}"\n` +
  `local SHARES_PER_CELL, LENT_FOR_MS, GROWTH_MAX, ACTS_MIN = ${SHARES_PER_CELL}, ${LENT_FOR_MS}, ${GROWTH_MAX}, ${ACTS_MIN}\n` +
  withValues(prelude()) + SAID

export interface Library {
  /** Twelve hexadecimal characters of the source's SHA-256: part of every function's name. */
  readonly hash: string
  readonly name: string
  readonly source: string
}

/** The library as it is loaded. Pure: the same files give the same names. */
export const library = (): Library => {
  const source = (hash: string): string => shared() + SCRIPTS.map((script) => functionOf(script, hash)).join("\n")
  const hash = createHash("sha256").update(source("")).digest("hex").slice(0, 12)
  const name = `scrip_${hash}`
  return { hash, name, source: `#!lua name=${name}\n${source(hash)}` }
}
