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
import { dlopen, FFIType, ptr } from "bun:ffi"
import { readdirSync, readFileSync, writeFileSync } from "node:fs"
import { constants, setPriority } from "node:os"

const LOWEST = constants.priority.PRIORITY_LOW
/**
 * The session's: a tenth of another session's share where all want the processor, and all that is left where they do not. At the lowest there
 * is it was a seventieth, and at a load of 20 a job lost its connections while it waited for its turn (2026-11-22).
 */
const SESSION = 10

/** Linux' own numbers: what everybody is, who runs when nobody else wants to, and the call that says both, which no library has under a name. */
const SCHED_OTHER = 0, SCHED_IDLE = 5
const SCHED_SETATTR: Readonly<Record<string, number>> = { x64: 314, arm64: 274 }
/** The longest turn that there is: whoever has a shorter one cuts it short. A kernel before 6.12 takes no notice. */
const TURN_NS = 100_000_000n
/** What the call is told: its size, the class, flags, the priority, one that is not ours, and the turn; the rest is of other classes. */
const ATTR_BYTES = 48, CLASS_AT = 4, PRIORITY_AT = 16, TURN_AT = 24

/** Have threads be idlers. Whoever is one already stays one, and what a system does not know or allow it does not need. */
const makeIdlers = (threads: readonly number[]): void => {
  const call = SCHED_SETATTR[process.arch]
  if (call === undefined) return
  let libc
  try {
    libc = dlopen("libc.so.6", { syscall: { args: [FFIType.i64, FFIType.i64, FFIType.ptr, FFIType.i64], returns: FFIType.i64 } })
  } catch {
    // A Linux of another library has the priority alone.
    return
  }
  const attr = Buffer.alloc(ATTR_BYTES)
  attr.writeUInt32LE(ATTR_BYTES, 0)
  attr.writeInt32LE(LOWEST, PRIORITY_AT)
  for (const thread of threads) {
    // The turn is told to everybody's class, and kept in the other, which has none of its own.
    attr.writeUInt32LE(SCHED_OTHER, CLASS_AT)
    attr.writeBigUInt64LE(TURN_NS, TURN_AT)
    libc.symbols.syscall(call, thread, ptr(attr), 0)
    attr.writeUInt32LE(SCHED_IDLE, CLASS_AT)
    attr.writeBigUInt64LE(0n, TURN_AT)
    libc.symbols.syscall(call, thread, ptr(attr), 0)
  }
  libc.close()
}

/** The session of a process: the sixth field of its stat, counted from the name, which may hold anything. */
const sessionOf = (pid: number): number => {
  const text = readFileSync(`/proc/${pid}/stat`, "utf8")
  return Number(text.slice(text.lastIndexOf(")") + 2).split(" ")[3])
}

/** Lower a process, this one unless told, and its session where it leads one; what a system does not know it does not need. */
export const lowerPriority = (pid = process.pid): void => {
  setPriority(pid, LOWEST)
  if (process.platform !== "linux") return
  const threads = readdirSync(`/proc/${pid}/task`).map(Number)
  for (const thread of threads) {
    try {
      setPriority(thread, LOWEST)
    } catch (fault) {
      // One that has ended meanwhile needs none.
      if ((fault as { code?: string }).code !== "ERR_SYSTEM_ERROR") throw fault
    }
  }
  makeIdlers(threads)
  // Of a session that others share, a terminal's, the priority is not ours to change.
  if (sessionOf(pid) !== pid) return
  try {
    writeFileSync(`/proc/${pid}/autogroup`, String(SESSION))
  } catch {
    // A kernel without autogroups shares the processor out by thread, which is done.
  }
}
