/**
 * The API's door: where it listens, and what a connection may do to the process.
 */
import type { Config } from "../config.ts"
import { problem } from "../http/problems.ts"
import { faultFields } from "../log.ts"
import { StartFault } from "../private/folder.ts"
import type { App, Ground, Piece } from "./ground.ts"

/** The most that any request may carry: bulk streams are bounded per line, and routes bound the others much lower. */
const REQUEST_BYTES_MAX = 256 * 1024 * 1024
/** A connection on which nothing moves is closed; one whose head or body comes too slowly, within four times as long. */
const IDLE_S_MAX = 30
/** From the stop on, what callers have to take their answers, less than the stop waits for us; who has not taken them by then is cut off, and may repeat his request. */
const ANSWERS_TAKEN_MS_MAX = 3_000
/** Requests of one process under way at a time, those whose bodies are still coming among them. */
const PENDING_MAX = 10_000
const SLASH = 47

/** Why this machine does not listen where it was told to, as the operator can mend it; nothing for what is no setting's fault. */
const whyNotHere = (fault: unknown, host: string, port: number): string | undefined => {
  switch ((fault as NodeJS.ErrnoException).code) {
    case "EADDRINUSE": return `Port ${port} of ${host} is taken. Stop what listens there, or name another PORT.`
    case "EACCES": return `PORT is ${port}, which this user may not listen on. Name one above 1023.`
    case "EINVAL": case "EADDRNOTAVAIL": case "ENOTFOUND": return `HOST is "${host}", which is no address of this machine. 127.0.0.1 is itself alone, 0.0.0.0 every address it has.`
  }
}

/** What cannot be done at this address, told as the operator can mend it. */
const inWords = <T>({ host, port }: Config, work: () => T): T => {
  try {
    return work()
  } catch (fault) {
    const why = whyNotHere(fault, host, port)
    if (why !== undefined) throw new StartFault(why)
    throw fault
  }
}

/** A request of HTTP/1.0 may name no host; its address is then a path alone, in which no route would be found. */
const withHost = (request: Request): Request => request.url.charCodeAt(0) === SLASH ? new Request(`http://localhost${request.url}`, request) : request

/** See that the port is free: before anything is made that is shown only once, and before it is shared with processes of our own. */
export const tryPort = (config: Config): void => inWords(config, () => {
  // `false` is said and not left out: where it is left out, Bun 1.4.5 shares the port.
  void Bun.serve({ hostname: config.host, port: config.port, reusePort: false, fetch: () => problem({ outcome: "fault" }) }).stop(true)
})

/** Listen. A port is shared only by processes that were started to share it; anyone else hears that it is taken. */
export const startApi = ({ config, log }: Pick<Ground, "config" | "log">, app: App, idle_s = IDLE_S_MAX): Piece & { readonly port: number } => {
  const { host, port, role, apiProcesses } = config
  const options = {
    hostname: host,
    development: false,
    maxRequestBodySize: REQUEST_BYTES_MAX,
    idleTimeout: idle_s,
    // What a caller sends slowly is under way all that time.
    fetch: (request: Request, server: Bun.Server<undefined>) => server.pendingRequests > PENDING_MAX ? problem({ outcome: "overloaded" }) : app.fetch(withHost(request), server),
    // The app answers its own faults. What comes here has broken the app itself, and tells the caller nothing.
    error: (fault: Error) => {
      log.error("a request has broken the app", faultFields(fault))
      return problem({ outcome: "fault" })
    },
  }
  const isShared = role === "api" || apiProcesses > 1
  // With a shared port the system would let strangers in silently: the first of us looks whether it is still free.
  if (isShared && role === "all") tryPort(config)
  const server = inWords(config, () => Bun.serve({ ...options, port, reusePort: isShared }))
  let isStopping = false
  if (app.porch) {
    const { passes, stops, no, hang } = app.porch
    const routes = { ...Object.fromEntries(passes.map((path) => [path, options.fetch])), [stops]: no }
    // Bun gives a route's own answer without a word to us: 9.4 µs of a processor, where a refusal of ours is 17.7 (08:10 UTC, 2026-11-23, 12,000 a second).
    const swap = (to: Record<string, Response | typeof options.fetch>): void => { if (!isStopping) server.reload({ ...options, routes: to }) }
    hang({ shut: () => swap(routes), open: () => swap({}) })
  }
  const stop = async (): Promise<void> => {
    isStopping = true
    const answered = server.stop()
    app.drain?.()
    const cut = setTimeout(() => void server.stop(true), ANSWERS_TAKEN_MS_MAX)
    await answered
    clearTimeout(cut)
    await app.stop?.()
  }
  return { name: "api", port: server.port ?? port, stop }
}
