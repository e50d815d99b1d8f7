/**
 * The folder of private servers: who has it, and what it remembers of them.
 *
 * One engine at a time owns a folder. A run that was killed leaves nothing that stops the next: its lock is stale when its holder is dead.
 */
import { randomBytes, randomInt } from "node:crypto"
import { existsSync, linkSync, readFileSync, renameSync, unlinkSync, writeFileSync } from "node:fs"
import { createServer } from "node:net"
import { join } from "node:path"
import { identityOf, isAlive, readIdentity } from "../child.ts"
import type { Topology } from "../config.ts"
import { type ClusterNode, MASTERS, REPLICAS } from "./cluster.ts"

/** How often a run tries to take the folder from a dead holder before it says that another is faster. */
const LOCK_TRIES_MAX = 5

/**
 * Where private servers listen: below the ports that the system gives to whoever connects (from 32768 on Linux, 49152 elsewhere). One of those may be
 * given away while its server is down, to a client that knocks at that very port even, and then the server cannot come back.
 */
const PORT_FIRST = 20_000, PORT_END = 32_768
/** Processes that start at once choose in different parts of these ports: a port that one has chosen is free to any other until its server listens. */
const PORT_PARTS = 64
const PORTS_OF_PART = Math.floor((PORT_END - PORT_FIRST) / PORT_PARTS)
/** So many tries are in the process's own part, and then as many anywhere. */
const PORT_TRIES_MAX = 1_000

/** The start cannot go on, for a reason that the operator can mend. */
export class StartFault extends Error {
  override readonly name = "StartFault"
}

/** What the system does not let us do in the folder, told as the operator can mend it; any other fault as it is. */
export const folderFault = (root: string, fault: unknown): unknown => {
  const { path, syscall = "", message } = fault as NodeJS.ErrnoException
  // Of a folder that cannot be made the system may name a part, and of a file that is open nothing.
  const isOfFolder = typeof path === "string" ? path.startsWith(root) || root.startsWith(path) : ["read", "write"].includes(syscall)
  return isOfFolder ? new StartFault(`SCRIP_DATA_DIR is ${root}, which cannot be used: ${message}. Mend that, or name another folder.`) : fault
}

export const inFolder = <T>(root: string, work: () => T): T => {
  try {
    return work()
  } catch (fault) {
    throw folderFault(root, fault)
  }
}

/** What a folder remembers of its servers, so that addresses in other terminals stay true over a restart. */
export interface Memory {
  /** Of the nodes of a private cluster: where each serves, and where it talks to the others. */
  cluster?: ClusterNode[]
  redis_port: number
  redis_password: string
  postgres_port: number
  postgres_password: string
}

const isPortFree = (port: number): Promise<boolean> =>
  new Promise((settle) => {
    const server = createServer()
    server.once("error", () => settle(false))
    server.listen({ port, host: "127.0.0.1", exclusive: true }, () => server.close(() => settle(true)))
  })

/** Where a process chooses its ports: from the first, up to the second. */
export const portsOf = (pid: number): [first: number, end: number] => {
  const first = PORT_FIRST + pid % PORT_PARTS * PORTS_OF_PART
  return [first, first + PORTS_OF_PART]
}

/** What this process has chosen: nobody listens there until the server has started, or while it starts again. */
const chosen = new Set<number>()

/** A port that nobody listens on and that this process has not chosen before, by chance. */
export const freePort = async (): Promise<number> => {
  for (const [first, end] of [portsOf(process.pid), [PORT_FIRST, PORT_END]] as const) {
    for (let tries = 0; tries < PORT_TRIES_MAX; tries += 1) {
      const port = randomInt(first, end)
      // Looked up after the wait: whoever asked meanwhile may have chosen it.
      if (!(await isPortFree(port)) || chosen.has(port)) continue
      chosen.add(port)
      return port
    }
  }
  throw new StartFault(`${PORT_TRIES_MAX} ports from ${PORT_FIRST} to ${PORT_END - 1} are all taken.`)
}

