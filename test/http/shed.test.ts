/** What is refused early, and what slow callers can do: on real sockets. */
import { afterAll, describe, expect, test } from "bun:test"
import { connect } from "node:net"
import { join } from "node:path"
import { readConfig } from "../../engine/config.ts"
import { GIVE_PATHS, kindOf, makeShedder, PATIENCE, shedding, watchWait } from "../../engine/http/shed.ts"
import { quietLog } from "../../engine/log.ts"
import { startPrivate } from "../../engine/private/start.ts"
import { startApi } from "../../engine/process/listen.ts"
import { connectRedis, redisReady } from "../../engine/store/redis.ts"
import { until } from "../support/run_engine.ts"
import { scratchFolder } from "../support/scratch.ts"

const { burst_ms, pause_ms, give_ms, hung_ms } = PATIENCE

describe("kindOf: by the address alone", () => {
  const kinds: [string, string][] = [
    ["/v1/redemptions", "take"], ["/v1/coupons", "take"], ["/v1/quotes?x=1", "take"], ["/v1/codes/claim", "take"], ["/v1/redemptions/x/confirm", "give"],
    ["/v1/redemptions/x/cancel?y", "give"], ["/v1/redemptions/x/refunds", "give"], ["/v1/coupons/x/revoke", "give"], ["/v1/campaigns/confirm", "take"], ["/healthz", "house"],
    ["/metrics", "house"], ["/", "house"],
  ]
  for (const [path, kind] of kinds) test(`${path} is ${kind}`, () => { expect(kindOf(`http://127.0.0.1:7070${path}`)).toBe(kind as never) })
})

/** A server that ends so many acts a millisecond in their order, before it a shedder. A millisecond is a step, and each asks once. */
const makeServer = (per_ms: number, least_ms = 0) => {
  const shedder = makeShedder()
  const under_way: { began_ms: number; end: () => void }[] = []
  const served: { kind: string; at_ms: number; waited_ms: number }[] = [], refused: { kind: string; at_ms: number; waited_ms: number }[] = []
  let now_ms = 0, credit = 0
  return {
    shedder, served, refused,
    ask: (kind: "take" | "give", end?: () => void): void => {
      const at_ms = now_ms
      const go = (): void => { under_way.push({ began_ms: now_ms, end: () => { served.push({ kind, at_ms, waited_ms: now_ms - at_ms }); shedder.done(now_ms); end?.() } }) }
      const no = (): void => { refused.push({ kind, at_ms, waited_ms: now_ms - at_ms }) }
      const verdict = shedder.ask(kind, now_ms)
      if (verdict === "go") go()
      else if (verdict === "refused") no()
      else shedder.join(kind, now_ms, (told) => (told === "go" ? go : no)())
    },
    step: (isAwake = true): void => {
      now_ms += 1
      if (!isAwake) return
      for (credit = Math.min(credit + per_ms, per_ms + 1); credit >= 1 && under_way[0] && now_ms - under_way[0].began_ms >= least_ms; credit -= 1) under_way.shift()!.end()
      if (now_ms % 10 === 0) shedder.note(least_ms > 0 ? 1 : under_way.length / per_ms, now_ms)
    },
  }
}
const worst = (of: readonly { waited_ms: number }[], share = 1): number => of.map(({ waited_ms }) => waited_ms).sort((a, b) => a - b)[Math.ceil(of.length * share) - 1] ?? 0

/** Who is served waits no longer: a line is left alone until its first has waited for 50 ms, and then seen within a few looks. */
const GROWN_MS_MAX = 100

