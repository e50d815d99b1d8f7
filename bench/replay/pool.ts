/**
 * Bounded concurrency: so many pieces of work at a time, begun in the order of the list.
 */

/** Run `work` over all items. The first that throws ends the whole, once what is under way has ended. */
export const inPool = async <Item>(items: readonly Item[], at_once: number, work: (item: Item) => Promise<void>): Promise<void> => {
  let next = 0
  const lane = async () => {
    // Bounded by the list: `next` only grows.
    while (next < items.length) {
      try {
        await work(items[next++]!)
      } catch (fault) {
        next = items.length
        throw fault
      }
    }
  }
  const ended = await Promise.allSettled(Array.from({ length: Math.min(at_once, items.length) }, lane))
  const failed = ended.find((each) => each.status === "rejected")
  if (failed) throw failed.reason
}
