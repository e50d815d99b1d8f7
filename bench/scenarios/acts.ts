/**
 * Every act alone, beside the floors and beside Postgres: rounds in which the contestants take turns.
 *
 * What must stay true: a round sends each contestant equal requests, one after another on an otherwise idle pair of stacks. Scrip and the one
 * act change places with each round, so that a busy minute of the machine falls on both; Postgres comes last and HTTP alone first, because what
 * Postgres leaves behind (its log on the disk, its vacuum) falls on whoever comes next, and HTTP alone asks for no disk.
 */
import { allWere, drive, type Lap } from "../drive.ts"
import {
  cancelRequest, confirmRequest, issueRequest, quoteRequest, refundRequest, reserveRequest, type Prefix, type Tally,
} from "../contestants.ts"
import { type Result, rowOf } from "../result.ts"
import { shopper } from "../shop.ts"
import type { Stack } from "../stack.ts"
import { playShoppers } from "./mixed.ts"

/** Of the reserved ones so many are confirmed, the others cancelled; of the confirmed so many refunded. */
const CONFIRMED_SHARE = 0.7
const REFUNDED_SHARE = 0.5
/** Postgres is slower by so much that a fraction of the acts takes as long. */
const POSTGRES_SHARE = 0.1
/** A round before those that count. By how long a round took the next is made as large as the time that is left allows. */
const TRIAL_ACTS = 1_000
/**
 * A lap of fewer says little: of 1,000 acts it lasts a third of a second, in which 64 connections are opened and one stall of the machine is
 * a tenth. Laps of 1,000 and 5,000 in turns, 9 rounds (2026-11-22): a confirm against the floor 0.53 to 1.02 ×, and 0.64 to 0.81.
 */
const ACTS_MIN = 4_000
const FLOORS_WARM_SOONER = 4

/** How many rounds, about how long all of them may take, and how many acts a round has at most. */
export interface Sizes { readonly rounds: number; readonly seconds: number; readonly acts_max: number }

/** A warm-up goes on while a lap costs so much less processor time than the cheapest before it, and at most so many laps. */
const WARMER_SHARE = 0.95
const WARM_LAPS_MAX = 6

/**
 * Warm both up before anything is counted. A program of Bun's is compiled while it runs, the engine's reserve only after some ten thousand:
 * in a warm-up of 8,000 acts a reserve cost the API 442 µs, after one of 30,000 it was 331, and the compiler still took 30 of them at
 * 50,000 (2026-11-22). A floor of a few lines is compiled at once. So laps are played until another one is no cheaper than the best.
 */
export const warmUp = async (scrip: Stack, floors: Stack, campaign_no: number, acts: number, tally: Tally): Promise<void> => {
  let cheapest_us = Infinity
  for (let lap = 0; lap < WARM_LAPS_MAX; lap++) {
    const { cpu: { api } } = await playShoppers(scrip, `warm-${lap}`, campaign_no, acts, tally)
    const isWarm = api / acts > cheapest_us * WARMER_SHARE
    cheapest_us = Math.min(cheapest_us, api / acts)
    if (isWarm) break
  }
  const shoppers = Array.from({ length: Math.max(64, Math.floor(acts / FLOORS_WARM_SOONER)) }, (_, i) => shopper("warm-floor", i, campaign_no))
  for (const prefix of ["/http", "/act"] as const) {
    allWere(await drive({ stack: floors }, shoppers.map((each) => reserveRequest(floors, prefix, each))), 201, `warming ${prefix}`)
    allWere(await drive({ stack: floors }, shoppers.map((each) => confirmRequest(floors, prefix, each))), 200, `warming ${prefix}`)
  }
}

const BATCH = 5_000
/** Give Postgres the coupons that its reserves will ask for. */
export const givePostgresCoupons = async ({ sql }: Stack, coupons: readonly { coupon_id: string; user_id: string }[]): Promise<void> => {
  for (let from = 0; from < coupons.length; from += BATCH) {
    const part = coupons.slice(from, from + BATCH)
    await sql`insert into bench.coupons select *, 'issued' from unnest(${part.map(({ coupon_id }) => coupon_id)}::text[], ${part.map(({ user_id }) => user_id)}::text[])`
  }
}

