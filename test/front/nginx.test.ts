/**
 * The documented front, docs/front/nginx.conf, as a real nginx before a real door: what it bounds, what it lets through, and in whose words it refuses.
 *
 * Skipped where there is no nginx; `npm test` brings one where the system's packages can.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test"
import { mkdirSync, readFileSync, writeFileSync } from "node:fs"
import { connect, type Socket } from "node:net"
import { join, resolve } from "node:path"
import { withDeathSignal } from "../../engine/child.ts"
import { ANSWERS, type Outcome } from "../../engine/answers.ts"
import { readConfig } from "../../engine/config.ts"
import { problem, problemBody } from "../../engine/http/problems.ts"
import { quietLog } from "../../engine/log.ts"
import { freePort } from "../../engine/private/folder.ts"
import { startApi } from "../../engine/process/listen.ts"
import { until } from "../support/run_engine.ts"
import { scratchFolder } from "../support/scratch.ts"

const CONF = resolve(import.meta.dir, "../../docs/front/nginx.conf")
const NGINX = Bun.which("nginx") ?? Bun.which("/usr/sbin/nginx")
if (NGINX === null) console.log("skipped: there is no nginx on this machine")

const START_MS_MAX = 60_000
/** What the front waits for in the test in place of ten seconds, and by when a connection that it cuts off is surely closed. */
const SLOW_S = 1, CLOSED_MS_MAX = 30_000
const CONNECTIONS_MAX = 64

