import { expect, test } from "bun:test"
import { hear } from "../../lua/hear.ts"
import { dueKey, homeOf, hourOf, journalKey, openKey, quotaKey, settledKey, userHash, walletKey } from "../../lua/keys.ts"
import { idOf } from "../../engine/journal/entry.ts"
import { settleQuarantined } from "../../engine/journal/quarantine.ts"
import { pack, packKept, unpack, unpackKept } from "../../lua/records.ts"
import { checkCells } from "../../engine/journal/gate.ts"
import { reshard } from "../../engine/journal/reshard.ts"
import { quietLog } from "../../engine/log.ts"
import { run } from "../../engine/store/redis.ts"
import { until } from "../support/run_engine.ts"
import { tamper } from "../support/tamper.ts"
import { newWorld, type World } from "./world.ts"

/** A shop at work, flushed. */
const traded = async (options: { cells?: number } = {}): Promise<World> => {
  const world = await newWorld(options)
  await world.shop()
  await world.trade()
  await world.flush()
  return world
}

test("rebuilt: a cell that is written from Postgres agrees with it, and goes on where it was", async () => {
  const world = await traded()
  expect(await world.rebuild()).toMatchObject({ outcome: "rebuilt", coupons: 9, redemptions: 6, discarded: [] })
  expect((await world.issue("hal")).outcome).toBe("gate_closed")
  expect(await world.gate()).toEqual({ outcome: "opened", epoch: 2 })
  expect((await world.issue("hal")).outcome).toBe("issued")
  expect((await world.issue("ann")).outcome).toBe("replayed")
  expect((await world.fund(1)).outcome).toBe("replayed")
  expect((await world.confirm("bob", "order 1")).outcome).toBe("confirmed")
  expect((await world.reserve("cyd", "order 1", { ask_id: "another" })).outcome).toBe("redemption_confirmed")
  expect((await world.flush()).faults).toEqual([])
  expect(await world.differences()).toEqual([])
})

test("rebuilt: a stopped campaign gives back what it held, before and after", async () => {
  const world = await traded()
  await world.publish(2, 2, "stopped")
  await world.flush()
  await world.rebuild()
  await world.gate()
  await world.flush()
  expect(await world.differences()).toEqual([])
  expect((await world.reserve("gus", "order 1", { campaign: 2, request_id: "gift" })).outcome).toBe("campaign_stopped")
})

test("rebuilt: what has aged comes back as its marks", async () => {
  const world = await traded()
  world.later(6 * 86_400_000)
  await world.rebuild()
  await world.gate()
  const { keys } = world.keysOf("cyd")
  const fields = await world.redis.hkeys(keys.wallet)
  expect(fields.map((field) => field[0]!).sort()).toEqual(["m", "n", "o", "r"])
  expect((await world.issue("cyd")).outcome).toBe("aged")
  await world.flush()
  expect(await world.differences()).toEqual([])
})

test("unflushed: what Postgres does not have is waited for, or listed and discarded", async () => {
  const world = await traded()
  await world.issue("zoe")
  expect(await world.rebuild()).toMatchObject({ outcome: "unflushed", entries: 1 })
  expect((await world.gate()).outcome).toBe("opened")
  expect((await world.issue("zoe")).outcome).toBe("replayed")
  await world.issue("yan")
  const rebuilt = await world.rebuild(0, { discard_unflushed: true })
  expect(rebuilt).toMatchObject({ outcome: "rebuilt", discarded: [{ act: "issued", user_hash: userHash("zoe") }, { act: "opened" }, { act: "issued" }] })
  expect((await world.gate()).outcome).toBe("opened")
  expect((await world.issue("zoe")).outcome).toBe("issued")
  expect((await world.flush()).faults).toEqual([])
  expect(await world.differences()).toEqual([])
})

test("quarantined: a cell with entries in quarantine is not rebuilt, until each is settled", async () => {
  const world = await traded()
  const id = await world.redis.xadd(journalKey(0), "1-*", "1", "nothing that can be read")
  await world.flush()
  expect(await world.rebuild()).toEqual({ outcome: "quarantined", entries: 1 })
  expect(await settleQuarantined(world.sql, { cell: 0, id: idOf(id!), as: "skip", by: "ann", why: "a test", now_ms: world.now() })).toEqual({ outcome: "settled", left: 0 })
  expect(await world.rebuild()).toMatchObject({ outcome: "rebuilt" })
  await world.gate()
  expect((await world.flush()).faults).toEqual([])
  expect(await world.differences()).toEqual([])
})

