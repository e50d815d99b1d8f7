/** The sentence of an outcome. */
import { ANSWERS, type Outcome } from "../answers.ts"

export const sayNo = (outcome: Outcome): string => ANSWERS[outcome].say
