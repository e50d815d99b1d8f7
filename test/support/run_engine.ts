/** Run an engine as a process of its own and talk about it: its words, its children, its end. */
import { existsSync, readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { identityOf, isAlive, type Identity } from "../../engine/child.ts"
import { scratchFolder } from "./scratch.ts"

/** An engine with servers of its own starts within two seconds where nothing else goes on, and within this where much does. */
const START_MS_MAX = 90_000
const END_MS_MAX = 60_000
const POLL_MS = 20

/** Wait for something to become true; throws what it was when it does not. */
export const until = async (what: string, isTrue: () => boolean | Promise<boolean>, wait_ms = START_MS_MAX): Promise<void> => {
  const end = performance.now() + wait_ms
  while (!(await isTrue())) {
    if (performance.now() > end) throw new Error(`not within ${wait_ms} ms: ${what}`)
    await Bun.sleep(POLL_MS)
  }
}

/** All living descendants of a process. */
export const descendantsOf = (pid: number): Identity[] => {
  const parents = new Map<number, number>()
  for (const name of readdirSync("/proc").filter((each) => /^\d+$/.test(each))) {
    const file = join("/proc", name, "stat")
    try {
      const stat = readFileSync(file, "utf8")
      parents.set(Number(name), Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]))
    } catch {
      if (existsSync(file)) throw new Error(`${file} cannot be read`)
    }
  }
  const found: number[] = []
  const walk = (parent: number) => {
    for (const [child, its] of parents) if (its === parent) { found.push(child); walk(child) }
  }
  walk(pid)
  return found.flatMap((child) => identityOf(child) ?? [])
}

export interface RunningEngine {
  readonly pid: number
  /** What it has said so far, on both outputs. */
  said(): string
  /** Its address, once it listens. */
  url(): Promise<string>
  kill(signal: NodeJS.Signals): void
  readonly exited: Promise<number>
}

const HOUSE = join(import.meta.dir, "..", "..")

/** Start an engine, of this tree unless told; without servers in `env` it has private ones in a folder of its own. */
export const runEngineProcess = (env: Record<string, string> = {}, program = "test/support/small_engine.ts", tree = HOUSE): RunningEngine => {
  let text = ""
  const child = Bun.spawn([process.execPath, program], {
    cwd: tree,
    env: { PATH: process.env["PATH"] ?? "", PORT: "0", SCRIP_DATA_DIR: join(scratchFolder(), "data"), ...env },
    stdin: "ignore", stdout: "pipe", stderr: "pipe",
  })
  const listen = async (stream: ReadableStream<Uint8Array>) => {
    const decoder = new TextDecoder()
    for await (const chunk of stream) text += decoder.decode(chunk, { stream: true })
  }
  const heard = Promise.all([listen(child.stdout), listen(child.stderr)])
  const address = () => /listens on (http:\S+)/.exec(text)?.[1]
  return {
    pid: child.pid,
    said: () => text,
    url: async () => {
      await until("the engine listens", () => {
        if (child.exitCode !== null) throw new Error(`the engine has ended: ${text}`)
        return address() !== undefined
      })
      return address() ?? ""
    },
    kill: (signal) => child.kill(signal),
    exited: child.exited.then(async (code) => { await heard; return code }),
  }
}

/** Wait until none of these processes lives. */
export const allEnded = (processes: readonly Identity[]): Promise<void> =>
  until("every child has ended", () => !processes.some(isAlive), END_MS_MAX)
