/**
 * A bulk issue answers each line, in order, whatever the lines are, how slow either side is and where the stream ends.
 */
import { afterAll, describe, expect, test } from "bun:test"
import { connect } from "node:net"
import type { Answered } from "../../engine/answers.ts"
import { FAULTS_LOGGED_MAX } from "../../engine/http/line_tally.ts"
import { BULK_CALLS_MAX, LINE_BYTES_MAX } from "../../engine/http/bulk.ts"
import { LINES_MAX } from "../../engine/http/give_way.ts"
import type { LogFields } from "../../engine/log.ts"
import { linesOf } from "../../engine/http/lines.ts"
import { makeOutbox } from "../../engine/http/outbox.ts"
import { NotExecuted } from "../../engine/store/redis.ts"
import { type Call, smallApp } from "./small_app.ts"

const line = (place: number, more: object = {}) => JSON.stringify({ request_id: `r${place}`, campaign_id: "c", user_id: `u${place}`, ...more })
const issued = ({ ask }: Call): Answered => ({ outcome: "issued", body: { coupon_id: `of-${String(ask["request_id"])}`, campaign_id: "c", user_id: String(ask["user_id"]), state: "issued", ends_at: "2026-12-01T00:00:00.000Z" } })
const read = async (response: Response) => (await response.text()).split("\n").filter((text) => text !== "").map((text) => JSON.parse(text) as Record<string, unknown>)
const headers = { authorization: "Bearer issue" }
const streamOf = (chunks: Iterable<string | Uint8Array>) => {
  const each = chunks[Symbol.iterator]()
  return new ReadableStream<Uint8Array>({
    pull: (controller) => {
      const { done, value } = each.next()
      if (done) controller.close()
      else controller.enqueue(typeof value === "string" ? new TextEncoder().encode(value) : value)
    },
  })
}
const serving = (small: ReturnType<typeof smallApp>) => {
  const server = Bun.serve({ port: 0, hostname: "127.0.0.1", maxRequestBodySize: Number.MAX_SAFE_INTEGER, fetch: (request) => small.app.fetch(request) })
  afterAll(() => server.stop(true))
  return { port: server.port!, url: `http://127.0.0.1:${server.port}/v1/coupons/bulk` }
}

