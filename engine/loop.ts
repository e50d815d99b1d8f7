/**
 * A loop beside the API: it does its work again and again until it is stopped, and one failure does not end it.
 */
import { faultFields, type Log } from "./log.ts"

/** After a failure a loop waits so long, doubled each time, before it tries again. */
const RETRY_MS_MIN = 50
const RETRY_MS_MAX = 1_000
/** The same failure is logged again after this long at the earliest. */
const REPEAT_LOG_MS = 5_000

export interface Loop { readonly name: string; stop(): Promise<void> }

/**
 * Run `work` until it is stopped. It answers how long to wait before the next round, in milliseconds; a stop ends a wait at once and
 * comes back when the round under way is over.
 */
export const startLoop = (name: string, log: Log, work: (signal: AbortSignal) => Promise<number>): Loop => {
  const stopping = new AbortController()
  const { signal } = stopping
  const pause = (wait_ms: number) => new Promise<void>((resolve) => {
    const end = () => { clearTimeout(timer); signal.removeEventListener("abort", end); resolve() }
    const timer = setTimeout(end, wait_ms)
    signal.addEventListener("abort", end)
  })
  const running = (async () => {
    let failures = 0, logged_ms = -REPEAT_LOG_MS
    while (!signal.aborted) {
      let wait_ms: number
      try {
        wait_ms = await work(signal)
        failures = 0
      } catch (fault) {
        wait_ms = Math.min(RETRY_MS_MIN * 2 ** failures++, RETRY_MS_MAX)
        if (performance.now() - logged_ms >= REPEAT_LOG_MS) {
          logged_ms = performance.now()
          log.warn("a loop has failed and tries again", { step: name, ...faultFields(fault) })
        }
      }
      if (wait_ms > 0 && !signal.aborted) await pause(wait_ms)
    }
  })()
  return { name, stop: () => { stopping.abort(); return running } }
}
