/**
 * Answers on their way to a reader who may be slower than we are.
 *
 * What must stay true: what waits here is bounded. Who writes asks for room first, and gets it when the reader has taken enough; when
 * the reader goes away, room is given at once and what is written is dropped. Before the end, who writes the last may be let in at once.
 */

export interface Outbox {
  put(text: string): void
  /** Resolves when less than the bound waits. */
  room(): Promise<void>
  /** Only the last few come now: nobody waits for room any more. */
  letIn(): void
  /** Nothing more comes. */
  end(): void
  readonly stream: ReadableStream<Uint8Array>
  /** The reader has gone. */
  isLeft(): boolean
}

/** So much is handed over at once. */
const CHUNK_CHARS = 64 * 1024

export const makeOutbox = (waiting_chars_max: number): Outbox => {
  const encoder = new TextEncoder()
  let waiting: string[] = []
  let chars = 0
  let ended = false
  let left = false
  let open = false
  let wakeReader: (() => void) | undefined
  let wakeWriter: (() => void) | undefined

  const wake = () => { wakeReader?.(); wakeReader = undefined }
  const hasRoom = () => left || open || chars < waiting_chars_max
  const makeRoom = () => { if (hasRoom()) { wakeWriter?.(); wakeWriter = undefined } }

  /** The oldest answers, up to a chunk's size. */
  const takeChunk = (): Uint8Array => {
    let count = 0
    let size = 0
    while (count < waiting.length && size < CHUNK_CHARS) size += waiting[count++]!.length
    const chunk = encoder.encode(waiting.slice(0, count).join(""))
    waiting = waiting.slice(count)
    chars -= size
    makeRoom()
    return chunk
  }

  const stream = new ReadableStream<Uint8Array>({
    pull: async (controller) => {
      while (waiting.length === 0 && !ended) await new Promise<void>((resolve) => { wakeReader = resolve })
      if (waiting.length > 0) controller.enqueue(takeChunk())
      else controller.close()
    },
    cancel: () => { left = true; waiting = []; chars = 0; makeRoom() },
  }, { highWaterMark: 0 })

  return {
    put: (text) => { if (left) return; waiting.push(text); chars += text.length; wake() },
    room: () => hasRoom() ? Promise.resolve() : new Promise<void>((resolve) => { wakeWriter = resolve }),
    letIn: () => { open = true; makeRoom() },
    end: () => { ended = true; wake() },
    stream,
    isLeft: () => left,
  }
}
