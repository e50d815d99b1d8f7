/**
 * The open loop: requests leave at the times at which callers would send them, whether earlier ones were answered or not.
 *
 * What must stay true: a latency counts from the instant at which its request was due, so a server that is slow cannot hide it by slowing the
 * driver; how late the driver itself was is told beside it, and what could not even be sent is counted. One request at a time on a
 * connection; more connections are opened as they are needed. A latency ends when the driver reads the answer, so on a machine that is full it
 * holds the driver's own delay in reading too, which nobody can tell apart from outside. The driver shares the processors with what it measures: what it hears is kept
 * as numbers in rows until the end, because a collector that has to look at a million samples is a pause of the driver's own. More than half of
 * its time is the kernel's, in `write` (2026-11-22, 12,000 requests a second of 25 µs each).
 */
import type { Socket } from "bun"

const CONNECTIONS_MAX = 4_000
const TICK_MS = 1
/** Nobody waits longer: what is due for so long and was not sent is given up. */
const UNSENT_MS_MAX = 3_000
const HEAD_END = "\r\n\r\n"
/** Numbers kept of each answer, and how many answers there is room for at first. */
const COLUMNS = 5, ROWS_FIRST = 65_536

/** One answer: when it was due, how long it took from then, how much of that the driver was late in sending it, its status. */
export interface Sample { readonly at_ms: number; readonly latency_ms: number; readonly late_ms: number; readonly status: number; readonly is_give: boolean }
export interface Asked { readonly bytes: Buffer; readonly is_give: boolean; readonly heard?: (status: number, body: string) => void }

interface Connection { socket: Socket | undefined; due_ms: number; sent_ms: number; asked: Asked | undefined; text: string }

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

/** Offer so many requests a second for so long, or until it is over. */
export const offer = async (url: string, rate: number, seconds: number, next: () => Asked, isOver = (): boolean => false): Promise<{ samples: Sample[]; unsent: number }> => {
  const { hostname, port } = new URL(url)
  const { note: keep, samples } = makeNotes()
  const idle: Connection[] = []
  const waiting: { asked: Asked; due_ms: number }[] = []
  let opened = 0, unsent = 0, busy = 0
  const began_ms = performance.now()

  const note = ({ due_ms, sent_ms }: Connection, { is_give }: Asked, status: number): void => {
    keep(due_ms - began_ms, performance.now() - due_ms, sent_ms - due_ms, status, is_give)
  }
  const send = (connection: Connection, asked: Asked, due_ms: number): void => {
    connection.asked = asked
    connection.due_ms = due_ms
    connection.sent_ms = performance.now()
    connection.text = ""
    busy += 1
    connection.socket!.write(asked.bytes)
  }
  const free = (connection: Connection): void => {
    busy -= 1
    connection.asked = undefined
    const first = waiting.shift()
    if (first) send(connection, first.asked, first.due_ms)
    else idle.push(connection)
  }
  const hear = (connection: Connection, bytes: Buffer): void => {
    const { asked } = connection
    if (!asked) return
    connection.text += bytes.toString("latin1")
    const end = connection.text.indexOf(HEAD_END)
    if (end < 0) return
    const length = Number(/content-length: (\d+)/i.exec(connection.text)?.[1] ?? 0)
    if (connection.text.length < end + HEAD_END.length + length) return
    const status = Number(connection.text.slice(9, 12))
    note(connection, asked, status)
    asked.heard?.(status, connection.text.slice(end + HEAD_END.length))
    free(connection)
  }
  const open = async (asked: Asked, due_ms: number): Promise<void> => {
    opened += 1
    const connection: Connection = { socket: undefined, due_ms, sent_ms: due_ms, asked: undefined, text: "" }
    const lost = (): void => {
      opened -= 1
      if (!connection.asked) { idle.splice(idle.indexOf(connection), idle.includes(connection) ? 1 : 0); return }
      note(connection, connection.asked, 0)
      busy -= 1
    }
    connection.socket = await Bun.connect({ hostname, port: Number(port), socket: { data: (_, bytes) => hear(connection, bytes), close: lost } })
    connection.socket.setNoDelay(true)
    send(connection, asked, due_ms)
  }

  let due = 0
  const total = Math.floor(rate * seconds)
  while (due < total && !isOver()) {
    const now_ms = performance.now()
    for (const want = Math.min(total, Math.floor(((now_ms - began_ms) / 1_000) * rate)); due < want; due += 1) {
      const due_ms = began_ms + (due / rate) * 1_000, asked = next()
      const connection = idle.pop()
      if (connection) send(connection, asked, due_ms)
      else if (opened < CONNECTIONS_MAX) void open(asked, due_ms).catch(() => { opened -= 1; unsent += 1 })
      else waiting.push({ asked, due_ms })
    }
    while (waiting[0] && now_ms - waiting[0].due_ms > UNSENT_MS_MAX) { waiting.shift(); unsent += 1 }
    await Bun.sleep(TICK_MS)
  }
  const until_ms = performance.now() + UNSENT_MS_MAX
  while (busy > 0 && performance.now() < until_ms) await Bun.sleep(TICK_MS)
  unsent += waiting.length + busy
  for (const connection of idle) connection.socket!.end()
  return { samples: samples(), unsent }
}
