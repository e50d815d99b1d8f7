/**
 * A loop beside the API: it does its work until it is stopped, and one failure does not end it.
 */
import { faultFields, type Log } from "./log.ts"

/** After a failure a loop waits so long, doubled each time, before it tries again. */
const RETRY_MS_MIN = 50
const RETRY_MS_MAX = 1_000
/** The same failure is logged again after this long at the earliest. */
const REPEAT_LOG_MS = 5_000

export interface Loop { readonly name: string; stop(): Promise<void> }

/** Something that runs until its signal says stop; `stop` comes back when it is over. */
export const startForever = (name: string, run: (signal: AbortSignal) => Promise<void>): Loop => {
  const stopping = new AbortController()
  const running = run(stopping.signal)
  return { name, stop: () => { stopping.abort(); return running } }
}

const pause = (wait_ms: number, signal: AbortSignal) => new Promise<void>((resolve) => {
  const end = () => { clearTimeout(timer); signal.removeEventListener("abort", end); resolve() }
  const timer = setTimeout(end, wait_ms)
  signal.addEventListener("abort", end)
})

/** Do some work every so often; a stop ends a wait at once. */
export const startEvery = (name: string, every_ms: number, log: Log, work: () => Promise<void>): Loop => startForever(name, async (signal) => {
  let failures = 0, logged_ms = -REPEAT_LOG_MS
  while (!signal.aborted) {
    let wait_ms = every_ms
    try {
      await work()
      failures = 0
    } catch (fault) {
      wait_ms = Math.min(RETRY_MS_MIN * 2 ** failures++, RETRY_MS_MAX)
      if (performance.now() - logged_ms >= REPEAT_LOG_MS) {
        logged_ms = performance.now()
        log.warn("a loop has failed and tries again", { step: name, ...faultFields(fault) })
      }
    }
    if (!signal.aborted) await pause(wait_ms, signal)
  }
})
