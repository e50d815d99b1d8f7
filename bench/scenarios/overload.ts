/**
 * Overload: more work than there is capacity for, open loop, and what becomes of what is let in.
 *
 * What must stay true: arrivals do not wait for answers. Nine of ten requests take (a coupon is issued), one gives back (a coupon is
 * revoked), so that it shows who goes first.
 */
import { issueRequest } from "../contestants.ts"
import { goFirst, percentile } from "../cpu.ts"
import { request } from "../drive.ts"
import { askInTurn, isYes, offer, OVERLOAD_CONNECTIONS, type Asked, type Sample } from "../open_loop.ts"
import { type Figure, type Result } from "../result.ts"
import { shopper } from "../shop.ts"
import type { Stack } from "../stack.ts"

const GIVES_OF = 10
/**
 * Full load is a closed loop of the same driver and the same mix: at one of these numbers of connections the most is served, and its p99 is what
 * full load costs. By another driver, which took twice the processor, it was 3,848/s where this one has 8,918 (2026-11-23): then an overload of
 * 2 times was none.
 */
const FULL_CONNECTIONS = [64, 128, 256]
/** Of the seconds of an overload, so many are each of these, and the warming up before. */
const FULL_SHARE = 1 / 6, WARM_UP_SHARE = 1 / 3
/** Between one load and the next, nothing: what was overload is over. */
const REST_MS = 2_000
const CALM_SHARE = 0.5
/** Before it is seen how soon all is normal again, so much is offered for so long. */
const ENDING_TIMES = 3, ENDING_S = 5
const CALM_S = 8
const WINDOW_MS = 500
/** An open loop that has just begun is no load that lasts: until overload is seen to be one, who comes is let in. */
const ONSET_MS = 2_000
/** Users are numbered from here on: all numbers are as long, so that a request is a copy of the first with another number in it. */
const FIRST_USER = 1_000_000_000

const p99 = (samples: readonly Sample[]): number => percentile(samples.filter(isYes).map(({ latency_ms }) => latency_ms), 0.99)

interface Full { readonly connections: number; readonly rate: number; readonly samples: readonly Sample[] }

