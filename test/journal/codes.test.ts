/** Codes in the journal: what is flushed, rebuilt, resharded, swept and compared. */
import { expect, test } from "bun:test"
import { loadCodes } from "../../engine/codes/load.ts"
import { claimedCoupon, codePlaces, fieldOf, type Held, heldText, userPlaces } from "../../engine/tickets/places.ts"
import { refuse, settle } from "../../engine/tickets/settle.ts"
import { checkCells } from "../../engine/journal/gate.ts"
import { newCellSweep, sweepOnce } from "../../engine/journal/sweeper.ts"
import { reshard } from "../../engine/journal/reshard.ts"
import { quietLog } from "../../engine/log.ts"
import { run } from "../../engine/store/redis.ts"
import { claim_code } from "../../lua/claim_code.ts"
import { issue } from "../../lua/issue.ts"
import { bucketOf, claimHash, claimsKey, pendingKey, quotaKey, ticketsKey, userHash } from "../../lua/keys.ts"
import { codeHashOf } from "../lua/tickets.ts"
import { pack, unpack } from "../../lua/records.ts"
import { until } from "../support/run_engine.ts"
import { tamper } from "../support/tamper.ts"
import { AGE_MS, DAY_MS, newWorld, NOON, REMEMBER_MS, type World } from "./world.ts"

const CAMPAIGN = { campaign_no: 1, campaign_id: "campaign 1", line: "retail" }
const FINGERPRINT = "as--sent"
/** How long a claim pends beside a check. */
const HELD_MS = 12
const nonceOf = (user: string, attempt: number): string => `${user}-${attempt}`.padEnd(12, "-")

/** A world with two batches of unique codes and a public one. */
const withCodes = async (cells = 1) => {
  const world = await newWorld({ cells })
  await world.shop()
  let of = cells
  const partsOf = () => ({ redis: world.redis, sql: world.sql, cells: of, remember_ms: REMEMBER_MS })
  const load = async (batch_no: number, codes: readonly string[], limit = 0) => {
    await world.sql`insert into code_batches (campaign_no, batch_id, kind, "limit", created_ms) values (1, ${`batch ${batch_no}`}, 'imported', ${limit}, ${NOON}) on conflict do nothing`
    return loadCodes(partsOf(), { batch_no, batch_id: `batch ${batch_no}`, limit, campaign: CAMPAIGN }, codes.map(codeHashOf), world.now())
  }
  const heldOf = (code: string, user_id: string, attempt: number): Held =>
    ({ nonce: nonceOf(user_id, attempt), fingerprint: FINGERPRINT, code: codeHashOf(code), user: userHash(user_id), coupon: claimedCoupon("claim"), campaign_no: 1 })
  const claimOf = (code: string, user_id: string): string => claimHash(codeHashOf(code), userHash(user_id), "claim")
  const claim = (code: string, user_id: string, attempt = 1) => {
    const held = heldOf(code, user_id, attempt), places = codePlaces(held.code, of), claim = claimOf(code, user_id)
    return run(world.redis, claim_code, {
      keys: { ...places.keys, misses: places.misses(1) },
      args: {
        now_ms: world.now(), code: held.code, bucket: places.bucket, claim, claim_bucket: bucketOf(claim, of), nonce: held.nonce, user: held.user, lines: ["retail"],
        missed_as: "one", missed_by: ["key"], misses_max: [1_000], forget_ms: 1_000, due_ms: world.now() + 10_000, grant: heldText(held),
        payload: JSON.stringify({ code: held.code, claim, nonce: held.nonce, coupon: held.coupon, fingerprint: FINGERPRINT, user_id, request_id: "claim" }).slice(0, -1),
      },
    })
  }
  const grant = async (code: string, user_id: string, attempt = 1): Promise<string> => {
    const held = heldOf(code, user_id, attempt)
    if (of > 1) await world.lend("k1", userPlaces(held.user, of).cell, 1)
    const reply = await run(world.redis, issue, {
      keys: userPlaces(held.user, of).keys,
      args: {
        now_ms: world.now(), user: held.user, field: fieldOf(held), campaign: 1, version: 1, fingerprint: FINGERPRINT, valid_ms: 0, holds: [], is_unfunded: 0, held_out: 0,
        is_new: 0, age_ms: AGE_MS, claim: held.nonce, payload: JSON.stringify({ user_id, request_id: "claim", version: 1 }),
      },
    })
    return reply.outcome
  }
  return {
    world, load, claim, grant,
    settle: (code: string, user_id: string, attempt = 1) => settle(partsOf(), claimOf(code, user_id), heldOf(code, user_id, attempt), true, world.now()),
    refuse: (code: string, user_id: string, attempt = 1) => refuse(partsOf(), claimOf(code, user_id), heldOf(code, user_id, attempt), world.now()),
    reshaped: (cells_now: number) => { of = cells_now; world.reshaped(cells_now) },
    /** One code in each state, and every kind of claim. */
    trade: async (): Promise<void> => {
      await load(1, Array.from({ length: 40 }, (_, i) => `unique ${i}`))
      await load(2, ["SUMMER"], 5)
      for (const [i, user] of ["ann", "bob", "cyd"].entries()) await claim(`unique ${i}`, user)
      await grant("unique 0", "ann")
      await settle(partsOf(), claimOf("unique 0", "ann"), heldOf("unique 0", "ann", 1), true, world.now())
      await refuse(partsOf(), claimOf("unique 1", "bob"), heldOf("unique 1", "bob", 1), world.now())
      for (const user of ["dan", "eve", "fay"]) await claim("SUMMER", user)
      await grant("SUMMER", "dan")
      await settle(partsOf(), claimOf("SUMMER", "dan"), heldOf("SUMMER", "dan", 1), true, world.now())
      await refuse(partsOf(), claimOf("SUMMER", "eve"), heldOf("SUMMER", "eve", 1), world.now())
    },
  }
}

