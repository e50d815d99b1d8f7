// Badges through the API: rules are written and activated, levels come from Redis and survive its loss, and rights are claimed once.
import { afterAll, beforeAll, expect, test } from "bun:test"
import { cellOf, hashBytes, levelBucketKey, levelsKey, userHash } from "../../lua/keys.ts"
import { rangeOf } from "../../engine/badges/packed.ts"
import { readLevels } from "../../engine/levels/read.ts"
import { ask, mastersOf } from "../../engine/store/redis.ts"
import { CELLS, openShop, type Shop } from "../support/shop.ts"
import { fresh, openCampaign, yes } from "../story/till.ts"
import { levelsLoaded, publishLevels } from "./published.ts"

/** What a test may take on a machine that does other things too. */
const TEST_MS_MAX = 180_000

const wealth = (more: object = {}) => ({
  line: "wealth", name: "Wealth", effective_month: "2026-05",
  fields: { lc_score: { type: "integer" }, gdlc_jy_flag: { type: "flag" }, hold_amt: { type: "money", unit: "major" } },
  levels: [
    { level: 1, name: "Silver", when: { field: "lc_score", op: ">=", value: "120" } },
    { level: 2, name: "Gold", when: { any: [{ all: [{ field: "lc_score", op: ">=", value: "360" }, { field: "hold_amt", op: ">=", value: "2500.00" }] }, { field: "gdlc_jy_flag", op: "=", value: "1" }] } },
  ],
  downgrade: { grace_months: 2 }, rights: [], change_max_bp: 3_000, ...more,
})

let shop: Shop
beforeAll(async () => { shop = await openShop({ cells: Math.max(CELLS, 2) }) }, TEST_MS_MAX)
afterAll(async () => { await shop.close() }, TEST_MS_MAX)
const put = (badge_id: string, more?: object) => shop.call("PUT", `/v1/badges/${badge_id}`, wealth(more))
const activated = async (more?: object): Promise<string> => {
  const badge_id = fresh("badge")
  const { version } = await yes(put(badge_id, more))
  await yes(shop.call("POST", `/v1/badges/${badge_id}/activate`, { version }))
  return badge_id
}
/** Publish and load: the level that each user has of one badge, and how many months ago he reached it. */
const publish = async (badge_id: string, users: Readonly<Record<string, [level: number, age: number]>>, period = "2026-05") => {
  await shop.parts.postgres.sql`delete from run_periods where job = 'badges'`
  await publishLevels(shop.parts.postgres.sql, period, [{ badge_id, version: 1 }], new Map(Object.entries(users).map(([user_id, [level, age]]) => [user_id, [{ badge: 0, level, age }]])))
  await levelsLoaded(shop.parts, shop.clock.now_ms())
}

test("rules: each other content is a version, the same content is a repeat, and an activated version is told", async () => {
  const badge_id = fresh("badge")
  const first = await put(badge_id)
  expect([first.status, first.body, first.headers.get("idempotency-hit")]).toEqual([201, { badge_id, line: "wealth", version: 1, state: "draft", dry_run: null }, null])
  const again = await put(badge_id)
  expect([again.status, again.body, again.headers.get("idempotency-hit")]).toEqual([201, first.body, "true"])
  expect((await put(badge_id, { name: "Riches" })).body.version).toBe(2)
  expect((await yes(shop.call("GET", `/v1/badges/${badge_id}`))).active_version).toBeNull()
  expect((await shop.call("POST", `/v1/badges/${badge_id}/activate`, { version: 1 })).body).toEqual({ badge_id, line: "wealth", version: 1, state: "active" })
  expect((await shop.call("POST", `/v1/badges/${badge_id}/activate`, { version: 1 })).headers.get("idempotency-hit")).toBe("true")
  expect(await yes(shop.call("GET", `/v1/badges/${badge_id}`))).toMatchObject({ version: 2, state: "draft", active_version: 1, ...wealth({ name: "Riches" }) })
})

test("rules: a line that nobody has named before needs nothing but its name", async () => {
  const line = fresh("line")
  expect((await put(fresh("badge"), { line })).body).toMatchObject({ line, version: 1 })
  const { key } = await yes(shop.call("POST", "/v1/keys", { name: "other", scopes: ["operate"], lines: ["gold"] }))
  const { status, body } = await shop.call("PUT", `/v1/badges/${fresh("badge")}`, wealth({ line }), { key })
  expect([status, body.code, body.line]).toEqual([403, "scope_missing", line])
})

