/**
 * Overload: more work than there is capacity for, open loop, and what becomes of what is let in.
 *
 * What must stay true: arrivals do not wait for answers. Nine of ten requests take (a coupon is issued), one gives back (a coupon is
 * revoked), so that it shows who goes first.
 */
import { issueRequest } from "../contestants.ts"
import { percentile } from "../cpu.ts"
import { request } from "../drive.ts"
import { offer, type Asked, type Sample } from "../open_loop.ts"
import type { Figure, Result } from "../result.ts"
import { shopper } from "../shop.ts"
import type { Stack } from "../stack.ts"

const GIVES_OF = 10
/** Rates at which the peak is looked for: each a step above the last, until so many times more is offered than was ever served. */
const STEP = 1.3, FIRST_RATE = 500, OFFERED_MAX = 1.5
/** A server that has just started serves less than it can. */
const WARM_UP_S = 3
const CALM_SHARE = 0.5
const CALM_S = 8
const WINDOW_MS = 500

const isYes = ({ status }: Sample): boolean => status === 200 || status === 201
const p99 = (samples: readonly Sample[]): number => percentile(samples.filter(isYes).map(({ latency_ms }) => latency_ms), 0.99)

/** Offer this and that load for so many seconds each, and say how what was served compares with the peak. */
export const playOverload = async (scrip: Stack, campaign_no: number, seconds: number, say: (text: string) => void): Promise<Result> => {
  const issued: string[] = []
  let number = 0
  const next = (): Asked => {
    number += 1
    const coupon_id = number % GIVES_OF === 0 ? issued.pop() : undefined
    if (coupon_id !== undefined) return { is_give: true, bytes: request(scrip, "POST", `/v1/coupons/${coupon_id}/revoke`, '{"reason":"bench"}') }
    return {
      is_give: false, bytes: issueRequest(scrip, shopper("overload", number, campaign_no)),
      heard: (status, body) => { if (status === 201 && issued.length < 10_000) issued.push((JSON.parse(body) as { coupon_id: string }).coupon_id) },
    }
  }
  const play = async (rate: number, for_s = seconds) => {
    const { samples, unsent } = await offer(scrip.url, rate, for_s, next)
    return { samples, unsent, served: samples.filter(isYes).length / for_s }
  }

  // The peak is the most that is ever served, and its p99 is what full load costs.
  await play(FIRST_RATE, WARM_UP_S)
  let rate = FIRST_RATE, peak = 0, full_p99_ms = 0
  while (rate <= Math.max(FIRST_RATE, peak) * OFFERED_MAX) {
    const { samples, served } = await play(rate, Math.max(2, seconds / 6))
    say(`offered ${Math.round(rate)}/s: served ${Math.round(served)}/s, p99 ${p99(samples).toFixed(0)} ms`)
    if (served > peak) { peak = served; full_p99_ms = p99(samples) }
    rate *= STEP
  }

  const figures: Figure[] = [{ name: "overload: peak, served of an open loop", value: peak, unit: "/s" }, { name: "overload: p99 at the peak", value: full_p99_ms, unit: "ms" }]
  const wanted: Readonly<Record<number, number>> = { 2: 0.85, 3: 0.65 }
  for (const times of [2, 3, 5]) {
    const { samples, unsent, served } = await play(peak * times)
    const gives = samples.filter(({ is_give }) => is_give), refused = samples.filter(({ status }) => status === 503).length
    say(`${times} times: served ${Math.round(served)}/s, refused ${refused}, unsent ${unsent}, p99 ${p99(samples).toFixed(0)} ms`)
    figures.push(
      { name: `overload: served at ${times} times the peak`, value: served / peak, unit: "of the peak", wanted: wanted[times] === undefined ? undefined : { at: "least", value: wanted[times] } },
      { name: `overload: p99 of what was accepted at ${times} times`, value: p99(samples) / full_p99_ms, unit: "of p99 at the peak", wanted: { at: "most", value: 3 } },
      { name: `overload: of what gives back, served at ${times} times`, value: gives.filter(isYes).length / Math.max(1, gives.length), unit: "" },
    )
  }
  const { samples } = await play(peak * CALM_SHARE, CALM_S)
  const bad = samples.filter((sample) => !isYes(sample) || sample.latency_ms > full_p99_ms * 3)
  const normal_s = bad.length === 0 ? 0 : (Math.floor(bad.reduce((last, { at_ms }) => Math.max(last, at_ms), 0) / WINDOW_MS) + 1) * (WINDOW_MS / 1_000)
  figures.push({ name: "overload: normal after", value: normal_s, unit: "s", wanted: { at: "most", value: 5 } })
  return { scenario: "overload", rows: [], figures, proofs: [] }
}
