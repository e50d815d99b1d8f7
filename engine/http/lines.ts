/**
 * A stream of bytes cut into lines, each of bounded size.
 *
 * What must stay true: memory is bounded by one chunk and one line, whatever is sent. A line that is too long is skipped to its end
 * and said to be so; the lines after it are read as ever. Once reading is to stop, no line is given any more, also of what has come already.
 */

export type Line = { readonly number: number; readonly bytes: Uint8Array } | { readonly number: number; readonly too_long: true }

const NEWLINE = 10

/** Reading was to stop before the stream's end. */
export class ReadingStopped extends Error {
  override readonly name = "ReadingStopped"
  /** `line` is the first that was not given. */
  constructor(readonly line: number) { super(`reading has stopped before line ${line}`) }
}

/** The lines of a stream, counted from 1. A last line needs no newline. Throws what the stream throws, and ReadingStopped once `ending` is aborted; a line that this cuts off is not given. */
export async function* linesOf(body: ReadableStream<Uint8Array>, line_bytes_max: number, ending?: AbortSignal): AsyncGenerator<Line> {
  const reader = body.getReader()
  let number = 1
  let kept: Uint8Array[] = []
  let bytes = 0

  const keep = (part: Uint8Array) => {
    bytes += part.length
    if (bytes > line_bytes_max) kept = []
    else if (part.length > 0) kept.push(part)
  }
  const take = (): Line => {
    const line: Line = bytes > line_bytes_max ? { number, too_long: true } : { number, bytes: kept.length === 1 ? kept[0]! : Buffer.concat(kept) }
    number += 1
    kept = []
    bytes = 0
    return line
  }

  const stopIfEnding = () => { if (ending?.aborted) throw new ReadingStopped(number) }
  // A read that waits comes back as if the stream had ended.
  const leave = () => { reader.cancel().catch(() => undefined) } // the stream may have ended or failed already

  ending?.addEventListener("abort", leave)
  try {
    for (;;) {
      stopIfEnding()
      const { done, value } = await reader.read()
      stopIfEnding()
      if (done) break
      let from = 0
      for (let end = value.indexOf(NEWLINE); end !== -1; end = value.indexOf(NEWLINE, from)) {
        keep(value.subarray(from, end))
        yield take()
        stopIfEnding()
        from = end + 1
      }
      // A copy: the rest of a chunk must not keep the whole chunk alive, nor change when the chunk is used again.
      keep(value.slice(from))
    }
    if (bytes > 0) yield take()
  } finally {
    ending?.removeEventListener("abort", leave)
    leave()
  }
}
