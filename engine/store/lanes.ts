/**
 * The connections to one node: one for plain commands, some for acts, and one for the acts that wait for a replica.
 *
 * Redis reads a connection's first 20 kB, then the next connection's, runs what it has read, syncs its log once for all of it, and answers.
 * So over one connection a sync served 10 reserves of 3 lines, and the next 10 waited for the next. What must stay true: the calls of acts
 * that have no answer yet fill one connection up to what is read of it at once, and only then the next, so that few calls cost no more
 * reads and writes than before, and many have one sync. Acts of several callers may run in any order, as over HTTP; who needs one
 * behind another sends both on the connection that he was given.
 */
import type { Redis } from "ioredis"
import { isOpen, unansweredBytes } from "./call.ts"

/** Connections for acts, the one for plain commands among them: together 80 kB, 40 reserves of 3 lines. */
export const ACT_LANES_MAX = 4
/** So much lies unanswered on a connection before the next is taken: with one more reserve it is still read at once, and 64 confirms are less. */
const FULL_BYTES = 18_432

/** What a connection is for: whatever is asked, acts, or acts that wait for a replica, because WAIT makes a connection stand still. */
export type Lane = "plain" | "acts" | "waiting"

export interface Lanes {
  /** The connection for plain commands, which is there from the start. */
  readonly plain: Redis
  /** The connection to take now. Others than the first are opened when they are needed, and taken once they are open. */
  of(lane: Lane): Redis
  disconnect(): void
}

/** The connections to a node. `connect` makes one, not yet opened; whoever asks for these opens the first. */
export const lanesTo = (connect: () => Redis): Lanes => {
  const plain = connect()
  const acts = [plain]
  let waiting: Redis | undefined
  const opened = (): Redis => {
    const redis = connect()
    redis.connect().catch(() => undefined) // it tries again by itself
    return redis
  }
  const leastFilled = (): Redis => {
    let least = plain, fewest = unansweredBytes(plain)
    for (let i = 1; i < acts.length && fewest >= FULL_BYTES; i += 1) {
      const bytes = unansweredBytes(acts[i]!)
      if (bytes < fewest && isOpen(acts[i]!)) {
        least = acts[i]!
        fewest = bytes
      }
    }
    if (fewest >= FULL_BYTES && acts.length < ACT_LANES_MAX) acts.push(opened())
    return least
  }
  return {
    plain,
    of: (lane) => lane === "plain" ? plain : lane === "acts" ? leastFilled() : (waiting ??= opened()),
    disconnect: () => { for (const redis of [...acts, waiting]) redis?.disconnect() },
  }
}