describe("one answer a line, in order", () => {
  test("good, bad, refused and repeated lines are answered with their numbers, and blank ones are skipped", async () => {
    const answer = (call: Call): Answered => {
      if (call.ask["user_id"] === "u6") return { outcome: "user_limit_reached", per_user: 1 }
      if (call.ask["user_id"] === "u7") return { ...issued(call), hit: true } as Answered
      if (call.ask["user_id"] === "u8") throw new NotExecuted("away")
      return issued(call)
    }
    const { app, calls } = smallApp({ answer })
    const body = [line(1), "", "{", `  ${line(4, { gold: 1 })}`, "  \r", line(6), line(7), line(8), '"text"', "x".repeat(LINE_BYTES_MAX + 1), line(11)].join("\n")
    const response = await app.request("/v1/coupons/bulk", { method: "POST", headers, body })
    expect([response.status, response.headers.get("content-type")]).toEqual([200, "application/x-ndjson"])
    const answers = await read(response)
    expect(answers.map(({ line, status, code, field }) => [line, status, code, field])).toEqual([
      [1, 201, undefined, undefined], [3, 400, "request_invalid", ""], [4, 400, "request_invalid", "gold"], [6, 409, "user_limit_reached", undefined],
      [7, 201, undefined, undefined], [8, 503, "overloaded", undefined], [9, 400, "request_invalid", ""], [10, 413, "request_too_large", undefined], [11, 201, undefined, undefined],
    ])
    expect(answers[0]).toEqual({ line: 1, status: 201, coupon_id: "of-r1", campaign_id: "c", user_id: "u1", state: "issued", ends_at: "2026-12-01T00:00:00.000Z" })
    expect(answers[3]).toMatchObject({ per_user: 1, retry: false })
    expect(answers[4]).toMatchObject({ idempotency_hit: true })
    expect(calls.map(({ ask }) => ask["user_id"])).toEqual(["u1", "u6", "u7", "u8", "u11"])
  })

  test("issues that end in any order are answered in the order of their lines, no more than the bound at a time", async () => {
    let under_way = 0
    let most = 0
    // From here on nothing ends until the bound is reached, and then stays a while: a call that went beyond it would be seen.
    const HELD_FROM = 500
    const full = Promise.withResolvers<void>()
    const { app } = smallApp({
      answer: async (call) => {
        const place = Number(String(call.ask["request_id"]).slice(1))
        most = Math.max(most, under_way += 1)
        if (most >= LINES_MAX) setTimeout(full.resolve, 20)
        await new Promise((resolve) => setTimeout(resolve, place % 7))
        if (place >= HELD_FROM) await full.promise
        under_way -= 1
        return issued(call)
      },
    })
    const body = Array.from({ length: 1000 }, (_, place) => line(place)).join("\n")
    const answers = await read(await app.request("/v1/coupons/bulk", { method: "POST", headers, body }))
    expect(answers.map(({ coupon_id }) => coupon_id)).toEqual(Array.from({ length: 1000 }, (_, place) => `of-r${place}`))
    expect(most).toBe(LINES_MAX)
  })

  test("lines are the same however the bytes are cut", async () => {
    const text = `${line(1, { channel: "应用😀" })}\r\n\n${line(2)}\n${"y".repeat(50)}\n${line(3)}`
    const bytes = new TextEncoder().encode(text)
    for (let size = 1; size < bytes.length; size += 7) {
      const chunks = Array.from({ length: Math.ceil(bytes.length / size) }, (_, place) => bytes.slice(place * size, (place + 1) * size))
      const read: string[] = []
      for await (const each of linesOf(streamOf(chunks), 200)) read.push("too_long" in each ? "too long" : new TextDecoder().decode(each.bytes))
      expect(read).toEqual(text.split("\n"))
    }
  })

  test("nothing in, nothing out", async () => {
    const { app } = smallApp()
    for (const body of ["", "\n\n", undefined]) expect(await (await app.request("/v1/coupons/bulk", { method: "POST", headers, ...(body === undefined ? {} : { body }) })).text()).toBe("")
  })
})

describe("over a socket", () => {
  test("a hundred thousand coupons in one call, sent before a word is read, in bounded memory", async () => {
    const { url } = serving(smallApp({ answer: issued }))
    const text = Array.from({ length: 100_000 }, (_, place) => line(place)).join("\n")
    const began_bytes = process.memoryUsage.rss()
    const response = await fetch(url, { method: "POST", headers, body: text })
    let lines = 0
    let last = ""
    for await (const chunk of response.body!.pipeThrough(new TextDecoderStream() as unknown as TransformStream<Uint8Array, string>)) {
      lines += chunk.split("\n").length - 1
      last = (last + chunk).slice(-300)
    }
    expect(lines).toBe(100_000)
    expect(last).toContain('"line":100000,')
    expect(process.memoryUsage.rss() - began_bytes).toBeLessThan(300e6)
  }, 120_000)

  test("answers come while the stream is still open", async () => {
    const { url } = serving(smallApp({ answer: issued }))
    const heard = Promise.withResolvers<void>()
    let sent = 0
    const body = new ReadableStream<Uint8Array>({
      pull: async (controller) => {
        if (sent === 1) await heard.promise
        if (sent === 2) return controller.close()
        controller.enqueue(new TextEncoder().encode(`${line(sent += 1)}\n`))
      },
    }, { highWaterMark: 0 })
    const response = await fetch(url, { method: "POST", headers, body })
    const reader = response.body!.getReader()
    expect(new TextDecoder().decode((await reader.read()).value)).toContain("of-r1")
    heard.resolve()
    expect(new TextDecoder().decode((await reader.read()).value)).toContain("of-r2")
    expect((await reader.read()).done).toBe(true)
  })

  test("a stream that is cut in a line keeps what was answered, and the cut line reaches nobody", async () => {
    const small = smallApp({ answer: issued })
    const { port } = serving(small)
    const chunk = (text: string) => `${new TextEncoder().encode(text).length.toString(16)}\r\n${text}\r\n`
    let said = ""
    await new Promise<void>((resolve, reject) => {
      const socket = connect(port, "127.0.0.1", () => {
        socket.write("POST /v1/coupons/bulk HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer issue\r\nTransfer-Encoding: chunked\r\n\r\n")
        socket.write(chunk(`${line(1)}\n${line(2)}\n${line(3).slice(0, 20)}`))
      })
      socket.on("data", (data) => { said += data.toString(); if (said.includes("of-r2")) socket.destroy() })
      socket.on("close", () => resolve())
      socket.on("error", reject)
    })
    expect(said).toContain("of-r1")
    // The call is over when its place is free again: as many new ones as there may be are served.
    const again = () => fetch(`http://127.0.0.1:${port}/v1/coupons/bulk`, { method: "POST", headers, body: line(9) })
    while ((await Promise.all(Array.from({ length: BULK_CALLS_MAX }, again))).some(({ status }) => status === 503)) await Bun.sleep(5)
    expect(small.calls.map(({ ask }) => ask["request_id"]).filter((id) => id !== "r9")).toEqual(["r1", "r2"])
  })
})

