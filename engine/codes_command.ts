/**
 * `npm run codes`: generate a batch into a file, import a partner's file, or look at a code without asking anybody.
 *
 * It calls the API of an engine that runs, with a key that may `operate`, and shows how far it is. What was cut off is run again with
 * the same words: a batch gives the same codes, and an import answers of each code that it is there.
 */
import { linesOf } from "./http/lines.ts"
import { isWellFormed } from "./codes/code.ts"

export interface CodesOut {
  /** A line of the result. */
  readonly say: (line: string) => void
  /** A sentence about the command: the result may go into a file. */
  readonly tell: (line: string) => void
  /** How far it is; `total` where that is known. */
  readonly at: (label: string, done: number, total?: number) => void
  readonly end: () => void
}

const WELL = 0, NOT_WELL = 1, MISTAKEN = 2
const URL_DEFAULT = "http://127.0.0.1:7070"
const LINE_BYTES_MAX = 64 * 1024
const USAGE = `npm run codes -- generate --campaign <id> --batch <id> --count <number> --key <key> [--url ${URL_DEFAULT}] > codes.ndjson
npm run codes -- import --campaign <id> --batch <id> --file codes.ndjson --key <key> [--url ${URL_DEFAULT}]
npm run codes -- check <code>`

/** The words behind the first as names and values; nothing when one has no value. */
const flagsOf = (words: readonly string[], known: readonly string[]): Map<string, string> | undefined => {
  const flags = new Map<string, string>()
  for (let i = 0; i < words.length; i += 2) {
    const name = words[i]!.replace(/^--/, ""), value = words[i + 1]
    if (!words[i]!.startsWith("--") || !known.includes(name) || value === undefined) return undefined
    flags.set(name, value)
  }
  return flags
}

const utf8 = new TextDecoder()
async function* jsonLines(body: ReadableStream<Uint8Array>): AsyncGenerator<Record<string, unknown>> {
  for await (const line of linesOf(body, LINE_BYTES_MAX)) {
    const text = "bytes" in line ? utf8.decode(line.bytes) : ""
    if (text.trim() !== "") yield JSON.parse(text) as Record<string, unknown>
  }
}

type Call = (place: string, body: string | ReadableStream<Uint8Array>) => Promise<Response>
const urlOf = (flags: ReadonlyMap<string, string>): string => flags.get("url") ?? URL_DEFAULT
const caller = (flags: ReadonlyMap<string, string>): Call => (place, body) =>
  fetch(`${urlOf(flags)}/v1/campaigns/${encodeURIComponent(flags.get("campaign")!)}/codes${place}`, {
    method: "POST", body, headers: { authorization: `Bearer ${flags.get("key")}` }, duplex: "half",
  } as RequestInit)

const refused = async (answer: Response, { tell }: CodesOut): Promise<number> => {
  const text = await answer.text()
  tell(`Refused: ${answer.status} ${text}`)
  return NOT_WELL
}

const generate = async (flags: ReadonlyMap<string, string>, out: CodesOut): Promise<number> => {
  const count = Number(flags.get("count"))
  const answer = await caller(flags)("", JSON.stringify({ batch_id: flags.get("batch"), count }))
  if (answer.status >= 300 || answer.body === null) return refused(answer, out)
  let done = 0, isWhole = false
  for await (const line of jsonLines(answer.body)) {
    if (line["codes"] !== undefined) { isWhole = line["code"] === undefined; continue }
    done += 1
    out.say(JSON.stringify(line))
    out.at("codes", done, count)
  }
  out.end()
  return isWhole && done === count ? WELL : NOT_WELL
}

const countLines = async (path: string): Promise<number> => {
  let lines = 0
  for await (const chunk of Bun.file(path).stream()) for (const byte of chunk) if (byte === 10) lines += 1
  return lines
}

const importFile = async (flags: ReadonlyMap<string, string>, out: CodesOut): Promise<number> => {
  const path = flags.get("file")!
  if (!await Bun.file(path).exists()) { out.tell(`There is no file ${path}.`); return MISTAKEN }
  const total = await countLines(path)
  const answer = await caller(flags)(`/import?batch_id=${encodeURIComponent(flags.get("batch")!)}`, Bun.file(path).stream())
  if (answer.status >= 300 || answer.body === null) return refused(answer, out)
  let imported = 0, there = 0, wrong = 0
  for await (const line of jsonLines(answer.body)) {
    if (line["idempotency_hit"] === true) there += 1
    else if (line["status"] === 201) imported += 1
    else { wrong += 1; out.say(JSON.stringify(line)) }
    out.at("codes", imported + there + wrong, total)
  }
  out.end()
  out.say(`${imported} imported, ${there} were there already, ${wrong} refused`)
  return wrong === 0 ? WELL : NOT_WELL
}

/** Run one of them; answers the exit code. */
export const runCodes = async ([verb, ...words]: readonly string[], out: CodesOut): Promise<number> => {
  if (verb === "check" && words.length === 1) {
    const isGood = isWellFormed(words[0]!)
    out.say(isGood ? "well formed" : "mistyped, or not one of ours")
    return isGood ? WELL : NOT_WELL
  }
  const own = verb === "generate" ? "count" : "file"
  const flags = verb === "generate" || verb === "import" ? flagsOf(words, ["campaign", "batch", "key", "url", own]) : undefined
  if (!flags || ["campaign", "batch", "key", own].some((name) => !flags.has(name)) || (own === "count" && !/^[1-9]\d{0,7}$/.test(flags.get("count")!))) {
    out.tell(USAGE)
    return MISTAKEN
  }
  try {
    return await (verb === "generate" ? generate(flags, out) : importFile(flags, out))
  } catch (fault) {
    out.end()
    out.tell(`Broken off: ${urlOf(flags)} does not answer, or not to the end (${fault instanceof Error ? fault.message : String(fault)}). The same command again does no harm and tells all.`)
    return MISTAKEN
  }
}
