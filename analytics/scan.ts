/**
 * A text file's records, as bytes: what a row of it is, before anything is known of its columns.
 *
 * What must stay true: a row has the same number however often it is looked at; memory is bounded by one record; a record whose bytes are
 * not UTF-8 is one bad row and not a bad file. DuckDB's own reader gives up a file for one byte and leaves no row numbers, so the records
 * are cut here and it is handed values that need no quoting (`VALUES_BETWEEN`).
 */
import { isUtf8 } from "node:buffer"
import { createHash } from "node:crypto"
import { open } from "node:fs/promises"

const CHUNK_BYTES = 8 * 1024 * 1024
/** A row larger than this is none: its quote was never closed, and it ends with its line. */
export const RECORD_BYTES_MAX = 1024 * 1024
const NEWLINE = 0x0a, RETURN = 0x0d, QUOTE = 0x22, COMMA = 0x2c
const BOM = Buffer.from([0xef, 0xbb, 0xbf])

/** Between values, and before what a value holds of these bytes: control characters, which hardly any value has. */
export const VALUES_BETWEEN = 0x1f
const ESCAPE = 0x1a

export type TextFormat = "csv" | "ndjson"

export interface Record {
  readonly bytes: Buffer
  /** From 1, without the header and without empty lines. */
  readonly row: number
  readonly is_utf8: boolean
}

/** UTF-8 without a zero character, which Postgres does not keep. */
const isText = (bytes: Buffer): boolean => isUtf8(bytes) && !bytes.includes(0)

/**
 * Finds where records of a buffer end: at their newline, or, in CSV, at the first one outside of quotes. -1: not in what there is.
 * Where the next quote is, is looked for once and not for every record: most files have none.
 */
const endFinder = (buffer: Buffer, format: TextFormat) => {
  const { length } = buffer
  const QUOTELESS = length
  let quote = format === "csv" ? -1 : QUOTELESS
  return (start: number): number => {
    const end = buffer.indexOf(NEWLINE, start)
    if (quote !== QUOTELESS && quote < start) {
      quote = buffer.indexOf(QUOTE, start)
      if (quote === -1) quote = QUOTELESS
    }
    if (quote === QUOTELESS || (end !== -1 && quote > end)) return end
    let is_open = false
    for (let i = quote; i < length; i += 1) {
      const byte = buffer[i]!
      if (byte === QUOTE) is_open = !is_open
      else if (byte === NEWLINE && !is_open) return i
      if (i - start > RECORD_BYTES_MAX) return end
    }
    return -1
  }
}

const hasOpenQuote = (buffer: Buffer, start: number, length: number): boolean => {
  let is_open = false
  for (let at = buffer.indexOf(QUOTE, start); at !== -1 && at < length; at = buffer.indexOf(QUOTE, at + 1)) is_open = !is_open
  return is_open
}

/** Visit the records of a file in their order; answers the SHA-256 of its bytes. The header of a CSV is row 0. */
export const scanRecords = async (
  file: string, format: TextFormat, visit: (record: Record) => void, signal: AbortSignal, progress: (part: number) => void = () => {},
): Promise<string> => {
  const handle = await open(file, "r")
  const hash = createHash("sha256")
  try {
    const { size } = await handle.stat()
    let held: Buffer = Buffer.alloc(0)
    let row = format === "csv" ? 0 : 1
    let read = 0
    for (let is_first = true; ; is_first = false) {
      signal.throwIfAborted()
      const chunk = Buffer.allocUnsafe(CHUNK_BYTES)
      const { bytesRead } = await handle.read(chunk, 0, CHUNK_BYTES, null)
      const isLast = bytesRead === 0
      const fresh = chunk.subarray(0, bytesRead)
      hash.update(fresh)
      read += bytesRead
      let buffer = held.length === 0 ? fresh : Buffer.concat([held, fresh])
      if (is_first && buffer.subarray(0, BOM.length).equals(BOM)) buffer = buffer.subarray(BOM.length)
      const { length } = buffer
      // Most files are text throughout: then no record has to be asked for itself. A character that the chunk cuts is judged with the next.
      const isClean = isText(isLast ? buffer : buffer.subarray(0, buffer.lastIndexOf(NEWLINE) + 1))
      const endOf = endFinder(buffer, format)
      let start = 0
      while (start < length) {
        let end = endOf(start)
        if (end === -1) {
          if (!isLast && length - start <= RECORD_BYTES_MAX) break
          // The file's last record; one with a quote that nobody closes ends with its line.
          const line = buffer.indexOf(NEWLINE, start)
          end = format === "csv" && line !== -1 && hasOpenQuote(buffer, start, length) ? line : length
        }
        let stop = end
        if (stop > start && buffer[stop - 1] === RETURN) stop -= 1
        if (stop > start) {
          const bytes = buffer.subarray(start, stop)
          visit({ bytes, row, is_utf8: isClean || isText(bytes) })
          row += 1
        }
        start = end + 1
      }
      held = Buffer.from(buffer.subarray(Math.min(start, length)))
      progress(size === 0 ? 1 : read / size)
      if (isLast) return hash.digest("hex")
    }
  } finally {
    await handle.close()
  }
}

