/**
 * Processor time of this thread, in microseconds: what work in process costs, whatever else the machine does meanwhile.
 */
import { dlopen, FFIType, ptr } from "bun:ffi"

/** CLOCK_THREAD_CPUTIME_ID of Linux. */
const THREAD_CLOCK = 3

/** A clock of the calling thread. Where libc has no such clock, the wall's is told instead. */
export const threadClock = (): (() => number) => {
  try {
    const { symbols } = dlopen("libc.so.6", { clock_gettime: { args: [FFIType.i32, FFIType.ptr], returns: FFIType.i32 } })
    const time = new BigInt64Array(2)
    const place = ptr(time)
    return () => {
      symbols.clock_gettime(THREAD_CLOCK, place)
      return Number(time[0]) * 1e6 + Number(time[1]) / 1e3
    }
  } catch {
    return () => performance.now() * 1_000
  }
}
