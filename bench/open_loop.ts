/**
 * The open loop: requests leave at the times at which callers would send them, whether earlier ones were answered or not.
 *
 * What must stay true: a latency counts from the instant at which its request was due, so a server that is slow cannot hide it by slowing the
 * driver; how late the driver itself was is told beside it, and what could not even be sent is counted. One request at a time on a
 * connection; what is told of is open before the first request is due, as a shop's are, and more are opened as they are needed. A latency ends when the driver reads the answer, so on a machine that is full it
 * holds the driver's own delay in reading too, which nobody can tell apart from outside. The driver shares the processors with what it measures, so it is
 * as cheap as can be: it asks the kernel itself, sends what is due and reads what has come once a millisecond, and is woken for nothing else. A request that is refused
 * costs it 12 µs, of Bun's own sockets 25, and the server 17 in place of 20, because it wakes nobody (2026-11-23, 6,000 a second). What it hears is
 * kept as numbers in rows until the end, because a collector that has to look at a million samples is a pause of the driver's own.
 */
import { makeSockets } from "./sockets.ts"

/**
 * With 4,000 at the most, and none before it began, three times the load had them all in use after 0.3 s: then requests waited in the driver, for 120 ms
 * (08:37 UTC, 2026-11-23), and the loop was open no more.
 */
const CONNECTIONS_MAX = 8_000
/** What an overload has use for, open before the first request is due. */
export const OVERLOAD_CONNECTIONS = 4_000
/** So many at a time are opened beforehand: a server has no more room for such as it has not seen yet. */
const OPEN_AT_ONCE = 128
const TICK_MS = 1
/** Nobody waits longer: what is due for so long and was not sent is given up. */
const UNSENT_MS_MAX = 3_000
const HEAD_END = "\r\n\r\n", CONTENT_LENGTH = /content-length: (\d+)/i
/** Numbers kept of each answer, and how many answers there is room for at first. */
const COLUMNS = 5, ROWS_FIRST = 65_536

/** One answer: when it was due, how long it took from then, how much of that the driver was late in sending it, its status. */
export interface Sample { readonly at_ms: number; readonly latency_ms: number; readonly late_ms: number; readonly status: number; readonly is_give: boolean }
export interface Asked { readonly bytes: Buffer; readonly is_give: boolean; readonly heard?: (status: number, body: string) => void }

interface Connection { due_ms: number; sent_ms: number; asked: Asked | undefined; text: string }

/** What was heard, a row of numbers for each answer. */
const makeNotes = () => {
  let rows = new Float64Array(ROWS_FIRST * COLUMNS), end = 0
  return {
    note: (at_ms: number, latency_ms: number, late_ms: number, status: number, is_give: boolean): void => {
      if (end === rows.length) {
        const more = new Float64Array(rows.length * 2)
        more.set(rows)
        rows = more
      }
      rows[end] = at_ms
      rows[end + 1] = latency_ms
      rows[end + 2] = late_ms
      rows[end + 3] = status
      rows[end + 4] = is_give ? 1 : 0
      end += COLUMNS
    },
    samples: (): Sample[] => Array.from({ length: end / COLUMNS }, (_, i) => {
      const row = i * COLUMNS
      return { at_ms: rows[row]!, latency_ms: rows[row + 1]!, late_ms: rows[row + 2]!, status: rows[row + 3]!, is_give: rows[row + 4] === 1 }
    }),
  }
}

export const isYes = ({ status }: Pick<Sample, "status">): boolean => status === 200 || status === 201

