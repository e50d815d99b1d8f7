/** Which coupons a wallet has: a look into Redis that prices nothing. */
import { decode } from "@msgpack/msgpack"
import { cellOf, quotaKey, walletKey } from "../../lua/keys.ts"
import { peek } from "../../lua/peek.ts"
import type { Parts } from "../parts.ts"
import { act } from "../store/redis.ts"

/** Of some fields of a user's wallet, those that hold a coupon in whatever state. */
export const whichAreHeld = async ({ redis, cells }: Parts, user: string, fields: readonly string[], now_ms: number): Promise<Set<string>> => {
  const cell = cellOf(user, cells)
  const { coupons } = await act(redis, peek, { keys: { quota: quotaKey(cell), wallet: walletKey(cell, user) }, args: { now_ms, redemption: "", order: "", fields } })
  return new Set((decode(coupons) as [string, unknown][]).map(([field]) => field))
}
