/**
 * What every use case is given: the stores, the catalogue, and the numbers of this installation. No use case reaches for a
 * global, a clock or the environment.
 */
import type { MissLimits } from "./codes/misses.ts"
import type { Generations } from "./levels/generations.ts"
import type { Catalogue } from "./operate/catalogue.ts"
import type { Signer } from "./operate/signer.ts"
import type { Postgres } from "./store/postgres.ts"
import type { LeaseTally } from "./quota/tally.ts"
import type { Servers } from "./store/redis.ts"

export interface Parts {
  readonly redis: Servers
  readonly postgres: Postgres
  readonly catalogue: Catalogue
  readonly generations: Generations
  /** What leases have cost this process. */
  readonly leases: LeaseTally
  /** How many cells the installation has; fixed until it is rebuilt. */
  readonly cells: number
  /** The time zone of a budget's month. */
  readonly zone: string
  /** How long a terminal record stays in Redis once it is flushed. */
  readonly age_ms: number
  /** How long an id is known as used. */
  readonly remember_ms: number
  /** The keyed hash of a code as it was normalised: the only trace of it that is kept. */
  readonly codeHash: (code: string) => string
  /** How many wrong codes may be tried. */
  readonly misses: MissLimits
  /** The keyed hash under which a device, payment or address id is stored, so that it can be counted and not read. */
  readonly hashId: (kind: "device" | "payment" | "address", id: string) => string
  /** Signs prices that are promised. */
  readonly signer: Signer
}

/** What moves quotas between cells. */
export type QuotaParts = Pick<Parts, "redis" | "cells" | "leases">

/** Terminal records leave Redis after this long by default. */
export const AGE_MS = 48 * 3_600_000
/** Ids are known as used for this long by default. */
export const REMEMBER_MS = 90 * 24 * 3_600_000

/** The numbers of all cells. */
export const cellsOf = ({ cells }: Pick<Parts, "cells">): number[] => Array.from({ length: cells }, (_, cell) => cell)

/** How long things stay, judged at an instant. */
export const agesOf = ({ age_ms, remember_ms }: Parts, now_ms: number) => ({ now_ms, age_ms, remember_ms })
