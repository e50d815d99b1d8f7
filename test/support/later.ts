/**
 * "Later" is no answer of a story: whoever hears a 503 that may be asked again asks again, with the same ids, until he hears one.
 *
 * What must stay true: he waits before he comes again, because a connection that was lost comes back only while nobody keeps the event loop
 * from it; and not for ever, so that a shop that never answers fails by the request's name and not by the runner's limit.
 */
import type { Answer } from "./shop.ts"

/** Who is told "later" comes again after so long, and gives up after so much of it. */
const AGAIN_MS = 5, LATER_MS_MAX = 60_000

type Ask = (method: string, path: string, body?: unknown) => Promise<Answer>

/** The same calls, each made again while it is told "later". */
export const askingAgain = (call: Ask): Ask => async (method, path, body) => {
  const until = performance.now() + LATER_MS_MAX
  for (;;) {
    const heard = await call(method, path, body)
    if (heard.status !== 503) return heard
    if (heard.body.retry !== true || performance.now() > until) throw new Error(`${method} ${path}: ${JSON.stringify(heard.body)}`)
    await Bun.sleep(AGAIN_MS)
  }
}