/** A log that keeps what it is told. */
const keepingLog = () => {
  const kept: { level: string; msg: string; fields: LogFields }[] = []
  const at = (level: string) => (msg: string, fields: LogFields = {}) => { kept.push({ level, msg, fields }) }
  return { kept, log: { info: at("info"), warn: at("warn"), error: at("error") } }
}

describe("the stop of the process", () => {
  test("overloaded: the lines under way are answered, the first that was not read says so, and the stream ends", async () => {
    const { kept, log } = keepingLog()
    const stop = new AbortController()
    const { app, calls } = smallApp({
      log, ending: stop.signal,
      answer: async (call) => {
        if (call.ask["request_id"] === "r20") stop.abort()
        await Bun.sleep(5)
        return issued(call)
      },
    })
    const response = await app.request("/v1/coupons/bulk", { method: "POST", headers, body: Array.from({ length: 1000 }, (_, place) => line(place + 1)).join("\n") })
    const answers = await read(response)
    expect(calls).toHaveLength(20)
    expect(answers.map(({ line, status }) => [line, status])).toEqual(Array.from({ length: 21 }, (_, place) => [place + 1, place < 20 ? 201 : 503]))
    expect(answers[20]).toMatchObject({ code: "overloaded", retry: true })
    expect(String(answers[20]!["detail"])).toContain("being stopped")
    expect(kept.map(({ level, msg, fields }) => [level, msg, fields.rows, fields.outcomes])).toEqual([["warn", "a stream of lines was ended by the stop", 21, ["issued 20", "overloaded 1"]]])
  })

  test("a stream whose caller sends nothing for now ends as well, and a line of which only a part has come is not taken", async () => {
    for (const path of ["/v1/coupons/bulk", "/v1/campaigns/c/codes/import?batch_id=b"]) {
      const stop = new AbortController()
      const { port } = serving(smallApp({ answer: issued, ending: stop.signal }))
      const first = path.includes("import") ? JSON.stringify({ code: "AAAA-0001" }) : line(1)
      const body = new ReadableStream<Uint8Array>({ start: (controller) => controller.enqueue(new TextEncoder().encode(`${first}\n${first}`)) })
      const response = await fetch(`http://127.0.0.1:${port}${path}`, { method: "POST", headers: { authorization: "Bearer all" }, body })
      const reader = response.body!.pipeThrough(new TextDecoderStream() as unknown as TransformStream<Uint8Array, string>).getReader()
      expect((await reader.read()).value).toContain('"status":201')
      stop.abort()
      expect((await reader.read()).value).toContain('{"line":2,')
      expect((await reader.read()).done).toBe(true)
    }
  })

  test("codes that are being generated end without their last line", async () => {
    const stop = new AbortController()
    const { app } = smallApp({ ending: stop.signal })
    stop.abort()
    const response = await app.request("/v1/campaigns/c/codes", { method: "POST", headers: { authorization: "Bearer all", "content-type": "application/json" }, body: JSON.stringify({ batch_id: "b", count: 10 }) })
    expect([response.status, await response.text()]).toEqual([200, ""])
  })
})

