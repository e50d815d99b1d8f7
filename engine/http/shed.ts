/**
 * Refuse early what cannot be served soon, by how long requests wait already, and never by how many they are.
 *
 * A probe goes to Redis on the connection that all acts share, whose replies come in order: how long it takes is how long an act would
 * wait, in our event loop, on the wire and in Redis, whichever of them is short. What must stay true:
 * - A burst that drains is served: what takes is refused only where the wait has stood for `standing_ms`, or has grown beyond `burst_ms`.
 * - A pause of our own (the collector, a machine that was busy elsewhere) is no queue: what waited through it is served. So a long wait
 *   counts once it has stood for `pause_ms` after it was first seen.
 * - What gives back goes before what takes: it is refused only beyond `give_ms`, when its caller would have given up.
 * - A refusal costs next to nothing: it looks at one number, before the key, the body and Redis.
 */
import { askNode, mastersOf, type Servers } from "../store/redis.ts"
import { problem } from "./problems.ts"

export interface Patience {
  /** A wait that stands beyond this is a queue, not a burst. */
  readonly take_ms: number
  readonly standing_ms: number
  readonly burst_ms: number
  readonly pause_ms: number
  readonly give_ms: number
}

/**
 * 500 callers at once who each wait for their answer make a wait of 160 ms at 3,000 acts a second (2026-11-22): that is served. Beyond
 * half a second a checkout has better things to do than to wait.
 */
export const PATIENCE: Patience = { take_ms: 200, standing_ms: 300, burst_ms: 500, pause_ms: 50, give_ms: 2_000 }

/** Between two probes: 100 a second cost Redis a thousandth of its time. */
const PROBE_MS = 10
/** Probes that are out at a time; more would say nothing new. */
const PROBES_MAX = 50

/** Whether an act takes or gives back; what is neither is always served. */
export type Kind = "take" | "give" | "house"

const GIVES = /^\/v1\/(redemptions\/[^/]+\/(confirm|cancel|refunds|extend)|coupons\/[^/]+\/revoke)$/

/** The kind of a request, by its address alone. */
export const kindOf = (url: string): Kind => {
  const from = url.indexOf("/", url.indexOf("//") + 2)
  if (from < 0 || !url.startsWith("/v1/", from)) return "house"
  const end = url.indexOf("?", from)
  return GIVES.test(end < 0 ? url.slice(from) : url.slice(from, end)) ? "give" : "take"
}

/** Follows the wait and says who is refused. Pure: instants are told. */
export const makeShedder = (patience: Patience = PATIENCE) => {
  let wait_ms = 0, isStanding = false
  let above_ms: number | undefined, over_ms: number | undefined, isOver = false
  const refused = { take: 0, give: 0 }
  return {
    /** A wait was measured at an instant. */
    note: (waited_ms: number, now_ms: number): void => {
      wait_ms = waited_ms
      over_ms = wait_ms > patience.burst_ms ? over_ms ?? now_ms : undefined
      isOver = over_ms !== undefined && now_ms - over_ms >= patience.pause_ms
      if (wait_ms <= patience.take_ms) {
        above_ms = undefined
        // Half of it is gone: what comes next is judged as a burst again.
        if (wait_ms <= patience.take_ms / 2) isStanding = false
      } else {
        above_ms ??= now_ms
        if (now_ms - above_ms >= patience.standing_ms) isStanding = true
      }
    },
    /** Whether a request of this kind is refused now; a refusal is counted. */
    refuses: (kind: Kind): boolean => {
      const isRefused = kind === "give" ? isOver && wait_ms > patience.give_ms
        : kind === "take" && (isOver || (isStanding && wait_ms > patience.take_ms))
      if (isRefused && kind !== "house") refused[kind] += 1
      return isRefused
    },
    wait_ms: () => wait_ms,
    refused: (): Readonly<Record<"take" | "give", number>> => refused,
  }
}
export type Shedder = ReturnType<typeof makeShedder>

/** Send probes to every master and tell the shedder the longest wait. A Redis that is away says nothing: acts hear of it themselves. */
export const watchWait = (redis: Servers, shedder: Shedder): { stop(): void } => {
  const out = new Map<unknown, number[]>()
  let ticked_ms = performance.now()
  const tell = (now_ms: number, heard_ms: number): void => {
    let wait_ms = heard_ms
    for (const [first] of out.values()) if (first !== undefined) wait_ms = Math.max(wait_ms, now_ms - first)
    shedder.note(wait_ms, now_ms)
  }
  const timer = setInterval(() => {
    const now_ms = performance.now()
    // A tick that comes late was kept waiting by our own loop, and so was everyone else.
    const due_ms = Math.min(now_ms, ticked_ms + PROBE_MS)
    ticked_ms = now_ms
    for (const node of mastersOf(redis)) {
      const sent = out.get(node) ?? []
      out.set(node, sent)
      if (sent.length >= PROBES_MAX) continue
      sent.push(due_ms)
      askNode(node.ping()).then(
        () => { const heard_ms = performance.now(); tell(heard_ms, heard_ms - sent.shift()!) },
        () => { sent.shift() },
      )
    }
    tell(now_ms, now_ms - due_ms)
  }, PROBE_MS)
  timer.unref()
  return { stop: () => clearInterval(timer) }
}

/** Answer what is refused, and hand the rest on. */
export const shedding = (shedder: Shedder, fetch: (request: Request) => Response | Promise<Response>) =>
  (request: Request): Response | Promise<Response> => shedder.refuses(kindOf(request.url)) ? problem({ outcome: "overloaded" }) : fetch(request)
