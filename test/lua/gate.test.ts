// The gate: a cell decides only in the epoch that it was opened in. Outcomes of gate_state, open_gate, begin_rebuild, tick, mark_full.

import { expect, test } from "bun:test"
import { connectRedis, ourLibrary, redisReady, run } from "../../engine/store/redis.ts"
import type { Script } from "../../lua/declare.ts"
import { SCRIPTS } from "../../lua/index.ts"
import { FORMAT, unpack } from "../../lua/records.ts"
import { ANSWER_MS_MAX, stack } from "../support/stack.ts"
import { agrees, type Cell, inEmptyCell, inShop, LIMIT_MINOR, MONEY, NOON, openCell, openShop, refused, shutCell, use } from "./cell.ts"

/** Acts that make, open or close a cell need no open gate. */
const GATELESS = ["gate_state", "take_leases", "open_gate", "begin_rebuild"]
const GATED = SCRIPTS.filter(({ name }) => !GATELESS.includes(name))

/** A call that is well formed and means nothing. */
const anyCall = (cell: Cell, { keys, args }: Script) => ({
  keys: { ...Object.fromEntries(keys.map((name) => [name, `{c${cell.no}}${name}`])), ...cell.keysFor("ann"), from: `{c${cell.no}}h1` },
  args: Object.fromEntries(Object.entries(args).map(([name, type]) => [name, type === "int" ? NOON : type === "text" ? "x" : []])),
})
const callAny = (cell: Cell, script: Script) => run(cell.redis, script, anyCall(cell, script))

test("gate_closed: every act that needs a gate declares it as its first outcome", () => {
  for (const { name, outcomes } of SCRIPTS) {
    expect([name, Object.keys(outcomes)[0] === "gate_closed"]).toEqual([name, !GATELESS.includes(name)])
  }
})

for (const script of GATED) {
  test(`gate_closed: ${script.name} in a cell that nobody opened, another epoch, a rebuild, or a newer format`, async () => {
    const nobodys = await shutCell()
    expect(await refused(nobodys, () => callAny(nobodys, script))).toEqual({ outcome: "gate_closed" })
    for (const wrong of [{ epoch: 2 }, { epoch: 0 }, { rebuilding: 1 }, { format: FORMAT + 1 }]) {
      const cell = await openShop()
      await cell.putCell(wrong)
      expect(await refused(cell, () => callAny(cell, script))).toEqual({ outcome: "gate_closed" })
    }
  })
}

test("gate_closed: the data of an open cell under another name is closed", async () => {
  const [cell, other] = [await openShop(), await shutCell()]
  await cell.redis.copy(cell.keys.quota, other.keys.quota)
  expect(await refused(other, () => other.issue())).toEqual({ outcome: "gate_closed" })
})

// --- gate_state

test("known: of a cell that is nowhere, and then of one that is open", async () => {
  const cell = await shutCell()
  const nowhere = await refused(cell, () => cell.gateState())
  expect(nowhere).toEqual({ outcome: "known", epoch_open: 0, cell: Buffer.alloc(0), tail: "0-0" })
  await cell.open({ epoch: 4 })
  await cell.tick()
  const { epoch_open, cell: record, tail } = await refused(cell, () => cell.gateState())
  expect([epoch_open, tail]).toEqual([4, "4-1"])
  expect(unpack("cell", record)).toEqual({ format: FORMAT, epoch: 4, at_ms: NOON, full: 0, rebuilding: 0, evicted: "0-0" })
})

inEmptyCell("known: the tail outlives the trimming of the journal", async (cell) => {
  for (let i = 0; i < 3; i++) await cell.tick()
  await cell.redis.xtrim(cell.keys.journal, "MAXLEN", 0)
  expect(await cell.gateState()).toMatchObject({ epoch_open: 1, tail: "1-3" })
  await cell.tick()
  expect((await cell.lastEntry()).id).toBe("1-4")
  await cell.redis.del(cell.keys.journal) // and let the fold begin anew
  await cell.putCell({ epoch: 1 })
  await cell.open({ epoch: 2 })
})

// --- open_gate

inEmptyCell("rebuilding: no gate opens over the mark, and joining does not either", async (cell) => {
  await cell.beginRebuild()
  expect(await refused(cell, () => cell.open({ epoch: 2, tail: "1-0" }))).toEqual({ outcome: "rebuilding" })
  expect(await refused(cell, () => cell.open({ is_joining: 1 }))).toEqual({ outcome: "rebuilding" })
  await cell.putCell({ rebuilding: 0 })
})