const sweep = async ({ redis, sql, ages, now }: World, cells: number): Promise<void> => {
  for (let cell = 0; cell < cells; cell += 1) {
    const state = newCellSweep(cell)
    let rounds = 0
    do await sweepOnce({ redis, sql, log: quietLog, cells, ages: ages(), flushed_ms: now() + 1, journal_bytes_max: 2 ** 40 }, state)
    while (state.codes.under_way !== undefined && ++rounds < 200)
  }
}

for (const cells of [1, 4]) {
  test(`flushed: Postgres has every code and claim as the cells have them, ${cells} cells`, async () => {
    const { world, trade, claim } = await withCodes(cells)
    await trade()
    await world.flush()
    expect(await world.differences()).toEqual([])
    const states = await world.sql<{ state: number; codes: number }[]>`select state, count(*)::integer as codes from codes group by 1 order by 1`
    expect(states.map(({ state, codes }) => [state, codes])).toEqual([[1, 39], [2, 1], [3, 1]])
    expect((await world.sql`select state from code_claims order by state`).map(({ state }) => state)).toEqual([1, 1, 2, 2, 3, 3])
    // A code that was freed is claimed by the same user anew.
    expect((await claim("unique 1", "bob", 2)).outcome).toBe("claimed")
    await world.flush()
    expect(await world.differences()).toEqual([])
  })

  test(`rebuilt: a cell has its codes, claims and marks again, and goes on as before, ${cells} cells`, async () => {
    const { world, trade, claim, grant, settle } = await withCodes(cells)
    await trade()
    await world.flush()
    for (let cell = 0; cell < cells; cell += 1) {
      for (const key of [ticketsKey(cell), claimsKey(cell), pendingKey(cell)]) await world.redis.del(key)
      expect((await world.rebuild(cell)).outcome).toBe("rebuilt")
      await world.gate(cell)
    }
    if (cells > 1) await world.greet()
    await world.flush()
    expect(await world.differences()).toEqual([])
    expect((await claim("unique 0", "gus")).outcome).toBe("code_invalid")
    expect((await claim("unique 0", "ann")).outcome).toBe("replayed")
    expect((await claim("unique 2", "cyd", 2)).outcome).toBe("pending")
    expect(await grant("unique 1", "bob")).toBe("claim_refused")
    expect(await grant("unique 2", "cyd")).toBe("issued")
    await settle("unique 2", "cyd")
    await world.flush()
    expect(await world.differences()).toEqual([])
  })
}

test("resharded: codes and claims move to the cells that the code's hash names", async () => {
  const { world, trade, reshaped, claim } = await withCodes()
  await checkCells({ redis: world.redis, sql: world.sql, cells: 1 })
  await trade()
  await world.flush()
  for (const cells of [7, 1]) {
    expect((await reshard({ redis: world.redis, sql: world.sql, log: quietLog, ages: world.ages(), wait_ms: 1_000 }, cells)).outcome).toBe("resharded")
    reshaped(cells)
    for (let cell = 0; cell < cells; cell += 1) await world.gate(cell)
    if (cells > 1) await world.greet()
    await world.flush()
    expect(await world.differences()).toEqual([])
    expect((await claim("unique 0", "ann")).outcome).toBe("replayed")
    expect((await claim("unique 2", "cyd", 2)).outcome).toBe("pending")
    expect((await claim(`unique ${10 + cells}`, "gus")).outcome).toBe("claimed")
    await world.flush()
    expect(await world.differences()).toEqual([])
  }
})

