/**
 * Pricing as the contract tells it, the slow and plain way: BigInt, and for "best" every subset there is.
 *
 * What must stay true: nothing here comes from the engine, or a mistake of the engine would be made twice.
 */

export interface Line { readonly line_id: string; readonly sku: string; readonly category?: string; readonly unit_price_minor: number; readonly quantity: number }
export interface Order {
  readonly currency: string; readonly channel?: string; readonly payment_method?: string; readonly shipping_minor?: number; readonly lines: readonly Line[]
}

export interface CampaignBody {
  readonly line: string; readonly name: string; readonly currency: string
  readonly kind: "amount_off" | "percent_off"
  readonly terms: { readonly amount_minor?: number; readonly percent_bp?: number; readonly max_minor?: number }
  readonly threshold_minor?: number
  readonly applies_to?: { readonly categories?: readonly string[]; readonly not_skus?: readonly string[] }
  readonly channels?: readonly string[]; readonly payment_methods?: readonly string[]
  readonly starts_at: string; readonly ends_at: string; readonly coupon_valid_s?: number
  readonly stock: number; readonly per_user: number; readonly holdout_bp?: number
  readonly hold_at?: "reserve" | "issue"
  readonly funding: readonly { readonly budget_id: string; readonly share_bp: number }[]
  readonly on_refund?: "keep" | "return"
  readonly stacking?: { readonly group?: string; readonly exclusive?: boolean; readonly priority?: number }
}

/** A coupon that may be used, with the terms it stands for. */
export interface Candidate { readonly coupon_id: string; readonly campaign_id: string; readonly body: CampaignBody; readonly ends_ms: number }

export interface Applied { readonly coupon_id: string; readonly campaign_id: string; readonly discount_minor: number; readonly lines: readonly { readonly line_id: string; readonly discount_minor: number }[] }
export interface Priced { readonly applied: readonly Applied[]; readonly rejected: ReadonlyMap<string, "terms_not_met" | "not_stackable"> }

/** An amount over weights: whole parts first, then one more to the largest fractions, ties to the earlier. */
export const spread = (amount: bigint, weights: readonly bigint[]): bigint[] => {
  const sum = weights.reduce((total, weight) => total + weight, 0n)
  if (sum === 0n) return weights.map(() => 0n)
  const parts = weights.map((weight) => (amount * weight) / sum)
  const left = Number(amount - parts.reduce((total, part) => total + part, 0n))
  const byFraction = weights.map((weight, place) => ({ place, fraction: (amount * weight) % sum }))
    .sort((a, b) => (a.fraction === b.fraction ? a.place - b.place : a.fraction > b.fraction ? -1 : 1))
  for (const { place } of byFraction.slice(0, left)) parts[place]! += 1n
  return parts
}

const isEligible = ({ applies_to }: CampaignBody, { sku, category }: Line): boolean => {
  if (applies_to?.not_skus?.includes(sku)) return false
  return applies_to?.categories === undefined || (category !== undefined && applies_to.categories.includes(category))
}

const smaller = (a: bigint, b: bigint): bigint => (a < b ? a : b)

/** What a coupon takes off each line of what is left of it, or nothing when its terms are not met. */
const takeOff = (body: CampaignBody, order: Order, running: readonly bigint[]): bigint[] | undefined => {
  if (body.currency !== order.currency) return undefined
  if (body.channels && !(order.channel !== undefined && body.channels.includes(order.channel))) return undefined
  if (body.payment_methods && !(order.payment_method !== undefined && body.payment_methods.includes(order.payment_method))) return undefined
  const weights = order.lines.map((line, place) => (isEligible(body, line) ? running[place]! : 0n))
  const sum = weights.reduce((total, weight) => total + weight, 0n)
  if (sum < BigInt(body.threshold_minor ?? 0)) return undefined
  const { amount_minor, percent_bp, max_minor } = body.terms
  const wished = body.kind === "amount_off" ? BigInt(amount_minor!) : (2n * sum * BigInt(percent_bp!) + 10_000n) / 20_000n
  const discount = smaller(max_minor === undefined ? wished : smaller(wished, BigInt(max_minor)), sum)
  return discount === 0n ? undefined : spread(discount, weights)
}

const amountsOf = (order: Order): bigint[] => order.lines.map(({ unit_price_minor, quantity }) => BigInt(unit_price_minor) * BigInt(quantity))
const priorityOf = ({ body }: Candidate): number => body.stacking?.priority ?? 0

