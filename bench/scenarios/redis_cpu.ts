/**
 * What a reserve costs Redis: processor time of the server per call, against a call of a function that does nothing.
 *
 * What must stay true: both are sent alike, over many connections with one call in flight on each, as redis-benchmark does; the calls are
 * the engine's own, taken down as the use case would send them, and each is sent once. It is told too how both come out over
 * one connection that never waits: there Redis reads many calls at once, and a call that does nothing costs next to nothing.
 */
import { Redis } from "ioredis"
import { reserveWith } from "../../engine/checkout/reserve.ts"
import { startBare, type Bare } from "../bare.ts"
import { exactCpuOf, median } from "../cpu.ts"
import { orderOf, shopper } from "../shop.ts"
import { type Figure, type Proof, type Result } from "../result.ts"

const IN_FLIGHT = 64
const LINES = [1, 20] as const
const MOST: Readonly<Record<number, number>> = { 1: 8, 20: 12 }
const EMPTY = "#!lua name=bench_nothing\nredis.register_function('bench_nothing', function() return {} end)"

export type Call = readonly (string | number | Buffer)[]

/** Run so many pieces of work, a bounded number at a time. */
export const inFlight = async (count: number, at_once: number, work: (i: number) => Promise<unknown>): Promise<void> => {
  let next = 0
  await Promise.all(Array.from({ length: Math.min(at_once, count) }, async () => { while (next < count) await work(next++) }))
}

/** Issue a coupon to each of some users, through the use case. */
export const issueAll = async ({ uses, caller }: Bare, campaign_id: string, users: readonly { user_id: string; order_id: string }[]): Promise<void> => {
  await inFlight(users.length, IN_FLIGHT, async (i) => {
    const { user_id, order_id } = users[i]!
    const answered = await uses.coupons.issue({ request_id: order_id, campaign_id, user_id }, caller())
    if (answered.outcome !== "issued") throw new Error(`an issue of the bench was answered ${answered.outcome}`)
  })
}

/** The words of a call as it goes over the wire: `$length`, then the word. */
const wordsOf = (wire: string): Call => {
  const bytes = Buffer.from(wire), words: string[] = []
  for (let at = bytes.indexOf("\n") + 1; at < bytes.length;) {
    const from = bytes.indexOf("\n", at) + 1, length = Number(bytes.toString("latin1", at + 1, from - 2))
    words.push(bytes.toString("utf8", from, from + length))
    at = from + length + 2
  }
  return words as unknown as Call
}

/** The calls that reserves of these shoppers would send to Redis. Nothing is sent. */
export const reserveCalls = async ({ parts, caller }: Bare, shoppers: readonly { user_id: string; order_id: string; coupon_id: string }[], lines: number): Promise<Call[]> => {
  const calls: Call[] = []
  const answer = ["reserved", String(Date.now()), String(Date.now()), "1-1"].map((text) => Buffer.from(text))
  const notepad = new Proxy(parts.redis, {
    get: (redis, name) => name === "sendCommand"
      ? (command: { toWritable(): string }) => { calls.push(wordsOf(command.toWritable())); return Promise.resolve(answer) }
      : Reflect.get(redis, name) as unknown,
  })
  const reserve = reserveWith({ ...parts, redis: notepad })
  const order = orderOf(lines)
  for (const { user_id, order_id, coupon_id } of shoppers) await reserve({ order_id, user_id, order, coupons: [coupon_id] }, caller())
  if (calls.length !== shoppers.length) throw new Error(`${shoppers.length} reserves would send ${calls.length} calls`)
  return calls
}

/** More connections to the same server, each of which will have one call in flight. */
const connect = ({ redis }: Bare, count: number): Promise<Redis[]> => Promise.all(Array.from({ length: count }, async () => {
  const connection = redis.duplicate()
  await connection.connect()
  return connection
}))