/** One round: each contestant's lap in each act. Tells `tally` what has happened to Scrip. */
const playRound = async (scrip: Stack, floors: Stack, campaign_no: number, name: string, acts: number, isOdd: boolean, tally: Tally): Promise<Record<string, Lap>> => {
  const shoppers = Array.from({ length: acts }, (_, i) => shopper(name, i, campaign_no))
  const confirmed = shoppers.slice(0, Math.floor(acts * CONFIRMED_SHARE)), cancelled = shoppers.slice(confirmed.length)
  const refunded = confirmed.slice(0, Math.floor(confirmed.length * REFUNDED_SHARE))
  const toPostgres = shoppers.slice(0, Math.max(1, Math.floor(acts * POSTGRES_SHARE)))
  await givePostgresCoupons(floors, toPostgres)

  const laps: Record<string, Lap> = {}
  const turn = (key: string, stack: Stack, status: number, requests: () => Buffer[]) => async (): Promise<void> => {
    laps[key] = allWere(await drive({ stack }, requests()), status, key)
  }
  const onFloor = (prefix: Prefix, who: string) => ({
    reserve: turn(`${who} reserve`, floors, 201, () => (prefix === "/postgres" ? toPostgres : shoppers).map((each) => reserveRequest(floors, prefix, each))),
    confirm: turn(`${who} confirm`, floors, 200, () => (prefix === "/postgres"
      ? toPostgres.map((each) => confirmRequest(floors, prefix, { redemption_id: each.coupon_id.slice(0, 22) + each.order_id }))
      : confirmed.map((each) => confirmRequest(floors, prefix, each)))),
  })
  const http = onFloor("/http", "http"), act = onFloor("/act", "act"), pg = onFloor("/postgres", "postgres")
  type Turn = () => Promise<void>
  const inOrder = async (first: Turn, one: Turn, other: Turn, last: Turn): Promise<void> => {
    for (const each of isOdd ? [first, other, one, last] : [first, one, other, last]) await each()
  }

  await turn("scrip issue", scrip, 201, () => shoppers.map((each) => issueRequest(scrip, each)))()
  tally.issued += acts
  await turn("scrip quote", scrip, 200, () => shoppers.map((each) => quoteRequest(scrip, each)))()
  await inOrder(http.reserve, act.reserve, turn("scrip reserve", scrip, 201, () => shoppers.map((each) => reserveRequest(scrip, "", each))), pg.reserve)
  tally.reserved += acts
  await inOrder(http.confirm, act.confirm, turn("scrip confirm", scrip, 200, () => confirmed.map((each) => confirmRequest(scrip, "", each))), pg.confirm)
  tally.confirmed += confirmed.length
  await turn("scrip cancel", scrip, 200, () => cancelled.map((each) => cancelRequest(scrip, each)))()
  tally.cancelled += cancelled.length
  await turn("scrip refund", scrip, 201, () => refunded.map((each) => refundRequest(scrip, each)))()
  tally.refunded += refunded.length
  return laps
}

const LEAST = { reserve: 0.55, confirm: 0.7 } as const
const POSTGRES_LEAST = 10

/** Play the rounds, after one that is not counted. */
export const playActs = async (scrip: Stack, floors: Stack, campaign_no: number, { rounds, seconds, acts_max }: Sizes, tally: Tally, say: (text: string) => void): Promise<Result> => {
  const ends = performance.now() + seconds * 1_000
  const timed = async (name: string, acts: number, isOdd: boolean): Promise<{ laps: Record<string, Lap>; per_ms: number }> => {
    const began = performance.now()
    const laps = await playRound(scrip, floors, campaign_no, name, acts, isOdd, tally)
    return { laps, per_ms: acts / (performance.now() - began) }
  }
  let { per_ms } = await timed("trial", TRIAL_ACTS, false)
  const played: Record<string, Lap>[] = []
  for (let round = 0; round < rounds; round++) {
    const fitting = (per_ms * (ends - performance.now())) / (rounds - round)
    const acts = Math.round(Math.min(acts_max, Math.max(ACTS_MIN, fitting)))
    say(`acts, round ${round + 1} of ${rounds}, ${acts} each`)
    const done = await timed(`acts-${round}`, acts, round % 2 === 1)
    per_ms = done.per_ms
    played.push(done.laps)
  }
  const of = (key: string): Lap[] => played.map((laps) => laps[key]!)
  const compared = (["reserve", "confirm"] as const).map((act) => {
    const http = of(`http ${act}`), floor = of(`act ${act}`)
    return [
      rowOf(act, "HTTP alone", http), rowOf(act, "one act", floor, { http }),
      rowOf(act, "Scrip", of(`scrip ${act}`), { http, act: floor }), rowOf(act, "Postgres", of(`postgres ${act}`), { http, act: floor }),
    ]
  })
  const alone = (["issue", "quote", "cancel", "refund"] as const).map((act) => rowOf(act, "Scrip", of(`scrip ${act}`), {
    http: of("http reserve"), ...(act === "quote" ? {} : { act: of("act reserve") }),
  }))
  const rows = [...alone.slice(0, 2), ...compared.flat(), ...alone.slice(2)]
  const rate = (act: string, who: string): number => rows.find((row) => row.act === act && row.who === who)!.acts_per_s
  /** Processor time of an act in all servers together: what is left of a throughput when others use the machine too. */
  const cost = (act: string, who: string): number => {
    const { api_us, redis_us, postgres_us } = rows.find((row) => row.act === act && row.who === who)!
    return api_us + redis_us + postgres_us
  }
  /** Both acts of a redemption, one after the other: the rate of whole redemptions. */
  const both = (who: string): number => 1 / (1 / rate("reserve", who) + 1 / rate("confirm", who))
  return {
    scenario: "acts", rows, proofs: [],
    figures: [
      ...(["reserve", "confirm"] as const).map((act) => ({
        name: `${act} against the one-act floor`, value: rows.find((row) => row.act === act && row.who === "Scrip")!.of_act!, unit: "×", wanted: { at: "least" as const, value: LEAST[act] },
      })),
      ...(["reserve", "confirm"] as const).map((act) => ({ name: `${act}: processor time of the one-act floor, of Scrip's`, value: cost(act, "one act") / cost(act, "Scrip"), unit: "×" })),
      { name: "reserve and confirm against Postgres, 64 connections", value: both("Scrip") / both("Postgres"), unit: "×", wanted: { at: "least", value: POSTGRES_LEAST } },
      { name: "redemptions per second, Scrip", value: both("Scrip"), unit: "/s" },
    ],
  }
}
