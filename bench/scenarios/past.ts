/**
 * Does a campaign's past slow its present: reserves where it has no past redemptions, and where it has a million.
 *
 * What must stay true: both servers hold the same wallets, of users who reserve and of users who do not; only on one of them
 * the latter have redeemed what they hold. One user's life is played through the engine and then copied to the others inside
 * Redis, byte for byte but for the ids, because a million real ones would take longer than all else here.
 */
import { couponField, dueKey, hourOf, quotaKey, redemptionHash, settledKey, userHash, walletKey } from "../../lua/keys.ts"
import { pack, unpack } from "../../lua/records.ts"
import { startBare, type Bare } from "../bare.ts"
import { median } from "../cpu.ts"
import { shopper } from "../shop.ts"
import { type Proof, type Result } from "../result.ts"
import { costOf, issueAll, reserveCalls } from "./redis_cpu.ts"

const MODEL = "model"
const COUPONS_EACH = 10
const RUNS = 5
const DIFFERENCE_MOST = 10
const LINES = 3

/** Users that are copied to in one call. */
const COPIES_AT_ONCE = 100

/**
 * Copy a user's wallet and settled redemptions to other users, with other redemption ids of the same length. What is copied holds at
 * most one of those ids in each text, so a text is cut at its id once and joined for each user.
 */
const COPY = `#!lua name=bench_copy
redis.register_function("bench_copy", function(keys, args)
  local from, settled, due = keys[1], keys[2], keys[3]
  local fields, ids = redis.call("HGETALL", from), {}
  for i = 1, #fields, 2 do
    if string.sub(fields[i], 1, 1) == "r" and #fields[i] == 13 then ids[#ids + 1] = string.sub(fields[i], 2) end
  end
  local function cut(text)
    for place, id in ipairs(ids) do
      local at = string.find(text, id, 1, true)
      if at then return { string.sub(text, 1, at - 1), place, string.sub(text, at + #id) } end
    end
    return { text }
  end
  local wallet, records = {}, {}
  for i = 1, #fields do wallet[i] = cut(fields[i]) end
  for place, id in ipairs(ids) do
    for _, ending in ipairs({ "", ".body" }) do
      local value = redis.call("HGET", settled, id .. ending)
      if value then
        records[#records + 1] = { "", place, ending }
        records[#records + 1] = cut(value)
      end
    end
  end
  local function joined(parts, number)
    local texts = {}
    for i, part in ipairs(parts) do
      texts[i] = part[2] and part[1] .. string.format("%011d", number) .. string.char(96 + part[2]) .. part[3] or part[1]
    end
    return unpack(texts)
  end
  for i = 4, #keys do
    local number = tonumber(args[1]) + i
    redis.call("HSET", keys[i], joined(wallet, number))
    if #records > 0 then redis.call("HSET", settled, joined(records, number)) end
    redis.call("ZADD", due, 9000000000000, "u" .. args[i - 2])
  end
  return #records
end)`

