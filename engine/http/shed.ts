/**
 * Refuse early what cannot be served soon, by how long requests wait already, and never by how many they are.
 *
 * So many acts are under way as Redis and our own loop serve within `work_ms`; who comes beyond that stands in a line, those that give back
 * in one of their own, which goes first. How long an act under way waits is told by a probe: it goes to Redis on the connection that acts
 * fill first, whose replies come in order, so it takes as long as an act would wait, in our event loop, on the wire and in Redis, whichever of them
 * is short. The number that may be under way follows it. What must stay true:
 * - A burst that drains is served. Only where the first of the line has waited for `take_ms`, it stays so for `standing_ms`, and no fewer are
 *   there at the end, it is overload: then the line is kept to `strict_ms`, and who has waited longer is refused while it costs nothing.
 *   It ends when nobody had to be refused for `calm_ms`.
 * - Who is served is served soon. While a line that makes wait for `GROWN_MS` grows, and from the first wait that is too long until it is short again, whoever
 *   takes and came last goes first: those before him are late already, are served all the same where the line drains, and are refused where it does not.
 *   How long the wait is told to be is not longer for it: it is that of a line in which the first goes first.
 * - A pause is no queue: what waited through it is served. Of our own (the collector, a machine that was busy elsewhere): a long wait counts once it has
 *   stood for `pause_ms` after it was first seen. Of Redis (a disk that took long): a line in which nothing ends is none before `burst_ms`. 500 callers who
 *   never pause were refused 7,600 to 8,400 times for 0.35 s of it (2026-11-23).
 * - What gives back is refused last: only in overload, when all that takes is refused already, and those that give have for `pause_ms` waited
 *   longer than `give_ms`, because they alone are more than can be served; and beyond `hung_ms`, when their callers would have given up.
 * - A refusal costs next to nothing: it looks at some numbers, before the key, the body and Redis, and its answer is a copy of one that was made
 *   beforehand. While the line is long enough for the next turn of the event loop, not even that: the door is shut, and the server answers takes by
 *   itself, without a word to us.
 */
import { askNode, COMMAND_TIMEOUT_MS, mastersOf, type Servers } from "../store/redis.ts"
import { problem, problemBody } from "./problems.ts"

export interface Patience {
  readonly work_ms: number
  readonly take_ms: number
  readonly standing_ms: number
  readonly strict_ms: number
  readonly calm_ms: number
  readonly burst_ms: number
  readonly pause_ms: number
  readonly give_ms: number
  readonly hung_ms: number
}

/**
 * 500 callers at once who each wait for their answer make a wait of 160 ms at 3,000 acts a second (2026-11-22): that is served. Beyond
 * half a second a checkout has better things to do than to wait. What gives back is a tenth of what comes, so at five times full load half of all
 * that can be served: in a line without an end it waited for a second.
 */
export const PATIENCE: Patience = { work_ms: 15, take_ms: 200, standing_ms: 100, strict_ms: 10, calm_ms: 1_000, burst_ms: 500, pause_ms: 50, give_ms: 100, hung_ms: 2_000 }

/** How many may be under way: fewer than the least are too few for one sync of Redis to serve many, and at the most nothing is held back. */
const UNDER_WAY_MIN = 64, UNDER_WAY_MAX = 10_000
/** It falls by so much at most for one wait that was too long, and grows so much with each probe while others stand in line. */
const FALL_MOST = 0.8, GROWTH = 1.08
/** Where so large a share is still there after `standing_ms`, the line does not drain. */
const DRAINS_SHARE = 0.95

/**
 * A line that makes wait for so long grows where so many more are there than so long ago, and is taken to grow for some time after: at less than twice
 * the load it pauses, and those who had waited for 0.2 s and more were served in each pause.
 */
const GROWN_MS = 50, GROWS = 1.05, GROWS_MS = 25, GROWS_ON_MS = 100

/** Between two probes: 100 a second cost Redis a thousandth of its time. */
const PROBE_MS = 10
/**
 * Probes that are out at a time: as many as are sent while the longest act waits. Of a Redis that stood still the first say so, and the last, which
 * are heard with them, that it is over: with 50 who came in the next 10 ms was refused for the pause of a second that had just ended.
 */
const PROBES_MAX = COMMAND_TIMEOUT_MS / PROBE_MS

/**
 * Where a turn of our event loop is full of refusals, one act may be under way for so many of them: an act costs as much as ten, so a third of
 * the turn is left to acts, however much is offered.
 */
const REFUSALS_PER_ACT = 16
/** The same of a turn whose refusals the server makes by itself: a third of each ms, at 80 µs an act. */
const ACTS_PER_MS = 4
/** Connections that Bun is told of at a time. */
const READY_MAX = 1_024
/** Refusals that wait for a turn of their own, in each: 5 ms. */
const HELD_MAX = 256

