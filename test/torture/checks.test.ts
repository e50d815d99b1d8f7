// The checks see what they are for: on a real engine, a small history that is whole, and then one lie in it or in the tables.

import { afterAll, beforeAll, expect, test } from "bun:test"
import { ask } from "../../engine/store/redis.ts"
import { quotaKey } from "../../lua/keys.ts"
import { pack } from "../../lua/records.ts"
import { openStory, type Story } from "../story/story.ts"
import { fresh, issueAsk, openCampaign, reserveAsk, type Say } from "../story/till.ts"
import { chanceFrom } from "./chance.ts"
import { CHECKS, type World } from "./checks.ts"
import { type Scene, shopper } from "./clients.ts"
import type { Act, Heard } from "./history.ts"
import { lookAtCell, type Watched } from "./online.ts"

let story: Story, say: Say
const history: Act[] = []

const write = async (kind: Act["kind"], path: string, body: Record<string, unknown>): Promise<any> => {
  const { status, body: answer } = await say("POST", path, body)
  const at_ms = performance.now()
  history.push({ kind, path, body, first_ms: at_ms, last_ms: at_ms, heard_ms: at_ms, heard: { status, text: JSON.stringify(answer) }, isLeftBehind: false })
  return answer
}

beforeAll(async () => {
  story = await openStory()
  say = story.call
  const { campaign_id, budget_id } = await openCampaign(say, story.now_ms())
  for (const user_id of [fresh("user"), fresh("user")]) {
    const { coupon_id } = await write("issue", "/v1/coupons", issueAsk(campaign_id, user_id))
    const { redemption_id } = await write("reserve", "/v1/redemptions", reserveAsk(user_id, [coupon_id]))
    await write("confirm", `/v1/redemptions/${redemption_id}/confirm`, {})
    await write("refund", `/v1/redemptions/${redemption_id}/refunds`, { refund_id: "all", lines: "all" })
  }
  await write("fund", `/v1/budgets/${budget_id}/additions`, { addition_id: fresh("addition"), amount_minor: 700 })
  expect(history.map(({ heard }) => (heard as Heard).status < 300)).not.toContain(false)
  await story.flush()
}, 120_000)
afterAll(() => story.close())

const faultsOf = async (name: string, told: Partial<World> = {}): Promise<readonly unknown[]> => (await CHECKS.find((check) => check.name === name)!.look({
  sql: story.parts.postgres.sql, say, history, offset_ms: 0, flushed: story.flush, struck_ms: [], followed: { ids: [], after: "" }, watched: { looked_at: 0, faults: [] }, verify: async () => [],
  shelf: { campaigns: [], codes: { campaign_id: "", stock: 0, per_user: 0, unique: [], public: "", limit: 0 }, arenas: [] }, ...told,
})).faults

/** The history with other words in the first act of a kind. */
const lying = (kind: Act["kind"], change: (act: Act) => Partial<Act>): readonly Act[] => {
  const one = history.find((act) => act.kind === kind)!
  return history.map((act) => act === one ? { ...act, ...change(act) } : act)
}
const heardWith = (change: object) => ({ heard }: Act) => ({ heard: { ...heard as Heard, text: JSON.stringify({ ...JSON.parse((heard as Heard).text) as object, ...change }) } })

test("I7, in full: an amount that is not the one that was told, and an act that is another user's", async () => {
  expect(await faultsOf("I7, in full")).toEqual([])
  expect(await faultsOf("I7, in full", { history: lying("reserve", heardWith({ cost_minor: 101 })) })).toHaveLength(1)
  expect(await faultsOf("I7, in full", { history: lying("refund", heardWith({ discount_minor: 1 })) })).toHaveLength(1)
  expect(await faultsOf("I7, in full", { history: lying("fund", ({ body }) => ({ body: { ...body, amount_minor: 701 } })) })).toHaveLength(1)
  expect(await faultsOf("I7, in full", { history: lying("reserve", ({ body }) => ({ body: { ...body, user_id: "another" } })) })).toHaveLength(1)
  const second = history.filter(({ kind }) => kind === "reserve")[1]!
  expect((await faultsOf("I7, in full", { history: lying("reserve", () => ({ body: second.body })) })).length).toBeGreaterThan(0)
})

