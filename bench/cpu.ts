/**
 * What work costs: processor time of a process from /proc, and figures of a series.
 *
 * What must stay true: a figure is of the process that was measured and of nothing else. Times are read before and after a piece of
 * work, in nanoseconds where the kernel keeps them (schedstat) and else in its ticks of 10 ms, which are only good in sums.
 */
import { readdirSync, readFileSync } from "node:fs"

/** What /proc/<pid>/stat counts in, as `getconf CLK_TCK` says on every Linux there is. */
const TICKS_PER_S = 100

/** The fields of /proc/<pid>/stat after the name, which stands in parentheses and may hold anything. */
const statOf = (pid: number): string[] => {
  const text = readFileSync(`/proc/${pid}/stat`, "utf8")
  return text.slice(text.lastIndexOf(")") + 2).split(" ")
}

/** Processor time of every living thread of a process, or nothing where the kernel does not keep it. */
const exactOf = (pid: number): number | undefined => {
  try {
    let sum_ns = 0
    for (const thread of readdirSync(`/proc/${pid}/task`)) sum_ns += Number(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, "utf8").split(" ")[0])
    return sum_ns > 0 ? sum_ns / 1_000 : undefined
  } catch {
    // A thread has ended meanwhile, or this kernel has no such file: the ticks have all of it.
    return undefined
  }
}

/** Processor time that a process has used so far, in microseconds: user and system, all threads. */
export const cpuOf = (pid: number): number => {
  const exact = exactOf(pid)
  if (exact !== undefined) return exact
  const fields = statOf(pid)
  return (Number(fields[11]) + Number(fields[12])) * (1_000_000 / TICKS_PER_S)
}

/** Processor time of a process and its living children, in microseconds: Postgres is one process a connection. */
export const cpuOfFamily = (pid: number): number => {
  let sum_us = cpuOf(pid)
  for (const name of readdirSync("/proc")) {
    if (!/^\d+$/.test(name)) continue
    try {
      if (Number(statOf(Number(name))[1]) === pid) sum_us += cpuOf(Number(name))
    } catch {
      // It has ended between the look at the folder and at the file.
    }
  }
  return sum_us
}

/** The middle of a series; the mean of the two middle ones of an even one. */
export const median = (values: readonly number[]): number => {
  if (values.length === 0) return Number.NaN
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2
}

/** The value below which a share of a series lies (nearest rank). */
export const percentile = (values: readonly number[], share: number): number => {
  if (values.length === 0) return Number.NaN
  const sorted = Float64Array.from(values).sort()
  return sorted[Math.min(sorted.length - 1, Math.ceil(share * sorted.length) - 1)]!
}
