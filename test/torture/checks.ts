/**
 * What must be true once everybody is silent: one invariant an object, each of which gives back what breaks it.
 *
 * The numbers are those of the list of invariants that systems like this one are held to: I1 to I10. Each looks at the tables, at
 * Redis or at the history itself, and none trusts the code that it checks: the only code of the engine here is its own `verify`, and what
 * that compares is compared again by other ways (I5, I6, I7).
 */
import type { Sql } from "../../engine/store/postgres.ts"
import { imbalances } from "../story/conservation.ts"
import { fresh, type Say } from "../story/till.ts"
import { ACTS_MIN, judgeArena, type Judged } from "./arena.ts"
import { follow, pageAfter, type Scene } from "./clients.ts"
import { type Act, type ActKind, isUncertain, yesOf } from "./history.ts"
import { madeBy, type Place, type Window, windowsOf } from "./made.ts"
import type { Watched } from "./online.ts"
import type { Shelf } from "./shelf.ts"

export interface World {
  readonly sql: Sql
  readonly say: Say
  readonly history: readonly Act[]
  readonly shelf: Shelf
  /** When a nemesis began to strike. */
  readonly struck_ms: readonly number[]
  /** What was seen of the quotas while everything broke. */
  readonly watched: Watched
  /** What one who followed the events was told, and where he goes on. */
  readonly followed: Scene["followed"]
  /** By how much Redis' clock is ahead of the history's. */
  readonly offset_ms: number
  /** Every difference that the engine's own check finds: I1 to I4 of every quota, I9 of everything. */
  verify(): Promise<readonly unknown[]>
  /** Resolve when Postgres has all that was decided until now. */
  flushed(): Promise<void>
}

export interface Check {
  readonly name: string
  readonly says: string
  /** Throws Unanswered where somebody is never answered, which breaks it too. */
  look(world: World): Promise<Found>
}
/** What breaks a check, and what was counted on the way. */
export interface Found { readonly faults: readonly unknown[]; readonly counted?: Readonly<Record<string, number>> }

/** More faults than a person reads. */
export const FAULTS_MAX = 20
/** Repeats that are asked at once. */
const AT_ONCE = 8
/** A claim that was cut short is brought to its end by the sweeper within this. */
const CLAIMS_MS_MAX = 60_000
const CLAIMS_POLL_MS = 200
/** So many yeses are asked again with other words. */
const OTHER_WORDS_MAX = 400

/** Do one after the other, some at once; the first that throws is the last that is begun. */
const byAll = async <T>(all: readonly T[], one: (each: T) => Promise<void>): Promise<void> => {
  const left = [...all]
  const ends = await Promise.allSettled(Array.from({ length: AT_ONCE }, async () => {
    try { for (let each = left.pop(); each !== undefined; each = left.pop()) await one(each) } catch (fault) { left.length = 0; throw fault }
  }))
  for (const end of ends) if (end.status === "rejected") throw end.reason
}

/** The id by which the tables know an act. */
const idOf = ({ kind, path, body }: Act): string => {
  const named: Record<ActKind, () => unknown> = {
    issue: () => body["request_id"], claim: () => body["request_id"], reserve: () => body["order_id"], fund: () => body["addition_id"],
    confirm: () => path.split("/")[3], cancel: () => path.split("/")[3], refund: () => path.split("/")[3],
  }
  return String(named[kind]())
}

/** An act as the tables have it: how often, and where its entry stands. */
interface There extends Place { readonly times: number }

/** Which acts are in the tables, by what names each there. */
const readThere = async (sql: Sql): Promise<(act: Act) => There | undefined> => {
  type Row = { id: string; times: number } & Place
  const byId = async (rows: PromiseLike<readonly Row[]>): Promise<Map<string, There>> =>
    new Map((await rows).map(({ id, times, cell, epoch, n, at_ms }) => [id, { times: Number(times), cell, epoch, n: Number(n), at_ms: Number(at_ms) }]))
  // The place of the first, where there are more: that there are is a fault of its own.
  const first = sql`count(*) as times, (array_agg(e.cell order by e.epoch, e.n))[1] as cell, (array_agg(e.epoch order by e.epoch, e.n))[1] as epoch,
    (array_agg(e.n order by e.epoch, e.n))[1] as n, min(e.at_ms) as at_ms`
  const events = (act: string) => byId(sql<Row[]>`select e.ref as id, ${first} from events e where e.act = ${act} group by 1`)
  const issued = await byId(sql<Row[]>`select c.request_id as id, ${first} from coupons c join events e on e.act = 'issued' and e.ref = c.coupon_id group by 1`)
  const there: Record<ActKind, Map<string, There>> = {
    issue: issued, claim: issued,
    reserve: await byId(sql<Row[]>`select r.order_id as id, ${first} from redemptions r join events e on e.act = 'reserved' and e.ref = r.redemption_id group by 1`),
    confirm: await events("confirmed"), cancel: await events("cancelled"), refund: await events("refunded"),
    fund: await byId(sql<Row[]>`select e.ref as id, ${first} from budget_entries e where e.act = 'funded' and e.ref is not null group by 1`),
  }
  return (act) => there[act.kind].get(idOf(act))
}