test("rebuilding: no gate opens over the mark of a rebuild that was cut short, and the next opening finishes it", async () => {
  const world = await traded()
  const cut = world.rebuild(0, { onProgress: ({ step }) => { if (step === "quotas") throw new Error("the power is gone") } })
  expect(cut).rejects.toThrow("the power is gone")
  await cut.catch(() => {})
  expect(unpack("cell", (await world.redis.hgetBuffer(quotaKey(0), "cell"))!).rebuilding).toBe(1)
  expect((await world.gate()).outcome).toBe("rebuilt")
  await world.flush()
  expect(await world.differences()).toEqual([])
})

test("rebuilt: two at once leave one whole cell", async () => {
  const world = await traded()
  const both = await Promise.all([world.rebuild(), world.rebuild()])
  expect(both.map(({ outcome }) => outcome)).toContain("rebuilt")
  await world.gate()
  await world.flush()
  expect(await world.differences()).toEqual([])
})

test("rebuilt: one cell of several keeps what its banks have lent it, and all of them come back from nothing", async () => {
  const world = await newWorld({ cells: 3 })
  await world.shop()
  for (const cell of [0, 1, 2]) {
    for (const name of ["b1", "b2"]) await world.lend(name, cell, 10_000)
    for (const name of ["k1", "k2"]) await world.lend(name, cell, 10)
  }
  await world.trade()
  expect((await world.flush()).faults).toEqual([])
  expect(await world.differences()).toEqual([])
  for (const cell of [0, 1, 2]) {
    const before = await world.redis.hgetBuffer(quotaKey(cell), "b1").then((raw) => unpack("budget", raw!))
    expect(await world.rebuild(cell)).toMatchObject({ outcome: "rebuilt" })
    await world.gate(cell)
    await world.greet()
    const after = await world.redis.hgetBuffer(quotaKey(cell), "b1").then((raw) => unpack("budget", raw!))
    expect(after.granted - after.returned >= after.held + after.spent && after.granted <= before.granted).toBe(true)
    await world.flush()
    expect(await world.differences()).toEqual([])
  }
  await world.redis.flushall()
  await world.restart()
  for (const cell of [0, 1, 2]) expect(await world.gate(cell)).toMatchObject({ outcome: "rebuilt" })
  await world.greet()
  await world.flush()
  expect(await world.differences()).toEqual([])
  await world.lend("b1", world.keysOf("ann").cell, 1)
  expect((await world.confirm("ann", "order 1")).outcome).toBe("confirmed")
})

test("rebuilt: what a cell told before it was written anew is refused by a bank that was written anew before it", async () => {
  const world = await newWorld({ cells: 2 })
  await world.shop()
  const bank = homeOf("b1", 2), cell = 1 - bank
  await world.lend("b1", cell, 10_000)
  await world.flush()
  expect(await world.rebuild(bank)).toMatchObject({ outcome: "rebuilt" })
  const { epoch } = await world.gate(bank)
  // The cell has given all of it back and tells the bank, which has forgotten that it ever lent it; then it is written anew itself.
  const told = (cell_epoch: number) => run(world.redis, hear, { keys: { quota: quotaKey(bank) }, args: { now_ms: world.now(), epoch, cell, cell_epoch, leases: [["b1", 10_000, 10_000]], is_all: 0 } })
  expect(await world.rebuild(cell)).toMatchObject({ outcome: "rebuilt" })
  const opened = await world.gate(cell)
  expect(await told(opened.epoch - 1)).toEqual({ outcome: "older_epoch", epoch_now: opened.epoch })
  await world.greet()
  expect(unpack("bank", (await world.redis.hgetBuffer(quotaKey(bank), "vb1"))!).leases.filter(([of]) => of === cell).map(([, granted, returned]) => [granted, returned])).toEqual([])
  await world.lend("b1", cell, 1)
  await world.flush()
  expect(await world.differences()).toEqual([])
})

test("resharded: users move to the cells that their hashes name, and back, and nothing is lost or doubled", async () => {
  const world = await traded()
  await checkCells({ redis: world.redis, sql: world.sql, cells: 1 })
  const parts = { redis: world.redis, sql: world.sql, log: quietLog, ages: world.ages(), wait_ms: 200 }
  expect(await reshard(parts, 1)).toEqual({ outcome: "unchanged", cells: 1 })
  for (const cells of [5, 2]) {
    expect(await reshard(parts, cells)).toMatchObject({ outcome: "resharded", cells, coupons: 9, redemptions: 6 })
    expect(await checkCells({ redis: world.redis, sql: world.sql, cells })).toEqual({ outcome: "agreed" })
    world.reshaped(cells)
    for (let cell = 0; cell < cells; cell += 1) await world.gate(cell)
    if (cells > 1) await world.greet()
    expect((await world.flush()).faults).toEqual([])
    expect(await world.differences()).toEqual([])
    expect((await world.fund(1)).outcome).toBe("replayed")
    expect((await world.issue("ann")).outcome).toBe("replayed")
  }
  expect((await world.confirm("ann", "order 1")).outcome).toBe("confirmed")
  expect((await world.confirm("bob", "order 1")).outcome).toBe("confirmed")
  await world.flush()
  expect(await world.differences()).toEqual([])
})