test("events: one that was told twice, out of turn, not at all, or that nobody made", async () => {
  const { body } = await say("GET", "/v1/events?limit=1000")
  const ids = (body.items as { event_id: string }[]).map(({ event_id }) => event_id), after: string = body.next
  const told = (heard: readonly string[]) => faultsOf("events", { followed: { ids: [...heard], after } })
  expect(await faultsOf("events")).toEqual([])
  expect(await told(ids)).toEqual([])
  expect(await told([...ids, ids[3]!])).toEqual([{ id: ids[3], is: "told twice" }])
  expect(await told(ids.toSpliced(5, 1))).toEqual([{ id: ids[5], is: "not told" }])
  expect((await told(ids.toReversed())).length).toBeGreaterThan(0)
  expect(await told([...ids, "0-99-0"])).toEqual([{ id: "0-99-0", is: "told, and not there" }])
})

test("I6, the states: a redemption that left an end, and a coupon that was issued twice", async () => {
  const { sql } = story.parts.postgres
  expect(await faultsOf("I6, the states")).toEqual([])
  await sql`update events set act = 'cancelled' where act = 'confirmed'`
  expect(await faultsOf("I6, the states")).toHaveLength(2)
  await sql`update events set act = 'confirmed' where act = 'cancelled'`
  const [one] = await sql<{ ref: string }[]>`select ref from events where act = 'issued' limit 1`
  await sql`insert into events (cell, epoch, n, act, at_ms, ref) values (0, 1000000, 0, 'issued', 0, ${one!.ref})`
  expect(await faultsOf("I6, the states")).toHaveLength(1)
  await sql`delete from events where epoch = 1000000`
})

test("I1 I2, while it broke: more held than a cell has, and more lent than there is", async () => {
  const { redis } = story.parts, key = quotaKey(0)
  const seen = async (): Promise<Watched> => { const watched: Watched = { looked_at: 0, faults: [] }; await lookAtCell(redis, 0, watched); return watched }
  const { looked_at, faults } = await seen()
  expect([looked_at > 0, faults, await faultsOf("I1 I2, while it broke"), await faultsOf("I1 I2, while it broke", { watched: { looked_at, faults } })]).toEqual([true, [], ["nobody has looked"], []])
  const put = (field: string, bytes: Buffer) => ask(redis, key, (node) => node.hset(key, field, bytes))
  const gone = (field: string) => ask(redis, key, (node) => node.hdel(key, field))
  await put("b999999", pack("budget", { opens_ms: 0, closes_ms: 1, granted: 100, returned: 0, held: 90, spent: 11 }))
  expect((await seen()).faults.map((fault) => fault.slice(0, 11))).toEqual(["I2: b999999"])
  await gone("b999999")
  await put("vb999999", pack("bank", { total: 100, leases: [[0, 60, 0], [1, 50, 5]] }))
  expect((await seen()).faults.map((fault) => fault.slice(0, 23))).toEqual(["I1: the bank of b999999"])
  await gone("vb999999")
})

test("a no that cannot be: a coupon that was given is unknown, and the engine failed", async () => {
  const answers = [{ status: 201, body: { coupon_id: "given" } }, { status: 404, body: { code: "coupon_unknown" } }, { status: 500, body: { code: "fault" } }]
  let asked = 0
  const liar = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: () => { const { status, body } = answers[Math.min(asked++, 2)]!; return Response.json(body, { status }) } })
  const campaign = { budget_id: "b", campaign_id: "k", stock: 1, per_user: 1, scarce: "nothing" as const }
  const scene: Scene = {
    urls: () => [liar.url.origin], history: [], struck_ms: [], followed: { ids: [], after: "" }, findings: [], yeses: 0, isOver: () => asked >= 3,
    shelf: { campaigns: [campaign], codes: { ...campaign, unique: [], public: "", limit: 0 }, arenas: [] },
  }
  // A client that sends nothing twice at once: the third question is another issue.
  await shopper(scene, Object.assign(() => 1, chanceFrom(1), { happens: () => false }), "shopper")
  await liar.stop(true)
  expect(scene.findings.map((finding) => /"code":"(\w+)"/.exec(finding)?.[1])).toEqual(["coupon_unknown", "fault"])
})
