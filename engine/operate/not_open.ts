/**
 * Why a budget can hold no money now, as a no that says whether that can change.
 */
import { ANSWERS, type No } from "../answers.ts"
import type { Budget, Campaign } from "./catalogue.ts"

/** A cell's clock may be behind ours by so much: what it refuses right after a month's begin may only not have begun there. */
const BEHIND_MS = 60_000

type Month = Pick<Budget, "opens_ms" | "closes_ms">
export const isInMonth = ({ opens_ms, closes_ms }: Month, now_ms: number): boolean => now_ms >= opens_ms && now_ms < closes_ms

/**
 * The no for a budget of a campaign's funding that a cell, or its month, has shut. It is final where its month is over or it was closed, unless
 * the campaign names it by `{month}`: then the month after has another.
 */
export const budgetNotOpen = (
  { body: { funding } }: Pick<Campaign, "body">, budget_id: string | undefined, month: Month | undefined, now_ms: number,
): No & { readonly outcome: "budget_not_open" } => {
  const say = (why: string): string => budget_id === undefined ? ANSWERS.budget_not_open.say : `The budget ${budget_id} ${why}.`
  const no = { outcome: "budget_not_open", budget_id } as const
  if (!month) return { ...no, detail: say("is not there, or cannot pay this campaign") }
  if (now_ms < month.opens_ms + BEHIND_MS) return { ...no, detail: say("is of a month that has not begun") }
  const isNamed = funding.some((part) => part.budget_id === budget_id)
  return { ...no, ...(isNamed ? { retry: false } : {}), detail: say(now_ms >= month.closes_ms ? "is of a month that is over" : "is closed") }
}
