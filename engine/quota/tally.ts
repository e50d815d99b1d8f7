/**
 * What leases cost: counted in this process, shown by the metrics. Parts that promise more than others share one of these.
 */
export interface LeaseTally {
  /** Grants that somebody waited for, and grants that came before anybody had to. */
  grants_waited: number
  grants_early: number
  /** Rounds in which every cell was asked for what it does not use. */
  recalls: number
  /** Acts that waited for a grant, each counted once, and how their last wait ended. */
  acts_waited: number
  waits: Record<"granted" | "exhausted" | "busy", number>
  /** Leases that went back because nobody used them. */
  returns_idle: number
  /** Messages that were told again because one side did not have them. */
  told_again: number
}

/** What was counted so far, which is forgotten here: whoever is told of it adds it to his own. */
export const takeTally = (tally: LeaseTally): LeaseTally => {
  const taken = { ...tally, waits: { ...tally.waits } }
  Object.assign(tally, newLeaseTally())
  return taken
}

/** Add what another process has counted. */
export const addTally = (tally: LeaseTally, { waits, ...more }: LeaseTally): void => {
  for (const [name, count] of Object.entries(more)) tally[name as keyof typeof more] += count
  for (const [outcome, count] of Object.entries(waits)) tally.waits[outcome as keyof typeof waits] += count
}

/** Counts that begin at nothing. */
export const newLeaseTally = (): LeaseTally =>
  ({ grants_waited: 0, grants_early: 0, recalls: 0, acts_waited: 0, waits: { granted: 0, exhausted: 0, busy: 0 }, returns_idle: 0, told_again: 0 })