/** Fill a server: users with ten coupons each, redeemed or not, and those who will reserve. */
const fill = async (bare: Bare, past: number, isRedeemed: boolean, reservers: readonly { user_id: string; order_id: string }[]): Promise<number> => {
  const { redis, uses, caller } = bare
  const campaign_no = await bare.campaign("bench", { stock: 100_000_000, per_user: 1_000 })
  const user = userHash(MODEL)
  const model = Array.from({ length: COUPONS_EACH }, (_, i) => {
    const order_id = `order-model-${i}`
    return { user_id: MODEL, order_id, coupon_id: user + couponField(campaign_no, order_id), redemption_id: user + redemptionHash(user, order_id, order_id) }
  })
  await issueAll(bare, "bench", model)
  const now_ms = Date.now()
  if (isRedeemed) {
    for (const [verb, ...args] of await reserveCalls(bare, model, LINES)) await redis.callBuffer(String(verb), ...args)
    for (const { redemption_id } of model) {
      const answered = await uses.checkout.confirm({ redemption_id }, caller())
      if (answered.outcome !== "confirmed") throw new Error(`the model's confirm was answered ${answered.outcome}`)
    }
  }
  await redis.call("FUNCTION", "LOAD", COPY)
  const settled = settledKey(0, hourOf(now_ms))
  const fields_each = await redis.hlen(settled) / COUPONS_EACH
  const users = Math.floor(past / COUPONS_EACH)
  for (let from = 0; from < users; from += COPIES_AT_ONCE) {
    const others = Array.from({ length: Math.min(COPIES_AT_ONCE, users - from) }, (_, i) => userHash(`past-${from + i}`))
    await redis.call("FCALL", "bench_copy", 3 + others.length, walletKey(0, user), settled, dueKey(0), ...others.map((other) => walletKey(0, other)), from, ...others)
  }
  // The campaign counts what the copies have done.
  const raw = await redis.hgetBuffer(quotaKey(0), `k${campaign_no}`)
  const record = unpack("campaign", raw!)
  record.issued += users * COUPONS_EACH
  if (isRedeemed) record.redeemed += users * COUPONS_EACH
  await redis.hset(quotaKey(0), `k${campaign_no}`, pack("campaign", record))
  await issueAll(bare, "bench", reservers)
  return isRedeemed ? await redis.hlen(settled) / fields_each - COUPONS_EACH : 0
}

/** Measure: `past` redemptions on one server, none on the other, runs of so many reserves taking turns. */
export const playPast = async (past: number, reserves: number, say: (text: string) => void): Promise<Result> => {
  say(`${past} past redemptions are made`)
  const none = await startBare()
  try {
    const many = await startBare()
    try {
      const campaign_no = 1
      const runs = Array.from({ length: RUNS }, (_, run) => Array.from({ length: reserves }, (_, i) => shopper(`past-${run}`, i, campaign_no)))
      await fill(none, past, false, runs.flat())
      const made = await fill(many, past, true, runs.flat())
      const rates = { none: [] as number[], many: [] as number[] }, costs = { none: [] as number[], many: [] as number[] }, ratios: number[] = [], cpu_ratios: number[] = []
      const proofs: Proof[] = [{ name: "past redemptions in Redis", wanted: past, found: made }]
      for (const [run, shoppers] of runs.entries()) {
        say(`reserves with and without a past, run ${run + 1} of ${RUNS}`)
        for (const [name, bare] of run % 2 === 0 ? [["none", none], ["many", many]] as const : [["many", many], ["none", none]] as const) {
          const { us, seconds, wrong } = await costOf([bare.redis], bare.redis_pid, await reserveCalls(bare, shoppers, LINES), "reserved")
          rates[name].push(reserves / seconds)
          costs[name].push(us)
          proofs.push({ name: `reserves with ${name === "none" ? "no" : "a"} past that were refused, run ${run + 1}`, wanted: 0, found: wrong })
        }
        ratios.push(rates.none.at(-1)! / rates.many.at(-1)!)
        cpu_ratios.push(costs.many.at(-1)! / costs.none.at(-1)!)
      }
      const off = (values: readonly number[]): number => (median(values) - 1) * 100
      return {
        scenario: "past", rows: [], proofs,
        figures: [
          { name: "reserves straight to Redis, no past redemptions", value: median(rates.none), unit: "/s" },
          { name: `reserves straight to Redis, ${past} past redemptions`, value: median(rates.many), unit: "/s" },
          { name: `a reserve with ${past} past redemptions is slower by`, value: off(ratios), unit: "%", wanted: { at: "most", value: DIFFERENCE_MOST } },
          { name: "and takes more Redis CPU by", value: off(cpu_ratios), unit: "%", wanted: { at: "most", value: DIFFERENCE_MOST } },
        ],
      }
    } finally {
      await many.stop()
    }
  } finally {
    await none.stop()
  }
}
