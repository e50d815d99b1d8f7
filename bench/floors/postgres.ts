/**
 * The same reserve and confirm as a user would write them: Postgres transactions with row locks.
 *
 * The budget's row is locked first, then the coupon's; money, coupon and redemption change in one transaction, and a commit is on
 * disk when it is answered (`synchronous_commit` is on). There is no journal and no idempotency beyond the primary keys.
 */
import { Hono } from "hono"
import postgres from "postgres"
import { discountOf } from "../shop.ts"
import { reserved, type ReserveRequest, userOf } from "./answers.ts"

/** As many as the connections of the driver, so that nobody waits for one. */
const CONNECTIONS_MAX = 64
const BUDGET_LIMIT_MINOR = 9_000_000_000_000

const TABLES = `
  create schema if not exists bench;
  create table if not exists bench.budgets (budget_id text primary key, limit_minor bigint not null, held_minor bigint not null, spent_minor bigint not null);
  create table if not exists bench.coupons (coupon_id text primary key, user_id text not null, state text not null);
  create table if not exists bench.redemptions (redemption_id text primary key, order_id text not null, user_id text not null, coupon_id text not null,
    state text not null, discount_minor bigint not null, answer text not null, at timestamptz not null default now());
  insert into bench.budgets values ('bench', ${BUDGET_LIMIT_MINOR}, 0, 0) on conflict do nothing;`

interface Budget { limit_minor: string; held_minor: string; spent_minor: string }

/** The two requests of a redemption over this database. */
export const postgresContestant = async (databaseUrl: string): Promise<Hono> => {
  const sql = postgres(databaseUrl, { max: CONNECTIONS_MAX, onnotice: () => undefined })
  await sql.unsafe(TABLES)

  return new Hono()
    .post("/v1/redemptions", async (c) => {
      const ask = await c.req.json<ReserveRequest>()
      const coupon_id = ask.coupons[0]!
      const redemption_id = userOf(coupon_id) + ask.order_id
      const discount_minor = discountOf(ask.order.lines.length)
      const answer = reserved(ask, redemption_id, Date.now())
      const outcome = await sql.begin(async (tx) => {
        const [budget] = await tx<Budget[]>`select limit_minor, held_minor, spent_minor from bench.budgets where budget_id = 'bench' for update`
        const [coupon] = await tx<{ state: string }[]>`select state from bench.coupons where coupon_id = ${coupon_id} and user_id = ${ask.user_id} for update`
        if (!coupon) return "coupon_unknown"
        if (coupon.state !== "issued") return `coupon_${coupon.state}`
        if (Number(budget!.limit_minor) - Number(budget!.held_minor) - Number(budget!.spent_minor) < discount_minor) return "budget_exhausted"
        await tx`insert into bench.redemptions (redemption_id, order_id, user_id, coupon_id, state, discount_minor, answer)
          values (${redemption_id}, ${ask.order_id}, ${ask.user_id}, ${coupon_id}, 'reserved', ${discount_minor}, ${JSON.stringify(answer)})`
        await tx`update bench.coupons set state = 'reserved' where coupon_id = ${coupon_id}`
        await tx`update bench.budgets set held_minor = held_minor + ${discount_minor} where budget_id = 'bench'`
        return "reserved"
      })
      return outcome === "reserved" ? c.json(answer, 201) : c.json({ code: outcome }, 409)
    })
    .post("/v1/redemptions/:redemption_id/confirm", async (c) => {
      await c.req.json()
      const redemption_id = c.req.param("redemption_id")
      const found = await sql.begin(async (tx) => {
        await tx`select budget_id from bench.budgets where budget_id = 'bench' for update`
        const [redemption] = await tx<{ state: string; coupon_id: string; discount_minor: string; answer: string }[]>`
          select state, coupon_id, discount_minor, answer from bench.redemptions where redemption_id = ${redemption_id} for update`
        if (redemption?.state !== "reserved") return undefined
        const discount_minor = Number(redemption.discount_minor)
        await tx`update bench.redemptions set state = 'confirmed' where redemption_id = ${redemption_id}`
        await tx`update bench.coupons set state = 'redeemed' where coupon_id = ${redemption.coupon_id}`
        await tx`update bench.budgets set held_minor = held_minor - ${discount_minor}, spent_minor = spent_minor + ${discount_minor} where budget_id = 'bench'`
        return redemption.answer
      })
      return found === undefined ? c.json({ code: "redemption_unknown" }, 409) : c.json({ ...JSON.parse(found) as object, state: "confirmed" })
    })
}
