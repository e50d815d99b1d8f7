/**
 * What Prometheus reads: acts by outcome with their latency, and gauges that others register.
 *
 * Acts are counted in plain arrays on the hot path and put into Prometheus' shape only when somebody looks.
 */
import { Gauge, Registry } from "prom-client"
import type { Outcome } from "../answers.ts"

/** Upper bounds of the latency buckets, in seconds: from half a fast checkout to the limit of a command. */
export const LATENCY_BUCKETS_S = [0.0005, 0.001, 0.002, 0.003, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 3] as const

/** One value of a gauge. */
export interface Sample { readonly labels?: Readonly<Record<string, string>>; readonly value: number }

/** A gauge that is read when somebody looks. */
export interface GaugeDeclaration {
  /** As Prometheus names it, `scrip_…`, with the unit last. */
  readonly name: string
  readonly says: string
  readonly labels?: readonly string[]
  readonly read: () => readonly Sample[] | Promise<readonly Sample[]>
}

export interface Metrics {
  /** One act has ended in an outcome. */
  observe(act: string, outcome: Outcome, duration_s: number): void
  /** Let a gauge be read at each look. One that throws is left out of that look and counted. */
  gauge(declaration: GaugeDeclaration): void
  /** The page, and its content type. */
  page(): Promise<{ readonly text: string; readonly type: string }>
}

interface Tally { readonly act: string; readonly outcome: string; count: number; sum_s: number; readonly buckets: number[] }

const labelText = (text: string): string => text.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n")

const actLines = (tallies: Iterable<Tally>): string => {
  const counts = ["# HELP scrip_acts_total Acts by act and outcome.", "# TYPE scrip_acts_total counter"]
  const spans = ["# HELP scrip_act_seconds How long an act took, from the request's head to its answer.", "# TYPE scrip_act_seconds histogram"]
  for (const { act, outcome, count, sum_s, buckets } of tallies) {
    const labels = `act="${labelText(act)}",outcome="${labelText(outcome)}"`
    counts.push(`scrip_acts_total{${labels}} ${count}`)
    let upTo = 0
    for (const [place, bound] of LATENCY_BUCKETS_S.entries()) spans.push(`scrip_act_seconds_bucket{${labels},le="${bound}"} ${(upTo += buckets[place]!)}`)
    spans.push(`scrip_act_seconds_bucket{${labels},le="+Inf"} ${count}`, `scrip_act_seconds_sum{${labels}} ${sum_s}`, `scrip_act_seconds_count{${labels}} ${count}`)
  }
  return [...counts, ...spans].join("\n")
}

/** The metrics of one process. */
export const makeMetrics = (): Metrics => {
  const registry = new Registry()
  const tallies = new Map<string, Map<string, Tally>>()
  const failures = new Gauge({ name: "scrip_gauge_failures", help: "How often a gauge could not be read since the start.", labelNames: ["gauge"], registers: [registry] })

  const tallyOf = (act: string, outcome: Outcome): Tally => {
    let outcomes = tallies.get(act)
    if (!outcomes) tallies.set(act, outcomes = new Map())
    let tally = outcomes.get(outcome)
    if (!tally) outcomes.set(outcome, tally = { act, outcome, count: 0, sum_s: 0, buckets: LATENCY_BUCKETS_S.map(() => 0) })
    return tally
  }

  return {
    observe: (act, outcome, duration_s) => {
      const tally = tallyOf(act, outcome)
      tally.count += 1
      tally.sum_s += duration_s
      for (let place = 0; place < LATENCY_BUCKETS_S.length; place++) {
        if (duration_s > LATENCY_BUCKETS_S[place]!) continue
        tally.buckets[place]! += 1
        return
      }
    },
    gauge: ({ name, says, labels = [], read }) => {
      new Gauge({
        name, help: says, labelNames: [...labels], registers: [registry],
        async collect() {
          this.reset()
          try {
            for (const { labels: given = {}, value } of await read()) this.set(given, value)
          } catch {
            failures.inc({ gauge: name })
          }
        },
      })
    },
    page: async () => {
      const gauges = await registry.metrics()
      return { text: `${actLines([...tallies.values()].flatMap((outcomes) => [...outcomes.values()]))}\n${gauges}`, type: registry.contentType }
    },
  }
}
