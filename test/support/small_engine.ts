/**
 * The engine's start and stop around an app of a few lines, to be run as a process by the tests of main.ts.
 * It must be what `npm start` is in everything but the app.
 */
import { runEngine } from "../../engine/main.ts"

await runEngine(process.env, {
  app: async ({ readiness }) => ({
    fetch: async (request) => {
      const { pathname, searchParams } = new URL(request.url)
      if (pathname === "/slow") await Bun.sleep(Number(searchParams.get("ms")))
      if (pathname === "/break") throw new Error("broken on purpose")
      return Response.json({ pid: process.pid, durability: readiness.durability, draining: readiness.isDraining() })
    },
  }),
  worker: async ({ log }) => [
    { name: "quick", stop: async () => log.info("flushed", { step: "quick" }) },
    ...(process.env["STUCK"] === "yes" ? [{ name: "stuck", stop: () => new Promise<void>(() => {}) }] : []),
  ],
  scheduler: "analytics/scheduler.ts",
})