/** Callers on connections of their own, one request at a time on each. `onFree` hears of a connection whose answer has come. */
const makeCallers = (url: string, onFree: (socket: number, now_ms: number) => void) => {
  const sockets = makeSockets(new URL(url))
  const { note: keep, samples } = makeNotes()
  const connections = new Map<number, Connection>()
  let busy = 0, began_ms = performance.now()

  const note = ({ due_ms, sent_ms }: Connection, { is_give }: Asked, status: number, now_ms: number): void => {
    busy -= 1
    keep(due_ms - began_ms, now_ms - due_ms, sent_ms - due_ms, status, is_give)
  }
  const send = (socket: number, asked: Asked, due_ms: number): void => {
    busy += 1
    const connection = connections.get(socket)!
    connection.asked = asked
    connection.due_ms = due_ms
    connection.sent_ms = performance.now()
    connection.text = ""
    sockets.send(socket, asked.bytes)
  }
  const open = (): number => {
    const socket = sockets.open()
    connections.set(socket, { due_ms: 0, sent_ms: 0, asked: undefined, text: "" })
    return socket
  }
  const hear = (socket: number, text: string, now_ms: number): void => {
    const connection = connections.get(socket)!, { asked } = connection
    if (!asked) return
    const heard = connection.text === "" ? text : connection.text + text, end = heard.indexOf(HEAD_END)
    connection.text = heard
    if (end < 0) return
    const length = Number(CONTENT_LENGTH.exec(heard)?.[1] ?? 0)
    if (heard.length < end + HEAD_END.length + length) return
    const status = Number(heard.slice(9, 12))
    note(connection, asked, status, now_ms)
    connection.asked = undefined
    asked.heard?.(status, heard.slice(end + HEAD_END.length))
    onFree(socket, now_ms)
  }
  /** `onLost` hears of a connection that was closed while nothing was asked on it. */
  const hearAll = (onLost: (socket: number) => void): void => {
    // An answer has come when the kernel says so: what the driver needs to go through them all is its own.
    const now_ms = performance.now()
    sockets.ready((socket, text) => {
      if (text !== undefined) return hear(socket, text, now_ms)
      const connection = connections.get(socket)!
      connections.delete(socket)
      sockets.close(socket)
      if (connection.asked) note(connection, connection.asked, 0, now_ms)
      else onLost(socket)
    })
  }
  /** Now is the beginning. */
  const begin = (): number => began_ms = performance.now()
  return { begin, send, open, opening: sockets.opening, hearAll, count: () => connections.size, busy: () => busy, samples, end: sockets.end }
}

/** Offer so many requests a second for so long, or until it is over, and first open so many connections. */
export const offer = async (url: string, rate: number, seconds: number, next: () => Asked, isOver = (): boolean => false, connections = 0): Promise<{ samples: Sample[]; unsent: number }> => {
  const idle: number[] = []
  const waiting: { asked: Asked; due_ms: number }[] = []
  const callers = makeCallers(url, (socket) => {
    const first = waiting.shift()
    if (first) callers.send(socket, first.asked, first.due_ms)
    else idle.push(socket)
  })
  const hearAll = (): void => callers.hearAll((socket) => { idle.splice(idle.indexOf(socket), 1) })
  while (callers.count() < connections) {
    for (let i = 0; i < OPEN_AT_ONCE; i += 1) idle.push(callers.open())
    while (callers.opening() > 0) {
      await Bun.sleep(TICK_MS)
      hearAll()
    }
  }

  const began_ms = callers.begin()
  let due = 0, unsent = 0
  const total = Math.floor(rate * seconds)
  while (due < total && !isOver()) {
    const now_ms = performance.now()
    // One that was idle the longest is taken with each tick: after 30 s the server would close them all at once.
    const oldest = idle.shift()
    if (oldest !== undefined) idle.push(oldest)
    for (const want = Math.min(total, Math.floor(((now_ms - began_ms) / 1_000) * rate)); due < want; due += 1) {
      const due_ms = began_ms + (due / rate) * 1_000, asked = next()
      const socket = idle.pop() ?? (callers.count() < CONNECTIONS_MAX ? callers.open() : undefined)
      if (socket === undefined) waiting.push({ asked, due_ms })
      else callers.send(socket, asked, due_ms)
    }
    while (waiting[0] && now_ms - waiting[0].due_ms > UNSENT_MS_MAX) { waiting.shift(); unsent += 1 }
    await Bun.sleep(TICK_MS)
    hearAll()
  }
  const until_ms = performance.now() + UNSENT_MS_MAX
  while (callers.busy() > 0 && performance.now() < until_ms) {
    await Bun.sleep(TICK_MS)
    hearAll()
  }
  unsent += waiting.length + callers.busy()
  callers.end()
  return { samples: callers.samples(), unsent }
}

/** So many callers who each ask again as soon as they have their answer, for so long: the same driver's closed loop. A connection that breaks is not opened again. */
export const askInTurn = async (url: string, connections: number, seconds: number, next: () => Asked): Promise<{ samples: Sample[]; seconds: number }> => {
  const callers = makeCallers(url, (socket, now_ms) => { if (now_ms < until_ms) callers.send(socket, next(), now_ms) })
  const began_ms = callers.begin(), until_ms = began_ms + seconds * 1_000
  for (let i = 0; i < connections; i += 1) callers.send(callers.open(), next(), performance.now())
  while (callers.busy() > 0 && performance.now() < until_ms + UNSENT_MS_MAX) {
    await Bun.sleep(TICK_MS)
    callers.hearAll(() => undefined)
  }
  const took_s = (performance.now() - began_ms) / 1_000
  callers.end()
  return { samples: callers.samples(), seconds: took_s }
}
