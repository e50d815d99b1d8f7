/**
 * A request's body: at most 1 MiB, UTF-8, JSON.
 *
 * The server itself has no limit, because a bulk stream has none; so every other route counts here, also where no length was
 * announced. What is announced too large is refused before it is read.
 */
import type { No } from "../answers.ts"

export const BODY_BYTES_MAX = 1024 * 1024

const tooLarge: No = { outcome: "request_too_large", bytes_max: BODY_BYTES_MAX }
const invalid = (detail: string): No => ({ outcome: "request_invalid", field: "", detail })
const cutOff = invalid("The body ended before it was complete.")
const notUtf8 = invalid("The body is not UTF-8.")

const utf8 = new TextDecoder("utf-8", { fatal: true })
const decode = (bytes: Uint8Array): string | No => {
  try { return utf8.decode(bytes) } catch { return notUtf8 }
}

/** Read a body whose length nobody announced, and stop where it becomes too large. */
const readCounting = async (body: ReadableStream<Uint8Array>): Promise<Uint8Array | No> => {
  const reader = body.getReader()
  const chunks: Uint8Array[] = []
  let bytes = 0
  for (;;) {
    const { done, value } = await reader.read()
    if (done) return chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks, bytes)
    bytes += value.length
    if (bytes > BODY_BYTES_MAX) {
      reader.cancel().catch(() => undefined) // the caller may be gone already
      return tooLarge
    }
    chunks.push(value)
  }
}

/** What a body says, `undefined` where there is none; or why it cannot be read. */
export type Read = { readonly value: unknown } | No

const EMPTY: Read = { value: undefined }

const parse = (text: string): Read => {
  if (text.trim() === "") return EMPTY
  try {
    return { value: JSON.parse(text) as unknown }
  } catch (error) {
    return invalid(`The body is not JSON: ${error instanceof Error ? error.message : "it cannot be read"}.`)
  }
}

/** Read and parse the body of a request; an empty one is `{ value: undefined }`. */
export const readBody = async (request: Request): Promise<Read> => {
  const { body } = request
  if (body === null) return EMPTY
  try {
    const announced = request.headers.get("content-length")
    let bytes: Uint8Array | No
    if (announced !== null && /^[0-9]+$/.test(announced)) {
      if (Number(announced) > BODY_BYTES_MAX) return tooLarge
      bytes = await request.bytes()
    } else {
      bytes = await readCounting(body)
    }
    if (!(bytes instanceof Uint8Array)) return bytes
    const text = decode(bytes)
    return typeof text === "string" ? parse(text) : text
  } catch {
    return cutOff
  }
}

export const isRead = (read: Read): read is { readonly value: unknown } => !("outcome" in read)
