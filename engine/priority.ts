/**
 * The lowest priority there is, for all of a process: a job takes what nobody else wants.
 *
 * What must stay true: it holds for every thread. Linux gives a priority to a thread and not to a process, and those that Bun had made before
 * would keep theirs, and with it all threads that they make: DuckDB's. And where the kernel shares the processor out by session first
 * (autogroups, as on most Linux systems), a priority counts within one session only: so a job is started in a session of its own (`detached`),
 * which is lowered as a whole. Measured: the numbers of analytics/README.md.
 * Whoever starts such a process lowers it at once: the 0.3 s of a processor in which it reads its own code were a stall of 0.2 s for the acts
 * beside them. It lowers itself too, for whoever starts it otherwise.
 */
import { readdirSync, readFileSync, writeFileSync } from "node:fs"
import { constants, setPriority } from "node:os"

const LOWEST = constants.priority.PRIORITY_LOW
/**
 * The session's: a tenth of another session's share where all want the processor, and all that is left where they do not. At the lowest there
 * is it was a seventieth, and at a load of 20 a job lost its connections while it waited for its turn (2026-11-22).
 */
const SESSION = 10

/** The session of a process: the sixth field of its stat, counted from the name, which may hold anything. */
const sessionOf = (pid: number): number => {
  const text = readFileSync(`/proc/${pid}/stat`, "utf8")
  return Number(text.slice(text.lastIndexOf(")") + 2).split(" ")[3])
}

/** Lower a process, this one unless told, and its session where it leads one; what a system does not know it does not need. */
export const lowerPriority = (pid = process.pid): void => {
  setPriority(pid, LOWEST)
  if (process.platform !== "linux") return
  for (const thread of readdirSync(`/proc/${pid}/task`)) {
    try {
      setPriority(Number(thread), LOWEST)
    } catch (fault) {
      // One that has ended meanwhile needs none.
      if ((fault as { code?: string }).code !== "ERR_SYSTEM_ERROR") throw fault
    }
  }
  // Of a session that others share, a terminal's, the priority is not ours to change.
  if (sessionOf(pid) !== pid) return
  try {
    writeFileSync(`/proc/${pid}/autogroup`, String(SESSION))
  } catch {
    // A kernel without autogroups shares the processor out by thread, which is done.
  }
}
