/**
 * Read what has left Redis from Postgres: an aged redemption with its coupons, an aged coupon.
 *
 * Each read says at which cursor of the cell it was made, so that the load can be refused when something left Redis after it.
 */
import type { CouponRecord, RedemptionRecord } from "../../lua/records.ts"
import { fromValues, valuesOf } from "../../lua/records.ts"
import { USER_HASH_CHARS } from "../../lua/keys.ts"
import type { Parts } from "../parts.ts"
import { answeringPostgres } from "../store/away.ts"

export interface AgedRedemption {
  readonly head: RedemptionRecord
  readonly body: string
  readonly coupons: { field: string; record: CouponRecord }[]
  readonly epoch: number
  readonly n: number
}

interface CouponRow { coupon_id: string; state: number; ends_at_ms: number; fingerprint: string; redemption: string | null; since_ms: number | null; holds: [number, number][] | null }

const couponRecord = (row: CouponRow): CouponRecord => ({
  state: row.state, ends_at_ms: row.ends_at_ms, fingerprint: row.fingerprint,
  ...(row.redemption ? { redemption: row.redemption } : {}), ...(row.since_ms ? { since_ms: row.since_ms } : {}), ...(row.holds ? { holds: row.holds } : {}),
})

/** A redemption that Postgres remembers, or nothing. Throws PostgresAway. */
export const readAgedRedemption = ({ postgres }: Parts, cell: number, redemption_id: string): Promise<AgedRedemption | undefined> =>
  answeringPostgres(() => postgres.sql.begin("isolation level repeatable read read only", async (sql) => {
    const [cursor] = await sql<{ epoch: number; n: number }[]>`select epoch, n from cells where cell = ${cell}`
    const [row] = await sql<{ head: unknown; body: string }[]>`select head, body from redemptions where redemption_id = ${redemption_id}`
    if (!cursor || !row) return undefined
    const head = fromValues("redemption", typeof row.head === "string" ? JSON.parse(row.head) : row.head)
    const user = redemption_id.slice(0, USER_HASH_CHARS)
    const ids = head.coupons.map(([field]) => user + field)
    const coupons = ids.length === 0 ? [] : await sql<CouponRow[]>`
      select coupon_id, state, ends_at_ms, fingerprint, redemption, since_ms, holds from coupons where coupon_id = any(${ids})`
    return {
      head, body: row.body, epoch: cursor.epoch, n: cursor.n,
      coupons: coupons.map((coupon) => ({ field: coupon.coupon_id.slice(USER_HASH_CHARS), record: couponRecord(coupon) })),
    }
  }))

/**
 * The coupons of a redemption as an act takes them that finds them gone: a coupon may leave Redis before its redemption does. One that
 * Postgres does not know is 0. Throws PostgresAway.
 */
export const readAgedCoupons = async (parts: Parts, cell: number, redemption_id: string, head: RedemptionRecord): Promise<[field: string, values: unknown][]> => {
  const stored = await readAgedRedemption(parts, cell, redemption_id)
  const records = new Map(stored?.coupons.map(({ field, record }) => [field, record]))
  return head.coupons.map(([field]) => {
    const record = records.get(field)
    return [field, record ? valuesOf("coupon", record) : 0]
  })
}

/** A coupon that Postgres remembers, or nothing. Throws PostgresAway. */
export const readAgedCoupon = ({ postgres }: Parts, coupon_id: string): Promise<CouponRecord | undefined> =>
  answeringPostgres(async () => {
    const [row] = await postgres.sql<CouponRow[]>`
      select coupon_id, state, ends_at_ms, fingerprint, redemption, since_ms, holds from coupons where coupon_id = ${coupon_id}`
    return row && couponRecord(row)
  })
