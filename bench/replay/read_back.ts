/**
 * What each keeper says: Redis in its records, Postgres in its ledger and its tables, the API in its answers.
 *
 * What must stay true: nobody is believed about another. Redis is read record by record, Postgres is summed from the entries of the
 * ledger and from the coupons and redemptions themselves, not from running sums; only numbers of budgets and campaigns, which are
 * their names in Redis, come from Postgres for both.
 */
import { Redis } from "ioredis"
import postgres from "postgres"
import { homeOf, journalKey, openKey, quotaKey, redemptionHash, userHash } from "../../lua/keys.ts"
import { COUPON_STATES, fromValues, REDEMPTION_STATES, type RedemptionRecord, unpack, unpackKept } from "../../lua/records.ts"
import type { Caller } from "./caller.ts"
import type { BudgetCount, CampaignCount, Count, RedemptionCount } from "./count.ts"
import { sum } from "./discounts.ts"
import type { Plan } from "./plan.ts"
import { inPool } from "./pool.ts"
import type { Servers } from "./stack.ts"

const SCAN_COUNT = 1_000

export interface Keepers {
  /** Whether Postgres has all that the journals hold. */
  isFlushed(): Promise<boolean>
  redis(plan: Plan): Promise<Count>
  postgres(plan: Plan): Promise<Count>
  /** Events that Postgres has, without a cell's own openings and hours; a second run adds none. */
  events(): Promise<number>
  close(): Promise<void>
}

interface Numbers { readonly budgets: ReadonlyMap<number, string>; readonly campaigns: ReadonlyMap<number, string> }

/** The ids of a plan. What else a stack holds is not the replay's. */
const idsOf = ({ budgets, launches, orders }: Plan) => ({
  budgets: new Set(budgets.map(({ budget_id }) => budget_id)),
  campaigns: new Set(launches.flatMap(({ campaigns }) => campaigns.map(({ campaign_id }) => campaign_id))),
  orders: new Set(orders.map(({ order_id }) => order_id)),
})

const redemptionOf = ({ state, coupons }: RedemptionRecord): RedemptionCount => ({
  state: REDEMPTION_STATES[state - 1] ?? String(state),
  discount_minor: sum(coupons.map(([, , discount_minor]) => discount_minor)),
  refunded_minor: sum(coupons.flatMap(([, , , , shares]) => shares.map(([, , , back_minor]) => back_minor))),
})

