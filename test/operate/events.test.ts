import { expect, test } from "bun:test"
import { type Caller, SCOPES } from "../../engine/answers.ts"
import type { EventsAnswer, ListEventsAsk } from "../../engine/contract/events.ts"
import { reshard } from "../../engine/journal/reshard.ts"
import { checkCells } from "../../engine/journal/gate.ts"
import { quietLog } from "../../engine/log.ts"
import { openCatalogue } from "../../engine/operate/catalogue.ts"
import { listEventsWith } from "../../engine/operate/events.ts"
import type { Parts } from "../../engine/parts.ts"
import { NOON, newWorld, type World } from "../journal/world.ts"

/** A shop whose campaigns have terms, so that the catalogue can tell them. */
const newShop = async (options: { cells?: number } = {}): Promise<World> => {
  const world = await newWorld(options)
  await world.sql`update campaigns set body = ${JSON.stringify({
    name: "c", currency: "CNY", kind: "amount_off", terms: { amount_minor: 300 }, threshold_minor: 0, starts_at: new Date(NOON).toISOString(), ends_at: new Date(NOON + 1).toISOString(),
    stock: 1, per_user: 1, hold_at: "reserve", on_refund: "keep", funding: [], stacking: {},
  })}::text::jsonb`
  return world
}

const caller: Caller = { now_ms: NOON, key_id: "k", scopes: SCOPES, lines: ["*"] }
const PAGES_MAX = 10_000

/** Somebody who follows: he remembers what he was told and where he is. */
const follower = (world: World, limit: number, who: Caller = caller) => {
  const list = listEventsWith({ postgres: { sql: world.sql }, catalogue: openCatalogue(world.sql, "UTC") } as unknown as Parts)
  const items: EventsAnswer["items"] = []
  let after: string | undefined
  const page = async (ask: Partial<ListEventsAsk> = {}): Promise<EventsAnswer> => {
    const answered = await list({ limit, ...(after === undefined ? {} : { after }), ...ask }, who)
    if (answered.outcome !== "found") throw new Error(answered.outcome)
    return answered.body as EventsAnswer
  }
  return {
    items, page,
    /** Until nothing new is there, three times in a row: a page may be empty of what the caller may see. */
    follow: async (): Promise<void> => {
      for (let pages = 0, empty = 0; empty < 3; pages += 1) {
        if (pages > PAGES_MAX) throw new Error("the events do not end")
        const told = await page()
        items.push(...told.items)
        after = told.next
        empty = told.items.length === 0 ? empty + 1 : 0
      }
    },
  }
}

const stored = async ({ sql }: World): Promise<string[]> => (await sql<{ id: string }[]>`select cell || '-' || epoch || '-' || n as id from events`).map(({ id }) => id).sort()

test("found: each event once and each cell's in their order, across restarts, a rebuild and another number of cells", async () => {
  const world = await newShop()
  const followers = [1, 3, 1000].map((limit) => follower(world, limit))
  const follow = () => Promise.all(followers.map((each) => each.follow()))
  await checkCells({ redis: world.redis, sql: world.sql, cells: 1 })
  await world.shop()
  await follow() // nothing is flushed yet, or only what was
  await world.trade()
  await world.flush()
  await follow()
  await world.restart()
  await world.gate()
  await world.issue("hal")
  await world.flush()
  await world.rebuild()
  await world.gate()
  await world.issue("ivy")
  await world.flush()
  await followers[0]!.follow() // one has heard of it, the others not
  const parts = { redis: world.redis, sql: world.sql, log: quietLog, ages: world.ages(), wait_ms: 200 }
  for (const cells of [5, 2]) {
    expect((await reshard(parts, cells)).outcome).toBe("resharded")
    world.reshaped(cells)
    for (let cell = 0; cell < cells; cell += 1) await world.gate(cell)
    for (const user of ["jon", "kim", "lea", "max", "ned"]) await world.issue(user, { request_id: `with ${cells}` })
    await world.flush()
    await followers[1]!.follow()
  }
  await follow()
  const all = await stored(world)
  expect(all.length).toBeGreaterThan(30)
  for (const { items } of followers) {
    expect(items.map(({ event_id }) => event_id).sort()).toEqual(all)
    for (const of of Map.groupBy(items, ({ cell }) => cell).values()) {
      const ids = of.map(({ event_id }) => event_id.split("-").slice(1).map(Number) as [number, number])
      expect(ids.toSorted(([a, n], [b, m]) => a - b || n - m)).toEqual(ids)
    }
  }
})