/** The door is shut while the line is longer than this share of what may be under way: what is served in a turn is there without those who come in it. */
const SHUT_SHARE = 0.5
/** Fewer refusals in a turn than this are cheaper than to shut the door and open it again: 0.1 ms, where each saves 8 µs. */
const SHUT_REFUSALS_MIN = 16
/** While the door is shut, it is looked at as soon as a turn has ended, and no sooner than after this. */
const LOOK_MS = 1

/** Whether an act takes or gives back; what is neither is always served. */
export type Kind = "take" | "give" | "house"

/** Where all acts are, and those of them that give back. */
const ACTS_PATH = "/v1/*"
export const GIVE_PATHS = ["/v1/redemptions/:id/confirm", "/v1/redemptions/:id/cancel", "/v1/redemptions/:id/refunds", "/v1/redemptions/:id/extend", "/v1/coupons/:id/revoke"] as const
const GIVES = new RegExp(`^(${GIVE_PATHS.map((path) => path.replace(":id", "[^/]+")).join("|")})$`)

/** The kind of a request, by its address alone. */
export const kindOf = (url: string): Kind => {
  const from = url.indexOf("/", url.indexOf("//") + 2)
  if (from < 0 || !url.startsWith("/v1/", from)) return "house"
  const end = url.indexOf("?", from)
  return GIVES.test(end < 0 ? url.slice(from) : url.slice(from, end)) ? "give" : "take"
}

type Verdict = "go" | "refused"
interface Waiting { readonly at_ms: number; readonly settle: (verdict: Verdict) => void }

/** Things in a row that go out at the front. */
const makeRow = <T>() => {
  let row: T[] = [], first = 0
  return {
    push: (one: T): void => { row.push(one) },
    front: (): T | undefined => row[first],
    shift: (): T | undefined => {
      const one = row[first]
      if (one === undefined) return undefined
      first += 1
      if (first === row.length) { row = []; first = 0 } else if (first >= UNDER_WAY_MAX) { row = row.slice(first); first = 0 }
      return one
    },
    pop: (): T | undefined => {
      if (first === row.length) return undefined
      const one = row.pop()
      if (first === row.length) { row = []; first = 0 }
      return one
    },
    length: () => row.length - first,
  }
}

/** A line. Whoever asks for the next says from which end: the first who came, or the last. */
const makeLine = () => {
  const line = makeRow<Waiting>()
  /** When those came who would stand here if the first had always gone first. */
  const in_order = makeRow<number>()
  return {
    join: (waiting: Waiting): void => {
      line.push(waiting)
      in_order.push(waiting.at_ms)
    },
    take: (): Waiting | undefined => { in_order.shift(); return line.shift() },
    takeLast: (): Waiting | undefined => { in_order.shift(); return line.pop() },
    length: line.length,
    /** How long the first has waited. */
    age_ms: (now_ms: number): number => { const next = line.front(); return next === undefined ? 0 : now_ms - next.at_ms },
    /** How long the first would have waited, whoever went first: what the line says of the load. */
    wait_ms: (now_ms: number): number => now_ms - (in_order.front() ?? now_ms),
  }
}

