/**
 * Turns: work on one thing, one after another within this process.
 *
 * Redis decides and is right without it; it only keeps callers who would each be told to try again from doing so all at once: 600 refunds
 * of one redemption took 69 s as a race. As many keys are kept as there are calls under way.
 */

/** A queue for each key. */
export const makeTurns = () => {
  const last = new Map<string, Promise<unknown>>()
  return async <T>(key: string, work: () => Promise<T>): Promise<T> => {
    const before = last.get(key)
    const mine = before ? before.then(work, work) : work()
    last.set(key, mine)
    try {
      return await mine
    } finally {
      if (last.get(key) === mine) last.delete(key)
    }
  }
}
