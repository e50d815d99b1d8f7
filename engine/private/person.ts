/**
 * Who the private Postgres runs as. It refuses to run as root, so for root it runs as another user; where that user cannot reach the folder
 * (a clone under /root), it is lent the one capability to walk there instead of opening root's home to everyone.
 */
import { readFileSync, statSync } from "node:fs"
import { dirname } from "node:path"
import { StartFault } from "./folder.ts"

export interface Person {
  readonly uid: number
  readonly gid: number
}

/** Users that Postgres may run as when we are root, best first. Both exist without our adding anyone to the system. */
const POSTGRES_USERS = ["postgres", "nobody"]
/** Capabilities that let a user walk through folders closed to him, weakest first, with their bits. */
const WALK_CAPABILITIES = [["dac_read_search", 2n], ["dac_override", 1n]] as const

/** A user as /etc/passwd knows him. */
export const personNamed = (name: string, passwd: string): Person | undefined => {
  const line = passwd.split("\n").find((each) => each.startsWith(`${name}:`))
  const [, , uid, gid] = line?.split(":") ?? []
  return uid === undefined || gid === undefined ? undefined : { uid: Number(uid), gid: Number(gid) }
}

/** Whether a user may walk to a path: every folder above it must let him through. */
export const canReach = (path: string, { uid, gid }: Person): boolean => {
  for (let folder = dirname(path); ; folder = dirname(folder)) {
    const { mode, uid: owner, gid: group } = statSync(folder)
    const bit = owner === uid ? 0o100 : group === gid ? 0o010 : 0o001
    if ((mode & bit) === 0) return false
    if (folder === dirname(folder)) return true
  }
}

const effectiveCapabilities = (): bigint => {
  const line = /^CapEff:\s*([0-9a-f]+)$/m.exec(readFileSync("/proc/self/status", "utf8"))
  return BigInt(`0x${line?.[1] ?? "0"}`)
}

/** The words before a Postgres program that make it run as this user; none when we are not root. */
export const runAs = (person: Person | undefined, paths: readonly string[]): string[] => {
  if (!person) return []
  const setpriv = Bun.which("setpriv")
  if (setpriv === null) throw new StartFault("Postgres does not run as root, and there is no setpriv (util-linux) to run it as another user. Start Scrip as another user, or name a DATABASE_URL.")
  const words = [setpriv, `--reuid=${person.uid}`, `--regid=${person.gid}`, "--clear-groups"]
  if (paths.every((path) => canReach(path, person))) return words
  const held = effectiveCapabilities()
  const walk = WALK_CAPABILITIES.find(([, bit]) => (held & (1n << bit)) !== 0n)?.[0]
  if (walk === undefined) throw new StartFault(`Postgres does not run as root, and user ${person.uid} cannot reach ${paths.join(" or ")}. Name a SCRIP_DATA_DIR that everyone can reach, or a DATABASE_URL.`)
  // Without no_setuid_fixup the kernel forgets the capability in access(2), with which Postgres looks for its own parts.
  return [...words, `--inh-caps=-all,+${walk}`, `--ambient-caps=-all,+${walk}`, "--securebits=+no_setuid_fixup"]
}

/** Who Postgres runs as: the owner of the data it has, else the first user there is. */
export const postgresPerson = (dir: string): Person | undefined => {
  if (process.getuid?.() !== 0) return undefined
  const owner = statSync(dir, { throwIfNoEntry: false })
  if (owner && owner.uid !== 0) return { uid: owner.uid, gid: owner.gid }
  const passwd = readFileSync("/etc/passwd", "utf8")
  const person = POSTGRES_USERS.map((name) => personNamed(name, passwd)).find((each) => each !== undefined)
  if (!person) throw new StartFault(`Postgres does not run as root, and the system has none of these users: ${POSTGRES_USERS.join(", ")}.`)
  return person
}
