/**
 * Every command that a Redis carries out, as MONITOR tells it, over a bare connection.
 *
 * The client's own takes a word that comes with the answer to MONITOR for the answer to something else, and breaks: on a server that others
 * use too that happens.
 */
import { connect } from "node:net"

/** `at_ms` is the server's clock, with fractions; `from` is the address of who sent it, or "lua". */
export interface Monitored { readonly at_ms: number; readonly from: string; readonly command: string; readonly args: readonly string[] }

const LINE = /^\+(\d+\.\d+) \[\d+ (\S+)\] "(\w+)" ?(.*)$/
/** What Redis writes for bytes that have a letter of their own. */
const LETTERS: Readonly<Record<string, string>> = { n: "\n", r: "\r", t: "\t", a: "\x07", b: "\b" }
const wordsOf = (quoted: string): string[] =>
  [...quoted.matchAll(/"((?:[^"\\]|\\.)*)"/g)].map(([, word]) => word!.replace(/\\(x[0-9a-f]{2}|.)/g, (_, what: string) =>
    what.length === 3 ? String.fromCharCode(parseInt(what.slice(1), 16)) : LETTERS[what] ?? what))

/**
 * Listen until the function that comes back is called; it comes back once Redis tells everything. Where commands are named, in capitals, only
 * they are heard: to take apart what nobody asked for costs more than all else here.
 */
export const monitor = (redisUrl: string, hear: (told: Monitored) => void, only?: ReadonlySet<string>): Promise<() => void> => new Promise((resolve, reject) => {
  const { hostname, port, password } = new URL(redisUrl)
  let waiting = "", answers = 0
  const socket = connect(Number(port), hostname, () => { socket.write(`AUTH ${password}\r\nMONITOR\r\n`) })
  socket.setEncoding("latin1")
  socket.on("error", reject)
  socket.on("data", (text) => {
    const lines = (waiting + String(text)).split("\r\n")
    waiting = lines.pop()!
    for (const line of lines) {
      const [, at_s, from, command = "", quoted = ""] = LINE.exec(line) ?? []
      if (from !== undefined) {
        if (only === undefined || only.has(command.toUpperCase())) hear({ at_ms: Number(at_s) * 1_000, from, command, args: wordsOf(quoted) })
      } else if (line !== "+OK") reject(new Error(line))
      else if (++answers === 2) resolve(() => socket.destroy())
    }
  })
})