test("request_invalid: what is wrong with rules is named by its place", async () => {
  const when = (condition: unknown) => ({ levels: [{ level: 1, name: "Silver", when: condition }] })
  let deep: object = { field: "lc_score", op: "=", value: "1" }
  for (let i = 0; i < 9; i++) deep = { all: [deep] }
  const wrong: [string, object, string][] = [
    ["an unknown field", when({ field: "nobody", op: ">=", value: "1" }), "levels[0].when.field"],
    ["an unknown field deep inside", when({ any: [{ all: [{ field: "lc_score", op: "=", value: "1" }, { field: "nobody", op: ">=", value: "1" }] }] }), "levels[0].when.any[0].all[1].field"],
    ["a word that is no comparison", when({ field: "lc_score", op: "~", value: "1" }), "levels[0].when.op"],
    ["a threshold that is no number", when({ field: "lc_score", op: ">=", value: "1e3" }), "levels[0].when.value"],
    ["a threshold with three decimals", when({ field: "hold_amt", op: ">=", value: "1.005" }), "levels[0].when.value"],
    ["a number that is no text", when({ field: "lc_score", op: ">=", value: 120 }), "levels[0].when.value"],
    ["in without a list", when({ field: "lc_score", op: "in", value: "1" }), "levels[0].when.value"],
    ["a bad value of a list", when({ field: "lc_score", op: "in", value: ["1", "x"] }), "levels[0].when.value[1]"],
    ["nothing to meet", when({ all: [] }), "levels[0].when.all"],
    ["both all and any", when({ all: [deep], any: [deep] }), "levels[0].when.any"],
    ["too deep", when(deep), "levels[0].when.all[0].all[0].all[0].all[0].all[0].all[0].all[0].all[0]"],
    ["a strange field", when({ field: "lc_score", op: "=", value: "1", not: true }), "levels[0].when.not"],
    ["a level twice", { levels: [wealth().levels[0], wealth().levels[0]] }, "levels[1].level"],
    ["levels that fall", { levels: wealth().levels.toReversed() }, "levels[1].level"],
    ["no levels", { levels: [] }, "levels"],
    ["money without a unit", { fields: { lc_score: { type: "money" } }, ...when({ field: "lc_score", op: "=", value: "1" }) }, "fields.lc_score.unit"],
    ["a type that is none", { fields: { lc_score: { type: "float" } } }, "fields.lc_score.type"],
    ["a column of the feed that is no field", { fields: { ...wealth().fields, dt: { type: "integer" } } }, "fields.dt"],
    ["fields that a database takes for one", { fields: { ...wealth().fields, LC_SCORE: { type: "integer" } } }, "fields.LC_SCORE"],
    ["a right of no level", { rights: [{ level: 3, campaign_id: "c", claim: "automatic" }] }, "rights[0].level"],
    ["no month", { effective_month: "2026-13" }, "effective_month"],
    ["a policy that is none", { downgrade: { grace_months: 0 } }, "downgrade.grace_months"],
    ["more than all users", { change_max_bp: 10_001 }, "change_max_bp"],
  ]
  for (const [what, more, field] of wrong) {
    const { status, body } = await put(fresh("badge"), more)
    expect([what, status, body.code, body.field]).toEqual([what, 400, "request_invalid", field])
  }
})

test("badge_unknown: a badge, a version or a condition's badge that is not there", async () => {
  const other = await put(fresh("badge"), { levels: [{ level: 1, name: "Both", when: { badge: "nobody", op: ">=", level: 1 } }] })
  expect([other.status, other.body.code, other.body.badge_id]).toEqual([404, "badge_unknown", "nobody"])
  expect((await shop.call("POST", `/v1/badges/${fresh("badge")}/activate`, { version: 1 })).body.code).toBe("badge_unknown")
  for (const version of [9, Number.MAX_SAFE_INTEGER]) expect((await shop.call("POST", `/v1/badges/${await activated()}/activate`, { version })).body.code).toBe("badge_unknown")
  expect((await shop.call("POST", `/v1/users/${fresh("user")}/badges/${fresh("badge")}/activate`)).body.code).toBe("badge_unknown")
})

