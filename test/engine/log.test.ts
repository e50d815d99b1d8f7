/** The log: one JSON line, known fields only, and no person in it. */
import { expect, test } from "bun:test"
import { type LogFields, logLine, makeLog } from "../../engine/log.ts"
import { userHash } from "../../lua/keys.ts"

const NOON_MS = Date.UTC(2026, 9, 1, 12)

test("a line says when, how bad and what, in this order", () => {
  expect(logLine(NOON_MS, "info", "started", { port: 7070, host: undefined }, "hashed"))
    .toBe('{"at":"2026-10-01T12:00:00.000Z","level":"info","msg":"started","port":7070}')
})
test("a user is a hash, the same that stands in ids, unless clear text is asked for", () => {
  expect(JSON.parse(logLine(NOON_MS, "warn", "m", { user_id: "ann" }, "hashed"))).toMatchObject({ user_hash: userHash("ann") })
  expect(logLine(NOON_MS, "warn", "m", { user_id: "ann" }, "hashed")).not.toContain('"ann"')
  expect(JSON.parse(logLine(NOON_MS, "warn", "m", { user_id: "ann" }, "clear"))).toMatchObject({ user_id: "ann" })
})
test("a field that is not on the list is left out and counted", () => {
  const line = logLine(NOON_MS, "error", "m", { email: "a@b", authorization: "Bearer x", status: 500 } as LogFields, "clear")
  expect(JSON.parse(line)).toEqual({ at: "2026-10-01T12:00:00.000Z", level: "error", msg: "m", status: 500, fields_left_out: 2 })
})
test("a line break in a value stays inside its line", () => {
  const lines: string[] = []
  makeLog({ users: "hashed", write: (line) => lines.push(line), now_ms: () => NOON_MS }).error("m", { error: "a\nb" })
  expect(lines).toHaveLength(1)
  expect(lines[0]).not.toContain("\n")
})
