/**
 * What a reserve costs Redis: processor time of the server per call, against a call of a function that does nothing.
 *
 * What must stay true: both are sent alike, from one connection with as many calls in flight as a busy API has. The calls are the
 * engine's own, taken down as the use case would send them, and each is sent once.
 */
import type { Redis } from "ioredis"
import { reserveWith } from "../../engine/checkout/reserve.ts"
import { startBare, type Bare } from "../bare.ts"
import { cpuOf, median } from "../cpu.ts"
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

/** The calls that reserves of these shoppers would send to Redis. Nothing is sent. */
export const reserveCalls = async ({ parts, caller }: Bare, shoppers: readonly { user_id: string; order_id: string; coupon_id: string }[], lines: number): Promise<Call[]> => {
  const calls: Call[] = []
  const answer = ["reserved", String(Date.now()), String(Date.now())].map((text) => Buffer.from(text))
  const notepad = new Proxy(parts.redis, {
    get: (redis, name) => name === "callBuffer" || name === "call"
      ? (...call: Call) => { calls.push(call); return Promise.resolve(answer) }
      : Reflect.get(redis, name) as unknown,
  })
  const reserve = reserveWith({ ...parts, redis: notepad })
  const order = orderOf(lines)
  for (const { user_id, order_id, coupon_id } of shoppers) await reserve({ order_id, user_id, order, coupons: [coupon_id] }, caller())
  if (calls.length !== shoppers.length) throw new Error(`${shoppers.length} reserves would send ${calls.length} calls`)
  return calls
}

/** Send calls and say what each has cost Redis, in microseconds of its processor time, and how many were not answered as wanted. */
export const costOf = async (redis: Redis, redis_pid: number, calls: readonly Call[], wanted: string): Promise<{ us: number; seconds: number; wrong: number }> => {
  let wrong = 0
  const before_us = cpuOf(redis_pid), began = performance.now()
  await inFlight(calls.length, IN_FLIGHT, async (i) => {
    const [verb, ...args] = calls[i]!
    const reply = await redis.callBuffer(String(verb), ...args) as Buffer[]
    if (String(reply[0] ?? "") !== wanted) wrong++
  })
  return { us: (cpuOf(redis_pid) - before_us) / calls.length, seconds: (performance.now() - began) / 1_000, wrong }
}

/** Measure, in so many rounds of so many calls. */
export const playRedisCpu = async (rounds: number, calls: number, say: (text: string) => void): Promise<Result> => {
  const bare = await startBare()
  try {
    const campaign_no = await bare.campaign("bench", { stock: 10_000_000, per_user: 1_000 })
    await bare.redis.call("FUNCTION", "LOAD", EMPTY)
    const nothing: Call[] = Array.from({ length: calls }, () => ["FCALL", "bench_nothing", 0])
    const empty_us: number[] = [], cost_us: Record<number, number[]> = {}, ratios: Record<number, number[]> = {}
    const proofs: Proof[] = []
    for (let round = 0; round < rounds; round++) {
      say(`Redis per call, round ${round + 1} of ${rounds}`)
      const { us } = await costOf(bare.redis, bare.redis_pid, nothing, "")
      empty_us.push(us)
      for (const lines of LINES) {
        const shoppers = Array.from({ length: calls }, (_, i) => shopper(`cpu-${round}-${lines}`, i, campaign_no))
        await issueAll(bare, "bench", shoppers)
        const cost = await costOf(bare.redis, bare.redis_pid, await reserveCalls(bare, shoppers, lines), "reserved")
        ;(cost_us[lines] ??= []).push(cost.us)
        ;(ratios[lines] ??= []).push(cost.us / us)
        proofs.push({ name: `reserves of ${lines} lines that were refused, round ${round + 1}`, wanted: 0, found: cost.wrong })
      }
    }
    const figures: Figure[] = [
      { name: "Redis CPU of an empty function call", value: median(empty_us), unit: "µs" },
      ...LINES.flatMap((lines): Figure[] => [
        { name: `Redis CPU of a reserve, 1 coupon, ${lines} lines`, value: median(cost_us[lines]!), unit: "µs" },
        { name: `the same against the empty call, ${lines} lines`, value: median(ratios[lines]!), unit: "×", wanted: { at: "most", value: MOST[lines]! } },
      ]),
    ]
    return { scenario: "redis_cpu", rows: [], figures, proofs }
  } finally {
    await bare.stop()
  }
}