test("badge_cycle: badges that would judge each other are refused, with the way around", async () => {
  const [a, b] = [fresh("a"), fresh("b")]
  const looksAt = (badge: string) => ({ levels: [{ level: 1, name: "One", when: { all: [{ field: "lc_score", op: ">", value: "0" }, { badge, op: ">=", level: 1 }] } }] })
  await yes(put(a))
  await yes(put(b, looksAt(a)))
  const circle = await put(a, looksAt(b))
  expect([circle.status, circle.body.code, circle.body.badges]).toEqual([409, "badge_cycle", [a, b, a]])
  expect((await put(b, looksAt(b))).body.code).toBe("badge_cycle")
})

test("levels: the last published month is answered from Redis, with the month in which each level was reached", async () => {
  const badge_id = await activated()
  const [ann, ben, nobody] = [fresh("ann"), fresh("ben"), fresh("nobody")]
  await publish(badge_id, { [ann]: [2, 0], [ben]: [1, 14] })
  const of = async (user_id: string) => (await yes(shop.call("GET", `/v1/users/${user_id}/badges`))).badges
  expect(await of(ann)).toEqual([{ badge_id, line: "wealth", level: 2, name: "Gold", period: "2026-05", since_period: "2026-05", active: true }])
  expect(await of(ben)).toEqual([{ badge_id, line: "wealth", level: 1, name: "Silver", period: "2026-05", since_period: "2025-03", active: true }])
  expect(await of(nobody)).toEqual([])
  const { key } = await yes(shop.call("POST", "/v1/keys", { name: "other", scopes: ["read"], lines: ["gold"] }))
  expect((await shop.call("GET", `/v1/users/${ann}/badges`, undefined, { key })).body).toEqual({ badges: [] })

  await publish(badge_id, { [ben]: [2, 0] }, "2026-06")
  expect(await of(ann)).toEqual([])
  expect((await of(ben))[0]).toMatchObject({ level: 2, period: "2026-06" })
})

test("levels: a Redis that has lost them is not believed, and gets them back", async () => {
  const badge_id = await activated()
  const ann = fresh("ann")
  await publish(badge_id, { [ann]: [2, 3] })
  const user = userHash(ann), cell = cellOf(user, shop.parts.cells)
  const held = await readLevels(shop.parts, user)
  expect(held.map(({ level, since_period }) => [level, since_period])).toEqual([[2, "2026-02"]])
  for (const redis of mastersOf(shop.parts.redis)) for (const key of await redis.keys("{c*}l*")) await redis.unlink(key)
  expect(await readLevels(shop.parts, user)).toEqual(held)
  while (await ask(shop.parts.redis, levelsKey(cell), (node) => node.exists(levelsKey(cell))) === 0) await levelsLoaded(shop.parts, shop.clock.now_ms())
  expect(await readLevels(shop.parts, user)).toEqual(held)
})

test("levels: the month before leaves Redis when nobody reads it any more, and not sooner", async () => {
  const badge_id = await activated()
  const users = Object.fromEntries(Array.from({ length: 9_000 }, (_, i): [string, [number, number]] => [fresh(`u${i}`), [1 + i % 2, i % 30]]))
  await publish(badge_id, users)
  await publish(badge_id, users, "2026-06")
  const kept = async () => new Set((await Promise.all(mastersOf(shop.parts.redis).map((redis) => redis.keys("{c*}l*.*")))).flat().map((key) => /l(\d+)\./.exec(key)![1])).size
  const inCell = (field: string) => ask(shop.parts.redis, levelsKey(0), (node) => node.hget(levelsKey(0), field))
  expect(await kept()).toBeGreaterThanOrEqual(2)
  const later_ms = shop.clock.now_ms() + 61_000
  await levelsLoaded(shop.parts, later_ms)
  const [latest] = await shop.parts.postgres.sql<{ generation: number }[]>`select generation from level_generations g join run_periods p using (run_id) where p.job = 'badges' order by p.period desc limit 1`
  expect(await inCell("generation")).toBe(String(latest!.generation))
  expect(await inCell("old")).toBeNull()
  for (const [user_id, [level]] of Object.entries(users).slice(0, 100)) expect((await readLevels(shop.parts, userHash(user_id)))[0]).toMatchObject({ level, period: "2026-06" })
})