describe.skipIf(NGINX === null)("nginx", () => {
  const read = readConfig({ PORT: "0" })
  if ("mistakes" in read) throw new Error(read.mistakes.join())
  let api: ReturnType<typeof startApi>, front: Bun.Subprocess, port: number
  let asked = 0

  beforeAll(async () => {
    api = startApi({ config: read.config, log: quietLog }, {
      fetch: async (request) => {
        asked += 1
        const { pathname } = new URL(request.url)
        if (pathname === "/away") return problem({ outcome: "journal_full" })
        if (pathname === "/dead") { await Bun.sleep(CLOSED_MS_MAX); return new Response("too late") }
        // A stream is answered line by line, as its lines come.
        if (pathname === "/v1/coupons/bulk") return new Response(request.body!.pipeThrough(new TransformStream()))
        return new Response(await request.text())
      },
    })
    port = await freePort()
    const dir = scratchFolder(), file = join(dir, "nginx.conf")
    for (const folder of ["body", "proxy"]) mkdirSync(join(dir, folder))
    const conf = readFileSync(CONF, "utf8")
      .replace("server 127.0.0.1:7070", `server 127.0.0.1:${api.port}`).replace("listen 80;", `listen 127.0.0.1:${port};`)
      .replace("client_header_timeout 10s", `client_header_timeout ${SLOW_S}s`).replace("client_body_timeout 10s", `client_body_timeout ${SLOW_S}s`)
      .replace("proxy_read_timeout 30s", `proxy_read_timeout ${SLOW_S}s`)
      .replace("http {", `pid ${dir}/nginx.pid;\nhttp {\n  client_body_temp_path ${dir}/body;\n  proxy_temp_path ${dir}/proxy;\n  fastcgi_temp_path ${dir}/body;\n  uwsgi_temp_path ${dir}/body;\n  scgi_temp_path ${dir}/body;`)
    writeFileSync(file, `daemon off;\nmaster_process off;\nerror_log ${dir}/error.log;\n${conf}`)
    front = Bun.spawn(withDeathSignal("SIGKILL", [NGINX!, "-p", dir, "-e", join(dir, "error.log"), "-c", file]), { stdout: "inherit", stderr: "inherit" })
    await until("the front answers", async () => await fetch(`http://127.0.0.1:${port}/`, { method: "POST", body: "hello" }).then((answer) => answer.ok, () => false))
  }, START_MS_MAX)
  afterAll(async () => {
    front.kill("SIGKILL")
    await front.exited
    await api.stop()
  }, START_MS_MAX)

  const at = (path: string, init: RequestInit = {}): Promise<Response> => fetch(`http://127.0.0.1:${port}${path}`, { keepalive: false, ...init })
  const open = (): Promise<Socket> => new Promise((done, fail) => { const socket = connect(port, "127.0.0.1", () => done(socket)); socket.on("error", fail) })
  /** What a connection hears until it is closed, where a byte is sent now and then. */
  const dripping = async (first: string, drip: string): Promise<string> => {
    const socket = await open()
    let heard = ""
    socket.on("data", (bytes) => { heard += String(bytes) }).on("error", () => undefined)
    const closed = new Promise((done) => { socket.on("close", done) })
    socket.write(first)
    const timer = setInterval(() => { socket.write(drip) }, 200)
    await Promise.race([closed, Bun.sleep(CLOSED_MS_MAX).then(() => { throw new Error("the front has not closed it") })])
    clearInterval(timer)
    return heard
  }
  const expectWord = async (answer: Response, outcome: Outcome): Promise<void> => {
    expect([answer.status, answer.headers.get("content-type"), await answer.json()]).toEqual([ANSWERS[outcome].status, "application/problem+json", problemBody({ outcome })])
  }

  test("a refusal of the engine passes unchanged, and says when to come again", async () => {
    const answer = await at("/away")
    expect(answer.headers.get("retry-after")).toBe("5")
    await expectWord(answer, "journal_full")
  })

  test("overloaded: more connections of one address than it may have; the others are served", async () => {
    const held = await Promise.all(Array.from({ length: CONNECTIONS_MAX }, async () => {
      const socket = await open()
      socket.on("error", () => undefined).write("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n")
      return socket
    }))
    let answer: Response
    do answer = await at("/", { method: "POST", body: "one more" }) // the front has read the heads of all
    while (answer.status === 200)
    expect(answer.headers.get("retry-after")).toBe("1")
    await expectWord(answer, "overloaded")
    for (const socket of held) socket.destroy()
    await until("there is room again", async () => (await at("/", { method: "POST", body: "hello" })).status === 200)
  })

  test("a head that drips is cut off, and the engine never hears of it", async () => {
    const before = asked
    await dripping("GET / HTTP/1.1\r\n", "X-A: b\r\n")
    expect(asked).toBe(before)
  }, CLOSED_MS_MAX)

  test("a body that stops is cut off, and the engine never hears of it", async () => {
    const before = asked
    await dripping("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\nx", "")
    expect(asked).toBe(before)
  }, CLOSED_MS_MAX)

  test("request_too_large: a body over 1 MiB, and one of a stream of 2 MiB is let through", async () => {
    const body = "x".repeat(2 * 1024 * 1024)
    await expectWord(await at("/v1/quotes", { method: "POST", body }), "request_too_large")
    expect((await (await at("/v1/coupons/bulk", { method: "POST", body })).text()).length).toBe(body.length)
  })

  test("outcome_unknown: an engine that does not answer in time; it is asked once", async () => {
    const before = asked
    const answer = await at("/dead", { method: "POST", body: "once" })
    expect([answer.headers.get("retry-after"), asked - before]).toEqual(["1", 1])
    await expectWord(answer, "outcome_unknown")
  }, CLOSED_MS_MAX)

  test("a stream is answered line by line while it is sent", async () => {
    const socket = await open()
    let heard = ""
    socket.on("data", (bytes) => { heard += String(bytes) })
    socket.write("POST /v1/coupons/bulk HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
    for (const line of ["one\n", "two\n", "three\n"]) {
      socket.write(`${line.length.toString(16)}\r\n${line}\r\n`)
      await until(`${line.trim()} is answered before the next is sent`, () => heard.includes(line))
    }
    socket.write("0\r\n\r\n")
    await until("the end", () => heard.endsWith("0\r\n\r\n"))
    socket.destroy()
  })
})
