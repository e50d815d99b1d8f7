/** What is refused early, and what slow callers can do: on real sockets. */
import { afterAll, describe, expect, test } from "bun:test"
import { readConfig } from "../../engine/config.ts"
import { kindOf, makeShedder, PATIENCE, shedding } from "../../engine/http/shed.ts"
import { quietLog } from "../../engine/log.ts"
import { startApi } from "../../engine/main.ts"

const { take_ms, standing_ms, burst_ms, pause_ms, give_ms } = PATIENCE

describe("kindOf: by the address alone", () => {
  const kinds: [string, string][] = [
    ["/v1/redemptions", "take"], ["/v1/coupons", "take"], ["/v1/quotes?x=1", "take"], ["/v1/codes/claim", "take"], ["/v1/redemptions/x/confirm", "give"],
    ["/v1/redemptions/x/cancel?y", "give"], ["/v1/redemptions/x/refunds", "give"], ["/v1/coupons/x/revoke", "give"], ["/v1/campaigns/confirm", "take"], ["/healthz", "house"],
    ["/metrics", "house"], ["/", "house"],
  ]
  for (const [path, kind] of kinds) test(`${path} is ${kind}`, () => { expect(kindOf(`http://127.0.0.1:7070${path}`)).toBe(kind as never) })
})

describe("overloaded: by how long requests wait", () => {
  test("a burst that drains is served, a wait that stands is not", () => {
    const shedder = makeShedder()
    shedder.note(take_ms + 1, 0)
    expect(shedder.refuses("take")).toBe(false)
    shedder.note(take_ms, standing_ms / 2)
    shedder.note(take_ms + 1, standing_ms)
    expect(shedder.refuses("take")).toBe(false) // it had drained in between
    shedder.note(take_ms + 1, 2 * standing_ms)
    expect(shedder.refuses("take")).toBe(true)
    shedder.note(take_ms, 2 * standing_ms + 1) // once it stands, the line is where the wait is let in again
    expect(shedder.refuses("take")).toBe(false)
    shedder.note(take_ms + 1, 2 * standing_ms + 2)
    expect(shedder.refuses("take")).toBe(true)
    shedder.note(take_ms / 2, 2 * standing_ms + 3)
    shedder.note(take_ms + 1, 2 * standing_ms + 4)
    expect(shedder.refuses("take")).toBe(false)
  })
  test("a wait that has grown too long is refused at once; what gives back goes first, and the house is always open", () => {
    const shedder = makeShedder()
    for (const at_ms of [0, pause_ms]) shedder.note(burst_ms + 1, at_ms)
    expect([shedder.refuses("take"), shedder.refuses("give"), shedder.refuses("house")]).toEqual([true, false, false])
    shedder.note(give_ms + 1, pause_ms + 1)
    expect([shedder.refuses("take"), shedder.refuses("give"), shedder.refuses("house")]).toEqual([true, true, false])
    expect(shedder.refused()).toEqual({ take: 2, give: 1 })
  })
  test("a pause of the process is no queue: what waited through it is served", () => {
    const shedder = makeShedder()
    for (const at_ms of [0, pause_ms - 1]) shedder.note(give_ms + 1, at_ms)
    expect([shedder.refuses("take"), shedder.refuses("give")]).toEqual([false, false])
    shedder.note(1, pause_ms)
    shedder.note(burst_ms + 1, pause_ms + 1)
    expect(shedder.refuses("take")).toBe(false)
  })
  test("the refusal says when to come again, before anything was looked at", async () => {
    const shedder = makeShedder()
    for (const at_ms of [0, pause_ms]) shedder.note(burst_ms + 1, at_ms)
    const fetch = shedding(shedder, () => new Response("served"))
    const refused = await fetch(new Request("http://x/v1/quotes", { method: "POST", body: "not even JSON" }))
    expect([refused.status, refused.headers.get("retry-after"), (await refused.json() as { code: string }).code]).toEqual([503, "1", "overloaded"])
    expect(await (await fetch(new Request("http://x/v1/redemptions/r/confirm"))).text()).toBe("served")
  })
})

describe("slow callers", () => {
  const read = readConfig({ PORT: "0" })
  if ("mistakes" in read) throw new Error(read.mistakes.join())
  /** A server that waits for nobody longer than a second, as the system rounds it. */
  const api = startApi({ config: read.config, log: quietLog }, { fetch: async (request) => new Response(await request.text()) }, 1)
  afterAll(() => api.stop())
  const CLOSED_MS_MAX = 20_000
  const SLOW = 50

  /** Open a connection and send a byte now and then; resolves when the server closes it. */
  const slowly = (first: string, drip: string): Promise<void> => new Promise((resolve, reject) => {
    const began_ms = performance.now()
    let timer: Timer | undefined
    const end = (): void => { clearInterval(timer); resolve() }
    void Bun.connect({ hostname: "127.0.0.1", port: api.port, socket: { data: () => undefined, close: end, error: end } }).then((socket) => {
      if (first !== "") socket.write(first)
      timer = setInterval(() => {
        if (performance.now() - began_ms > CLOSED_MS_MAX) { clearInterval(timer); socket.terminate(); reject(new Error("the server has not closed it")) }
        else if (drip !== "") socket.write(drip)
      }, 200)
    }, end)
  })

  test("silent ones, slow heads and slow bodies are all closed, and others are served meanwhile", async () => {
    const slow = Promise.all(Array.from({ length: SLOW }, () => [
      slowly("", ""), slowly("GET / HTTP/1.1\r\n", "X-A: b\r\n"), slowly("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n", "x"),
    ]).flat())
    for (let i = 0; i < 20; i += 1) expect(await (await fetch(`http://127.0.0.1:${api.port}/`, { method: "POST", body: "hello" })).text()).toBe("hello")
    await slow
  }, CLOSED_MS_MAX + 10_000)

  test("a head without end is refused", async () => {
    const heard = Promise.withResolvers<string>()
    await Bun.connect({ hostname: "127.0.0.1", port: api.port, socket: {
      data: (_, bytes) => heard.resolve(bytes.toString()), close: () => heard.resolve(""),
      open: (socket) => { socket.write(`GET / HTTP/1.1\r\nX: ${"a".repeat(200_000)}`) },
    } })
    expect(await heard.promise).toMatch(/^(HTTP\/1\.1 431|$)/)
  })
})
