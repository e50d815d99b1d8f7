import { expect, test } from "bun:test"
import { journalKey, quotaKey } from "../../lua/keys.ts"
import { checkCells } from "../../engine/journal/gate.ts"
import { ourLibrary } from "../../engine/store/redis.ts"
import { until } from "../support/run_engine.ts"
import { newWorld, type World } from "./world.ts"

const crash = (): never => { throw new Error("the power is gone") }
const epochs = async ({ sql }: World) => [...await sql<{ epoch: number; tail: string }[]>`select epoch, tail from epochs order by epoch`]
const lastOf = async ({ redis }: World): Promise<string> => (await redis.xrevrange(journalKey(0), "+", "-", "COUNT", 1))[0]![0]

/** A library of another version, in which the cell is open. */
const otherLibrary = async ({ redis }: World, epoch: number): Promise<void> => {
  const { source, hash } = ourLibrary()
  await redis.call("FUNCTION", "LOAD", source.replaceAll(hash, "0123456789ab"))
  await redis.call("FCALL", "open_gate_0123456789ab", 2, quotaKey(0), journalKey(0), "0", String(epoch), "", "1")
}

test("born: a cell that neither store knows is opened in epoch 1, and a second engine finds it open", async () => {
  const world = await newWorld()
  expect(await world.gate()).toEqual({ outcome: "born", epoch: 1 })
  expect(await world.gate()).toEqual({ outcome: "open", epoch: 1 })
  expect(await epochs(world)).toEqual([{ epoch: 1, tail: "0-0" }])
})

test("joined: a new library beside one that is open takes the running epoch", async () => {
  const world = await newWorld()
  await world.shop()
  await otherLibrary(world, 1)
  await world.redis.call("FUNCTION", "DELETE", ourLibrary().name)
  expect(await world.gate()).toEqual({ outcome: "joined", epoch: 1 })
  expect((await world.issue("ann")).outcome).toBe("issued")
  expect(await epochs(world)).toHaveLength(1)
})

test("opened: after a restart the next epoch begins with the tail of the one before, flushed or not", async () => {
  const world = await newWorld()
  await world.shop()
  await world.flush()
  await world.issue("ann")
  const tail = await lastOf(world)
  await world.restart()
  expect((await world.issue("bob")).outcome).toBe("gate_closed")
  expect(await world.gate()).toEqual({ outcome: "opened", epoch: 2 })
  expect((await epochs(world)).at(-1)).toEqual({ epoch: 2, tail })
  expect((await world.issue("bob")).outcome).toBe("issued")
  expect((await world.flush()).faults).toEqual([])
  expect(await world.differences()).toEqual([])
})

test("opened: a crash between the allotment and the opening costs an epoch and nothing else", async () => {
  const world = await newWorld()
  await world.shop()
  await world.restart()
  expect(world.gate(0, { afterAllotment: crash })).rejects.toThrow("the power is gone")
  expect(await world.gate()).toEqual({ outcome: "opened", epoch: 3 })
  await world.issue("ann")
  expect((await world.flush()).faults).toEqual([])
  expect((await epochs(world)).map(({ epoch }) => epoch)).toEqual([1, 2, 3])
})

test("opened: of many engines at once one opens, and all find it open", async () => {
  const world = await newWorld()
  await world.shop()
  await world.restart()
  const opened = await Promise.all(Array.from({ length: 5 }, () => world.gate()))
  expect(opened.filter(({ outcome }) => outcome === "opened")).toHaveLength(1)
  expect(new Set(opened.map(({ epoch }) => epoch)).size).toBe(1)
  await world.issue("ann")
  expect((await world.flush()).faults).toEqual([])
})

test("opened: an epoch that another engine has just allotted is left to it, so that none is allotted in vain", async () => {
  const world = await newWorld()
  await world.shop()
  await world.restart()
  let other: ReturnType<World["gate"]> | undefined, looks = 0
  /** The other's Postgres, which counts its looks. */
  const sql = new Proxy(world.sql, { get: (of, name) => name !== "begin" ? Reflect.get(of, name) : async (...look: Parameters<typeof of.begin>) => { const found = await of.begin(...look); looks += 1; return found } })
  // The first opens once the other has looked, and long before he has no more patience.
  const first = world.gate(0, { afterAllotment: () => { other = world.gate(0, { sql }) }, takeLeases: () => until("the other has looked", () => looks > 0) })
  expect(await first).toEqual({ outcome: "opened", epoch: 2 })
  expect(await other!).toEqual({ outcome: "open", epoch: 2 })
  expect((await epochs(world)).map(({ epoch }) => epoch)).toEqual([1, 2])
})

test("rebuilt: a Redis that came back empty is written from Postgres before it opens", async () => {
  const world = await newWorld()
  await world.shop()
  await world.trade()
  await world.flush()
  await world.redis.flushall()
  await world.restart()
  expect(await world.gate()).toEqual({ outcome: "rebuilt", epoch: 2 })
  expect((await world.reserve("fay", "order 9")).outcome).toBe("coupon_revoked")
  expect((await world.reserve("dan", "order 1", { ask_id: "again" })).outcome).toBe("repeated")
  expect((await world.confirm("ann", "order 1")).outcome).toBe("confirmed")
  expect((await world.flush()).faults).toEqual([])
  expect(await world.differences()).toEqual([])
})

test("rebuilt: a Redis that has lost its last seconds, all of which Postgres has", async () => {
  const world = await newWorld()
  await world.shop()
  const dump = new Map<string, Buffer>()
  for (const key of await world.redis.keys("{c0}*")) dump.set(key, (await world.redis.dumpBuffer(key))!)
  await world.trade()
  await world.flush()
  await world.redis.flushall()
  for (const [key, bytes] of dump) await world.redis.restore(key, 0, bytes)
  await world.restart()
  expect((await world.gate()).outcome).toBe("rebuilt")
  await world.flush()
  expect(await world.differences()).toEqual([])
})

test("hole: entries that are in neither store stop the opening", async () => {
  const world = await newWorld()
  await world.shop()
  await world.flush()
  await world.issue("ann")
  await world.issue("bob")
  const [first] = await world.redis.xrevrange(journalKey(0), "+", "-", "COUNT", 2).then((found) => found.toReversed())
  await world.redis.xdel(journalKey(0), first![0])
  await world.restart()
  expect(world.gate()).rejects.toThrow(`hole: expected ${first![0]}`)
})

test("stale_epoch: a master that went on after another was opened in its place is not opened", async () => {
  const world = await newWorld()
  await world.shop()
  await world.flush()
  const tail = await lastOf(world)
  await world.issue("ann")
  await world.sql`insert into epochs (cell, epoch, tail, at_ms) values (0, 2, ${tail}, 0)`
  await world.restart()
  expect(world.gate()).rejects.toThrow("stale_epoch")
})

test("checkCells: another number of cells, or a Redis of another installation, stops the start", async () => {
  const world = await newWorld()
  const { redis, sql } = world
  expect(await checkCells({ redis, sql, cells: 4 })).toEqual({ outcome: "agreed" })
  expect(await checkCells({ redis, sql, cells: 4 })).toEqual({ outcome: "agreed" })
  expect(await checkCells({ redis, sql, cells: 8 })).toMatchObject({ outcome: "cells_mismatch", stored: 4, asked: 8 })
  await sql`delete from settings where key = 'installation'`
  expect((await checkCells({ redis, sql, cells: 4 })).outcome).toBe("installation_mismatch")
})