test("unflushed: cells whose journals are not flushed keep their users", async () => {
  const world = await traded()
  await checkCells({ redis: world.redis, sql: world.sql, cells: 1 })
  await world.issue("zoe")
  expect(await reshard({ redis: world.redis, sql: world.sql, log: quietLog, ages: world.ages(), wait_ms: 50 }, 4)).toMatchObject({ outcome: "unflushed", cell: 0 })
  await world.flush()
  expect((await world.gate()).outcome).toBe("rebuilt")
  expect((await world.issue("zoe")).outcome).toBe("replayed")
})

// --- what the check sees

const tampers: [string, (world: World) => Promise<unknown>, string[]][] = [
  ["cell", async ({ redis }) => redis.hset(quotaKey(0), "cell", pack("cell", { ...unpack("cell", (await redis.hgetBuffer(quotaKey(0), "cell"))!), epoch: 7 })), ["cell epoch"]],
  ["budget", async ({ redis }) => {
    const budget = unpack("budget", (await redis.hgetBuffer(quotaKey(0), "b1"))!)
    await redis.hset(quotaKey(0), "b1", pack("budget", { ...budget, held: budget.held + 1, closes_ms: 1 }))
  }, ["budget b1.held", "budget b1.closes_ms"]],
  ["bank", async ({ redis }) => redis.hset(quotaKey(0), "vb1", pack("bank", { total: 5, leases: [] })), ["bank vb1.total", "invariant b1"]],
  ["campaign", async ({ redis }) => {
    const campaign = unpack("campaign", (await redis.hgetBuffer(quotaKey(0), "k2"))!)
    await redis.hset(quotaKey(0), "k2", pack("campaign", { ...campaign, per_user: 1, issued: campaign.issued - 1, idle: [[2, 1]] }))
  }, ["campaign k2.per_user", "campaign k2.issued", "campaign k2.idle.2"]],
  ["addition", ({ redis }) => redis.hkeys(quotaKey(0)).then((fields) => redis.hdel(quotaKey(0), fields.find((field) => field[0] === "a")!)), ["addition a"]],
  ["coupon", async (world) => {
    const { redis } = world, { keys } = world.keysOf("ann"), fields = await redis.hkeys(keys.wallet), field = fields.find((name) => name.length > 14 && name.endsWith("1"))!
    await redis.hset(keys.wallet, field, pack("coupon", { ...unpack("coupon", (await redis.hgetBuffer(keys.wallet, field))!), since_ms: 1 }))
  }, ["coupon since_ms"]],
  ["missing coupon", async (world) => {
    const { keys } = world.keysOf("gus")
    await world.redis.hdel(keys.wallet, (await world.redis.hkeys(keys.wallet)).find((name) => name.length > 14)!)
  }, ["coupon "]],
  ["count", (world) => world.redis.hset(world.keysOf("ann").keys.wallet, "n1", "9"), ["count n1"]],
  ["open redemption", async (world) => {
    const { redis } = world, [name] = await redis.hkeys(openKey(0))
    const { head } = unpackKept((await redis.hgetBuffer(openKey(0), name!))!)
    await redis.hset(openKey(0), name!, packKept({ head: { ...head, revision: 9 }, body: "{}" }))
  }, ["redemption revision", "redemption body"]],
  ["settled redemption", async (world) => {
    const { redis } = world, key = settledKey(0, hourOf(world.now())), [name] = await redis.hkeys(key)
    const { head, body } = unpackKept((await redis.hgetBuffer(key, name!))!)
    await redis.hset(key, name!, packKept({ head: { ...head, expires_ms: 9 }, body }))
  }, ["redemption expires_ms"]],
  ["redemption's mark", async (world) => {
    const { keys } = world.keysOf("fay")
    await world.redis.hset(keys.wallet, "rabcdefghijkl", "o")
  }, ["wallet rabcdefghijkl"]],
  ["order's mark", async (world) => {
    const { keys } = world.keysOf("ann")
    await world.redis.hset(keys.wallet, (await world.redis.hkeys(keys.wallet)).find((name) => name[0] === "o" && name.length === 13)!, "abcdefghijkl")
  }, ["order o"]],
  ["deadline", async (world) => {
    const [name] = (await world.redis.zrange(dueKey(0), "0", "-1")).filter((each) => each[0] === "r")
    await world.redis.zadd(dueKey(0), 1, name!)
  }, ["deadline r"]],
  ["strange wallet", ({ redis }) => redis.hset(walletKey(0, userHash("nobody")), "n1", "1"), ["wallet user"]],
  ["strange redemption", ({ redis }) => redis.hset(openKey(0), "abcdefghijkl", "x"), ["deadline r"]],
  ["counter of Postgres", ({ sql }) => sql`update cell_campaigns set reserved = reserved + 1 where campaign_no = 1`, ["campaign k1.reserved", "ledger reserved = reserved coupons"]],
  ["counter put back, and the ledger", async ({ sql }) => {
    await sql`update cell_campaigns set reserved = reserved - 1 where campaign_no = 1`
    await sql`update budget_entries set held_minor = held_minor + 1 where n = (select max(n) from budget_entries)`
  }, ["ledger held = sum of entries"]],
]

