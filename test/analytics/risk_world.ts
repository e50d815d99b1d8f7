/**
 * Risk computed a second time, by hand: a day's lines in, the day's keys out, with big numbers and sorted lists instead of SQL.
 * It shares nothing with the job but the columns of a line.
 */
export interface Line {
  readonly kind: 0 | 1; readonly redemption: number; readonly user_no: number; readonly line: number
  readonly sku: string | null; readonly merchant: string | null; readonly region: string | null; readonly campaign: string; readonly amount_minor: number; readonly price_minor: number
}

export const KEYS: Readonly<Record<string, (line: Line) => string | null>> = {
  sku: ({ sku }) => sku, merchant: ({ merchant }) => merchant, region: ({ region }) => region, campaign: ({ campaign }) => campaign, user: ({ user_no }) => String(user_no),
}
export const MEASURES = ["amount", "count", "users", "refund_rate", "depth"] as const
const PAST = 56

export interface Figures { amount: number; count: number; users: number; refund_rate: number; depth: number; first_day_users_bp: number; velocity_max: number }
export interface Scored extends Figures { dimension: string; key: string; z: (number | null)[]; support: string[] }

const bp = (part: number, whole: number): number => whole > 0 ? Number((BigInt(part) * 10_000n) / BigInt(whole)) : 0

/** What each key of a dimension took on a day. */
const dayOf = (dimension: string, lines: readonly Line[], firsts: ReadonlySet<number>): Map<string, Figures> => {
  const keys = new Map<string, Line[]>()
  for (const line of lines) {
    const key = KEYS[dimension]!(line)
    if (key !== null) keys.set(key, [...(keys.get(key) ?? []), line])
  }
  const figures = new Map<string, Figures>()
  for (const [key, own] of keys) {
    const confirms = own.filter(({ kind }) => kind === 0)
    if (confirms.length === 0) continue
    const prices = new Map(confirms.map((line) => [`${line.redemption}/${line.line}`, line.price_minor]))
    const byUser = new Map<number, Set<number>>()
    for (const { user_no, redemption } of confirms) byUser.set(user_no, (byUser.get(user_no) ?? new Set()).add(redemption))
    const count = new Set(confirms.map(({ redemption }) => redemption)).size
    const amount = confirms.reduce((sum, line) => sum + line.amount_minor, 0)
    figures.set(key, {
      amount, count, users: byUser.size, refund_rate: bp(new Set(own.filter(({ kind }) => kind === 1).map(({ redemption }) => redemption)).size, count),
      depth: bp(amount, [...prices.values()].reduce((sum, price) => sum + price, 0)), first_day_users_bp: bp([...byUser.keys()].filter((user) => firsts.has(user)).length, byUser.size),
      velocity_max: Math.max(...[...byUser.values()].map(({ size }) => size)),
    })
  }
  return figures
}

const lowerMedian = (values: readonly number[]): number => values.toSorted((a, b) => a - b)[values.length / 2 - 1]!

/** Every key of the last day; `days` are in their order, the last day at their end. Days without lines are empty lists. */
export const scoreByHand = (days: readonly (readonly Line[])[], firsts: readonly ReadonlySet<number>[]): Scored[] => Object.keys(KEYS).flatMap((dimension) => {
  const figures = days.map((lines, i) => dayOf(dimension, lines, firsts[i]!))
  const today = figures.at(-1)!
  const past = figures.slice(-1 - PAST, -1)
  return [...today].map(([key, own]) => {
    const first = figures.findIndex((day) => day.has(key))
    const redemptions = figures.reduce((sum, day) => sum + (day.get(key)?.count ?? 0), 0)
    const isThin = figures.length - 1 - first < 28 || redemptions < 20
    const z: (number | null)[] = [], support: string[] = []
    for (const measure of MEASURES) {
      const values = Array.from({ length: PAST }, (_, i) => past[past.length - 1 - i]?.get(key)?.[measure] ?? 0)
      const median = lowerMedian(values)
      const mad = lowerMedian(values.map((value) => Math.abs(value - median)))
      support.push(isThin ? "thin" : mad === 0 ? "flat" : "ok")
      const exact = (6_745n * BigInt(own[measure] - median)) * 2n, whole = BigInt(mad) * 2n
      const half = BigInt(mad)
      z.push(isThin || mad === 0 ? null : Number(exact < 0n ? -((-exact + half) / whole) : (exact + half) / whole) / 10_000)
    }
    return { dimension, key, ...own, z, support }
  })
})

/** Share of the top 1 and 10, and Herfindahl, of some amounts. */
export const concentrationByHand = (amounts: readonly number[]): [number, number, number] => {
  const sorted = amounts.toSorted((a, b) => b - a)
  const sum = sorted.reduce((total, amount) => total + amount, 0)
  const squares = sorted.reduce((total, amount) => total + BigInt(amount) ** 2n, 0n)
  return [bp(sorted[0] ?? 0, sum), bp(sorted.slice(0, 10).reduce((total, amount) => total + amount, 0), sum), Number((10_000n * squares) / BigInt(sum) ** 2n)]
}

/** A number from 0 up to (not with) 1, the same for the same seed. */
export const chanceFrom = (seed: number) => {
  let state = seed >>> 0
  return (): number => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296
  }
}

/** A shop's days: some keys sell every day, some seldom, some only late; now and then nothing at all, and refunds. */
export const shopOf = (seed: number, redemptions: number, days = PAST + 1): { days: Line[][]; firsts: Set<number>[] } => {
  const chance = chanceFrom(seed)
  const pick = (count: number): number => Math.floor(chance() ** 2 * count)
  const seen = new Set<number>()
  const out: Line[][] = [], firsts: Set<number>[] = []
  for (let day = 0; day < days; day++) {
    const lines: Line[] = [], first = new Set<number>()
    const sold = day % 13 === 5 ? 0 : Math.floor(redemptions * (0.5 + chance()))
    for (let redemption = 0; redemption < sold; redemption++) {
      const user_no = pick(40) + (day > 40 ? pick(20) : 0)
      if (!seen.has(user_no)) { seen.add(user_no); first.add(user_no) }
      const region = chance() < 0.1 ? null : `r${pick(4)}`
      for (let line = 1, count = 1 + pick(3); line <= count; line++) {
        const sku = `s${pick(day > 35 ? 30 : 20)}`, price_minor = 1 + pick(5_000), merchant = chance() < 0.3 ? null : `m${pick(5)}`
        for (const campaign of new Set([`c${pick(3)}`, `c${pick(3)}`])) {
          const made: Line = { kind: 0, redemption, user_no, line, sku, merchant, region, campaign, amount_minor: 1 + Math.floor(chance() * price_minor), price_minor }
          lines.push(made)
          if (chance() < 0.1) lines.push({ ...made, kind: 1 })
        }
      }
    }
    out.push(lines)
    firsts.push(first)
  }
  return { days: out, firsts }
}
