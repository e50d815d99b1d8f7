/**
 * The seed of every test that chooses by chance.
 *
 * A change is judged by the choices that judged the one before it, so that a red test means the change. `SCRIP_SEED=random npm test` makes
 * choices that nobody has seen, and `SCRIP_SEED=N` repeats them; each test prints the seed it plays with.
 */
import fc from "fast-check"

const SEED_MAX = 2 ** 31
const asked = process.env["SCRIP_SEED"] ?? "20261122"

/** A whole number from 0 to 2^31 - 1; it is also fast-check's wherever a property names none. */
export const SEED = asked === "random" ? Math.floor(Math.random() * SEED_MAX) : Number(asked)
if (!Number.isInteger(SEED) || SEED < 0 || SEED >= SEED_MAX) throw new Error(`SCRIP_SEED is ${asked}: it must be a whole number below ${SEED_MAX}, or random`)

fc.configureGlobal({ seed: SEED })