test("verify: it names each kind of record that was tampered with, and nothing else", async () => {
  const world = await traded()
  const dump = new Map<string, Buffer>()
  for (const key of await world.redis.keys("{c0}*")) dump.set(key, (await world.redis.dumpBuffer(key))!)
  expect(await world.differences()).toEqual([])
  for (const [what, tamper, expected] of tampers) {
    await tamper(world)
    const found = await world.differences()
    const seen = expected.filter((each) => found.some((difference) => difference.startsWith(each)))
    expect({ what, found: seen }).toEqual({ what, found: expected })
    const others = found.filter((difference) => !expected.some((each) => difference.startsWith(each)))
    expect({ what, others }).toEqual({ what, others: [] })
    const strange = (await world.redis.keys("{c0}*")).filter((key) => !dump.has(key))
    if (strange.length > 0) await world.redis.del(strange)
    for (const [key, bytes] of dump) await world.redis.restore(key, 0, bytes, "REPLACE")
  }
})

/** Short holds without end, some of one user again and again, flushed all the while; what is asked is done beside them. */
const besideChurn = async (world: World, work: () => Promise<void>): Promise<void> => {
  const stop = new AbortController()
  let checkouts = 0
  const clients = Array.from({ length: 6 }, async (_, client) => {
    for (let i = 0; !stop.signal.aborted; i += 1) {
      const user = i % 4 === 0 ? `often ${client}` : `once ${client}-${i}`, request_id = `at ${i}`, order = `order ${i}`
      await world.issue(user, { request_id })
      expect((await world.reserve(user, order, { request_id })).outcome).toBe("reserved")
      await Bun.sleep(HOLD_PAUSE_MS)
      expect((await world.confirm(user, order)).outcome).toBe("confirmed")
      checkouts += 1
    }
  })
  const flushing = (async () => {
    while (!stop.signal.aborted) {
      await world.flush()
      await Bun.sleep(FLUSH_PAUSE_MS)
    }
  })()
  try {
    await work()
    await until("some checkouts have come to their end", () => checkouts > CHECKOUTS_MIN)
  } finally {
    stop.abort()
    await Promise.all([...clients, flushing])
    await world.flush()
  }
}

/** Longer than a hold: what is open when Redis is read is closed when Postgres is. */
const FLUSH_PAUSE_MS = 30
/** Six clients come to about 200 checkouts a second so, and a few holds are open at any instant. */
const HOLD_PAUSE_MS = 12
const CHURN_RUNS = 3
/** Fewer checkouts beside them would prove little. */
const CHECKOUTS_MIN = 100

test("verify: it lists nothing while the shop is at work, run after run, and what was tampered with meanwhile", async () => {
  const world = await traded()
  const { keys, user } = world.keysOf("ann")
  const [field] = (await world.redis.hkeys(keys.wallet)).filter((name) => name.length > 14)
  const cut = (await world.redis.zrange(dueKey(0), "0", "-1")).find((name) => name.startsWith(`r${user}`))!
  const { redemption_id } = await world.reserve("gus", "order 9", { campaign: 2, request_id: "gift" })
  await besideChurn(world, async () => {
    for (let i = 0; i < CHURN_RUNS; i += 1) {
      const { differences, checked } = await world.verify()
      expect(differences).toEqual([])
      expect(checked).toBeGreaterThan(100)
    }
    await world.redis.hset(openKey(0), "abcdefghijkl", "x")
    await world.redis.zrem(dueKey(0), cut)
    await tamper(world.redis, keys.wallet, field!, (raw) => pack("coupon", { ...unpack("coupon", raw), since_ms: 1 }))
    await world.sql`update redemptions set state = 2 where redemption_id = ${redemption_id}`
    const found = (await world.verify()).differences.map((each) => `${each.what} ${each.field}`)
    for (const each of ["deadline r…abcdefghijkl", `deadline r…${cut.slice(-12)}`, "coupon since_ms", "redemption open"]) expect(found).toContain(each)
  })
})