/** Apply coupons in the order given; each sees what those before it have left. */
const applyInOrder = (order: Order, candidates: readonly Candidate[]): Priced => {
  const running = amountsOf(order)
  const applied: Applied[] = []
  const taken: Candidate[] = []
  const rejected = new Map<string, "terms_not_met" | "not_stackable">()
  for (const candidate of candidates) {
    const { coupon_id, campaign_id, body } = candidate
    const group = body.stacking?.group
    const conflicts = taken.some((other) => other.campaign_id === campaign_id || (group !== undefined && other.body.stacking?.group === group)
      || other.body.stacking?.exclusive || body.stacking?.exclusive)
    if (conflicts) { rejected.set(coupon_id, "not_stackable"); continue }
    const off = takeOff(body, order, running)
    if (!off) { rejected.set(coupon_id, "terms_not_met"); continue }
    taken.push(candidate)
    off.forEach((minor, place) => { running[place]! -= minor })
    applied.push({
      coupon_id, campaign_id, discount_minor: Number(off.reduce((total, minor) => total + minor, 0n)),
      lines: order.lines.flatMap(({ line_id }, place) => (off[place]! > 0n ? [{ line_id, discount_minor: Number(off[place]) }] : [])),
    })
  }
  return { applied, rejected }
}

/** A named list: the highest priority first, then as named; an exclusive one that could be used stands alone. */
export const priceNamed = (order: Order, candidates: readonly Candidate[]): Priced => {
  const rejected = new Map<string, "terms_not_met" | "not_stackable">()
  const usable = candidates.filter((candidate) => {
    const isUsable = takeOff(candidate.body, order, amountsOf(order)) !== undefined
    if (!isUsable) rejected.set(candidate.coupon_id, "terms_not_met")
    return isUsable
  })
  const inOrder = usable.toSorted((a, b) => priorityOf(b) - priorityOf(a))
  const alone = inOrder.find(({ body }) => body.stacking?.exclusive)
  if (alone) for (const { coupon_id } of usable) if (coupon_id !== alone.coupon_id) rejected.set(coupon_id, "not_stackable")
  const priced = applyInOrder(order, alone ? [alone] : inOrder)
  for (const [coupon_id, code] of priced.rejected) rejected.set(coupon_id, code)
  return { applied: priced.applied, rejected }
}

/** Lists of numbers or texts, compared one by one. */
const compareLists = <T extends number | string>(a: readonly T[], b: readonly T[]): number => {
  for (let place = 0; place < Math.min(a.length, b.length); place++) if (a[place] !== b[place]) return a[place]! < b[place]! ? -1 : 1
  return a.length - b.length
}

/** The best set: the most off, then the fewest coupons, then those that end first, then the smallest ids. */
export const priceBest = (order: Order, candidates: readonly Candidate[]): readonly Applied[] => {
  const inOrder = candidates.toSorted((a, b) => priorityOf(b) - priorityOf(a) || (a.coupon_id < b.coupon_id ? -1 : 1))
  let best: { total: number; chosen: readonly Candidate[]; applied: readonly Applied[] } = { total: 0, chosen: [], applied: [] }
  for (let subset = 1; subset < 2 ** inOrder.length; subset++) {
    const chosen = inOrder.filter((_, place) => (subset >> place) & 1)
    const { applied, rejected } = applyInOrder(order, chosen)
    if (rejected.size > 0) continue
    const total = applied.reduce((sum, { discount_minor }) => sum + discount_minor, 0)
    const ends = (list: readonly Candidate[]) => list.map(({ ends_ms }) => ends_ms).toSorted((a, b) => a - b)
    const ids = (list: readonly Candidate[]) => list.map(({ coupon_id }) => coupon_id).toSorted()
    const order_ = best.total - total || chosen.length - best.chosen.length
      || compareLists(ends(chosen), ends(best.chosen)) || compareLists(ids(chosen), ids(best.chosen))
    if (order_ < 0) best = { total, chosen, applied }
  }
  return best.applied
}

/** What an order costs before any coupon. */
export const orderTotal = (order: Order): number => Number(amountsOf(order).reduce((sum, amount) => sum + amount, 0n)) + (order.shipping_minor ?? 0)

/** What was applied in an answer, without what later kinds of coupon add to it. */
export const plainly = (applied: readonly Applied[]): Applied[] =>
  applied.map(({ coupon_id, campaign_id, discount_minor, lines }) => ({
    coupon_id, campaign_id, discount_minor, lines: lines.map((line) => ({ line_id: line.line_id, discount_minor: line.discount_minor })),
  }))