/** Which acts are in the tables, and when each of them was made. */
const readMade = async ({ sql, history, offset_ms }: World): Promise<{ thereOf: (act: Act) => There | undefined; windows: ReadonlyMap<Act, Window> }> => {
  const thereOf = await readThere(sql)
  return { thereOf, windows: windowsOf(history, thereOf, offset_ms) }
}

const agrees: Check = {
  name: "I1 I2 I3 I4 I9",
  says: "no quota is over or lent twice, and Redis is, field by field, what the events of Postgres add up to",
  look: async ({ verify, flushed }) => {
    const faults = await verify()
    if (faults.length === 0) return { faults }
    // A request that its client gave up may have been served while this was looked at; what is wrong stays wrong.
    await flushed()
    return { faults: await verify(), counted: { looked_at_again: faults.length } }
  },
}

const balances: Check = {
  name: "I4 I5",
  says: "a budget's limit is what is available, held and spent; its ledger, its open holds and its redemptions say the same",
  look: async ({ say, sql }) => ({ faults: await imbalances({ call: say, sql, verify: async () => [] }) }),
}

const limits: Check = {
  name: "I6",
  says: "no stock, no user's limit, no coupon and no code was used beyond what it allows",
  look: async ({ sql, shelf }) => {
    const campaigns = await sql<{ campaign_id: string; issued: number; most: number }[]>`
      select campaign_id, sum(n)::int as issued, max(n)::int as most from (
        select k.campaign_id, c.user_no, count(*) filter (where c.state <> 5) as n from coupons c join campaigns k using (campaign_no) group by 1, 2
      ) each group by 1`
    const over = campaigns.filter(({ campaign_id, issued, most }) => {
      const limit = [...shelf.campaigns, shelf.codes].find((each) => each.campaign_id === campaign_id)
      return limit !== undefined && (issued > limit.stock || most > limit.per_user)
    })
    const shared = await sql`
      select coupon, array_agg(redemption_id) as live from (
        select r.redemption_id, left(r.redemption_id, 22) || (c.value->>0) as coupon from redemptions r, json_array_elements(r.head->8) c where r.state in (1, 2, 5)
      ) each group by coupon having count(*) > 1`
    const claims = await sql`
      select c.code_hash, count(*) as granted, b."limit" from code_claims c join code_batches b using (batch_no) where c.state = 2
      group by c.code_hash, b."limit" having count(*) > greatest(b."limit", 1)`
    return { faults: [...over, ...shared, ...claims] }
  },
}

const codes: Check = {
  name: "codes",
  says: "every claim has come to an end: granted with its coupon, or freed without one",
  look: async ({ sql }) => {
    const until = performance.now() + CLAIMS_MS_MAX
    for (;;) {
      const open = await sql`select claim_hash, since_ms from code_claims where state = 1`
      if (open.length === 0 || performance.now() > until) {
        const without = await sql`
          select c.claim_hash, c.state from code_claims c join users u using (user_no)
          where c.state in (2, 3) and (c.state = 2) <> exists (select 1 from coupons k where k.user_no = c.user_no and left(k.coupon_id, 36) = u.user_hash || left(c.coupon, 14))`
        const counted = await sql<{ state: number; n: number }[]>`select state, count(*)::int as n from code_claims group by 1`
        const of = (state: number) => counted.find((row) => row.state === state)?.n ?? 0
        return { faults: [...open, ...without], counted: { granted: of(2), freed: of(3) } }
      }
      await Bun.sleep(CLAIMS_POLL_MS)
    }
  },
}

