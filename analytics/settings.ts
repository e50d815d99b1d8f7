/**
 * What the sidecar's processes are told: one line of JSON on their standard input, from the engine's start or its command. They read no
 * environment, and live as long as that input is open, so they end with whoever started them.
 */

export interface Settings {
  readonly database_url: string
  readonly time_zone: string
  /** The folder of the lake. */
  readonly lake_dir: string
  /** What one run may have. */
  readonly memory_mb: number
  readonly threads: number
  /** Rows about persons are kept for so many months. */
  readonly keep_months: number
  /** How far from its redemption, over a month's edge, an order may be booked; as the job has it where it is not told. */
  readonly timing_days?: number
  /** The engine's API with a key of the jobs' own; nothing where it is not known. */
  readonly api?: { readonly url: string; readonly key: string }
  /** What a command was asked; nothing for the scheduler. */
  readonly words?: readonly string[]
  /** Where he who asked stands: a file's name is read from there. */
  readonly cwd?: string
}

const LINE_CHARS_MAX = 1_000_000

/** Read the first line, then call `onEnd` when whoever started this process is gone. */
export const readSettings = async (stdin: AsyncIterable<Uint8Array>, onEnd: () => void): Promise<Settings> => {
  const pieces = stdin[Symbol.asyncIterator]()
  const decoder = new TextDecoder()
  let text = ""
  while (!text.includes("\n")) {
    const { value, done } = await pieces.next()
    if (done === true) throw new Error("no settings were told")
    text += decoder.decode(value, { stream: true })
    if (text.length > LINE_CHARS_MAX) throw new Error("the settings are too long")
  }
  void (async () => {
    while ((await pieces.next()).done !== true);
    onEnd()
  })()
  return JSON.parse(text.slice(0, text.indexOf("\n"))) as Settings
}
