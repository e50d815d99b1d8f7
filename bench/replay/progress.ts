/**
 * A progress bar on stderr: one line that is drawn over, or, where nobody watches, a line now and then.
 */

const BAR_CHARS = 28
const DRAW_MS = 100
const LINE_MS = 10_000

export interface Progress {
  /** So much more is done; `what` says where we are. */
  step(count: number, what: string): void
  end(): void
}

/** A bar for so many steps. */
export const openProgress = (total: number, out: { write(text: string): unknown; readonly isTTY?: boolean }): Progress => {
  const began_ms = performance.now()
  let done = 0, drawn_ms = -Infinity, last = ""
  const draw = () => {
    drawn_ms = performance.now()
    const part = total === 0 ? 1 : Math.min(1, done / total)
    const filled = Math.round(part * BAR_CHARS)
    const spent_s = ((drawn_ms - began_ms) / 1_000).toFixed(0)
    const text = `${"█".repeat(filled)}${"░".repeat(BAR_CHARS - filled)} ${(part * 100).toFixed(0).padStart(3)} %  ${done.toLocaleString("en")} of ${total.toLocaleString("en")}  ${spent_s} s  ${last}`
    out.write(out.isTTY ? `\r\x1b[2K${text}` : `${text}\n`)
  }
  return {
    step: (count, what) => {
      done += count
      last = what
      if (performance.now() - drawn_ms >= (out.isTTY ? DRAW_MS : LINE_MS)) draw()
    },
    end: () => {
      draw()
      if (out.isTTY) out.write("\n")
    },
  }
}