/** An order in which no act stands before one that had been answered before it was asked for, nor long before the instant that its entry says. */
const inTime: Check = {
  name: "I8, in time",
  says: "the entries of a cell stand in an order that what was asked and heard allows",
  look: async (world) => {
    const { windows } = await readMade(world)
    return { faults: [...windows].filter(([, { from_ms, to_ms }]) => from_ms > to_ms).map(([act, made]) => ({ act, made })), counted: { entries: windows.size } }
  },
}

const chain: Check = {
  name: "I8",
  says: "the entries of each cell and epoch are 0 to n without a hole or a repeat, and epochs rise in time",
  look: async ({ sql }) => ({
    faults: [
      ...await sql`select cell, epoch, min(n) as first, max(n) as last, count(*) as entries from events group by cell, epoch having min(n) <> 0 or max(n) <> count(*) - 1`,
      ...await sql`select * from (select cell, epoch, min(at_ms) as begins, lag(max(at_ms)) over (partition by cell order by epoch) as before from events group by cell, epoch) each where begins < before`,
      ...await sql`select cell, epoch, n, reason from quarantine`,
    ],
  }),
}

/** What was followed while everything broke, and to the end now, is what the tables have: each event once, those of a cell in their order. */
const followed: Check = {
  name: "events",
  says: "who followed the events was told each once, and those of a cell in their order",
  look: async ({ sql, say, flushed, followed: { ids, after } }) => {
    await flushed()
    const heard = { ids: [...ids], after }
    // Bounded: each page but the last has items, and nobody asks for anything meanwhile but what time alone brings.
    for (;;) {
      const { status, body } = await say("GET", pageAfter(heard.after))
      if (status !== 200) return { faults: [{ status, body }] }
      if (follow(heard, body) === 0) break
    }
    const faults: unknown[] = []
    const told = new Set<string>(), last = new Map<string, readonly [epoch: number, n: number]>()
    for (const id of heard.ids) {
      const [cell, epoch, n] = id.split("-") as [string, string, string]
      const [before_epoch, before_n] = last.get(cell) ?? [0, -1]
      if (told.has(id)) faults.push({ id, is: "told twice" })
      else if (Number(epoch) < before_epoch || (Number(epoch) === before_epoch && Number(n) <= before_n)) faults.push({ id, is: `told after ${before_epoch}-${before_n}` })
      told.add(id)
      last.set(cell, [Number(epoch), Number(n)])
    }
    for (const { id } of await sql<{ id: string }[]>`select cell || '-' || epoch || '-' || n as id from events`) if (!told.delete(id)) faults.push({ id, is: "not told" })
    for (const id of told) faults.push({ id, is: "told, and not there" })
    return { faults, counted: { told: heard.ids.length, while_it_broke: ids.length } }
  },
}

/** What may become of a redemption, as the acts on it in their order; an expired one whose payment was taken may be confirmed late. */
const LIFE = /^reserved( extended)*( cancelled|( expired)?( confirmed( refunded)*)?)$/

const lives: Check = {
  name: "I6, the states",
  says: "a coupon is issued once, and what became of each redemption is a way through its states: nothing leaves one that is an end",
  look: async ({ sql }) => {
    const all = await sql<{ ref: string; life: string }[]>`
      select ref, string_agg(act, ' ' order by epoch, n) as life from events where act in ('reserved', 'extended', 'confirmed', 'cancelled', 'expired', 'refunded') group by ref`
    const twice = await sql`select ref, count(*) as times from events where act = 'issued' group by ref having count(*) > 1`
    return { faults: [...all.filter(({ life }) => !LIFE.test(life)), ...twice], counted: { redemptions: all.length } }
  },
}