/** Write a file so that a crash leaves the old one or the new one, never half. */
export const writeWhole = (file: string, text: string): void => {
  writeFileSync(`${file}.new`, text, { mode: 0o600 })
  renameSync(`${file}.new`, file)
}

export const readMemory = (file: string): Partial<Memory> => {
  if (!existsSync(file)) return {}
  const text = readFileSync(file, "utf8")
  try {
    return JSON.parse(text) as Partial<Memory>
  } catch {
    throw new StartFault(`${file} cannot be read as JSON. It holds the passwords of the private servers: restore it.`)
  }
}

export const remember = async (file: string, topology: Topology): Promise<Memory> => {
  const old = readMemory(file)
  const taken = new Set<number>()
  const port = async (wish: number | undefined): Promise<number> => {
    let choice = wish !== undefined && (await isPortFree(wish)) ? wish : await freePort()
    // The two ports are chosen one after the other, and a port just closed may be given out again.
    while (taken.has(choice)) choice = await freePort()
    taken.add(choice)
    return choice
  }
  const cluster: ClusterNode[] = []
  for (let i = 0; topology === "cluster" && i < MASTERS + REPLICAS; i += 1) {
    // The nodes know each other by their ports: those of a cluster that was formed cannot be chosen anew.
    const kept = old.cluster?.[i]
    if (kept && !((await isPortFree(kept.port)) && (await isPortFree(kept.bus_port)))) {
      throw new StartFault(`Port ${kept.port} or ${kept.bus_port}, which belongs to the private cluster, is taken. Stop what listens there.`)
    }
    cluster.push(kept ?? { port: await port(undefined), bus_port: await port(undefined) })
  }
  const memory: Memory = {
    ...(topology === "cluster" ? { cluster } : {}),
    redis_port: await port(old.redis_port),
    redis_password: old.redis_password ?? randomBytes(24).toString("base64url"),
    postgres_port: await port(old.postgres_port),
    postgres_password: old.postgres_password ?? randomBytes(24).toString("base64url"),
  }
  writeWhole(file, JSON.stringify(memory, null, 2))
  return memory
}

/**
 * Take the folder for this process, or say who has it. A lock is a file that is there at once and whole (made by
 * `link`) and names its holder; the lock of a dead holder is moved aside, and only if it still is the one that was read.
 */
export const takeFolder = (dataDir: string): (() => void) => {
  const lock = join(dataDir, "engine.lock")
  const me = identityOf(process.pid)
  if (!me) throw new Error("this process cannot see itself")
  const mine = `${lock}.${me.pid}`
  const text = JSON.stringify(me)
  for (let tries = 0; tries < LOCK_TRIES_MAX; tries += 1) {
    writeFileSync(mine, text, { mode: 0o600 })
    try {
      linkSync(mine, lock)
      return () => {
        if (existsSync(lock) && readFileSync(lock, "utf8") === text) unlinkSync(lock)
      }
    } catch (fault) {
      if ((fault as NodeJS.ErrnoException).code !== "EEXIST") throw fault
    } finally {
      unlinkSync(mine)
    }
    const holder = readIdentity(lock)
    if (holder && isAlive(holder)) {
      throw new StartFault(`Another Scrip (pid ${holder.pid}) runs on ${dataDir}. Stop it, or name another SCRIP_DATA_DIR.`)
    }
    const aside = `${lock}.stale.${me.pid}`
    try {
      renameSync(lock, aside)
    } catch {
      continue // Someone else has moved it; look again.
    }
    const moved = readIdentity(aside)
    // Between the look and the move another start may have taken the folder: then its lock goes back.
    if (moved && isAlive(moved)) linkSync(aside, lock)
    unlinkSync(aside)
  }
  throw new StartFault(`${dataDir} is being taken by another Scrip at this moment.`)
}