/** The values of a CSV record. A quote that opens in the middle of a value is part of it. */
export const csvValues = (bytes: Buffer): string[] => {
  const text = bytes.toString("utf8")
  if (!bytes.includes(QUOTE)) return text.split(",")
  const values: string[] = []
  for (let i = 0; i <= text.length;) {
    if (text[i] !== '"') {
      const end = text.indexOf(",", i)
      values.push(text.slice(i, end === -1 ? text.length : end))
      i = end === -1 ? text.length + 1 : end + 1
      continue
    }
    let value = ""
    let from = i + 1
    for (;;) {
      const quote = text.indexOf('"', from)
      if (quote === -1) { value += text.slice(from); from = text.length; break }
      value += text.slice(from, quote)
      from = quote + 1
      if (text[from] !== '"') break
      value += '"'
      from += 1
    }
    const end = text.indexOf(",", from)
    values.push(value + text.slice(from, end === -1 ? text.length : end))
    i = end === -1 ? text.length + 1 : end + 1
  }
  return values
}

const JSON_NUMBER_OR_WORD = /[^\s,}\]]+/y

/**
 * The members of a JSON object on one line: names with their values as text. A number keeps the spelling that it has in the file, which
 * JSON.parse would lose; null is an empty value; an object or array is its own text. Undefined for what is no object.
 */
export const jsonMembers = (text: string): [string, string][] | undefined => {
  let i = 0
  const space = () => { while (i < text.length && /\s/.test(text[i]!)) i += 1 }
  const string = (): string | undefined => {
    const from = i
    for (i += 1; i < text.length && text[i] !== '"'; i += 1) if (text[i] === "\\") i += 1
    if (i >= text.length) return undefined
    i += 1
    const raw = text.slice(from, i)
    if (!raw.includes("\\")) return raw.slice(1, -1)
    try { return JSON.parse(raw) as string } catch { return undefined }
  }
  const nested = (): string | undefined => {
    const from = i
    let depth = 0
    for (; i < text.length; i += 1) {
      if (text[i] === '"') { if (string() === undefined) return undefined; i -= 1; continue }
      if (text[i] === "{" || text[i] === "[") depth += 1
      else if (text[i] === "}" || text[i] === "]") { depth -= 1; if (depth === 0) { i += 1; return text.slice(from, i) } }
    }
    return undefined
  }
  const members: [string, string][] = []
  space()
  if (text[i] !== "{") return undefined
  i += 1
  space()
  if (text[i] === "}") { i += 1; space(); return i === text.length ? members : undefined }
  for (;;) {
    space()
    const name = text[i] === '"' ? string() : undefined
    if (name === undefined) return undefined
    space()
    if (text[i] !== ":") return undefined
    i += 1
    space()
    const head = text[i]
    let value: string | undefined
    if (head === '"') value = string()
    else if (head === "{" || head === "[") value = nested()
    else {
      JSON_NUMBER_OR_WORD.lastIndex = i
      value = JSON_NUMBER_OR_WORD.exec(text)?.[0]
      if (value !== undefined) i += value.length
      if (value === "null") value = ""
    }
    if (value === undefined) return undefined
    members.push([name, value])
    space()
    if (text[i] === ",") { i += 1; continue }
    if (text[i] !== "}") return undefined
    i += 1
    space()
    return i === text.length ? members : undefined
  }
}

const SPECIAL = /[\x1a\n\r\x1f]/g
const CODES: Readonly<{ [character: string]: string }> = { "\x1a": "\x1a1", "\n": "\x1a2", "\r": "\x1a3", "\x1f": "\x1a4" }

/** A value as it may stand between separators. */
const escaped = (value: string): string => value.replace(SPECIAL, (character) => CODES[character]!)

/** SQL that makes of such a value what it was. */
export const unescaped = (column: string): string =>
  `case when contains(${column}, '\x1a') then replace(replace(replace(replace(${column}, '\x1a4', '\x1f'), '\x1a3', '\r'), '\x1a2', '\n'), '\x1a1', '\x1a') else ${column} end`

/** A writer of rows of values to a file, in pieces; `plain` takes a CSV record whose bytes need nothing but other separators. */
export const valueWriter = (write: (bytes: Buffer) => void) => {
  let buffer = Buffer.allocUnsafe(CHUNK_BYTES)
  let used = 0
  const room = (bytes: number): void => {
    if (used + bytes <= buffer.length) return
    write(buffer.subarray(0, used))
    used = 0
    if (bytes > buffer.length) buffer = Buffer.allocUnsafe(bytes)
  }
  return {
    values: (row: number, values: readonly string[]): void => {
      const text = `${row}\x1f${values.map(escaped).join("\x1f")}\n`
      room(Buffer.byteLength(text))
      used += buffer.write(text, used)
    },
    /** False when the record has to be taken apart: it holds a quote, a separator, or more values than there are columns. */
    plain: (row: number, bytes: Buffer, columns: number): boolean => {
      room(bytes.length + 18)
      let at = used + buffer.write(`${row}\x1f`, used, "latin1")
      let values = 1
      for (let i = 0; i < bytes.length; i += 1) {
        const byte = bytes[i]!
        if (byte === COMMA) { values += 1; buffer[at] = VALUES_BETWEEN }
        else if (byte === QUOTE || byte === VALUES_BETWEEN || byte === ESCAPE || byte === RETURN) return false
        else buffer[at] = byte
        at += 1
      }
      if (values > columns) return false
      buffer[at] = NEWLINE
      used = at + 1
      return true
    },
    end: (): void => {
      if (used > 0) write(buffer.subarray(0, used))
      used = 0
    },
  }
}
