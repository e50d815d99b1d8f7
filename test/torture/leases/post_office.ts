/**
 * A post office that fails: every call of one engine process passes it, and the messages between banks and cells get lost, come twice,
 * late or long after, as a seed decides. A process that crashed calls nobody any more.
 *
 * What must stay true: what it does to a message is what a network and a crash can do. A lost request has not run, a lost reply has;
 * both are heard as a connection that was closed.
 */
import { Command, type Redis } from "ioredis"
import type { Chance } from "../chance.ts"

/** The calls that are messages between a bank and its cells, or a step of a cut. */
const MESSAGES = /^(grant|take_grant|give_back|take_back|meet|hear|weigh|set_aside|put_back|fund)_/
/** The halves of a message that arrives: these come again at any later time. */
const ARRIVALS = /^(take_grant|take_back|hear|meet)_/

/** Those of them that are dangerous when they come late. */
const STRAYS = /^(take_grant|take_back)_/

export interface Faults {
  readonly lost_request: number
  readonly lost_reply: number
  readonly twice: number
  readonly late: number
  readonly crash: number
}
export const NO_FAULTS: Faults = { lost_request: 0, lost_reply: 0, twice: 0, late: 0, crash: 0 }
const LATE_MS_MAX = 40
/** So many old messages are kept to be told once more, and so many lost ones that may yet arrive. */
const KEPT_MAX = 400
const STRAYS_MAX = 40
/** Where in a call as it goes over the wire its third argument is: the bank's cell of a grant, the returning cell of a return. */
const THIRD = 14

type Call = (...args: unknown[]) => Promise<unknown>

/** A lost message that may arrive; `cell` is the one that knows better until it is written anew: the bank's home of a grant, the cell of a return. */
export interface Stray { readonly isGrant: boolean; readonly cell: number; tell(): Promise<unknown> }

export interface PostOffice {
  faults: Faults
  readonly done: Record<keyof Faults | "again", number>
  /** A line for one process over the real connection; `isAlive` is asked before and after each call, `crash` ends the process. */
  line(isAlive: () => boolean, crash: () => void): Redis
  /** Tell some old message once more. */
  tellOld(): Promise<void>
  /** A message that was lost and may yet arrive, because whoever sent it stood still with it; it is kept no longer. */
  takeStray(): Stray | undefined
  /** What still is on its way has arrived. */
  settled(): Promise<void>
}

/** The name of a function in a call as it goes over the wire. */
const ACT = /^\*\d+\r\n\$\d+\r\nFCALL(?:_RO)?\r\n\$\d+\r\n(\w+)/

/** A call that was written already, to be sent once more. */
const written = (name: string, wire: string): Command => {
  const command = new Command(name, [], { replyEncoding: null })
  command.toWritable = () => wire
  return command
}

const closed = (): Error => new Error("Connection is closed.")

/** A post office in front of a connection. */
export const openPostOffice = (redis: Redis, chance: Chance, faults: Faults): PostOffice => {
  const old: (() => Promise<unknown>)[] = [], strays: Stray[] = []
  const under_way = new Set<Promise<unknown>>()
  const track = (work: Promise<unknown>): void => {
    const ended = work.catch(() => undefined).finally(() => under_way.delete(ended))
    under_way.add(ended)
  }
  const office: PostOffice = {
    faults, done: { lost_request: 0, lost_reply: 0, twice: 0, late: 0, crash: 0, again: 0 },
    line: (isAlive, crash) => {
      const send = async (command: Command): Promise<unknown> => {
        if (!isAlive()) throw closed()
        const wire = String(command.toWritable(redis.stream))
        const act = ACT.exec(wire)?.[1] ?? ""
        const real = () => redis.sendCommand(written(command.name, wire)) as Promise<unknown>
        if (!MESSAGES.test(act)) {
          const reply = await real()
          if (!isAlive()) throw closed()
          return reply
        }
        const strikes = (fault: keyof Faults): boolean => {
          const does = chance.happens(office.faults[fault])
          if (does) office.done[fault] += 1
          return does
        }
        if (strikes("lost_request")) {
          if (STRAYS.test(act) && strays.length < STRAYS_MAX) strays.push({ tell: real, cell: Number(wire.split("\r\n")[THIRD]), isGrant: act.startsWith("take_grant") })
          throw closed()
        }
        if (strikes("late")) await Bun.sleep(chance.below(LATE_MS_MAX))
        if (ARRIVALS.test(act)) {
          if (old.length < KEPT_MAX) old.push(real)
          else old[chance.below(KEPT_MAX)] = real
        }
        if (strikes("twice")) track(Bun.sleep(chance.below(LATE_MS_MAX)).then(real))
        const reply = await real()
        if (strikes("crash")) crash()
        if (!isAlive() || strikes("lost_reply")) throw closed()
        return reply
      }
      return new Proxy(redis, {
        get: (target, name) => {
          if (name === "sendCommand") return send
          const value: unknown = Reflect.get(target, name, target)
          return typeof value === "function" ? (value as Call).bind(target) : value
        },
      })
    },
    tellOld: async () => {
      if (old.length === 0) return
      office.done.again += 1
      await chance.pick(old)().catch(() => undefined)
    },
    takeStray: () => strays.splice(chance.below(strays.length || 1), 1)[0],
    settled: async () => { while (under_way.size > 0) await Promise.all(under_way) },
  }
  return office
}