/** Offer this and that load for so many seconds each, and say how what was served compares with full load. */
export const playOverload = async (scrip: Stack, campaign_no: number, seconds: number, say: (text: string) => void): Promise<Result> => {
  const { back } = goFirst()
  const issued: string[] = []
  let number = FIRST_USER
  const first = issueRequest(scrip, shopper("overload", number, campaign_no)), places: number[] = []
  for (let at = first.indexOf(`${number}`); at >= 0; at = first.indexOf(`${number}`, at + 1)) places.push(at)
  const numbered = (): Buffer => {
    const bytes = Buffer.from(first)
    for (const at of places) bytes.write(`${number}`, at, "latin1")
    return bytes
  }
  const next = (): Asked => {
    number += 1
    const coupon_id = number % GIVES_OF === 0 ? issued.pop() : undefined
    if (coupon_id !== undefined) return { is_give: true, bytes: request(scrip, "POST", `/v1/coupons/${coupon_id}/revoke`, '{"reason":"bench"}') }
    return {
      is_give: false, bytes: numbered(),
      heard: (status, body) => { if (status === 201 && issued.length < 10_000) issued.push((JSON.parse(body) as { coupon_id: string }).coupon_id) },
    }
  }
  /** Offer so much, and say how much of a processor each had of it meanwhile. */
  const play = async (rate: number, for_s = seconds) => {
    const before = scrip.cpu(), own = process.cpuUsage()
    const { samples, unsent } = await offer(scrip.url, rate, for_s, next, () => false, OVERLOAD_CONNECTIONS)
    const after = scrip.cpu(), { user, system } = process.cpuUsage(own)
    const share = (us: number): string => (us / for_s / 1e6).toFixed(2)
    const cores = `API ${share(after.api - before.api)}, Redis ${share(after.redis - before.redis)}, Postgres ${share(after.postgres - before.postgres)}, driver ${share(user + system)}`
    return { samples, unsent, served: samples.filter(isYes).length / for_s, cores }
  }

  /** So many callers who each wait for their answer: what is served of them, and their samples. */
  const full = async (connections: number, for_s = seconds * FULL_SHARE): Promise<Full> => {
    await Bun.sleep(REST_MS)
    const { samples, seconds: took_s } = await askInTurn(scrip.url, connections, for_s, next), yes = samples.filter(isYes)
    say(`${connections} callers, each after his answer: ${Math.round(yes.length / took_s)}/s, refused ${samples.length - yes.length}, p99 ${p99(yes).toFixed(0)} ms`)
    return { connections, rate: yes.length / took_s, samples: yes }
  }

  await full(FULL_CONNECTIONS[0]!, seconds * WARM_UP_SHARE)
  let before: Full | undefined
  for (const connections of FULL_CONNECTIONS) {
    const lap = await full(connections)
    if (!before || lap.rate > before.rate) before = lap
  }
  let { rate: peak } = before!, full_p99_ms = p99(before!.samples)

  const figures: Figure[] = [{ name: `overload: full load, ${before!.connections} callers who each wait for their answer`, value: peak, unit: "/s" }, { name: "overload: p99 at full load", value: full_p99_ms, unit: "ms" }]
  const wanted: Readonly<Record<number, number>> = { 2: 0.85, 3: 0.65 }
  for (const times of [2, 3, 5]) {
    const { samples, unsent, served, cores } = await play(before!.rate * times)
    const gives = samples.filter(({ is_give }) => is_give), refused = samples.filter(({ status }) => status === 503).length
    say(`${times} times: served ${Math.round(served)}/s, refused ${refused}, unsent ${unsent}, p99 ${p99(samples).toFixed(0)} ms; processors: ${cores}`)
    // The machine is not as fast from one minute to the next: what full load is is asked just before and just after.
    const after = await full(before!.connections)
    peak = (before!.rate + after.rate) / 2
    full_p99_ms = p99([...before!.samples, ...after.samples])
    before = after
    figures.push(
      { name: `overload: full load before and after ${times} times`, value: peak, unit: "/s" },
      { name: "overload: p99 at full load, of both", value: full_p99_ms, unit: "ms" },
      { name: `overload: served at ${times} times full load`, value: served / peak, unit: "of full load", wanted: wanted[times] === undefined ? undefined : { at: "least", value: wanted[times] } },
      { name: `overload: p99 of what was accepted at ${times} times`, value: p99(samples) / full_p99_ms, unit: "of p99 at full load", wanted: { at: "most", value: 3 } },
      { name: `overload: p99 of what was accepted at ${times} times, in ms`, value: p99(samples), unit: "ms" },
      { name: `overload: the same after its first ${ONSET_MS / 1_000} s`, value: p99(samples.filter(({ at_ms }) => at_ms > ONSET_MS)), unit: "ms" },
      { name: "overload: the same from when it was sent, without the driver's own lateness", value: p99(samples.map((sample) => ({ ...sample, latency_ms: sample.latency_ms - sample.late_ms }))), unit: "ms" },
      { name: "overload: of it the driver was late by, p99", value: percentile(samples.map(({ late_ms }) => late_ms), 0.99), unit: "ms" },
      { name: `overload: of what gives back, served at ${times} times`, value: gives.filter(isYes).length / Math.max(1, gives.length), unit: "" },
    )
  }
  // What comes first after an overload is half the load at once: what it takes until all is as it was.
  await play(before!.rate * ENDING_TIMES, ENDING_S)
  const { samples } = await play(peak * CALM_SHARE, CALM_S)
  const windows = Array.from({ length: Math.ceil((CALM_S * 1_000) / WINDOW_MS) }, (_, i) => samples.filter(({ at_ms }) => Math.floor(at_ms / WINDOW_MS) === i))
  const isNormal = (window: readonly Sample[]): boolean => window.filter((sample) => isYes(sample) && sample.latency_ms <= full_p99_ms * 3).length >= window.length * 0.99
  const normal_s = (windows.findLastIndex((window) => !isNormal(window)) + 1) * (WINDOW_MS / 1_000)
  back()
  figures.push({ name: "overload: normal after", value: normal_s, unit: "s", wanted: { at: "most", value: 5 } })
  return { scenario: "overload", rows: [], figures, proofs: [] }
}
