/**
 * A request's body: at most 1 MiB, UTF-8, JSON.
 *
 * The server itself has no limit, because a bulk stream has none; so every other route counts here, also where no length was
 * announced. What is announced too large is refused before it is read.
 */
import type { No } from "../answers.ts"

export const BODY_BYTES_MAX = 1024 * 1024

const tooLarge: No = { outcome: "request_too_large", detail: "A body has at most 1 MiB.", bytes_max: BODY_BYTES_MAX }
const invalid = (detail: string): No => ({ outcome: "request_invalid", field: "", detail })
const cutOff = invalid("The body ended before it was complete.")
const notUtf8 = invalid("The body is not UTF-8, or has the character that stands for what was not.")

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

/** What decoding puts in the place of bytes that are not UTF-8: two different ids would become the same. */
const REPLACEMENT = "\uFFFD"

const parse = (text: string): Read => {
  if (text.includes(REPLACEMENT)) return notUtf8
  try {
    return { value: JSON.parse(text) as unknown }
  } catch (error) {
    return text.trim() === "" ? EMPTY : invalid(`The body is not JSON: ${error instanceof Error ? error.message : "it cannot be read"}.`)
  }
}

/** Read and parse the body of a request; an empty one is `{ value: undefined }`. */
export const readBody = async (request: Request): Promise<Read> => {
  try {
    const announced = request.headers.get("content-length")
    if (announced === "0") return EMPTY
    if (announced !== null && /^[0-9]+$/.test(announced)) return Number(announced) > BODY_BYTES_MAX ? tooLarge : parse(await request.text())
    // To touch `body` makes a stream of it, which costs as much as the rest of reading it.
    const { body } = request
    if (body === null) return EMPTY
    const bytes = await readCounting(body)
    return bytes instanceof Uint8Array ? parse(new TextDecoder().decode(bytes)) : bytes
  } catch {
    return cutOff
  }
}

export const isRead = (read: Read): read is { readonly value: unknown } => !("outcome" in read)
