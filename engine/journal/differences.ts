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