/** Open both stores of a stack, to read only. */
export const openKeepers = async ({ redis_url, database_url }: Servers, cellsCount: number): Promise<Keepers> => {
  const redis = new Redis(redis_url, { lazyConnect: true })
  await redis.connect()
  const sql = postgres(database_url, { max: 2, onnotice: () => {} })
  const cells = Array.from({ length: cellsCount }, (_, cell) => cell)

  const numbers = async (plan: Plan): Promise<Numbers> => {
    const ids = idsOf(plan)
    const budgets = await sql<{ budget_no: number; budget_id: string }[]>`select budget_no, budget_id from budgets`
    const campaigns = await sql<{ campaign_no: number; campaign_id: string }[]>`select campaign_no, campaign_id from campaigns`
    return {
      budgets: new Map(budgets.filter(({ budget_id }) => ids.budgets.has(budget_id)).map(({ budget_no, budget_id }) => [budget_no, budget_id])),
      campaigns: new Map(campaigns.filter(({ campaign_id }) => ids.campaigns.has(campaign_id)).map(({ campaign_no, campaign_id }) => [campaign_no, campaign_id])),
    }
  }

  const isFlushed = async (): Promise<boolean> => {
    const cursors = await sql<{ cell: number; epoch: number; n: number }[]>`select cell, epoch, n::float8 as n from cells`
    for (const cell of cells) {
      const [last] = await redis.xrevrange(journalKey(cell), "+", "-", "COUNT", 1)
      const cursor = cursors.find((each) => each.cell === cell)
      if (last && last[0] !== `${cursor?.epoch}-${cursor?.n}`) return false
    }
    return true
  }

  const fromRedis = async (plan: Plan): Promise<Count> => {
    const { budgets: budgetIds, campaigns: campaignIds } = await numbers(plan)
    const budgets = new Map<string, BudgetCount>(), campaigns = new Map<string, CampaignCount>(), redemptions = new Map<string, RedemptionCount>()
    const orders = new Map(plan.orders.map(({ order_id, user_id }) => [redemptionHash(userHash(user_id), order_id, order_id), order_id]))
    for (const cell of cells) {
      for (const [name, bytes] of Object.entries(await redis.hgetallBuffer(quotaKey(cell)))) {
        const no = Number(name.slice(1))
        if (name.startsWith("b")) {
          const { held, spent } = unpack("budget", bytes)
          const id = budgetIds.get(no)
          if (id === undefined) continue
          const before = budgets.get(id)
          budgets.set(id, { limit_minor: before?.limit_minor ?? 0, held_minor: (before?.held_minor ?? 0) + held, spent_minor: (before?.spent_minor ?? 0) + spent })
        } else if (name.startsWith("k")) {
          const { issued, reserved, redeemed } = unpack("campaign", bytes)
          const id = campaignIds.get(no)
          if (id === undefined) continue
          const before = campaigns.get(id)
          campaigns.set(id, { issued: (before?.issued ?? 0) + issued, reserved: (before?.reserved ?? 0) + reserved, redeemed: (before?.redeemed ?? 0) + redeemed })
        }
      }
      for (const key of [openKey(cell), ...await settledKeys(cell)]) {
        for (const [field, bytes] of Object.entries(await redis.hgetallBuffer(key))) {
          const order_id = orders.get(field)
          if (order_id !== undefined) redemptions.set(order_id, redemptionOf(unpackKept(bytes).head))
        }
      }
    }
    // The limit is what the budget's bank holds in all, in its home cell.
    for (const [no, id] of budgetIds) {
      const name = `b${no}`
      const bank = await redis.hgetBuffer(quotaKey(homeOf(name, cells.length)), `v${name}`)
      const { held_minor = 0, spent_minor = 0 } = budgets.get(id) ?? {}
      if (bank) budgets.set(id, { limit_minor: unpack("bank", bank).total, held_minor, spent_minor })
    }
    return { budgets, campaigns, redemptions }
  }
  const settledKeys = async (cell: number): Promise<string[]> => {
    const found: string[] = []
    let cursor = "0"
    do {
      const [next, keys] = await redis.scan(cursor, "MATCH", `{c${cell}}h*`, "COUNT", SCAN_COUNT)
      found.push(...keys)
      cursor = next
    } while (cursor !== "0")
    return found
  }

  const fromPostgres = async (plan: Plan): Promise<Count> => {
    const { orders } = idsOf(plan)
    const { budgets: budgetIds, campaigns: campaignIds } = await numbers(plan)
    const ledger = await sql<{ budget_no: number; limit_minor: number; held_minor: number; spent_minor: number }[]>`
      select budget_no, sum(limit_minor)::float8 as limit_minor, sum(held_minor)::float8 as held_minor, sum(spent_minor)::float8 as spent_minor
      from budget_entries group by budget_no`
    const [reservedNo, redeemedNo] = [COUPON_STATES.indexOf("reserved") + 1, COUPON_STATES.indexOf("redeemed") + 1]
    const held = await sql<{ campaign_no: number; issued: number; reserved: number; redeemed: number }[]>`
      select campaign_no, count(*)::int as issued, (count(*) filter (where state = ${reservedNo}))::int as reserved, (count(*) filter (where state = ${redeemedNo}))::int as redeemed
      from coupons group by campaign_no`
    const counts = new Map(held.map(({ campaign_no, ...count }) => [campaign_no, count]))
    const rows = await sql<{ order_id: string; head: unknown }[]>`select order_id, head from redemptions`
    const back = await sql<{ order_id: string; refunded_minor: number }[]>`
      select order_id, sum(discount_minor)::float8 as refunded_minor from refunds join redemptions using (redemption_id) group by order_id`
    const refunded = new Map(back.map(({ order_id, refunded_minor }) => [order_id, refunded_minor]))
    return {
      budgets: new Map(ledger.filter(({ budget_no }) => budgetIds.has(budget_no)).map(({ budget_no, ...sums }) => [budgetIds.get(budget_no)!, sums])),
      campaigns: new Map([...campaignIds].map(([no, id]) => [id, counts.get(no) ?? { issued: 0, reserved: 0, redeemed: 0 }])),
      // The record says what went back to each budget, the table of refunds what each refund gave: they must be one.
      redemptions: new Map(rows.filter(({ order_id }) => orders.has(order_id)).map(({ order_id, head }) => {
        const record = redemptionOf(fromValues("redemption", typeof head === "string" ? JSON.parse(head) : head))
        const given_minor = refunded.get(order_id) ?? 0
        return [order_id, record.refunded_minor === given_minor ? record : { ...record, state: `${record.state}, its refunds give ${given_minor}` }]
      })),
    }
  }

  return {
    isFlushed, redis: fromRedis, postgres: fromPostgres,
    events: async () => (await sql<{ n: number }[]>`select count(*)::int as n from events where act not in ('opened', 'tick')`)[0]!.n,
    close: async () => {
      redis.disconnect()
      await sql.end()
    },
  }
}

/** What the API answers about all that the count names. */
export const countOfApi = async (caller: Caller, now_ms: number, own: Count, redemptionIds: ReadonlyMap<string, string>, concurrency: number): Promise<Count> => {
  // What is not there or is no number is different from every number.
  const get = async (path: string) => {
    const { status, body } = await caller({ method: "GET", path, now_ms })
    return { body, amount: (field: string): number => (status === 200 && typeof body[field] === "number" ? body[field] : NaN) }
  }
  const budgets = new Map<string, BudgetCount>(), campaigns = new Map<string, CampaignCount>(), redemptions = new Map<string, RedemptionCount>()
  await inPool([...own.budgets.keys()], concurrency, async (budget_id) => {
    const { amount } = await get(`/v1/budgets/${budget_id}`)
    const [limit_minor, held_minor, spent_minor] = [amount("limit_minor"), amount("held_minor"), amount("spent_minor")]
    const isWhole = amount("available_minor") === limit_minor - held_minor - spent_minor
    budgets.set(budget_id, { limit_minor: isWhole ? limit_minor : NaN, held_minor, spent_minor })
  })
  await inPool([...own.campaigns.keys()], concurrency, async (campaign_id) => {
    const { amount } = await get(`/v1/campaigns/${campaign_id}`)
    campaigns.set(campaign_id, { issued: amount("issued"), reserved: amount("reserved"), redeemed: amount("redeemed") })
  })
  await inPool([...own.redemptions.keys()], concurrency, async (order_id) => {
    const { body, amount } = await get(`/v1/redemptions/${redemptionIds.get(order_id)}`)
    const refunds = (body["refunds"] ?? []) as { discount_minor: number }[]
    redemptions.set(order_id, { state: String(body["state"]), discount_minor: amount("discount_minor"), refunded_minor: sum(refunds.map(({ discount_minor }) => discount_minor)) })
  })
  return { budgets, campaigns, redemptions }
}