/** Follows the wait, and says who goes, who stands in line and who is refused. Instants are told. */
export const makeShedder = (patience: Patience = PATIENCE) => {
  const takes = makeLine(), gives = makeLine()
  const refused = { take: 0, give: 0 }
  let under_way = 0, limit = UNDER_WAY_MIN
  let probe_ms = 0, lowered_ms = -Infinity
  let ended = 0, above: { readonly since_ms: number; readonly there: number; readonly ended: number } | undefined, over_ms: number | undefined
  let late_ms: number | undefined
  /** How many were there at the last but one of such instants, and at the last. */
  let before = { at_ms: 0, there: 0 }, lately = before, grew_ms = -Infinity, isGrowing = false
  let isStrict = false, isOver = false, isLate = false, refused_ms = -Infinity

  const refuse = (kind: "take" | "give", now_ms: number): "refused" => {
    refused[kind] += 1
    if (kind === "take") refused_ms = now_ms
    return "refused"
  }
  const isStale = (now_ms: number): boolean => isStrict && takes.age_ms(now_ms) > patience.strict_ms
  /** Let those go for whom there is room, and refuse those who have waited too long for it. */
  const serve = (now_ms: number): void => {
    while (isStale(now_ms)) takes.take()!.settle(refuse("take", now_ms))
    while (isLate && gives.age_ms(now_ms) > patience.give_ms) gives.take()!.settle(refuse("give", now_ms))
    while (under_way < limit) {
      const next = gives.take() ?? (isStrict || above || isGrowing ? takes.takeLast() : takes.take())
      if (next === undefined) return
      under_way += 1
      next.settle("go")
    }
  }
  const adapt = (now_ms: number): void => {
    if (probe_ms <= patience.work_ms) {
      if (takes.length() + gives.length() > 0) limit = Math.min(UNDER_WAY_MAX, limit * GROWTH)
    } else if (now_ms - lowered_ms >= probe_ms) { // what was let in before it was lowered is still to be seen
      lowered_ms = now_ms
      limit = Math.max(UNDER_WAY_MIN, Math.min(limit, under_way) * Math.max(FALL_MOST, patience.work_ms / probe_ms))
    }
  }
  // Not their sum: where nothing moves, both count the same time.
  const wait = (now_ms: number): number => Math.max(probe_ms, takes.wait_ms(now_ms), gives.wait_ms(now_ms))

  return {
    /** Ask for a request to be let in: at once, never, or later, for which it joins. Whoever goes says when he is done. */
    ask: (kind: "take" | "give", now_ms: number): Verdict | "waits" => {
      if (kind === "give" ? isOver && probe_ms > patience.hung_ms : isOver || (isStrict && (takes.length() >= limit || gives.age_ms(now_ms) > patience.strict_ms))) return refuse(kind, now_ms)
      if (under_way >= limit || takes.length() > 0 || gives.length() > 0) return "waits"
      under_way += 1
      return "go"
    },
    /** Stand in line until told. */
    join: (kind: "take" | "give", now_ms: number, settle: (verdict: Verdict) => void): void => (kind === "take" ? takes : gives).join({ at_ms: now_ms, settle }),
    done: (now_ms: number): void => {
      under_way -= 1
      ended += 1
      serve(now_ms)
    },
    /** A wait of an act under way was measured at an instant. */
    note: (waited_ms: number, now_ms: number): void => {
      probe_ms = waited_ms
      adapt(now_ms)
      const wait_ms = wait(now_ms), there = under_way + takes.length() + gives.length()
      if (now_ms - lately.at_ms >= GROWS_MS) {
        before = lately
        lately = { at_ms: now_ms, there }
      }
      if (there > before.there * GROWS) grew_ms = now_ms
      isGrowing = takes.wait_ms(now_ms) > GROWN_MS && now_ms - grew_ms < GROWS_ON_MS
      over_ms = wait_ms > patience.burst_ms ? over_ms ?? now_ms : undefined
      isOver = over_ms !== undefined && now_ms - over_ms >= patience.pause_ms
      if (wait_ms <= patience.take_ms) above = undefined
      else {
        above ??= { since_ms: now_ms, there, ended }
        if (now_ms - above.since_ms >= patience.standing_ms) {
          const isPause = ended === above.ended && over_ms === undefined
          if (there >= above.there * DRAINS_SHARE && !isPause && !isStrict) { isStrict = true; refused_ms = now_ms }
          above = { since_ms: now_ms, there, ended }
        }
      }
      if (isStrict && now_ms - refused_ms > patience.calm_ms) isStrict = false
      late_ms = isStrict && gives.age_ms(now_ms) > patience.give_ms ? late_ms ?? now_ms : undefined
      isLate = late_ms !== undefined && now_ms - late_ms >= patience.pause_ms
      serve(now_ms)
    },
    /** A turn of the event loop has ended in which so many were refused: its length is not the acts' own doing, and they get their share of it. */
    turned: (refused: number): void => { limit = Math.max(limit, Math.min(UNDER_WAY_MAX, refused / REFUSALS_PER_ACT)) },
    /** Whether who takes and comes now is not needed: there are enough for the next turn, or all of them are refused. */
    isFull: (now_ms: number): boolean => isOver || (isStrict && (takes.length() > limit * SHUT_SHARE || gives.age_ms(now_ms) > patience.strict_ms)),
    /** A turn of so long has ended in which takes were refused that nobody counted: it is not calm, and acts get their share of it too. */
    unseen: (turn_ms: number, now_ms: number): void => {
      refused_ms = now_ms
      limit = Math.max(limit, Math.min(UNDER_WAY_MAX, turn_ms * ACTS_PER_MS))
    },
    wait_ms: (now_ms: number): number => wait(now_ms),
    under_way: (): number => under_way,
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

/** What a server is told that can refuse by itself: who passes a shut door, who does not, and what those hear. */
export interface Porch {
  readonly passes: readonly string[]
  readonly stops: string
  readonly no: Response
  /** The server shows its door, and is told when to shut it. It is told so between two turns, never while it reads. */
  hang(door: Door): void
}
export interface Door { shut(): void; open(): void }

/** Shuts the door after a turn that has refused many, and opens it as soon as some are needed. */
const makeDoorkeeper = (shedder: Shedder) => {
  let door: Door | undefined, shut_ms: number | undefined, looked_ms = 0, was_shut_ms = 0
  const lookSoon = (now_ms: number): void => {
    looked_ms = now_ms
    setTimeout(look, LOOK_MS).unref()
  }
  const look = (): void => {
    const now_ms = performance.now()
    shedder.unseen(now_ms - looked_ms, now_ms)
    if (shedder.isFull(now_ms)) return lookSoon(now_ms)
    was_shut_ms += now_ms - shut_ms!
    shut_ms = undefined
    door!.open()
  }
  return {
    hang: (shown: Door): void => { door = shown },
    /** A turn has ended in which so many were refused. */
    turned: (refused: number): void => {
      const now_ms = performance.now()
      if (!door || shut_ms !== undefined || refused < SHUT_REFUSALS_MIN || !shedder.isFull(now_ms)) return
      shut_ms = now_ms
      door.shut()
      lookSoon(now_ms)
    },
    shut_ms: (now_ms: number): number => was_shut_ms + (shut_ms === undefined ? 0 : now_ms - shut_ms),
  }
}

/**
 * Answers no at once to as many as Bun looks at in one go, and to who comes later in the same turn of our event loop in one of the next. Bun reads on
 * within a turn while so many connections are ready, up to 48 times, and whoever is refused asks again at once: at five times full load one turn took 12,000
 * to 30,000 refusals and 1 to 2.3 s (2026-11-22), in which no act was sent to Redis, no probe and no timer. A caller who has not been answered asks
 * for nothing, so the turn ends. An answer that waits costs a third more. Who has stood in the line is never answered at once: when it was seen to be
 * overload 3,700 stood there, and to refuse them all was a turn of 100 ms (08:37 UTC, 2026-11-23), for which acts waited that were let in.
 */
const makeRefusals = (no: Response, turned: (refused: number) => void) => {
  interface Held { readonly told: PromiseWithResolvers<void>; many: number }
  const held = makeRow<Held>()
  let last: Held | undefined, refused = 0, isEnding = false
  const endTurn = (): void => {
    turned(refused)
    const next = held.shift()
    if (next === last) last = undefined
    refused = next?.many ?? 0
    isEnding = next !== undefined
    if (!next) return
    next.told.resolve()
    setImmediate(endTurn)
  }
  const endSoon = (): void => {
    if (isEnding) return
    isEnding = true
    setImmediate(endTurn)
  }
  const later = (): Promise<Response> => {
    endSoon()
    if (!last || last.many === HELD_MAX) {
      last = { told: Promise.withResolvers<void>(), many: 0 }
      held.push(last)
    }
    last.many += 1
    return last.told.promise.then(() => no.clone() as Response)
  }
  return {
    later,
    atOnce: (): Response | Promise<Response> => {
      if (refused === READY_MAX) return later()
      endSoon()
      refused += 1
      return no.clone() as Response
    },
  }
}

/** Answer what is refused, and hand the rest on when its turn has come. */
export const shedding = (shedder: Shedder, fetch: (request: Request) => Response | Promise<Response>) => {
  const { status, headers } = problem({ outcome: "overloaded" })
  const no = new Response(JSON.stringify(problemBody({ outcome: "overloaded" })), { status, headers })
  const doorkeeper = makeDoorkeeper(shedder)
  const { atOnce, later } = makeRefusals(no, (refused) => {
    shedder.turned(refused)
    doorkeeper.turned(refused)
  })
  const serve = async (request: Request): Promise<Response> => {
    try { return await fetch(request) } finally { shedder.done(performance.now()) }
  }
  const wait = (kind: "take" | "give", now_ms: number): Promise<Verdict> => new Promise((settle) => { shedder.join(kind, now_ms, settle) })
  const porch: Porch = { passes: GIVE_PATHS, stops: ACTS_PATH, no: no.clone() as Response, hang: doorkeeper.hang }
  return {
    fetch: (request: Request): Response | Promise<Response> => {
      const kind = kindOf(request.url)
      if (kind === "house") return fetch(request)
      const now_ms = performance.now()
      switch (shedder.ask(kind, now_ms)) {
        case "go": return serve(request)
        case "refused": return atOnce()
        case "waits": return wait(kind, now_ms).then((verdict) => verdict === "go" ? serve(request) : later())
      }
    },
    porch,
    shut_ms: doorkeeper.shut_ms,
  }
}
