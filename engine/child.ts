/**
 * Child processes: started apart, watched, started again when they die, and stopped in order.
 *
 * What must stay true:
 * - A child leads its own process group, so that Ctrl-C in a terminal reaches only us and we decide when each one ends.
 * - A server outlives us by nothing, however we end: on Linux the kernel signals it when we die. A process of our
 *   own holds a pipe from us instead and ends when the pipe does.
 * - Only a process proved to be ours is ever signalled: its pid and its start time must both match what we wrote down.
 */
import { closeSync, openSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs"
import type { Log } from "./log.ts"

/** How long a child that keeps dying is left alone: doubled at each death, forgotten after a calm minute. */
export const RESTART_WAIT_MS_MIN = 100
export const RESTART_WAIT_MS_MAX = 5_000
const CALM_MS = 60_000
/** A child's own log is moved aside at start once it has this many bytes, so two files are the most there are. */
const LOG_BYTES_MAX = 16 * 1024 * 1024
const POLL_MS = 20

/** What proves that a pid is still the process that was written down: the time it started, as its system tells it. */
export interface Identity {
  readonly pid: number
  readonly started: string
}

/** When a live process started, or nothing when there is none: a zombie has ended and only waits to be counted. */
const startOf = (pid: number): string | undefined => {
  if (process.platform !== "linux") {
    const said = Bun.spawnSync(["ps", "-o", "lstart=", "-p", String(pid)]).stdout.toString().trim()
    return said === "" ? undefined : said
  }
  try {
    // The name stands in parentheses and may hold anything, also spaces: the fields are counted from the last one.
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8")
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ")
    const boot = readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim()
    return fields[0] === "Z" || fields[0] === "X" ? undefined : `${boot}:${fields[19]}`
  } catch {
    // No such file is the system's way to say that there is no such process.
    return undefined
  }
}

/** The identity of a live process, or nothing. */
export const identityOf = (pid: number): Identity | undefined => {
  const started = startOf(pid)
  return started === undefined ? undefined : { pid, started }
}

/** Whether the process that was written down lives still. */
export const isAlive = ({ pid, started }: Identity): boolean => startOf(pid) === started

/** Signal a process that was written down, if it still is that process. */
export const signal = (whom: Identity, name: NodeJS.Signals): void => {
  if (!isAlive(whom)) return
  try {
    process.kill(whom.pid, name)
  } catch (fault) {
    if ((fault as NodeJS.ErrnoException).code !== "ESRCH") throw fault
  }
}

/** Read an identity that a run before this one wrote; a torn or absent file proves nothing and counts as none. */
export const readIdentity = (file: string): Identity | undefined => {
  try {
    const { pid, started } = JSON.parse(readFileSync(file, "utf8")) as Partial<Identity>
    return typeof pid === "number" && typeof started === "string" ? { pid, started } : undefined
  } catch {
    return undefined
  }
}

/** Wait for a process to end; false when it lives still after `wait_ms`. */
export const ended = async (whom: Identity, wait_ms: number): Promise<boolean> => {
  const until = performance.now() + wait_ms
  while (isAlive(whom)) {
    if (performance.now() >= until) return false
    await Bun.sleep(POLL_MS)
  }
  return true
}

/** How long a process has between the signal that insists and the one it cannot refuse. */
const INSIST_MS = 500

/**
 * End a process for good: ask with the first signal, and after `wait_ms` with the next ones. Postgres needs the steps:
 * killed outright it leaves its own children to find out for themselves.
 */
export const end = async (whom: Identity, signals: StopSignals, wait_ms: number): Promise<void> => {
  let patience_ms = wait_ms
  for (const name of [...signals, "SIGKILL" as const]) {
    signal(whom, name)
    if (await ended(whom, patience_ms)) return
    patience_ms = INSIST_MS
  }
}

/** How a process is asked to stop, gentlest first; SIGKILL always comes last and is not named. */
export type StopSignals = readonly [NodeJS.Signals, ...NodeJS.Signals[]]

/** What to run, and how to end it. */
export interface ChildPlan {
  readonly name: string
  readonly command: readonly string[]
  readonly env: Readonly<Record<string, string>>
  readonly cwd?: string
  /** Where its words go: a file, or straight to our own stderr. */
  readonly logFile?: string
  /** Where its pid is written down for the run after a crash. */
  readonly pidFile?: string
  /** The first line on its standard input, which then stays open for as long as we live. */
  readonly firstLine?: string
  /** Hears what it says over the channel that a Bun of our own has with us. */
  readonly onMessage?: (message: unknown) => void
  readonly stopSignals: StopSignals
  readonly stopWait_ms: number
  readonly log: Log
}

/** A child that is kept alive until `stop`. */
export interface Child {
  readonly name: string
  /** Its present pid; nothing between a death and the next start. */
  pid(): number | undefined
  /** How often it has been started again. */
  restarts(): number
  /** Say something over the channel; what nobody lives to hear is lost. */
  tell(message: unknown): void
  /** End it and do not start it again; `wait_ms` shortens the plan's patience. */
  stop(wait_ms?: number): Promise<void>
}

const openLog = (file: string): number => {
  const bytes = statSync(file, { throwIfNoEntry: false })?.size ?? 0
  if (bytes > LOG_BYTES_MAX) renameSync(file, `${file}.1`)
  return openSync(file, "a", 0o600)
}

/** The words that have the kernel pass our death on to a server. Elsewhere the run after a crash finds it by its pid file. */
export const withDeathSignal = (name: NodeJS.Signals, command: readonly string[]): string[] => {
  const setpriv = process.platform === "linux" ? Bun.which("setpriv") : null
  if (setpriv === null) return [...command]
  const already = command[0] === setpriv ? command.slice(1) : command
  return [setpriv, "--pdeathsig", name.slice(3), ...already]
}

const launch = ({ command, env, cwd, logFile, firstLine, onMessage }: ChildPlan) => {
  const fd = logFile === undefined ? undefined : openLog(logFile)
  const child = Bun.spawn([...command], {
    env: { ...env },
    ...(cwd === undefined ? {} : { cwd }),
    stdin: firstLine === undefined ? "ignore" : "pipe",
    stdout: fd ?? "inherit",
    stderr: fd ?? "inherit",
    detached: true,
    ...(onMessage === undefined ? {} : { ipc: onMessage }),
  })
  if (fd !== undefined) closeSync(fd)
  if (firstLine !== undefined && child.stdin) {
    child.stdin.write(`${firstLine}\n`)
    void child.stdin.flush()
  }
  return child
}

/** Start a child and keep it alive: when it dies unasked it is reported and started again, later each time. */
export const superviseChild = (plan: ChildPlan): Child => {
  const { name, log, pidFile } = plan
  let stopping = false
  let restarts = 0
  let wait_ms = RESTART_WAIT_MS_MIN
  let timer: Timer | undefined
  let current: { process: ReturnType<typeof launch>; identity: Identity | undefined } | undefined

  const start = () => {
    const process = launch(plan)
    const identity = identityOf(process.pid)
    if (pidFile !== undefined && identity) writeFileSync(pidFile, JSON.stringify(identity), { mode: 0o600 })
    const startedAt = performance.now()
    current = { process, identity }
    void process.exited.then((exit_code) => {
      current = undefined
      if (pidFile !== undefined) rmSync(pidFile, { force: true })
      if (stopping) return
      if (performance.now() - startedAt > CALM_MS) wait_ms = RESTART_WAIT_MS_MIN
      log.error("a child process has died and is started again", {
        child: name, pid: process.pid, exit_code, signal: process.signalCode ?? undefined, wait_ms,
      })
      restarts += 1
      timer = setTimeout(start, wait_ms)
      wait_ms = Math.min(wait_ms * 2, RESTART_WAIT_MS_MAX)
    })
  }
  start()

  return {
    name,
    pid: () => current?.process.pid,
    restarts: () => restarts,
    tell: (message) => { if (plan.onMessage && current?.process.exitCode === null) current.process.send(message) },
    stop: async (patience_ms = plan.stopWait_ms) => {
      stopping = true
      clearTimeout(timer)
      if (!current) return
      const { process, identity } = current
      if (identity) await end(identity, plan.stopSignals, patience_ms)
      await process.exited
    },
  }
}
