/**
 * On what a run was made: without it a number says nothing.
 */
import { readFileSync } from "node:fs"
import { availableParallelism, loadavg, totalmem, type as systemName, release } from "node:os"
import { findRedisServer } from "../engine/private/redis.ts"

export interface Machine {
  readonly at: string
  readonly processor: string
  readonly cores: number
  readonly memory_gb: number
  readonly system: string
  /** The load of the minute before the run: another's work is in every number. */
  readonly load_before: number
  readonly bun: string
  readonly redis: string
  readonly postgres: string
  readonly commit: string
}

const firstMatch = (text: string, pattern: RegExp): string => pattern.exec(text)?.[1]?.trim() ?? "unknown"
const said = (command: readonly string[]): string => Bun.spawnSync([...command]).stdout.toString()

/** This machine, now. */
export const thisMachine = (postgres: string): Machine => {
  const redis = findRedisServer()
  return {
    at: new Date().toISOString(),
    processor: firstMatch(readFileSync("/proc/cpuinfo", "utf8"), /^model name\s*:\s*(.+)$/m),
    cores: availableParallelism(), memory_gb: Math.round(totalmem() / 2 ** 30), system: `${systemName()} ${release()}`,
    load_before: loadavg()[0] ?? Number.NaN,
    bun: Bun.version, redis: redis === undefined ? "unknown" : firstMatch(said([redis, "--version"]), /v=([\d.]+)/),
    postgres, commit: said(["git", "rev-parse", "--short", "HEAD"]).trim(),
  }
}

/** The machine in a line. */
export const machineLine = ({ at, processor, cores, memory_gb, system, load_before, bun, redis, postgres, commit }: Machine): string =>
  `${at.slice(0, 16).replace("T", " ")} UTC, ${cores} × ${processor}, ${memory_gb} GB, ${system}, load ${load_before.toFixed(1)} before; Bun ${bun}, Redis ${redis}, Postgres ${postgres}; ${commit}`
