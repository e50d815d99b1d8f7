/**
 * `npm run import -- orders|scores|books FILE …` and `npm run import -- remove IMPORT_ID`: what is asked in words, and what is answered.
 *
 * What must stay true: the last line is JSON; 0: every row was taken, 2: some were, 1: none.
 */
import { resolve } from "node:path"
import type { Out } from "./job_command.ts"
import { type Feed, FEEDS, SCHEMAS } from "./feeds.ts"
import { importFile, type ImportAsk, removeImport, UnreadableFile } from "./import.ts"
import type { House } from "./runner.ts"

const HOW = `npm run import -- ${FEEDS.join("|")} FILE [--set NAME] [--map '{"order_id":"basket_id"}'] [--zone America/New_York]
npm run import -- remove IMPORT_ID`
const REMOVE = "remove"
const SET = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$/
/** Books are other people's ledgers, so they always have a name. */
const BOOKS_SET = "default"
const FLAGS = ["set", "map", "zone"]

const isZone = (zone: string): boolean => {
  try {
    new Intl.DateTimeFormat("en", { timeZone: zone })
    return true
  } catch {
    // The database of zones has no such name.
    return false
  }
}

const readMap = (text: string): Record<string, string> | undefined => {
  try {
    const map: unknown = JSON.parse(text)
    if (typeof map !== "object" || map === null || Array.isArray(map)) return undefined
    return Object.values(map).every((value) => typeof value === "string") ? map as Record<string, string> : undefined
  } catch {
    // Not JSON: the caller is told what it must be.
    return undefined
  }
}

/** What is asked, or what is wrong with it. */
export const readImport = (words: readonly string[], cwd: string): ImportAsk | string => {
  const names: string[] = []
  const flags: Record<string, string> = {}
  for (let i = 0; i < words.length; i += 1) {
    const word = words[i]!
    if (!word.startsWith("--")) { names.push(word); continue }
    const [name = "", ...rest] = word.slice(2).split("=")
    const value = rest.length > 0 ? rest.join("=") : words[i += 1]
    if (!FLAGS.includes(name)) return `There is no ${word}.`
    if (value === undefined) return `--${name} needs a value.`
    flags[name] = value
  }
  const [feed, file, ...more] = names
  const known = FEEDS.find((each) => each === feed)
  if (known === undefined) return `${feed ?? "Nothing"} is no feed: it must be ${FEEDS.join(", ")}.`
  if (file === undefined) return "The file is missing."
  if (more.length > 0) return `${more[0]} is one word too many.`
  const { set = known === "books" ? BOOKS_SET : "", zone } = flags
  if (flags["set"] !== undefined && !SET.test(set)) return "--set must be 1 to 64 letters, digits, dots, dashes and underscores."
  if (zone !== undefined && !isZone(zone)) return `--zone is ${zone} and must be a zone of the time zone database, such as America/New_York.`
  const map = flags["map"] === undefined ? {} : readMap(flags["map"])
  if (map === undefined) return `--map must be a JSON object of texts, as in {"order_id":"basket_id"}.`
  const own = SCHEMAS[known].columns.map(({ name }) => name)
  const unknown = SCHEMAS[known].has_fields ? undefined : Object.keys(map).find((name) => !own.includes(name))
  if (unknown !== undefined) return `--map names ${unknown}, which is no column of ${known}: they are ${own.join(", ")}.`
  return { feed: known, file: resolve(cwd, file), set, map, zone }
}

/** Take an import out; answers the exit code. Nothing else writes a part that is there, so no turn is taken. */
const remove = async (words: readonly string[], house: House, out: Out): Promise<number> => {
  const [import_id, ...more] = words
  if (import_id === undefined || more.length > 0) {
    out.say(`One import is taken out at a time, by its import_id.\n\n${HOW}`)
    return 1
  }
  const removed = await removeImport(house, import_id)
  out.say(removed ? `The import ${import_id} of ${removed.feed}${removed.set === "" ? "" : `, set ${removed.set},`} is taken out. What reads its days is run again.` : `There is no import ${import_id}.`)
  out.say(JSON.stringify({ import_id, feed: removed?.feed ?? null, rows: removed?.rows ?? 0, accepted: 0, rejected: 0, rejects_file: null }))
  return removed ? 0 : 1
}

/** Carry out one import; answers the exit code. */
export const importCommand = async (words: readonly string[], cwd: string, house: House, out: Out): Promise<number> => {
  if (words[0] === REMOVE) return remove(words.slice(1), house, out)
  const ask = readImport(words, cwd)
  const nothing = (feed: Feed | null, detail: string): number => {
    out.say(detail)
    out.say(JSON.stringify({ import_id: null, feed, rows: 0, accepted: 0, rejected: 0, rejects_file: null }))
    return 1
  }
  if (typeof ask === "string") return nothing(null, `${ask}\n\n${HOW}`)
  const session = await house.sql.reserve()
  try {
    // Imports of one dataset take turns, so that each sees the repeats of the other.
    await session`select pg_advisory_lock(hashtextextended(${`import ${ask.feed} ${ask.set}`}, 0))`
    const { ignored, ...imported } = await importFile(house, ask)
    if (ignored.length > 0) out.say(`Columns that are not of ${ask.feed} and were ignored: ${ignored.join(", ")}.`)
    out.say(`Rows that were taken: ${imported.accepted} of ${imported.rows}${imported.rejects_file === null ? "" : `; what was not is in ${imported.rejects_file}`}.`)
    out.say(JSON.stringify(imported))
    return imported.accepted === 0 ? 1 : imported.rejected > 0 ? 2 : 0
  } catch (fault) {
    // Whatever broke (a page of a Parquet file, the disk), no manifest was written, so nothing was taken.
    const why = fault instanceof Error ? fault.message : String(fault)
    return nothing(ask.feed, `Nothing was taken: ${fault instanceof UnreadableFile ? `${why}.` : why}`)
  } finally {
    await session`select pg_advisory_unlock_all()`
    session.release()
  }
}
