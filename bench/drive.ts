/**
 * The driver: autocannon on the loopback, with requests that were made beforehand.
 *
 * What must stay true: each prepared request is sent exactly once, every answer is counted by its status, and the driver does the same
 * work for every contestant. It shares the machine with what it measures: its own cost is the same in every row.
 */
import autocannon from "autocannon"
import type { Cpu, Stack } from "./stack.ts"

export const CONNECTIONS = 64
/** No answer is waited for longer; the requests of a driver whose server hangs count as errors. */
const ANSWER_S_MAX = 60
/** Autocannon sees that it is done when it takes a sample. */
const SAMPLE_MS = 50

/** What one lap of one contestant was. */
export interface Lap {
  readonly acts: number
  readonly seconds: number
  /** Answers by status. */
  readonly statuses: Readonly<Record<string, number>>
  readonly errors: number
  readonly latencies_ms: readonly number[]
  /** Processor time from the first request until the journal was flushed, where that is waited for. */
  readonly cpu: Cpu
  readonly answer_bytes: number
}

/** One request as it goes over the wire. */
export const request = (stack: Pick<Stack, "url" | "key">, method: string, path: string, body?: string): Buffer => {
  const { host } = new URL(stack.url)
  const head = `${method} ${path} HTTP/1.1\r\nHost: ${host}\r\nAuthorization: Bearer ${stack.key}\r\n`
  return Buffer.from(body === undefined ? `${head}\r\n` : `${head}Content-Type: application/json\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`)
}

/** Autocannon's client, as far as it is taught to send what was prepared. */
type Sender = autocannon.Client & { getRequestBuffer: () => Buffer }

interface Plan { readonly stack: Stack; readonly connections?: number; readonly onAnswer?: (status: number, body: string) => void }

const run = async ({ stack, connections = CONNECTIONS, onAnswer }: Plan, source: () => () => Buffer, amount: number, settled: () => Promise<unknown>): Promise<Lap> => {
  const statuses: Record<string, number> = {}
  const latencies_ms: number[] = []
  let answer_bytes = 0
  const before = stack.cpu()
  const began = performance.now()
  let last = began
  const result = await autocannon({
    url: stack.url, connections: Math.min(connections, amount), timeout: ANSWER_S_MAX, amount, sampleInt: SAMPLE_MS,
    ...(onAnswer ? { requests: [{ method: "GET" as const, onResponse: (status: number, body: string) => onAnswer(status, body) }] } : {}),
    setupClient: (client) => {
      (client as Sender).getRequestBuffer = source()
      client.on("response", (status, bytes, latency_ms) => {
        statuses[status] = (statuses[status] ?? 0) + 1
        latencies_ms.push(latency_ms)
        answer_bytes += bytes
        last = performance.now()
      })
    },
  })
  await settled()
  const after = stack.cpu()
  return {
    acts: latencies_ms.length, seconds: (last - began) / 1_000, statuses, errors: result.errors + result.timeouts, latencies_ms,
    cpu: { api: after.api - before.api, redis: after.redis - before.redis, postgres: after.postgres - before.postgres },
    answer_bytes: answer_bytes / Math.max(1, latencies_ms.length),
  }
}

/** Send every prepared request once, and wait until the journal is flushed. */
export const drive = (plan: Plan, requests: readonly Buffer[]): Promise<Lap> => {
  let next = 0
  const lap = run(plan, () => () => requests[next++ % requests.length]!, requests.length, plan.stack.flushed)
  return lap.then((done) => {
    if (next !== requests.length) throw new Error(`${plan.stack.name}: ${next} of ${requests.length} requests were sent`)
    return done
  })
}

/** Send so many requests, each connection from a source of its own. The journal is not waited for: one call may follow another at once. */
export const driveSources = (plan: Plan, amount: number, source: () => () => Buffer): Promise<Lap> => run(plan, source, amount, async () => undefined)

/** A lap in which every answer was the wanted status, or an error that says what came instead. */
export const allWere = (lap: Lap, status: number, what: string): Lap => {
  if (lap.errors > 0 || Object.keys(lap.statuses).some((each) => each !== String(status))) {
    throw new Error(`${what}: every answer should be ${status}, and they are ${JSON.stringify(lap.statuses)} with ${lap.errors} errors`)
  }
  return lap
}
