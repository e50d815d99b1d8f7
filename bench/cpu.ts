/**
 * What work costs: processor time of a process from /proc, and figures of a series.
 *
 * What must stay true: a figure is of the process that was measured and of nothing else, and nothing that has ended is forgotten: a thread
 * that has ended counts in its process, a child that has ended in its parent. The kernel tells that in ticks of 10 ms, good enough for laps
 * of tenths of a second; of a server whose threads never end it can be told in nanoseconds.
 */
import { readdirSync, readFileSync, writeFileSync } from "node:fs"
import { getPriority, setPriority } from "node:os"

/** What /proc/<pid>/stat counts in, as `getconf CLK_TCK` says on every Linux there is. */
const TICKS_PER_S = 100
const TICK_US = 1_000_000 / TICKS_PER_S

/** The fields of /proc/<pid>/stat after the name, which stands in parentheses and may hold anything. */
const statOf = (pid: number): string[] => {
  const text = readFileSync(`/proc/${pid}/stat`, "utf8")
  return text.slice(text.lastIndexOf(")") + 2).split(" ")
}

/** User and system time of a process, in microseconds: all its threads, and those that have ended. */
export const cpuOf = (pid: number): number => {
  const fields = statOf(pid)
  return (Number(fields[11]) + Number(fields[12])) * TICK_US
}

/** The same of a server whose threads never end, to the nanosecond where the kernel keeps that. */
export const exactCpuOf = (pid: number): number => {
  let sum_ns = 0
  for (const thread of readdirSync(`/proc/${pid}/task`)) sum_ns += Number(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, "utf8").split(" ")[0])
  return sum_ns > 0 ? sum_ns / 1_000 : cpuOf(pid)
}

/** Processor time of a process and all its children, in microseconds: Postgres is one process a connection. */
export const cpuOfFamily = (pid: number): number => {
  const parent = statOf(pid)
  let sum_us = cpuOf(pid) + (Number(parent[13]) + Number(parent[14])) * TICK_US
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

/** Processor time of a process and of all that come from it, in microseconds, those that have ended and were waited for among them. */
export const cpuOfTree = (pid: number): number => {
  const all = new Map<number, string[]>()
  for (const name of readdirSync("/proc")) {
    if (!/^\d+$/.test(name)) continue
    try {
      all.set(Number(name), statOf(Number(name)))
    } catch {
      // It has ended between the look at the folder and at the file.
    }
  }
  const isOf = (each: number): boolean => {
    for (let at = each; at > 1; at = Number(all.get(at)?.[1] ?? 0)) if (at === pid) return true
    return false
  }
  let ticks = 0
  for (const [each, fields] of all) if (isOf(each)) ticks += fields.slice(11, 15).reduce((sum, field) => sum + Number(field), 0)
  return ticks * TICK_US
}

/** Processor time of the whole machine since it began, in microseconds: all but idle, waiting for the disk, and stolen by its host. */
export const cpuOfMachine = (): number => {
  const [user, nice, system, , , irq, softirq] = readFileSync("/proc/stat", "utf8").split("\n")[0]!.split(/\s+/).slice(1).map(Number)
  return (user! + nice! + system! + irq! + softirq!) * TICK_US
}

/** A living child of a process that was started with this setting, or nothing. */
export const childWith = (parent: number, setting: string): number | undefined => {
  for (const name of readdirSync("/proc")) {
    if (!/^\d+$/.test(name)) continue
    try {
      if (Number(statOf(Number(name))[1]) === parent && readFileSync(`/proc/${name}/environ`, "utf8").split("\0").includes(setting)) return Number(name)
    } catch {
      // It has ended between the look at the folder and at the file.
    }
  }
  return undefined
}

/** Forget the most memory that this process has had. */
export const forgetPeak = (): void => writeFileSync("/proc/self/clear_refs", "5")
/** The most memory that this process has had since then, or since it began, in MB. */
export const peakMb = (): number => Number(/VmHWM:\s+(\d+)/.exec(readFileSync("/proc/self/status", "utf8"))?.[1]) / 1_024

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

/** The session's share is ten times another's, which a driver that takes a third of a processor does not use up. */
const FIRST = -10
/**
 * Let this process go first until it goes `back`: a driver that is kept from the processor sends late and reads late, and both would be told
 * of the server. Its session too, as Linux shares the processors out by session first; what only root may do and nobody may here stays as it is.
 */
export const goFirst = (): { back(): void } => {
  const tryTo = (work: () => void): void => {
    try {
      work()
    } catch {
      // How late the driver is is measured and told.
    }
  }
  const usual = getPriority(), session = "/proc/self/autogroup"
  let shared = "0"
  tryTo(() => { shared = /nice (-?\d+)/.exec(readFileSync(session, "utf8"))?.[1] ?? shared })
  tryTo(() => setPriority(FIRST))
  tryTo(() => writeFileSync(session, String(FIRST)))
  return {
    back: () => {
      tryTo(() => setPriority(usual))
      tryTo(() => writeFileSync(session, shared))
    },
  }
}