inEmptyCell("tail_moved: what was compared with Postgres is not what is there now, or the epoch is not a new one", async (cell) => {
  await cell.tick()
  const moved = { outcome: "tail_moved", tail_now: "1-1" } as const
  expect(await refused(cell, () => cell.open({ epoch: 2, tail: "1-0" }))).toEqual(moved)
  expect(await refused(cell, () => cell.open({ epoch: 2, tail: "0-0" }))).toEqual(moved)
  expect(await refused(cell, () => cell.open({ epoch: 1, tail: "1-1" }))).toEqual(moved)
  expect(await refused(cell, () => cell.open({ epoch: 2, tail: "1-0", is_joining: 1 }))).toEqual(moved)
})

inEmptyCell("opened: the next epoch begins at 0, repeats the tail it was opened from, and keeps what the cell holds", async (cell) => {
  await cell.fund()
  await cell.putCell({ full: 1 })
  expect(await cell.open({ epoch: 3, tail: "1-1", now_ms: NOON + 5 })).toEqual({ outcome: "opened" })
  expect(await cell.lastEntry()).toMatchObject({ id: "3-0", act: "opened", at_ms: NOON + 5, moves: [], payload: "1-1" })
  expect(await cell.cell()).toMatchObject({ epoch: 3, at_ms: NOON + 5, full: 1 })
  expect(await cell.money()).toMatchObject({ available: LIMIT_MINOR })
  cell.later(5)
  expect(await cell.tick()).toEqual({ outcome: "ticked", at_ms: NOON + 5 })
  expect((await cell.lastEntry()).id).toBe("3-1")
})

test("opened: of many engines at once one opens the cell", async () => {
  const cell = await shutCell()
  const replies = await Promise.all(Array.from({ length: 20 }, (_, i) => cell.open({ epoch: 1 + i % 2 })))
  expect(replies.filter(({ outcome }) => outcome === "opened").length).toBeLessThanOrEqual(1)
  expect(replies.filter(({ outcome }) => outcome === "tail_moved").length).toBeGreaterThanOrEqual(19)
  await agrees(cell)
})

inEmptyCell("joined: the running epoch, without an entry", async (cell) => {
  await cell.tick()
  expect(await refused(cell, () => cell.open({ is_joining: 1, tail: "" }))).toEqual({ outcome: "joined" })
})

// --- begin_rebuild

inShop("begun: the cell is shut and says why, also after a restart of the rebuild", async (cell) => {
  await cell.issue()
  expect(await cell.beginRebuild()).toEqual({ outcome: "begun" })
  expect(await cell.gateState()).toMatchObject({ epoch_open: 0 })
  expect(await cell.cell()).toMatchObject({ rebuilding: 1, epoch: 1 })
  expect(await refused(cell, () => cell.issue())).toEqual({ outcome: "gate_closed" })
  expect(await refused(cell, () => cell.beginRebuild())).toEqual({ outcome: "begun" })
  await cell.putCell({ rebuilding: 0 })
  expect(await refused(cell, () => cell.issue())).toEqual({ outcome: "gate_closed" }) // unmarked is not opened
})

test("begun: a cell that is nowhere is marked too", async () => {
  const cell = await shutCell()
  await cell.beginRebuild()
  expect(await refused(cell, () => cell.open())).toEqual({ outcome: "rebuilding" })
})

// --- tick and mark_full

inEmptyCell("ticked: no later entry carries an earlier instant, however late a caller's clock is", async (cell) => {
  cell.later(1_000)
  expect(await cell.tick()).toEqual({ outcome: "ticked", at_ms: NOON + 1_000 })
  cell.later(-5_000)
  expect(await cell.tick()).toEqual({ outcome: "ticked", at_ms: NOON + 1_000 })
  await cell.fund()
  await cell.publish()
  expect(await cell.issue({ valid_ms: 10 })).toEqual({ outcome: "issued", ends_at_ms: NOON + 1_010 })
  expect(await cell.reserve({ coupons: [] })).toMatchObject({ reserved_at_ms: NOON + 1_000 })
  expect((await cell.entries()).slice(1).map(({ at_ms }) => at_ms)).toEqual([1_000, 1_000, 1_000, 1_000, 1_000, 1_000].map((by) => NOON + by))
})