describe("the log", () => {
  const thousand = Array.from({ length: 1000 }, (_, place) => line(place)).join("\n")

  test("a stream whose lines all meet overload is one line, with how many had each outcome", async () => {
    const { kept, log } = keepingLog()
    const { app, metrics } = smallApp({ log, answer: (call) => { if (call.ask["user_id"] === "u7") return issued(call); throw new NotExecuted("away") } })
    expect(await read(await app.request("/v1/coupons/bulk", { method: "POST", headers, body: thousand }))).toHaveLength(1000)
    expect(kept.map(({ level, msg, fields }) => [level, msg, fields.act, fields.outcomes])).toEqual([["warn", "lines of a stream could not be served", "issue_bulk", ["overloaded 999", "issued 1"]]])
    expect(kept[0]!.fields.error).toContain("away")
    expect(await metrics.page()).toMatch(/act="issue",outcome="overloaded"[^\n]* 999\n/)
  })

  test("faults are logged for themselves up to their limit, and counted", async () => {
    const { kept, log } = keepingLog()
    const { app } = smallApp({ log, answer: () => { throw new Error("broken") } })
    expect((await read(await app.request("/v1/coupons/bulk", { method: "POST", headers, body: thousand }))).every(({ status }) => status === 500)).toBe(true)
    expect(kept.filter(({ level }) => level === "error")).toHaveLength(FAULTS_LOGGED_MAX)
    expect(kept.at(-1)!.fields.outcomes).toEqual(["fault 1000"])
    expect(kept).toHaveLength(FAULTS_LOGGED_MAX + 1)
  })

  test("a stream that was served is in it only where every request is", async () => {
    for (const [log_requests, lines] of [["faults", 0], ["all", 2]] as const) {
      const { kept, log } = keepingLog()
      const { app } = smallApp({ log, answer: issued, config: { log_requests } })
      await read(await app.request("/v1/coupons/bulk", { method: "POST", headers, body: thousand }))
      expect(kept).toHaveLength(lines)
    }
  })
})

describe("limits", () => {
  test("overloaded: more calls at a time than a process takes", async () => {
    const held = Promise.withResolvers<void>()
    const { app } = smallApp({ answer: async (call) => { await held.promise; return issued(call) } })
    const call = () => app.request("/v1/coupons/bulk", { method: "POST", headers, body: line(1) })
    const served = await Promise.all(Array.from({ length: BULK_CALLS_MAX }, call))
    const refused = await call()
    expect([refused.status, refused.headers.get("retry-after")]).toEqual([503, "1"])
    held.resolve()
    for (const response of served) expect(await read(response)).toHaveLength(1)
    expect((await call()).status).toBe(200)
  })

  test("an outbox that is full gives room when it is read, and when its reader leaves", async () => {
    const outbox = makeOutbox(10)
    outbox.put("0123456789")
    let has_room = false
    const room = outbox.room().then(() => { has_room = true })
    await Bun.sleep(1)
    expect(has_room).toBe(false)
    const reader = outbox.stream.getReader()
    expect(new TextDecoder().decode((await reader.read()).value)).toBe("0123456789")
    await room
    outbox.put("more than there is room for")
    const next = outbox.room()
    await reader.cancel()
    await next
    expect(outbox.isLeft()).toBe(true)
  })

  test("scopes and queries are looked at first", async () => {
    const { app } = smallApp()
    expect((await app.request("/v1/coupons/bulk", { method: "POST", headers: { authorization: "Bearer checkout" }, body: line(1) })).status).toBe(403)
    expect((await app.request("/v1/coupons/bulk?x=1", { method: "POST", headers, body: line(1) })).status).toBe(400)
  })
})
