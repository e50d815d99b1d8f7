/**
 * A stack of our own: the engine as its own process, with the data's clock and zone, private servers and a folder of its own.
 */
import { chmodSync, createWriteStream, mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join, resolve } from "node:path"
import { ZONE } from "./days.ts"

const START_MS_MAX = 120_000
const STOP_MS_MAX = 15_000
const POLL_MS = 50
const ROOT = resolve(import.meta.dir, "..", "..")

export interface Servers { readonly redis_url: string; readonly database_url: string }

export interface ReplayStack {
  readonly url: string
  readonly key: string
  readonly dataDir: string
  stop(): Promise<void>
}

/** A new folder through which Postgres may walk, also when it runs as another user. */
export const temporaryFolder = (): { path: string; remove: () => void } => {
  const path = mkdtempSync(join(tmpdir(), "scrip-replay-"))
  chmodSync(path, 0o711)
  return { path, remove: () => rmSync(path, { recursive: true, force: true }) }
}

/** Where the private servers of a data folder are. */
export const serversOf = (dataDir: string): Servers => {
  const memory = JSON.parse(readFileSync(join(dataDir, "servers.json"), "utf8")) as Record<string, string | number>
  return {
    redis_url: `redis://:${memory["redis_password"]}@127.0.0.1:${memory["redis_port"]}`,
    database_url: `postgres://postgres:${memory["postgres_password"]}@127.0.0.1:${memory["postgres_port"]}/scrip`,
  }
}

/** Start the engine on a folder and wait until it is ready. What it says goes to `replay.log` there. */
export const startStack = async (env: Readonly<Record<string, string | undefined>>, dataDir: string, cells: number): Promise<ReplayStack> => {
  const key = `replay-${Bun.hash(dataDir).toString(36)}`
  const child = Bun.spawn([process.execPath, join(ROOT, "engine", "main.ts")], {
    cwd: ROOT, stdin: "ignore", stdout: "pipe", stderr: "pipe",
    env: {
      ...env, PORT: "0", HOST: "127.0.0.1", SCRIP_DATA_DIR: dataDir, SCRIP_CELLS: String(cells), SCRIP_CLOCK: "replay", SCRIP_TIME_ZONE: ZONE, SCRIP_BOOTSTRAP_KEY: key,
      REDIS_URL: "", DATABASE_URL: "", SCRIP_ROLE: "", SCRIP_DURABILITY: "", SCRIP_API_PROCESSES: "",
    },
  })
  let said = ""
  const log = createWriteStream(`${dataDir}.log`, { flags: "a" })
  const listen = async (stream: ReadableStream<Uint8Array>) => {
    const decoder = new TextDecoder()
    for await (const chunk of stream) {
      const text = decoder.decode(chunk, { stream: true })
      log.write(text)
      if (said.length < 100_000) said += text
    }
  }
  const heard = Promise.all([listen(child.stdout), listen(child.stderr)])
  const stop = async (): Promise<void> => {
    if (child.exitCode === null) {
      child.kill("SIGTERM")
      const late = setTimeout(() => child.kill("SIGKILL"), STOP_MS_MAX)
      await child.exited
      clearTimeout(late)
    }
    await heard
    await new Promise<void>((done) => log.end(done))
  }

  const until = performance.now() + START_MS_MAX
  while (performance.now() < until && child.exitCode === null) {
    const url = /listens on (http:\S+)/.exec(said)?.[1]
    if (url !== undefined) {
      const ready = await fetch(`${url}/readyz`).then((response) => response.ok, () => false)
      if (ready) return { url, key, dataDir, stop }
    }
    await Bun.sleep(POLL_MS)
  }
  await stop()
  throw new Error(`the stack did not become ready:\n${said.slice(-4_000)}`)
}
