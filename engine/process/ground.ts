/**
 * What a process is made of: the ground that every piece stands on, and the pieces that may stand on it.
 */
import type { AcceptedDurability, Config, Durability } from "../config.ts"
import type { Porch } from "../http/shed.ts"
import type { Log } from "../log.ts"
import type { Masters } from "../store/masters.ts"
import type { Postgres } from "../store/postgres.ts"

/** What `/readyz` tells of this process. */
export interface Readiness {
  readonly durability: Durability | AcceptedDurability
  /** Why the servers are less than safe, where the operator has accepted that. */
  readonly accepted: readonly string[]
  /** True from the signal on. */
  isDraining(): boolean
}

/** What the worker's process and the API's tell each other, where one has started the other. What is told to one that has died is lost. */
export interface Link {
  tell(message: unknown): void
  hear(listener: (message: unknown) => void): void
}

/** What every piece stands on: settings, log, and servers that were looked at. */
export interface Ground {
  readonly config: Config
  readonly log: Log
  readonly redisUrl: string
  readonly databaseUrl: string
  readonly redis: Masters
  readonly postgres: Postgres
  readonly readiness: Readiness
  /** From the worker to the API of the same start, and back. Roles that were started apart have none. */
  readonly link?: Link
  /** Restarts of the private servers, by name; empty where there are none. */
  serverRestarts(): Readonly<Record<string, number>>
}

/** Something that runs until it is stopped. `stop` comes back when nothing of it is left to do. */
export interface Piece {
  readonly name: string
  stop(): Promise<void>
}

/** What answers HTTP: a Hono app is one. */
export interface App {
  fetch(request: Request, server: Bun.Server<undefined>): Response | Promise<Response>
  /** Whom the server may refuse by itself, and when: then nothing of the app runs. */
  porch?: Porch
  /** Nothing new is coming: what goes on for long, like a stream, ends early. */
  drain?(): void
  /** What is left to do when the last request was answered. */
  stop?(): Promise<void>
}

/** What is started for each role. A piece that is not there is not started. */
export interface Wiring {
  /** What is done before anything answers or runs, by whoever starts the worker. */
  readonly prepare?: (ground: Ground) => Promise<void>
  readonly app?: (ground: Ground) => Promise<App>
  /** The loops beside the API, in the order in which they start; they stop in the opposite order. */
  readonly worker?: (ground: Ground) => Promise<readonly Piece[]>
  /** The scheduler's file. */
  readonly scheduler?: string
  /** What the operator is told once the API listens at an address. */
  readonly welcome?: (url: string) => string
}