/** What an act was about, as the tables have it: money to the unit, and whose it was. */
const inFull: Check = {
  name: "I7, in full",
  says: "the amount and the user of each yes are those in the tables",
  look: async ({ sql, history }) => {
    const map = async <R extends { id: string }>(rows: PromiseLike<readonly R[]>): Promise<Map<string, R>> => new Map((await rows).map((row) => [row.id, row]))
    const coupons = await map(sql<{ id: string; user_no: number }[]>`select coupon_id as id, user_no from coupons`)
    const redemptions = await map(sql<{ id: string; user_no: number; minor: number }[]>`
      select redemption_id as id, user_no, (select sum((c.value->>2)::bigint) from json_array_elements(head->8) c)::bigint as minor from redemptions`)
    const funded = await map(sql<{ id: string; minor: number }[]>`select ref as id, sum(limit_minor)::bigint as minor from budget_entries where act = 'funded' and ref is not null group by 1`)
    const refunded = await map(sql<{ id: string; minor: number }[]>`select redemption_id as id, sum(discount_minor)::bigint as minor from refunds group by 1`)
    const users = new Map<string, number>(), faults: unknown[] = []
    const counted = { amounts: 0, users: 0 }
    const isMinor = (act: Act, row: { minor: number } | undefined, minor: number) => {
      counted.amounts += 1
      if (Number(row?.minor) !== minor) faults.push({ act, row })
    }
    const isUser = (act: Act, row: { user_no: number } | undefined) => {
      const user_id = String(act.body["user_id"]), before = users.get(user_id)
      if (!row || (before !== undefined && before !== row.user_no)) faults.push({ act, row, before })
      else users.set(user_id, row.user_no)
    }
    for (const act of history) {
      const yes = yesOf(act)
      if (!yes) continue
      if (act.kind === "issue" || act.kind === "claim") isUser(act, coupons.get(yes["coupon_id"]))
      if (act.kind === "reserve") { isUser(act, redemptions.get(yes["redemption_id"])); isMinor(act, redemptions.get(yes["redemption_id"]), yes["cost_minor"]) }
      if (act.kind === "fund") isMinor(act, funded.get(String(act.body["addition_id"])), act.body["amount_minor"] as number)
      if (act.kind === "refund") isMinor(act, refunded.get(idOf(act)), yes["discount_minor"])
    }
    counted.users = users.size
    const nos = new Set(users.values())
    if (nos.size !== users.size) faults.push({ users: users.size, and_in_the_tables: nos.size })
    return { faults, counted }
  },
}

/** Every yes is there once, every no left nothing, and the repeat of what nobody heard tells which it was. */
const exactlyOnce: Check = {
  name: "I7",
  says: "every yes is there exactly once, its repeat says the same; every no left nothing; a repeat tells what became of every unknown",
  look: async (world) => {
    const { say, history, flushed } = world
    const { thereOf, windows } = await readMade(world)
    const counted = { yes: 0, no: 0, made_after_a_no: 0, unknown: 0, unknown_and_there: 0 }
    const faults: unknown[] = []
    await byAll(history, async (act) => {
      const there = thereOf(act), { heard } = act
      const times = there?.times ?? 0
      if (heard !== "unknown" && heard.status >= 300) {
        counted.no += 1
        if (times === 0) return
        // The no was true of its own attempt only if one that was given up made the act afterwards.
        const made = windows.get(act)!, by = madeBy(act, made)
        if (by !== "given_up") { faults.push({ act, there, made, by }); return }
        counted.made_after_a_no += 1
      }
      const again = await say("POST", act.path, act.body)
      const isYes = again.status < 300
      if (isUncertain(act)) {
        counted.unknown += 1
        counted.unknown_and_there += times
        // What is there must be a yes when it is asked again; what is not may be either now.
        if (times > 1 || (times === 1 && !isYes)) faults.push({ act, there, again })
        return
      }
      counted.yes += 1
      if (heard === "unknown") throw new Error("an act that nobody heard of is no yes")
      if (times !== 1 || again.status !== heard.status || JSON.stringify(again.body) !== heard.text) faults.push({ act, there, again })
    })
    await flushed()
    return { faults, counted }
  },
}

/** The same ids with other words. */
const otherWords = ({ kind, path, body }: Act): { path: string; body: Record<string, unknown> } | undefined => {
  if (kind === "issue" || kind === "claim") return { path, body: { ...body, channel: "another" } }
  if (kind === "reserve") return { path, body: { ...body, hold_s: 77 } }
  if (kind === "refund") return { path, body: { ...body, lines: [{ line_id: "l1", quantity: 1 }] } }
  return kind === "fund" ? { path, body: { ...body, amount_minor: 1 } } : undefined
}

