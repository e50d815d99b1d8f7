/**
 * The recall: every cell gives back what it does not use of a quota, so that the bank has all there is.
 */
import { homeOf } from "../../lua/keys.ts"
import { cellsOf, type QuotaParts } from "../parts.ts"
import { giveBack, greet, isAway, tellGrant, tellReturn, weighBank, type Given } from "./post.ts"

export interface Recalled {
  /** What all cells together do not use, wherever it is: in the bank, in a cell, or on its way. */
  readonly unused: number
  /** False while a cell has not answered: then more may be unused than is known. */
  readonly is_whole: boolean
}

/** A side's answer, or nothing where it is away. */
const answerOf = async <T>(asked: Promise<T>): Promise<T | undefined> => {
  try { return await asked } catch (fault) { if (isAway(fault)) return undefined; throw fault }
}

/**
 * Recall a quota once. `patience` counts the recalls before this one for the same need: what a bank has lent and a cell has not got is most
 * often on its way, and is told again only when it was not there the last time either.
 */
export const recall = async (parts: QuotaParts, name: string, patience: number, now_ms: number): Promise<Recalled | undefined> => {
  parts.leases.recalls += 1
  const given = await Promise.all(cellsOf(parts).map((cell) => answerOf(giveBack(parts, name, cell, 0, now_ms))))
  const known = given.filter((each) => each !== undefined)
  const weighed = await weighBank(parts, name, now_ms)
  if (!weighed) return undefined
  const { bank, epoch, opens_ms, closes_ms } = weighed
  const lent = new Map(bank.leases.map(([cell, granted, returned]) => [cell, { granted, returned }]))
  const tell = async (side: Given): Promise<boolean | undefined> => {
    const { granted, returned } = lent.get(side.cell) ?? { granted: 0, returned: 0 }
    let ours = side
    if (patience > 0 && granted > side.granted) {
      const left = await tellGrant(parts, name, side.cell, { epoch, granted_total: granted, opens_ms, closes_ms }, now_ms)
      parts.leases.told_again += 1
      if (left !== undefined && left > 0) ours = await giveBack(parts, name, side.cell, 0, now_ms)
    }
    return ours.returned <= returned || await tellReturn(parts, name, ours, now_ms)
  }
  const told = await Promise.all(known.map((side) => answerOf(tell(side))))
  // A bank that was opened anew meanwhile is told everything, this too.
  const isTold = told.every((each) => each !== false) || await greet(parts, homeOf(name, parts.cells), now_ms)
  return {
    unused: known.reduce((unused, { used }) => unused - used, bank.total),
    is_whole: known.length === parts.cells && isTold && !told.includes(undefined),
  }
}