describe("overloaded: by how long requests wait", () => {
  for (const callers of [500, 2_000]) test(`a burst of ${callers} that drains is served`, () => {
    const { ask, step, served, refused } = makeServer(3)
    for (let i = 0; i < callers; i += 1) ask("take")
    for (let at = 0; at < 1_000; at += 1) step()
    expect([served.length, refused.length]).toEqual([callers, 0])
  })
  for (const [times, for_ms] of [[2, 300], [3, 150]] as const) test(`${times} times of what is served for ${for_ms} ms, and then little: a burst too`, () => {
    const { ask, step, served, refused } = makeServer(4)
    for (let at = 0; at < 3_000; at += 1) {
      for (let i = at < for_ms ? 4 * times : 2; i > 0; i -= 1) ask("take")
      step()
    }
    expect([served.length, refused.length]).toEqual([for_ms * 4 * times + (3_000 - for_ms) * 2, 0])
  })
  test("500 callers who ask again as soon as they are answered are served as long as they like", () => {
    const { ask, step, served, refused } = makeServer(3)
    const again = (): void => ask("take", again)
    for (let i = 0; i < 500; i += 1) again()
    for (let at = 0; at < 5_000; at += 1) step()
    expect([served.length > 14_900, refused.length]).toEqual([true, 0])
  })
  test("500 callers who ask again at once wait through a Redis that stood still, and are served", () => {
    const { ask, step, served, refused, shedder } = makeServer(10)
    const again = (): void => ask("take", again)
    for (let i = 0; i < 500; i += 1) again()
    const STOOD_FROM = 1_000, STOOD_MS = 400
    for (let at = 0; at < 3_000; at += 1) {
      const stood_ms = at < STOOD_FROM || at >= STOOD_FROM + STOOD_MS ? 0 : at - STOOD_FROM
      step(stood_ms === 0)
      if (stood_ms > 0 && at % 10 === 9) shedder.note(stood_ms, at + 1)
    }
    expect([served.length > 25_000, refused.length]).toEqual([true, 0])
  })
  for (const times of [1.5, 2, 3, 5]) test(`${times} times of what is served: as much is served as ever, soon, what gives back first; and no longer than it lasts`, () => {
    const { ask, step, served, refused } = makeServer(4)
    const SECONDS = 20
    let asked = 0
    for (let at = 0; at < SECONDS * 1_000; at += 1) {
      for (; asked < at * 4 * times; asked += 1) ask(asked % 10 === 0 ? "give" : "take")
      step()
    }
    expect(served.length).toBeGreaterThan(0.98 * SECONDS * 4_000)
    expect(worst(served, 0.97)).toBeLessThan(60) // what came before it was seen to be overload waited longer
    expect(worst(served)).toBeLessThan(GROWN_MS_MAX) // and from when the line was seen to grow, the newest went first
    expect(refused.filter(({ kind }) => kind === "give")).toEqual([])
    expect(worst(refused, 0.97)).toBeLessThan(60)
    // The load falls to a half: within a second and a bit all is as it was.
    const before = refused.length
    for (let at = 0; at < 3_000; at += 1) {
      if (at % 2 === 0) for (let i = 0; i < 4; i += 1) ask("take")
      step()
    }
    expect(refused.length - before).toBeLessThan(100)
    for (let i = 0; i < 500; i += 1) ask("take") // a burst is a burst again
    const calm = refused.length
    for (let at = 0; at < 500; at += 1) step()
    expect(refused.length).toBe(calm)
  })
  test("what gives back alone is more than can be served: of it as much as ever is served, soon, and nothing else", () => {
    const { ask, step, served, refused } = makeServer(4)
    const SECONDS = 10
    for (let at = 0; at < SECONDS * 1_000; at += 1) {
      for (let i = 0; i < 6; i += 1) ask("give")
      ask("take")
      step()
    }
    expect(served.length).toBeGreaterThan(0.98 * SECONDS * 4_000)
    expect(worst(served.filter(({ kind, at_ms }) => kind === "give" && at_ms > 1_000))).toBeLessThan(give_ms + pause_ms + 80)
    expect(refused.filter(({ kind }) => kind === "give").length).toBeGreaterThan(0.9 * SECONDS * 2_000)
    expect(served.filter(({ kind, at_ms }) => kind === "take" && at_ms > 1_000)).toEqual([])
  })
  test("a pause of the process is no queue: what waited through it is served", () => {
    const { ask, step, refused } = makeServer(4)
    for (let at = 0; at < 3_000; at += 1) {
      for (let i = 0; i < 2; i += 1) ask("take")
      step(at < 1_000 || at > 1_300)
    }
    expect(refused).toEqual([])
  })
  test("acts that wait for something else than Redis hold nobody back", () => {
    const { ask, step, served, refused } = makeServer(100, 150)
    for (let at = 0; at < 5_000; at += 1) {
      for (let i = 0; i < 4; i += 1) ask("take")
      step()
    }
    expect(refused).toEqual([])
    expect(worst(served.filter(({ at_ms }) => at_ms > 2_000))).toBeLessThan(160)
  })
  test("where nothing goes on, takes are refused soon, then gives; and who is let in beyond the line is not kept until his call ends", () => {
    const { ask, step, refused, shedder } = makeServer(0)
    for (let at = 0; at < 1_000; at += 10) {
      ask("take")
      ask("give")
      for (let i = 0; i < 10; i += 1) step(false)
      shedder.note(at + 10, at + 10)
    }
    const give = refused.findIndex(({ kind }) => kind === "give")
    expect([refused[0]!.kind, refused[0]!.at_ms < burst_ms + pause_ms + 50, give > 0]).toEqual(["take", true, true])
    expect(refused.filter(({ kind, at_ms }) => kind === "take" && at_ms > refused[give]!.at_ms).length).toBeGreaterThan(40)
    expect(shedder.refused()).toEqual({ take: refused.filter(({ kind }) => kind === "take").length, give: refused.filter(({ kind }) => kind === "give").length })
  })
  test("a Redis that says nothing for so long that callers have given up is sent nothing more", () => {
    const shedder = makeShedder()
    shedder.note(hung_ms - 1, hung_ms - 1)
    shedder.note(hung_ms + pause_ms, hung_ms + pause_ms)
    expect([shedder.ask("give", hung_ms + pause_ms), shedder.ask("take", hung_ms + pause_ms)]).toEqual(["refused", "refused"])
    shedder.note(1, hung_ms + pause_ms + 1)
    expect([shedder.ask("give", hung_ms + pause_ms + 1), shedder.ask("take", hung_ms + pause_ms + 1)]).toEqual(["go", "go"])
  })
  test("the refusal says when to come again, before anything was looked at; what goes wrong gives its place back", async () => {
    const shedder = makeShedder({ ...PATIENCE, burst_ms: 0, pause_ms: 0 })
    let calls = 0
    const { fetch } = shedding(shedder, () => { calls += 1; if (calls === 1) throw new Error("broken"); return new Response("served") })
    await expect((async () => fetch(new Request("http://x/v1/quotes", { method: "POST" })))()).rejects.toThrow("broken")
    shedder.note(1, 0)
    const refused = await fetch(new Request("http://x/v1/quotes", { method: "POST", body: "not even JSON" }))
    expect([refused.status, refused.headers.get("retry-after"), (await refused.json() as { code: string }).code, refused.headers.get("content-type")]).toEqual([503, "1", "overloaded", "application/problem+json"])
    expect(await (await fetch(new Request("http://x/v1/redemptions/r/confirm"))).text()).toBe("served")
    expect(await (await fetch(new Request("http://x/healthz"))).text()).toBe("served")
  })
  test("a turn of the event loop that is full of refusals is ended: who is refused late in it hears of it at its end", async () => {
    const shedder = makeShedder({ ...PATIENCE, burst_ms: 0, pause_ms: 0 })
    const { fetch } = shedding(shedder, () => new Response("served"))
    shedder.note(1, 0)
    const request = new Request("http://x/v1/quotes")
    const turn = (): Promise<void> => new Promise((end) => { setImmediate(end) })
    await turn()
    const answers = Array.from({ length: 1_100 }, () => fetch(request))
    const late = answers.filter((answer) => answer instanceof Promise), heard: number[] = []
    expect([answers[0] instanceof Response, late.length > 0, late.length < 100]).toEqual([true, true, true])
    const told = Promise.all(late.map(async (answer) => { heard.push((await answer).status) }))
    for (let i = 0; i < 10; i += 1) await Promise.resolve()
    expect(heard).toEqual([])
    await turn()
    await told
    expect(heard).toEqual(late.map(() => 503))
    const next = fetch(request)
    expect(next instanceof Response && next.status).toBe(503)
  })
  test("who has stood in the line is refused a part in each turn, however many they are", async () => {
    const shedder = makeShedder({ ...PATIENCE, burst_ms: 0, pause_ms: 0 })
    const { fetch } = shedding(shedder, () => new Response("served"))
    shedder.note(1, 0)
    const turn = (): Promise<void> => new Promise((end) => { setImmediate(end) })
    await turn()
    let heard = 0
    const all = Array.from({ length: 1_024 + 1_000 }, () => fetch(new Request("http://x/v1/quotes"))).flatMap((answer) => answer instanceof Promise ? [answer.then(({ status }) => { heard += Number(status === 503) })] : [])
    const after: number[] = []
    while (heard < 1_000) {
      await turn()
      after.push(heard)
    }
    await Promise.all(all)
    expect([all.length, after.every((many, i) => many - (after[i - 1] ?? 0) <= 256), after.length >= 4]).toEqual([1_000, true, true])
  })
  test("however long refusals make a turn of the event loop, acts have their share of it", () => {
    const goesAfter = (refused: number, turn_ms = 0): number => {
      const shedder = makeShedder()
      shedder.turned(refused)
      shedder.unseen(turn_ms, 0)
      return Array.from({ length: 1_000 }, () => shedder.ask("take", 0)).filter((verdict) => verdict === "go").length
    }
    const least = goesAfter(0)
    expect([goesAfter(100), goesAfter(4_000) > 2 * least, goesAfter(4_000) < 500]).toEqual([least, true, true])
    expect([goesAfter(0, 10), goesAfter(0, 100) > 2 * least, goesAfter(0, 100) < 500]).toEqual([least, true, true])
  })
})

