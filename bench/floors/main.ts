/**
 * The floors and the Postgres contestant, as one process on the engine's own start, with a Redis and a Postgres of its own.
 *
 * Scrip's real worker runs beside it as it does beside Scrip, so that the floor of one act pays for its flushing too.
 */
import { Hono } from "hono"
import { runEngine } from "../../engine/main.ts"
import { wireEngine } from "../../engine/wire.ts"
import { actFloor } from "./act.ts"
import { httpFloor } from "./http.ts"
import { postgresContestant } from "./postgres.ts"

const { prepare, worker } = wireEngine()

await runEngine(process.env, {
  ...(prepare && worker ? { prepare, worker } : {}),
  app: async ({ redis, databaseUrl }) => {
    const app = new Hono()
      .route("/http", httpFloor())
      .route("/act", await actFloor(redis.all()[0]!))
      .route("/postgres", await postgresContestant(databaseUrl))
    return { fetch: (request) => app.fetch(request) }
  },
})
