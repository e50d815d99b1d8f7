/**
 * What a report is: the published run of one job, the one of the period before, and a page made of both.
 *
 * What must stay true: a page follows from its runs alone, so the same runs make the same bytes.
 */
import type { Duck } from "../duck.ts"
import type { Input, Output } from "../job.ts"
import type { Page } from "./page.ts"

/** A published run, as a report reads it. */
export interface ToldRun {
  readonly period: string
  readonly revision: number
  readonly answer: unknown
  readonly rules: unknown
  /** The sentence with which the run ended. */
  readonly report: string
  readonly outputs: readonly Output[]
}

/** What a report is made of. Money of campaigns is what a coupon of theirs can cost at most, where their terms say so. */
export interface Told {
  readonly run: ToldRun
  /** Of the period before, where it is published. */
  readonly before: ToldRun | undefined
  readonly time_zone: string
  readonly set: string
  readonly costs: Readonly<Record<string, number>>
}

export interface Report {
  readonly job: string
  /** The period that this one is compared with. */
  readonly before: (period: string) => string
  /** The outputs that the page is made of, as views: `<output>`, and `before_<output>`. */
  readonly reads: (run: ToldRun, before: ToldRun | undefined) => Readonly<Record<string, Input>>
  readonly page: (duck: Duck, told: Told) => Promise<Page>
}

/** The columns of a view without files. */
export const KEYED: Input["columns"] = { key: "VARCHAR" }

/** A run's outputs of this name, also where it was written in shards. */
export const filesOf = (run: ToldRun | undefined, output: string): readonly Output[] =>
  run?.outputs.filter(({ name }) => name === output || name.startsWith(`${output}_`)) ?? []

/** How a number has changed against what it was, in words. */
export const changeOf = (now: number, before: number | undefined): string => {
  if (before === undefined) return "and there is nothing before to compare with"
  if (before === now) return "as much as the period before"
  if (before === 0) return "after none the period before"
  const tenths = Math.round((Math.abs(now - before) * 1_000) / before)
  return `${Math.floor(tenths / 10)}.${tenths % 10} % ${now > before ? "more" : "less"} than the period before`
}
