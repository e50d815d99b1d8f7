/**
 * What Prometheus reads: acts by outcome with their latency, and gauges that others register.
 *
 * Acts are counted in plain arrays, 0.06 µs each (2026-11-22), and become text only when somebody looks. A gauge is read at each look;
 * one that fails is left out of that look and counted, and hides no other.
 */
import type { Outcome } from "../answers.ts"

/** Upper bounds of the latency buckets, in seconds: from half a fast checkout to the limit of a command. */
export const LATENCY_BUCKETS_S = [0.0005, 0.001, 0.002, 0.003, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 3] as const
/** A gauge has so long to answer. */
const READ_MS_MAX = 2_000

/** One value of a gauge. */
export interface Sample { readonly labels?: Readonly<Record<string, string>>; readonly value: number }

/** A number that is read when somebody looks. */
export interface Gauge {
  /** As Prometheus names it, `scrip_…`, with the unit last. */
  readonly name: string
  readonly says: string
  /** `counter` for what only grows. */
  readonly type?: "gauge" | "counter"
  readonly read: () => readonly Sample[] | Promise<readonly Sample[]>
}

export interface Metrics {
  /** One act has ended in an outcome. */
  observe(act: string, outcome: Outcome, duration_s: number): void
  /** Let a number be read at each look. A name is taken once. */
  gauge(gauge: Gauge): void
  /** All of it, in Prometheus' text format. */
  page(): Promise<string>
}

/** The content type of the page. */
export const METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"

interface Tally { readonly act: string; readonly outcome: string; count: number; sum_s: number; readonly buckets: number[] }

const quoted = (text: string): string => `"${text.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n")}"`
const labelled = (name: string, labels: Readonly<Record<string, string>>): string => {
  const pairs = Object.entries(labels).map(([label, text]) => `${label}=${quoted(text)}`)
  return pairs.length === 0 ? name : `${name}{${pairs.join(",")}}`
}
const head = (name: string, says: string, type: string): string[] => [`# HELP ${name} ${says}`, `# TYPE ${name} ${type}`]

const actLines = (tallies: readonly Tally[]): string[] => {
  const counts = head("scrip_acts_total", "Acts by act and outcome.", "counter")
  const spans = head("scrip_act_seconds", "How long an act took, from the request's head to its answer.", "histogram")
  for (const { act, outcome, count, sum_s, buckets } of tallies) {
    const labels = { act, outcome }
    counts.push(`${labelled("scrip_acts_total", labels)} ${count}`)
    let upTo = 0
    for (const [place, bound] of LATENCY_BUCKETS_S.entries()) {
      upTo += buckets[place]!
      spans.push(`${labelled("scrip_act_seconds_bucket", { ...labels, le: String(bound) })} ${upTo}`)
    }
    spans.push(
      `${labelled("scrip_act_seconds_bucket", { ...labels, le: "+Inf" })} ${count}`,
      `${labelled("scrip_act_seconds_sum", labels)} ${sum_s}`, `${labelled("scrip_act_seconds_count", labels)} ${count}`,
    )
  }
  return [...counts, ...spans]
}

const inTime = async <T>(reading: Promise<T>): Promise<T> => {
  let timer: ReturnType<typeof setTimeout> | undefined
  const late = new Promise<never>((_, reject) => { timer = setTimeout(() => reject(new Error(`a gauge took more than ${READ_MS_MAX} ms`)), READ_MS_MAX) })
  try { return await Promise.race([reading, late]) } finally { clearTimeout(timer) }
}

/** What every process tells of itself. */
const PROCESS: readonly Gauge[] = [
  { name: "process_resident_memory_bytes", says: "Memory of this process.", read: () => [{ value: process.memoryUsage.rss() }] },
  { name: "process_uptime_seconds", says: "Since the start of this process.", read: () => [{ value: process.uptime() }] },
  {
    name: "process_cpu_seconds_total", says: "Processor time of this process.", type: "counter",
    read: () => { const { user, system } = process.cpuUsage(); return [{ value: (user + system) / 1e6 }] },
  },
]

/** The metrics of one process. */
export const makeMetrics = (): Metrics => {
  const tallies = new Map<string, Map<string, Tally>>()
  const gauges = new Map(PROCESS.map((gauge) => [gauge.name, gauge]))
  const failures = new Map<string, number>()

  const tallyOf = (act: string, outcome: Outcome): Tally => {
    let outcomes = tallies.get(act)
    if (!outcomes) tallies.set(act, outcomes = new Map())
    let tally = outcomes.get(outcome)
    if (!tally) outcomes.set(outcome, tally = { act, outcome, count: 0, sum_s: 0, buckets: LATENCY_BUCKETS_S.map(() => 0) })
    return tally
  }

  const gaugeLines = async ({ name, says, type = "gauge", read }: Gauge): Promise<string[]> => {
    try {
      const samples = await inTime((async () => read())())
      return [...head(name, says, type), ...samples.map(({ labels = {}, value }) => `${labelled(name, labels)} ${value}`)]
    } catch {
      failures.set(name, (failures.get(name) ?? 0) + 1)
      return []
    }
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
    gauge: (gauge) => {
      if (gauges.has(gauge.name)) throw new Error(`the gauge ${gauge.name} is registered twice`)
      gauges.set(gauge.name, gauge)
    },
    page: async () => {
      const read = (await Promise.all([...gauges.values()].map(gaugeLines))).flat()
      const failed = head("scrip_gauge_failures_total", "How often a gauge could not be read since the start.", "counter")
      for (const [gauge, count] of failures) failed.push(`${labelled("scrip_gauge_failures_total", { gauge })} ${count}`)
      return `${[...actLines([...tallies.values()].flatMap((outcomes) => [...outcomes.values()])), ...read, ...failed].join("\n")}\n`
    },
  }
}
