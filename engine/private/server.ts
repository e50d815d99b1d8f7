/**
 * What the private servers have in common: what they inherit, when they serve, and the end of those that a killed run has left behind.
 */
import { existsSync, readFileSync, rmSync } from "node:fs"
import { type Child, end, type Identity, isAlive, readIdentity, type StopSignals } from "../child.ts"
import type { Log } from "../log.ts"
import { StartFault } from "./folder.ts"

/** A server has this long to stop before it is told to stop at once. Both are safe then: what they promised is on disk. */
export const STOP_MS = 4_000
/** A server that neither answers nor dies is given up after this; loading a large log or recovering is not idle time. */
const READY_MS_MAX = 300_000
const READY_POLL_MS = 25

/** End the server of a killed run, if its pid file proves that the process is the one that run has started. */
export const endLeftover = async (pidFile: string, name: string, signals: StopSignals, log: Log): Promise<void> => {
  const left: Identity | undefined = readIdentity(pidFile)
  if (left && isAlive(left)) {
    log.warn("a server of a run that was killed lives still and is stopped", { child: name, pid: left.pid })
    await end(left, signals, STOP_MS)
  }
  rmSync(pidFile, { force: true })
}

/** A server inherits no setting and no secret of ours. */
export const childEnv = (): Record<string, string> => ({ PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", LANG: "C", LC_ALL: "C", TZ: "UTC" })

const tailOf = (file: string): string =>
  existsSync(file) ? readFileSync(file, "utf8").trimEnd().split("\n").slice(-8).join("\n") : ""

/** Wait until a server serves. It may load for long, so only its death, or a wait beyond any load, gives it up. */
export const untilReady = async (child: Child, serves: () => Promise<boolean>, logFile: string, signal: AbortSignal): Promise<void> => {
  const until = performance.now() + READY_MS_MAX
  try {
    while (!(await serves())) {
      signal.throwIfAborted()
      if (child.restarts() > 2) throw new StartFault(`The private ${child.name} does not stay up. Its log ends:\n${tailOf(logFile)}`)
      if (performance.now() > until) throw new StartFault(`The private ${child.name} does not answer. Its log ends:\n${tailOf(logFile)}`)
      await Bun.sleep(READY_POLL_MS)
    }
  } catch (fault) {
    await child.stop()
    throw fault
  }
}
