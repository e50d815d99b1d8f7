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
  readonly costs: Readonly<Record<string, number>>
}

export interface Report {
  readonly job: string
  /** The outputs that the page is made of, as views: `<output>`, and `before_<output>`. */
  readonly reads: (run: ToldRun, before: ToldRun | undefined) => Readonly<Record<string, Input>>
  readonly page: (duck: Duck, told: Told) => Promise<Page>
}

/** A share as a change in words, against what was. */
export const changeOf = (now: number, before: number | undefined): string => {
  if (before === undefined) return "there is no period before to compare"
  if (before === now) return "as many as in the period before"
  if (before === 0) return "none in the period before"
  const tenths = Math.round((Math.abs(now - before) * 1_000) / before)
  return `${Math.floor(tenths / 10)}.${tenths % 10} % ${now > before ? "more" : "less"} than in the period before`
}