test("levels: a user with four of them takes at most 40 bytes of Redis, and a load that was cut short goes on where it was", async () => {
  const badges = await Promise.all([1, 2, 3, 4].map(() => activated()))
  const users = 40_000
  const four = badges.map((_, badge) => ({ badge, level: 2, age: 7 }))
  const own = await openShop({ cells: 1, own: true, topology: "one" })
  for (const badge_id of badges) await yes(own.call("PUT", `/v1/badges/${badge_id}`, wealth()))
  await publishLevels(own.parts.postgres.sql, "2026-05", badges.map((badge_id) => ({ badge_id, version: 1 })), new Map(Array.from({ length: users }, (_, i) => [`user-${i}`, four])))
  const used = async () => Number(/^used_memory:(\d+)/m.exec(await mastersOf(own.parts.redis)[0]!.info("memory"))![1])
  const before = await used()
  await levelsLoaded(own.parts, own.clock.now_ms())
  const bytes = (await used() - before) / users
  const levelsOf = async (user: number) => (await readLevels(own.parts, userHash(`user-${user}`))).map(({ badge_id }) => badge_id)
  expect(await levelsOf(7)).toEqual(badges)
  // As a process leaves it that dies when three of five blocks are there: what they hold is not written again, and the rest is.
  const redis = mastersOf(own.parts.redis)[0]!, { generation, blocks } = (await own.parts.generations.latest())!
  const [buckets, at_block] = [Number(await redis.hget(levelsKey(0), "buckets")), 3]
  for (let bucket = 0; bucket < buckets; bucket += 1) await redis.del(levelBucketKey(0, generation, bucket))
  await redis.hset(levelsKey(0), "loading", `${generation}.${buckets}.1`, "loaded_blocks", at_block)
  await redis.hdel(levelsKey(0), "generation")
  await levelsLoaded(own.parts, own.clock.now_ms())
  expect(blocks).toBe(5)
  for (const user of [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]) {
    expect([user, await levelsOf(user)]).toEqual([user, rangeOf(hashBytes(userHash(`user-${user}`)), blocks) < at_block ? [] : badges])
  }
  await own.close()
  expect(bytes).toBeGreaterThan(12)
  expect(bytes).toBeLessThan(40)
}, TEST_MS_MAX)

test("badge_not_held: only who has the level claims its rights", async () => {
  const badge_id = await activated()
  await publish(badge_id, { [fresh("ann")]: [1, 0] })
  const { status, body } = await shop.call("POST", `/v1/users/${fresh("ben")}/badges/${badge_id}/activate`)
  expect([status, body.code]).toEqual([409, "badge_not_held"])
})

test("claims: rights that wait are issued once, and the level is active from then on", async () => {
  const { campaign_id } = await openCampaign(shop.call, shop.clock.now_ms())
  const { campaign_id: sold_out } = await openCampaign(shop.call, shop.clock.now_ms(), { stock: 0 })
  const badge_id = await activated({ rights: [{ level: 2, campaign_id, claim: "activate" }, { level: 1, campaign_id: sold_out, claim: "activate" }] })
  const [ann, ben] = [fresh("ann"), fresh("ben")]
  await publish(badge_id, { [ann]: [2, 0], [ben]: [1, 0] })
  const active = async (user_id: string) => (await yes(shop.call("GET", `/v1/users/${user_id}/badges`))).badges[0].active
  expect(await active(ann)).toBe(false)
  const first = await shop.call("POST", `/v1/users/${ann}/badges/${badge_id}/activate`)
  expect([first.status, first.body]).toEqual([200, { badge_id, user_id: ann, level: 2, period: "2026-05", active: true, rights: [{ campaign_id, coupon_id: expect.any(String) }] }])
  const again = await shop.call("POST", `/v1/users/${ann}/badges/${badge_id}/activate`)
  expect([again.body, again.headers.get("idempotency-hit")]).toEqual([first.body, "true"])
  expect(await active(ann)).toBe(true)
  expect((await yes(shop.call("GET", `/v1/campaigns/${campaign_id}`))).issued).toBe(1)
  const none = await shop.call("POST", `/v1/users/${ben}/badges/${badge_id}/activate`)
  expect([none.status, none.body.code, await active(ben)]).toEqual([409, "stock_exhausted", false])
})