/** Every code is claimed once more by somebody new. What is left of them tells of codes that were spent without a coupon, or could be claimed twice. */
const codesToTheEnd: Check = {
  name: "codes, to the end",
  says: "a code that one user was given is given to no other, one that is left to one more; then each has its coupon, and a public one as many as it allows",
  look: async ({ sql, say, shelf: { codes: { campaign_id, unique, public: open, limit } }, history, flushed }) => {
    const given = new Map<unknown, number>()
    for (const act of history) if (act.kind === "claim" && yesOf(act)) given.set(act.body["code"], (given.get(act.body["code"]) ?? 0) + 1)
    const faults: unknown[] = unique.filter((code) => (given.get(code) ?? 0) > 1).map((code) => ({ code, given: given.get(code) }))
    const claim = async (code: string): Promise<void> => {
      const { status, body } = await say("POST", "/v1/codes/claim", { request_id: fresh("claim"), code, user_id: fresh("late") })
      if (status < 300) given.set(code, (given.get(code) ?? 0) + 1)
      else if (body.code !== "code_invalid") faults.push({ code, status, body })
      if (status < 300 && code !== open && given.get(code) !== 1) faults.push({ code, given: given.get(code) })
    }
    await byAll(unique, claim)
    await byAll(Array.from({ length: limit + 1 }, () => open), claim)
    await flushed()
    const [has] = await sql<{ unique: number; public: number; coupons: number }[]>`
      select count(distinct c.code_hash) filter (where b."limit" = 0)::int as unique, count(*) filter (where b."limit" > 0)::int as public,
        (select count(*) from coupons join campaigns using (campaign_no) where campaign_id = ${campaign_id})::int as coupons
      from code_claims c join code_batches b using (batch_no) where c.state = 2`
    if (has?.unique !== unique.length || has.public !== limit || has.coupons !== unique.length + limit) faults.push({ codes: unique.length, limit, has })
    return { faults, counted: { codes: unique.length, coupons: has?.coupons ?? 0 } }
  },
}

const conflicts: Check = {
  name: "I10",
  says: "the same ids with other content are refused, and leave nothing",
  look: async ({ sql, say, history, flushed }) => {
    const asked = history.filter((act) => act.heard !== "unknown" && act.heard.status < 300).flatMap((act) => otherWords(act) ?? []).slice(-OTHER_WORDS_MAX)
    // Ticks and what time alone brings may be new meanwhile: nothing of these acts.
    const acts = async (): Promise<number> => { await flushed(); return Number((await sql`select count(*) as n from events where act in ('issued', 'reserved', 'refunded', 'funded')`)[0]!["n"]) }
    const before = await acts()
    const faults: unknown[] = []
    await byAll(asked, async ({ path, body }) => {
      const heard = await say("POST", path, body)
      if (heard.status !== 422 || heard.body.code !== "request_conflict") faults.push({ path, body, heard })
    })
    const after = await acts()
    if (after !== before) faults.push({ acts_before: before, acts_after: after })
    return { faults, counted: { other_words: asked.length, acts: after } }
  },
}

const linear: Check = {
  name: "linearizable",
  says: "the history of each arena's budget and of each shared coupon is one that a plain counter, and a plain coupon, could have had; with one lie told to it, it is not",
  look: async (world) => {
    const { windows } = await readMade(world)
    const judged = world.shelf.arenas.flatMap((arena) => judgeArena(arena, world.history, (act) => windows.get(act)))
    const count = (keep: (one: Judged) => boolean) => judged.filter(keep).length
    const isStruck = ({ lasted }: Judged) => world.struck_ms.some((at_ms) => at_ms >= lasted.from_ms && at_ms <= lasted.to_ms)
    const isWhole = (one: Judged) => one.acts >= ACTS_MIN && one.verdict === "linearizable" && isStruck(one)
    return {
      faults: judged.filter(({ verdict, lies, lies_seen }) => verdict === "not_linearizable" || lies_seen < lies),
      counted: {
        histories: judged.length, undecided: count(({ verdict }) => verdict === "undecided"), without_a_fault: count((one) => !isStruck(one)),
        budgets_of_500_acts: count((one) => isWhole(one) && one.of === "budget"), coupons_of_500_acts: count((one) => isWhole(one) && one.of === "coupon"),
        lies: judged.reduce((sum, { lies }) => sum + lies, 0), lies_seen: judged.reduce((sum, { lies_seen }) => sum + lies_seen, 0),
      },
    }
  },
}

const atEveryInstant: Check = {
  name: "I1 I2, while it broke",
  says: "at every instant no quota of any cell was below zero, and no bank lent out more than its total",
  look: async ({ watched: { looked_at, faults } }) => ({ faults: looked_at === 0 ? ["nobody has looked"] : faults, counted: { quotas_looked_at: looked_at } }),
}

/** In the order in which they are looked at: linear before exactlyOnce, whose repeats are acts of their own. */
export const CHECKS: readonly Check[] = [linear, atEveryInstant, agrees, balances, limits, lives, codes, chain, inTime, inFull, followed, exactlyOnce, conflicts, codesToTheEnd, { ...agrees, name: `${agrees.name}, after the repeats` }]