test("found: an event says what it changed, with a made-up number for the user and his id nowhere", async () => {
  const world = await newShop()
  await world.shop()
  await world.trade()
  await world.flush()
  const { items, follow } = follower(world, 100)
  await follow()
  const confirmed = items.find(({ act }) => act === "confirmed")!
  expect(confirmed).toMatchObject({
    cell: 0, budgets: [{ budget_id: "retail", limit_minor: 0, held_minor: -300, spent_minor: 300 }],
    campaigns: [{ campaign_id: "campaign 1", stock: 0, issued: 0, revoked: 0, reserved: -1, redeemed: 1 }],
  })
  expect(confirmed.user_no).toBeGreaterThan(0)
  expect(items.find(({ act }) => act === "opened")).toMatchObject({ user_no: null, budgets: [], campaigns: [], payload: { tail: "0-0" } })
  for (const user of ["ann", "bob", "cyd", "dan", "eve", "fay", "gus"]) expect(JSON.stringify(items)).not.toContain(`"${user}"`)
})

test("found: a busy cell does not keep the others waiting, and an entry in quarantine stops nobody", async () => {
  const world = await newWorld({ cells: 3 })
  for (let cell = 0; cell < 3; cell += 1) await world.gate(cell)
  await world.flush()
  await world.sql`insert into events (cell, epoch, n, act, at_ms) select 0, 1, n, 'tick', ${NOON} from generate_series(1, 500) n`
  await world.sql`update cells set n = 501 where cell = 0` // 501 lies in quarantine
  const { page } = follower(world, 10)
  const cells: number[] = []
  let after: string | undefined
  for (let pages = 0; pages < 3; pages += 1) {
    const told = await page(after === undefined ? {} : { after })
    cells.push(...told.items.map(({ cell }) => cell))
    after = told.next
  }
  expect(new Set(cells)).toEqual(new Set([0, 1, 2]))
  const all = follower(world, 7)
  await all.follow()
  expect(all.items.map(({ event_id }) => event_id).sort()).toEqual(await stored(world))
})

test("found: a key of one line hears of its own, and of nobody's house-keeping", async () => {
  const world = await newShop()
  await world.shop()
  await world.sql`update budgets set line = 'wealth' where budget_id = 'prepaid'`
  await world.sql`update campaigns set line = 'wealth' where campaign_no = 2`
  await world.trade()
  await world.flush()
  const wealth = follower(world, 4, { ...caller, lines: ["wealth"] })
  const none = follower(world, 4, { ...caller, lines: ["lending"] })
  await wealth.follow()
  await none.follow()
  expect(none.items).toEqual([])
  expect(wealth.items.length).toBeGreaterThan(3)
  expect(new Set(wealth.items.flatMap(({ budgets, campaigns }) => [...budgets.map(({ budget_id }) => budget_id), ...campaigns.map(({ campaign_id }) => campaign_id)]))).toEqual(new Set(["prepaid", "campaign 2"]))
})

test("request_invalid: a place that is none of ours names the field", async () => {
  const world = await newWorld()
  const list = listEventsWith({ postgres: { sql: world.sql } } as unknown as Parts)
  for (const after of ["x", "AQ", "-", "____________________", "AAAA"]) expect(await list({ after, limit: 1 }, caller)).toMatchObject({ outcome: "request_invalid", field: "after" })
})
