/**
 * The engine's start and stop around an app of a few lines, to be run as a process by the tests of main.ts.
 * It must be what `npm start` is in everything but the app.
 */
import { runEngine } from "../../engine/main.ts"

const POLL_MS = 20, SLOW_MS_MAX = 30_000, AFTER_MS = 300
let slow = 0

await runEngine(process.env, {
  app: async ({ readiness }) => ({
    fetch: async (request) => {
      const { pathname } = new URL(request.url)
      if (pathname === "/slow") {
        slow += 1
        // In flight when the stop begins, and for long enough that new connections are seen to be refused.
        for (let waited_ms = 0; !readiness.isDraining() && waited_ms < SLOW_MS_MAX; waited_ms += POLL_MS) await Bun.sleep(POLL_MS)
        await Bun.sleep(AFTER_MS)
      }
      if (pathname === "/break") throw new Error("broken on purpose")
      return Response.json({ pid: process.pid, durability: readiness.durability, draining: readiness.isDraining(), slow })
    },
  }),
  worker: async ({ log }) => [
    { name: "quick", stop: async () => log.info("flushed", { step: "quick" }) },
    ...(process.env["STUCK"] === "yes" ? [{ name: "stuck", stop: () => new Promise<void>(() => {}) }] : []),
  ],
  scheduler: "analytics/scheduler.ts",
})
