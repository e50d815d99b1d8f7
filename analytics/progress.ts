/**
 * How far a job is: a line that is written over again on a terminal, one step after the other, with a bar where a part is known.
 *
 * What must stay true: nothing is written where nobody looks (a file, a pipe, the schedule), and what is asked for costs a run nothing.
 */
import type { Duck } from "./duck.ts"

/** Say what is done now and how far it is, 0 to 1, where that is known. */
export type Progress = (step: string, part?: number) => void

const BAR_CHARS = 24
/** A statement of DuckDB's is asked so often how far it is. */
const ASK_MS = 250

/** One line that is written over again on a terminal, and nothing elsewhere. */
export const progressOn = (stream: Pick<NodeJS.WriteStream, "isTTY" | "write">): Progress => (step, part) => {
  if (!stream.isTTY) return
  const filled = part === undefined ? 0 : Math.round(Math.min(1, Math.max(0, part)) * BAR_CHARS)
  stream.write(`\r\x1b[K${step}${part === undefined ? "" : ` [${"=".repeat(filled)}${" ".repeat(BAR_CHARS - filled)}] ${Math.floor(part * 100)} %`}`)
}

/** Say the steps on, and for those that do not know how far they are, how far DuckDB's statement is. `end` before the database is closed. */
export const withStatements = (say: Progress, duck: () => Pick<Duck, "part"> | undefined): { readonly progress: Progress; end(): void } => {
  let step: string | undefined
  const timer = setInterval(() => {
    const part = step === undefined ? undefined : duck()?.part()
    if (step !== undefined && part !== undefined) say(step, part)
  }, ASK_MS)
  return {
    progress: (next, part) => {
      step = part === undefined ? next : undefined
      say(next, part)
    },
    end: () => clearInterval(timer),
  }
}