describe("the door: while it is shut the server refuses takes by itself", () => {
  const read = readConfig({ PORT: "0" })
  if ("mistakes" in read) throw new Error(read.mistakes.join())
  const shedder = makeShedder({ ...PATIENCE, burst_ms: 0, pause_ms: 0 })
  const asked: string[] = []
  let hold: Promise<unknown> = Promise.resolve()
  const { fetch: shed, porch, shut_ms } = shedding(shedder, async (request) => {
    asked.push(new URL(request.url).pathname)
    await hold
    return new Response("served")
  })
  const api = startApi({ config: read.config, log: quietLog }, { fetch: shed, porch })
  afterAll(() => api.stop())
  const ask = (path: string, init: RequestInit = { method: "POST", body: "{}" }): Promise<Response> => fetch(`http://127.0.0.1:${api.port}${path}`, init)
  const CROWD = 256
  const isShut = async (): Promise<boolean> => {
    const before = shut_ms(performance.now())
    await Bun.sleep(5)
    return shut_ms(performance.now()) > before
  }
  /** Too long a wait, and many who take at once. */
  const shut = async (): Promise<void> => {
    shedder.note(1, performance.now())
    await until("the door is shut", async () => {
      await Promise.all(Array.from({ length: CROWD }, () => ask("/v1/quotes").then((answer) => answer.text())))
      return isShut()
    })
  }
  const open = (): Promise<unknown> => {
    shedder.note(0, performance.now())
    return until("the door is open", async () => !await isShut())
  }

  test("who takes hears the same as ever and is counted by nobody, who gives back and the house pass, and it opens when the wait is short", async () => {
    shedder.note(1, performance.now())
    const refused = await ask("/v1/quotes")
    const same = async (answer: Response): Promise<unknown> => [answer.status, answer.headers.get("retry-after"), answer.headers.get("content-type"), await answer.text()]
    const said = await same(refused)
    await shut()
    const counted = shedder.refused().take
    for (const path of ["/v1/quotes", "/v1/coupons", "/v1/codes/claim?x=1", "/v1/redemptions/r", "/v1/campaigns/confirm"]) expect([path, await same(await ask(path))]).toEqual([path, said])
    expect(shedder.refused().take).toBe(counted)
    for (const path of [...GIVE_PATHS.map((path) => path.replace(":id", "a%20b")), "/v1/coupons/c/revoke?x=1", "/healthz", "/"]) expect([path, await (await ask(path)).text()]).toEqual([path, "served"])
    expect(await isShut()).toBe(true)
    await open()
    expect(await (await ask("/v1/quotes")).text()).toBe("served")
  })
  test("the addresses that pass it are those that give back", () => {
    for (const path of GIVE_PATHS) expect([path, kindOf(`http://x${path}`)]).toEqual([path, "give"])
    expect(porch.passes).toEqual(GIVE_PATHS)
  })
  test("what is under way when it is shut or opened is answered", async () => {
    const release = Promise.withResolvers<void>()
    hold = release.promise
    shedder.note(0, performance.now())
    const before = asked.length, take = ask("/v1/quotes")
    await until("the take is under way", () => asked.length > before)
    await shut()
    const give = ask("/v1/redemptions/r/cancel")
    await until("the give is under way", () => asked.length > before + 1)
    await open()
    release.resolve()
    expect([await (await take).text(), await (await give).text(), shedder.under_way()]).toEqual(["served", "served", 0])
  })
  test("a body that comes later than the refusal is read away, and the connection serves on", async () => {
    await shut()
    const body = "x".repeat(1_000_000), socket = connect(api.port, "127.0.0.1")
    let heard = ""
    socket.on("data", (bytes) => { heard += bytes.toString() }).on("error", () => undefined)
    socket.write(`POST /v1/quotes HTTP/1.1\r\nHost: x\r\nContent-Length: ${body.length}\r\n\r\n`)
    await until("the refusal has come", () => heard.includes("overloaded"))
    socket.write(body)
    socket.write("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
    await until("the next is served", () => heard.endsWith("served"))
    expect([heard.match(/HTTP\/1.1 \d+/g), await isShut()]).toEqual([["HTTP/1.1 503", "HTTP/1.1 200"], true])
    socket.destroy()
    await open()
  })
})

describe("slow callers", () => {
  const read = readConfig({ PORT: "0" })
  if ("mistakes" in read) throw new Error(read.mistakes.join())
  /** A server that waits for nobody longer than a second, as the system rounds it. */
  const api = startApi({ config: read.config, log: quietLog }, { fetch: async (request) => new Response(await request.text()) }, 1)
  afterAll(() => api.stop())
  const CLOSED_MS_MAX = 60_000
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
    // Each on a connection of its own: one that is kept may be closed as idle just when it is used again.
    const hello = { method: "POST", body: "hello", keepalive: false, headers: { connection: "close" } }
    for (let i = 0; i < 20; i += 1) expect(await (await fetch(`http://127.0.0.1:${api.port}/`, hello)).text()).toBe("hello")
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

/** Long enough for a stop on a machine that does much else. */
const TAKEN_MS_MAX = 60_000

test("who does not take his answer is cut off at the stop, and nobody waits for him any longer", async () => {
  const read = readConfig({ PORT: "0" })
  if ("mistakes" in read) throw new Error(read.mistakes.join())
  const drained: string[] = []
  let begun = 0
  const api = startApi({ config: read.config, log: quietLog }, {
    // More than the buffers of both sides hold.
    fetch: () => new Response(new ReadableStream<Uint8Array>({ pull: (controller) => { begun += 1; controller.enqueue(new Uint8Array(65_536)) } }, { highWaterMark: 0 })),
    drain: () => { drained.push("drain") },
    stop: async () => { drained.push("stop") },
  })
  const deaf = connect(api.port, "127.0.0.1", () => { deaf.write("GET / HTTP/1.1\r\nHost: x\r\n\r\n") })
  deaf.pause().on("error", () => undefined)
  await until("the answer has begun", () => begun > 0)
  // Whoever waits for him waits for ever: he never takes it.
  expect(await Promise.race([api.stop().then(() => "stopped"), Bun.sleep(TAKEN_MS_MAX).then(() => "waits")])).toBe("stopped")
  expect(drained).toEqual(["drain", "stop"])
  deaf.destroy()
}, 2 * TAKEN_MS_MAX)

test("a request of HTTP/1.0 that names no host is answered as any other, its body too", async () => {
  const read = readConfig({ HOST: "127.0.0.1", PORT: "0" })
  if ("mistakes" in read) throw new Error(read.mistakes.join())
  const api = startApi({ config: read.config, log: quietLog }, {
    fetch: async (request) => new Response(`${request.method} ${new URL(request.url).pathname} ${await request.text()}`),
  })
  const answerTo = (text: string): Promise<string> => new Promise((resolve, reject) => {
    let heard = ""
    const socket = connect(api.port, "127.0.0.1", () => { socket.write(text) })
    socket.on("data", (bytes) => { heard += String(bytes) }).on("end", () => resolve(heard)).on("error", reject)
  })
  expect(await answerTo("GET /readyz HTTP/1.0\r\n\r\n")).toEndWith("GET /readyz ")
  expect(await answerTo("POST /v1/quotes HTTP/1.0\r\nContent-Length: 2\r\n\r\n{}")).toEndWith("POST /v1/quotes {}")
  await api.stop()
}, 30_000)

test("a Redis that stood still is not held against who comes after it", async () => {
  const STOOD_MS = 1_500, READY_MS_MAX = 60_000
  const servers = await startPrivate({ dataDir: join(scratchFolder(), "data"), log: quietLog, postgres: false })
  const redis = connectRedis(servers.redisUrl!, () => undefined)
  await redisReady(redis, READY_MS_MAX)
  const shedder = makeShedder(), watch = watchWait(redis, shedder), pid = servers.pids()["redis"]!
  const ask = () => {
    const verdict = shedder.ask("take", performance.now())
    if (verdict === "go") shedder.done(performance.now())
    return verdict
  }
  try {
    process.kill(pid, "SIGSTOP")
    const stood_ms = performance.now(), act = redis.ping()
    await until("it is told", () => ask() === "refused")
    while (performance.now() - stood_ms < STOOD_MS) await Bun.sleep(1)
    process.kill(pid, "SIGCONT")
    await act
    await new Promise(setImmediate)
    expect(ask()).toBe("go")
  } finally {
    process.kill(pid, "SIGCONT")
    watch.stop()
    redis.disconnect()
    await servers.stop()
  }
}, 120_000)
