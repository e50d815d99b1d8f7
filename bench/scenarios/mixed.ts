/**
 * The mixed checkout: shoppers who get a coupon, ask for a quote, reserve, and then pay or walk away; some send things back.
 *
 * What must stay true: the flusher keeps up, so the number of entries that Postgres does not have yet does not grow.
 */
import { cancelRequest, confirmRequest, issueRequest, quoteRequest, refundRequest, reserveRequest, type Tally } from "../contestants.ts"
import { CONNECTIONS, driveSources, type Lap } from "../drive.ts"
import { type Result, rowOf } from "../result.ts"
import { shopper } from "../shop.ts"
import type { Stack } from "../stack.ts"

/** Of ten shoppers one walks away and one sends all back. */
const IN_TURN = 10
const WALKS_AWAY = 3
const SENDS_BACK = 7
const SAMPLE_MS = 500
/** A run is driven in pieces of this length, because how fast the machine is changes while it runs. */
const PIECE_S = 15
const CALIBRATION_ACTS = 3_000
/** The share of a run in which nothing is judged: the flusher begins behind. */
const SETTLING_SHARE = 0.2
/** Growth of the lag that is noise, as a share of the entries written meanwhile. */
const GROWTH_SHARE_MAX = 0.01

/** What one shopper sends, in order; each is a fresh valid act. */
const stepsOf = (scrip: Stack, name: string, number: number, campaign_no: number, tally: Tally): (() => Buffer)[] => {
  const who = shopper(name, number, campaign_no)
  const counted = (act: keyof Tally, make: () => Buffer) => () => { tally[act]++; return make() }
  return [
    counted("issued", () => issueRequest(scrip, who)), () => quoteRequest(scrip, who), counted("reserved", () => reserveRequest(scrip, "", who)),
    number % IN_TURN === WALKS_AWAY ? counted("cancelled", () => cancelRequest(scrip, who)) : counted("confirmed", () => confirmRequest(scrip, "", who)),
    ...(number % IN_TURN === SENDS_BACK ? [counted("refunded", () => refundRequest(scrip, who))] : []),
  ]
}

/** The slope of a line through the samples (least squares), per second. */
const slopeOf = (samples: readonly { at_s: number; lag: number }[]): number => {
  const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length
  const at = mean(samples.map(({ at_s }) => at_s)), lag = mean(samples.map((sample) => sample.lag))
  const over = samples.reduce((sum, sample) => sum + (sample.at_s - at) * (sample.lag - lag), 0)
  const under = samples.reduce((sum, sample) => sum + (sample.at_s - at) ** 2, 0)
  return under === 0 ? 0 : over / under
}

/** So many acts of shoppers who have not been here before, `name` tells them from others. */
export const playShoppers = (scrip: Stack, name: string, campaign_no: number, amount: number, tally: Tally): Promise<Lap> => {
  let number = 0
  return driveSources({ stack: scrip }, amount, () => {
    let steps: (() => Buffer)[] = []
    return () => {
      if (steps.length === 0) steps = stepsOf(scrip, name, number++, campaign_no, tally)
      return steps.shift()!()
    }
  })
}

/** Play for about so many seconds. */
export const playMixed = async (scrip: Stack, campaign_no: number, seconds: number, tally: Tally, say: (text: string) => void): Promise<Result> => {
  const trial = await playShoppers(scrip, "mixed-trial", campaign_no, CALIBRATION_ACTS, tally)
  say(`mixed checkout, ${seconds} s`)

  const samples: { at_s: number; lag: number }[] = []
  const began = performance.now()
  let sampling = true
  const sampler = (async () => {
    while (sampling) {
      samples.push({ at_s: (performance.now() - began) / 1_000, lag: await scrip.lag() })
      await Bun.sleep(SAMPLE_MS)
    }
  })()
  const [before] = await scrip.sql<{ n: string }[]>`select n from cells where cell = 0`
  const laps: Lap[] = []
  for (let left_s = seconds, last = trial; left_s > 0; left_s = seconds - (performance.now() - began) / 1_000) {
    const amount = Math.max(CONNECTIONS, Math.ceil((last.acts / last.seconds) * Math.min(PIECE_S, left_s)))
    laps.push(last = await playShoppers(scrip, `mixed-${laps.length}`, campaign_no, amount, tally))
  }
  const lasted_s = (performance.now() - began) / 1_000
  sampling = false
  await sampler
  const [after] = await scrip.sql<{ n: string }[]>`select n from cells where cell = 0`
  const refused = laps.reduce((sum, { statuses, errors }) => sum + errors + Object.keys(statuses).reduce((no, status) => no + (status.startsWith("2") ? 0 : statuses[status]!), 0), 0)

  const judged = samples.filter(({ at_s }) => at_s >= lasted_s * SETTLING_SHARE && at_s <= lasted_s)
  const entries = Number(after!.n) - Number(before!.n)
  const growth = slopeOf(judged)
  return {
    scenario: "mixed", rows: [rowOf("mixed checkout", "Scrip", laps)],
    figures: [
      { name: "mixed checkout lasted", value: lasted_s, unit: "s" },
      { name: "flusher, entries per second meanwhile", value: entries / lasted_s, unit: "/s" },
      { name: "flush lag, largest", value: Math.max(...judged.map(({ lag }) => lag)), unit: "entries" },
      { name: "flush lag grew, entries per second", value: growth, unit: "/s", wanted: { at: "most", value: (entries / lasted_s) * GROWTH_SHARE_MAX } },
    ],
    proofs: [{ name: "mixed checkout: answers that were no 2xx", wanted: 0, found: refused }],
  }
}
