/**
 * A call of an atomic act as it goes over the wire.
 *
 * The client would take each of some twenty arguments through four passes of its own and ask three tables whether an FCALL blocks; an
 * act is sent some thousand times a second, and all of it is text that is known to be text. So the whole call is written here in one pass,
 * behind a head that is made once a function. Measured 2026-11-22, 64 in flight, median of 18 rounds in turn: 15.9 µs of our processor time
 * a reserve and 8.5 a confirm, where `redis.callBuffer` took 18.6 and 11.2.
 */
import { Command, type Redis } from "ioredis"
import type { Script } from "../../lua/declare.ts"

interface Plan { readonly verb: string; readonly head: string; readonly keys: readonly string[]; readonly args: readonly string[] }

const plans = new WeakMap<Script, Plan>()

/** What is the same in every call of an act: the verb, the function's name, how many keys. */
const planOf = (script: Script, hash: string): Plan => {
  const known = plans.get(script)
  if (known) return known
  const { keys, nature } = script, args = Object.keys(script.args), verb = nature === "read" ? "FCALL_RO" : "FCALL"
  const first = [verb, `${script.name}_${hash}`, String(keys.length)].map((text) => `$${text.length}\r\n${text}\r\n`).join("")
  const plan = { verb, head: `*${3 + keys.length + args.length}\r\n${first}`, keys, args }
  plans.set(script, plan)
  return plan
}

const textOf = (value: unknown): string => typeof value === "string" ? value : typeof value === "number" ? String(value) : JSON.stringify(value)

type Named = Readonly<Record<string, unknown>>

const wireOf = ({ head, keys, args }: Plan, call: { readonly keys: Named; readonly args: Named }, bytesOf: (text: string) => number): string => {
  let wire = head
  for (let i = 0; i < keys.length; i += 1) {
    const text = call.keys[keys[i]!] as string
    wire += `$${bytesOf(text)}\r\n${text}\r\n`
  }
  for (let i = 0; i < args.length; i += 1) {
    const text = textOf(call.args[args[i]!])
    wire += `$${bytesOf(text)}\r\n${text}\r\n`
  }
  return wire
}

const charsOf = (text: string): number => text.length

/** Send a call on this connection; the reply is the outcome's word and its fields. */
export const callAct = (redis: Redis, script: Script, hash: string, call: { readonly keys: Named; readonly args: Named }): Promise<Buffer[]> => {
  const plan = planOf(script, hash)
  // Nearly every call is ASCII, where characters are bytes: one look at the whole says so.
  const short = wireOf(plan, call, charsOf)
  const wire = Buffer.byteLength(short) === short.length ? short : wireOf(plan, call, Buffer.byteLength)
  const command = new Command(plan.verb, [], { replyEncoding: null })
  command.toWritable = () => wire
  return redis.sendCommand(command) as Promise<Buffer[]>
}

/** Send a command whose bytes are known: whoever has them together already saves the client's own passes over every argument. */
export const callWritten = (redis: Redis, verb: string, wire: Buffer): Promise<unknown> => {
  const command = new Command(verb, [], { replyEncoding: null })
  command.toWritable = () => wire
  return redis.sendCommand(command) as Promise<unknown>
}
