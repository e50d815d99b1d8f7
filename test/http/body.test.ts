/**
 * A body has at most 1 MiB, announced or not; only a bulk stream has no end. Over a real socket, because the server's own limits count too.
 */
import { afterAll, describe, expect, test } from "bun:test"
import { connect } from "node:net"
import { BODY_BYTES_MAX } from "../../engine/http/body.ts"
import { smallApp, threeLines } from "./small_app.ts"

const { app, calls } = smallApp()
const server = Bun.serve({ port: 0, hostname: "127.0.0.1", maxRequestBodySize: Number.MAX_SAFE_INTEGER, fetch: (request) => app.fetch(request) })
afterAll(() => server.stop(true))
const url = `http://127.0.0.1:${server.port}/v1/redemptions`
const headers = { authorization: "Bearer all" }

/** A body of so many bytes, which says the same as a short one. */
const padded = (bytes: number) => {
  const text = JSON.stringify(threeLines())
  return text + " ".repeat(bytes - text.length)
}
const streamed = (text: string) => new ReadableStream<Uint8Array>({
  start: (controller) => {
    for (let from = 0; from < text.length; from += 60_000) controller.enqueue(new TextEncoder().encode(text.slice(from, from + 60_000)))
    controller.close()
  },
})

/** Write raw bytes and read until the other side has said something. */
const raw = (bytes: string) => new Promise<string>((resolve, reject) => {
  let said = ""
  const socket = connect(server.port!, "127.0.0.1", () => socket.write(bytes))
  socket.on("data", (data) => { said += data.toString(); if (said.includes("\r\n\r\n")) socket.destroy() })
  socket.on("close", () => resolve(said))
  socket.on("error", reject)
})

describe("request_too_large", () => {
  test("one byte more than 1 MiB is refused, announced or streamed; 1 MiB is not", async () => {
    for (const [bytes, status] of [[BODY_BYTES_MAX, 200], [BODY_BYTES_MAX + 1, 413]] as const) {
      const announced = await fetch(url, { method: "POST", headers, body: padded(bytes) })
      const counted = await fetch(url, { method: "POST", headers, body: streamed(padded(bytes)) })
      expect([announced.status, counted.status]).toEqual([status, status])
      if (status === 413) for (const response of [announced, counted]) expect(await response.json()).toMatchObject({ code: "request_too_large", retry: false })
    }
  })

  test("what is announced too large is refused before it is sent", async () => {
    expect(await raw(`POST /v1/redemptions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer all\r\nContent-Length: 99999999999\r\n\r\n`)).toStartWith("HTTP/1.1 413")
  })

  test("a body without a key is not read", async () => {
    expect(await raw(`POST /v1/redemptions HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n`)).toStartWith("HTTP/1.1 401")
  })
})

test("a request that is cut off reaches no use case, and the server serves on", async () => {
  const before = calls.length
  await new Promise<void>((resolve) => {
    const socket = connect(server.port!, "127.0.0.1", () => {
      socket.write(`POST /v1/redemptions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer all\r\nContent-Length: 400\r\n\r\n{"order_id":`, () => socket.destroy())
    })
    socket.on("close", () => resolve())
  })
  expect((await fetch(url, { method: "POST", headers, body: JSON.stringify(threeLines()) })).status).toBe(200)
  expect(calls.length).toBe(before + 1)
})
