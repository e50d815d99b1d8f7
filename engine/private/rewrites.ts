/**
 * The rewrite of a private Redis' log makes way for the acts beside it.
 *
 * Redis writes its log anew in a child of its own, which takes 0.4 s of a processor for the levels of 1,000,000 users and as much as Redis
 * itself beside that: where both processors are wanted, acts waited 120 to 220 ms for it (2026-11-22). Redis has no setting for a child's
 * priority. What must stay true: only a child of the server that we started is touched, and a system that does not tell children is left as it is.
 */
import { readFileSync } from "node:fs"
import { setPriority } from "node:os"
import { startEvery, type Loop } from "../loop.ts"
import type { Log } from "../log.ts"

/** So often a child is looked for: one read of 15 µs. */
const LOOK_MS = 50
/** A tenth of Redis' share where all want the processor: the log grows while a rewrite waits, so it must not wait for long. */
export const REWRITE_NICENESS = 10

/** The children that a process has now. */
const childrenOf = (pid: number): number[] => {
  try {
    return readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").split(" ").filter((text) => text !== "").map(Number)
  } catch {
    return [] // the server has ended, or this system tells no children
  }
}

/** Lower the children of a server, whenever it has some, until it is stopped. */
export const lowerRewrites = (pid: () => number | undefined, log: Log): Loop => {
  const lowered = new Set<number>()
  return startEvery("rewrites", LOOK_MS, log, async () => {
    const server = pid()
    const children = server === undefined ? [] : childrenOf(server)
    for (const child of lowered) if (!children.includes(child)) lowered.delete(child)
    for (const child of children) {
      if (lowered.has(child)) continue
      try {
        setPriority(child, REWRITE_NICENESS)
      } catch (fault) {
        // One that has ended meanwhile needs none.
        if ((fault as { code?: string }).code !== "ERR_SYSTEM_ERROR") throw fault
      }
      lowered.add(child)
    }
  })
}
