/** The sentence of an outcome, and of a price that cannot be told. */
import { ANSWERS, type No, type Outcome } from "../answers.ts"
import type { Quote } from "../pricing/price.ts"

export const sayNo = (outcome: Outcome): string => ANSWERS[outcome].say

/** What coupons take off is bounded by the order, what they give is not: together it may be more than can be counted, and no sum is told rounded. */
export const tooMuch = ({ cost_minor, benefit_minor }: Pick<Quote, "cost_minor" | "benefit_minor">, field: "coupons" | "drafts"): No | undefined =>
  Number.isSafeInteger(cost_minor) && Number.isSafeInteger(benefit_minor) ? undefined
    : { outcome: "request_invalid", field, detail: `${field} give more than 2^53-1 together.` }
