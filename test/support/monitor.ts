/**
 * Every command that a Redis carries out, as MONITOR tells it, over a bare connection.
 *
 * The client's own takes a word that comes with the answer to MONITOR for the answer to something else, and breaks: on a server that others
 * use too that happens.
 */
import { connect } from "node:net"

/** `from` is the address of who sent it, or "lua". */
export interface Monitored { readonly from: string; readonly command: string; readonly args: readonly string[] }

const LINE = /^\+\d+\.\d+ \[\d+ (\S+)\] (.*)$/
const wordsOf = (quoted: string): string[] =>
  [...quoted.matchAll(/"((?:[^"\\]|\\.)*)"/g)].map(([, word]) => word!.replace(/\\(x[0-9a-f]{2}|.)/g, (_, what: string) =>
    what[0] === "x" && what.length === 3 ? String.fromCharCode(parseInt(what.slice(1), 16)) : what === "n" ? "\n" : what === "r" ? "\r" : what === "t" ? "\t" : what))

/** Listen until the function that comes back is called; it comes back once Redis tells everything. */
export const monitor = (redisUrl: string, hear: (told: Monitored) => void): Promise<() => void> => new Promise((resolve, reject) => {
  const { hostname, port, password } = new URL(redisUrl)
  let waiting = "", answers = 0
  const socket = connect(Number(port), hostname, () => { socket.write(`AUTH ${password}\r\nMONITOR\r\n`) })
  socket.setEncoding("latin1")
  socket.on("error", reject)
  socket.on("data", (text) => {
    const lines = (waiting + String(text)).split("\r\n")
    waiting = lines.pop()!
    for (const line of lines) {
      const [, from, quoted] = LINE.exec(line) ?? []
      if (from !== undefined) {
        const [command = "", ...args] = wordsOf(quoted!)
        hear({ from, command, args })
      } else if (line !== "+OK") reject(new Error(line))
      else if (++answers === 2) resolve(() => socket.destroy())
    }
  })
})
