/**
 * What a scenario hands back: rows of rates, single figures, and proofs. A proof that fails fails the run.
 */
import { median, percentile } from "./cpu.ts"
import type { Lap } from "./drive.ts"

/** One contestant in one act. */
export interface Row {
  readonly act: string
  readonly who: string
  readonly acts_per_s: number
  readonly p50_ms: number
  readonly p99_ms: number
  readonly api_us: number
  readonly redis_us: number
  readonly postgres_us: number
  readonly answer_bytes: number
  /** Throughput as a share of the floor's in the same round, median of the rounds. */
  readonly of_http?: number | undefined
  readonly of_act?: number | undefined
}

/** One number, with what it must reach where that is said. */
export interface Figure { readonly name: string; readonly value: number; readonly unit: string; readonly wanted?: { readonly at: "most" | "least"; readonly value: number } | undefined }

/** Something that must be so. */
export interface Proof { readonly name: string; readonly wanted: number | string; readonly found: number | string }

export interface Result { readonly scenario: string; readonly rows: readonly Row[]; readonly figures: readonly Figure[]; readonly proofs: readonly Proof[] }

export const isReached = ({ value, wanted }: Figure): boolean => !wanted || (wanted.at === "most" ? value <= wanted.value : value >= wanted.value)
export const isProved = ({ wanted, found }: Proof): boolean => String(wanted) === String(found)

export const rateOf = (lap: Lap): number => lap.acts / lap.seconds

/** The ratio of two contestants' rates, round by round, and the middle of these. */
export const ratioOf = (laps: readonly Lap[], floor: readonly Lap[]): number => median(laps.map((lap, round) => rateOf(lap) / rateOf(floor[round]!)))

/** All laps of one contestant in one act as a row: the median rate, latencies of all answers, mean cost. */
export const rowOf = (act: string, who: string, laps: readonly Lap[], floors: { http?: readonly Lap[]; act?: readonly Lap[] } = {}): Row => {
  const acts = laps.reduce((sum, lap) => sum + lap.acts, 0)
  const latencies = laps.flatMap((lap) => lap.latencies_ms)
  const each = (part: keyof Lap["cpu"]): number => laps.reduce((sum, lap) => sum + lap.cpu[part], 0) / acts
  return {
    act, who, acts_per_s: median(laps.map(rateOf)), p50_ms: percentile(latencies, 0.5), p99_ms: percentile(latencies, 0.99),
    api_us: each("api"), redis_us: each("redis"), postgres_us: each("postgres"), answer_bytes: median(laps.map((lap) => lap.answer_bytes)),
    of_http: floors.http && ratioOf(laps, floors.http), of_act: floors.act && ratioOf(laps, floors.act),
  }
}