inShop("marked: what takes is refused, what gives works, and marking twice writes once", async (cell) => {
  for (const request of ["first", "second", "third"]) await cell.issue({ request })
  await cell.reserve()
  await cell.reserve({ order: "order 2", coupons: [use({ request: "second" })] })
  expect(await cell.markFull()).toEqual({ outcome: "marked" })
  expect(await refused(cell, () => cell.markFull())).toEqual({ outcome: "marked" })
  const taking: (() => Promise<{ outcome: string }>)[] = [() => cell.issue({ user: "bob" }), () => cell.reserve({ order: "order 3" }), () => cell.extend()]
  for (const act of taking) expect((await refused(cell, act)).outcome).toBe("journal_full")
  expect((await cell.cancel()).outcome).toBe("cancelled")
  expect((await cell.confirm({ order: "order 2" })).outcome).toBe("confirmed")
  expect((await cell.refund({ order: "order 2" })).outcome).toBe("refunded")
  expect((await cell.revoke()).outcome).toBe("revoked")
  expect((await cell.fund({ addition: "more" })).outcome).toBe("funded")
  expect((await cell.publish({ version: 2, state: "stopped" })).outcome).toBe("published")
  expect((await cell.closeBudget()).outcome).toBe("closed")
  await cell.markFull(0)
  expect((await cell.tick()).outcome).toBe("ticked")
})

test("journal_full: every act that takes and is not a lease declares it, and no act that gives does", () => {
  for (const { name, nature, outcomes } of SCRIPTS) {
    expect([name, "journal_full" in outcomes]).toEqual([name, nature === "take" && name !== "grant"]) // a grant has no entry
  }
})

// --- the library that holds the gates

test("gate_closed: a library that was flushed and loaded again has forgotten every gate", async () => {
  const own = await (await stack()).ownRedis()
  const redis = connectRedis(own.redisUrl, () => {}, ANSWER_MS_MAX)
  await redisReady(redis, 60_000)
  try {
    const cell = await openCell(redis)
    await cell.fund()
    await cell.publish()
    await cell.issue()
    await redis.call("FUNCTION", "FLUSH")
    expect(await refused(cell, () => cell.issue({ request: "second" }))).toEqual({ outcome: "gate_closed" }) // run() has loaded it again
    expect(await cell.gateState()).toMatchObject({ epoch_open: 0, tail: "1-3" })
    expect(await cell.open({ epoch: 2, tail: "1-3" })).toEqual({ outcome: "opened" })
    expect(await cell.issue({ request: "second" })).toMatchObject({ outcome: "issued" })

    // A second library beside it, as a newer engine brings one: its own gates, and the older one's stay.
    const { hash, source } = ourLibrary()
    const newer = (name: string) => `${name}_${"f".repeat(hash.length)}`
    await redis.call("FUNCTION", "LOAD", source.replaceAll(hash, "f".repeat(hash.length)))
    const join = (epoch: number) => redis.fcall(newer("open_gate"), 2, cell.keys.quota, cell.keys.journal, NOON, epoch, "", 1)
    expect(await redis.fcall(newer("tick"), 2, cell.keys.quota, cell.keys.journal, NOON)).toEqual(["gate_closed"])
    expect(await refused(cell, () => join(1))).toEqual(["tail_moved", "2-1"])
    expect(await refused(cell, () => join(2))).toEqual(["joined"])
    expect(await redis.fcall(newer("tick"), 2, cell.keys.quota, cell.keys.journal, NOON)).toEqual(["ticked", String(NOON), "2-2"])
    expect(await cell.tick()).toEqual({ outcome: "ticked", at_ms: NOON })

    // What one writes the other reads, though each keeps what it wrote last.
    const raise = async (addition: string) => (await redis.fcall(newer("fund"), 2, cell.keys.quota, cell.keys.journal, NOON, MONEY, addition, "as-sent", 5, 0, 0, 1, 1, "") as string[]).slice(0, 2)
    expect(await raise("one")).toEqual(["funded", String(LIMIT_MINOR + 5)])
    expect(await cell.fund({ addition: "two", amount_minor: 5 })).toEqual({ outcome: "funded", limit_minor: LIMIT_MINOR + 10 })
    expect(await raise("three")).toEqual(["funded", String(LIMIT_MINOR + 15)])
    expect(await cell.fund({ addition: "four", amount_minor: 15, is_cut: 1 })).toEqual({ outcome: "funded", limit_minor: LIMIT_MINOR })

    // A newer epoch that one of them opens shuts the other.
    const tail = (await cell.gateState()).tail
    expect(await redis.fcall(newer("open_gate"), 2, cell.keys.quota, cell.keys.journal, NOON, 3, tail, 0)).toEqual(["opened", "3-0"])
    expect(await refused(cell, () => cell.tick())).toEqual({ outcome: "gate_closed" })
    await agrees(cell)
  } finally {
    redis.disconnect()
    await own.stop()
  }
})

test("the library has one name for one source, and says no more than its hash", () => {
  expect(ourLibrary().name).toBe(`scrip_${ourLibrary().hash}`)
  expect(ourLibrary().source.startsWith(`#!lua name=${ourLibrary().name}\n`)).toBe(true)
})