/** Send calls and say what each has cost Redis, in microseconds of its processor time, and how many were not answered as wanted. */
export const costOf = async (connections: readonly Redis[], redis_pid: number, calls: readonly Call[], wanted: string): Promise<{ us: number; seconds: number; wrong: number }> => {
  let wrong = 0, next = 0
  const before_us = exactCpuOf(redis_pid), began = performance.now()
  await Promise.all(Array.from({ length: IN_FLIGHT }, async (_, flow) => {
    while (next < calls.length) {
      const [verb, ...args] = calls[next++]!
      const reply = await connections[flow % connections.length]!.callBuffer(String(verb), ...args) as Buffer[]
      if (String(reply[0] ?? "") !== wanted) wrong++
    }
  }))
  return { us: (exactCpuOf(redis_pid) - before_us) / calls.length, seconds: (performance.now() - began) / 1_000, wrong }
}

/** Measure, in so many rounds of so many calls. */
export const playRedisCpu = async (rounds: number, calls: number, say: (text: string) => void): Promise<Result> => {
  const bare = await startBare()
  try {
    const campaign_no = await bare.campaign("bench", { stock: 10_000_000, per_user: 1_000 })
    await bare.redis.call("FUNCTION", "LOAD", EMPTY)
    const connections = await connect(bare, IN_FLIGHT)
    const nothing: Call[] = Array.from({ length: calls }, () => ["FCALL", "bench_nothing", 0])
    const costs: Record<string, number[]> = {}, proofs: Proof[] = []
    const cost = async (name: string, over: readonly Redis[], sent: readonly Call[], wanted: string): Promise<void> => {
      const { us, wrong } = await costOf(over, bare.redis_pid, sent, wanted)
      ;(costs[name] ??= []).push(us)
      proofs.push({ name: `${name}: calls that were refused`, wanted: 0, found: wrong })
    }
    for (let round = 0; round < rounds; round++) {
      say(`Redis per call, round ${round + 1} of ${rounds}`)
      const prepared = async (name: string, lines: number): Promise<Call[]> => {
        const shoppers = Array.from({ length: calls }, (_, i) => shopper(`${name}-${round}-${lines}`, i, campaign_no))
        await issueAll(bare, "bench", shoppers)
        return reserveCalls(bare, shoppers, lines)
      }
      const reserves = [await prepared("many", LINES[0]), await prepared("many", LINES[1]), await prepared("one", LINES[0])] as const
      await cost("empty", connections, nothing, "")
      await cost(`${LINES[0]} lines`, connections, reserves[0], "reserved")
      await cost(`${LINES[1]} lines`, connections, reserves[1], "reserved")
      await cost("empty, one connection", [bare.redis], nothing, "")
      await cost("one connection", [bare.redis], reserves[2], "reserved")
    }
    for (const connection of connections) connection.disconnect()
    const ratio = (name: string, to: string): number => median(costs[name]!.map((us, round) => us / costs[to]![round]!))
    const figures: Figure[] = [
      { name: `Redis CPU of an empty function call, ${IN_FLIGHT} connections`, value: median(costs["empty"]!), unit: "µs" },
      ...LINES.flatMap((lines): Figure[] => [
        { name: `Redis CPU of a reserve, 1 coupon, ${lines} ${lines === 1 ? "line" : "lines"}`, value: median(costs[`${lines} lines`]!), unit: "µs" },
        { name: `Redis CPU of a reserve, 1 coupon, ${lines} ${lines === 1 ? "line" : "lines"}, against the empty call`, value: ratio(`${lines} lines`, "empty"), unit: "×", wanted: { at: "most", value: MOST[lines]! } },
      ]),
      { name: `both over one connection, ${IN_FLIGHT} in flight: empty`, value: median(costs["empty, one connection"]!), unit: "µs" },
      { name: "and a reserve of 1 line", value: median(costs["one connection"]!), unit: "µs" },
      { name: "the same against the empty call, one connection", value: ratio("one connection", "empty, one connection"), unit: "×" },
    ]
    return { scenario: "redis_cpu", rows: [], figures, proofs }
  } finally {
    await bare.stop()
  }
}