test("swept: a claim whose process has died is ended as the user's cell says: granted, or refused and free", async () => {
  const { world, load, claim, grant } = await withCodes()
  await load(1, ["A", "B", "C"])
  await claim("A", "ann")
  await claim("B", "bob")
  await grant("B", "bob")
  await sweep(world, 1)
  expect(await world.redis.hlen(pendingKey(0))).toBe(2) // nobody is hurried
  world.later(10_000)
  await sweep(world, 1)
  expect(await world.redis.hlen(pendingKey(0))).toBe(0)
  expect(await grant("A", "ann")).toBe("claim_refused")
  expect((await claim("A", "cyd")).outcome).toBe("claimed")
  expect((await claim("B", "cyd")).outcome).toBe("code_invalid")
  await world.flush()
  expect(await world.differences()).toEqual([])
})

test("dropped: the codes of a campaign that is over leave Redis, the check takes that as equal, and so does a rebuild", async () => {
  const { world, trade, refuse } = await withCodes()
  await trade()
  await world.publish(1, 2, "stopped")
  await sweep(world, 1)
  // What pends keeps its batch.
  expect(await world.redis.hget(quotaKey(0), "t0001")).not.toBeNull()
  await refuse("unique 2", "cyd")
  await refuse("SUMMER", "fay")
  world.later(DAY_MS)
  await sweep(world, 1)
  expect([await world.redis.exists(ticketsKey(0), claimsKey(0)), await world.redis.hget(quotaKey(0), "t0001")]).toEqual([0, null])
  await world.flush()
  expect(await world.differences()).toEqual([])
  await world.rebuild(0)
  await world.gate(0)
  await world.flush()
  expect([await world.redis.exists(ticketsKey(0), claimsKey(0)), await world.differences()]).toEqual([0, []])
})

test("verify: it names a code, a claim and a batch that were tampered with", async () => {
  const { world, trade } = await withCodes()
  await trade()
  await world.flush()
  const [bucket, text] = Object.entries(await world.redis.hgetall(ticketsKey(0))).find(([, text]) => text.endsWith("f0001"))!
  await world.redis.hset(ticketsKey(0), bucket, text.replace("f0001", "s0001"))
  expect((await world.differences()).filter((each) => each.startsWith("code"))).toEqual(["code record", "code record"])
  await world.redis.hset(ticketsKey(0), bucket, text)
  await world.redis.del(claimsKey(0))
  await world.sql`update code_batches set "limit" = 6 where batch_no = 2`
  const found = await world.differences()
  expect(found).toContain("claim record")
  expect(found).toContain("batch t0002.limit")
})

test("verify: it lists nothing while codes are claimed and refused, and a batch's number that was tampered with meanwhile", async () => {
  const { world, load, trade, claim, refuse, settle, grant } = await withCodes()
  await trade()
  await load(3, ["AUTUMN"], 100_000)
  await world.flush()
  let stop = false, claims = 0
  const clients = Array.from({ length: 4 }, async (_, client) => {
    for (let i = 0; !stop; i += 1) {
      const user = `claims ${client}-${i}`
      expect((await claim("AUTUMN", user)).outcome).toBe("claimed")
      await Bun.sleep(HELD_MS)
      if (i % 2 === 0) await refuse("AUTUMN", user)
      else {
        await grant("AUTUMN", user)
        await settle("AUTUMN", user)
      }
      claims += 1
    }
  })
  const flushing = (async () => { while (!stop) { await world.flush(); await Bun.sleep(2 * HELD_MS) } })()
  try {
    for (let i = 0; i < 3; i += 1) expect(await world.differences()).toEqual([])
    await tamper(world.redis, quotaKey(0), "t0003", (raw) => pack("batch", { ...unpack("batch", raw), loaded: 7 }))
    await world.redis.hset(pendingKey(0), "abcdefghijk", "x")
    expect(await world.differences()).toEqual(["batch t0003.loaded", "claim attempt that pends"])
    await until("some claims have come to their end", () => claims > 10)
  } finally {
    stop = true
    await Promise.all([...clients, flushing])
  }
})
