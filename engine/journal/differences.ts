/**
 * What differs between Redis and Postgres, as a check collects it.
 */

export type What = "cell" | "budget" | "campaign" | "bank" | "addition" | "coupon" | "mark" | "count" | "redemption" | "order" | "deadline" | "wallet" | "ledger" | "invariant" | "code" | "claim" | "batch"
export interface Difference { readonly what: What; readonly key: string; readonly field: string; readonly redis: string; readonly postgres: string }

const show = (value: unknown): string => value === undefined || value === null ? "(none)" : typeof value === "object" ? JSON.stringify(value) : String(value)

/** Collects what differs; `compare` is how every pair of values is held together. */
export const collect = () => {
  const differences: Difference[] = []
  let checked = 0
  return {
    differences,
    checked: () => checked,
    note: (what: What, key: string, field: string, redis: unknown, postgres: unknown): void => { differences.push({ what, key, field, redis: show(redis), postgres: show(postgres) }) },
    compare(what: What, key: string, field: string, redis: unknown, postgres: unknown): void {
      checked += 1
      if (show(redis) !== show(postgres)) this.note(what, key, field, redis, postgres)
    },
  }
}
export type Collected = ReturnType<typeof collect>

/** A difference is looked at so often before it is listed, with a longer pause each time. */
export const LOOKS_MAX = 5
export const LOOK_AGAIN_MS = 10

const sameAs = (a: Difference) => (b: Difference): boolean => a.what === b.what && a.key === b.key && a.field === b.field && a.redis === b.redis && a.postgres === b.postgres

/**
 * What differs in the first look and in each that follows: LOOKS_MAX of them, fewer where nothing is left. Beside an engine at work every look finds
 * something else on its way, so a later look only acquits and never accuses. For what is there or not: a number that moves is held against its tail.
 */
export const standing = async (look: (looks: number) => Promise<Collected>): Promise<Collected> => {
  const first = await look(0)
  for (let looks = 1; looks < LOOKS_MAX && first.differences.length > 0; looks += 1) {
    await Bun.sleep(LOOK_AGAIN_MS * looks)
    const { differences } = await look(looks)
    const again = Map.groupBy(differences, ({ key }) => key)
    first.differences.splice(0, Infinity, ...first.differences.filter((each) => again.get(each.key)?.some(sameAs(each))))
  }
  return first
}
