/**
 * What the set does not say, and how the replay makes it: the value of a coupon, who pays it, and the basket it was used in.
 *
 * What must stay true: every rule takes its numbers from the sample and its choices from `chance`, so that two runs play the same; and
 * RULES, which the report prints, says all of them.
 */
import { chance } from "./chance.ts"
import type { Data, Mailing, PrintedCoupon, Product, SampledLine } from "./data.ts"
import { shareBp } from "./shares.ts"

/** The store's own coupons begin so; a manufacturer's with 5. */
export const STORE_PREFIX = "10000"
/** The most that the store puts on top of a manufacturer's coupon makes it worth this. */
const DOUBLED_TO_MINOR = 100
/** A household got so many of the coupons of a type A mailing, and all of any other. */
const TYPE_A_COUPONS = 16
/** A campaign's list of products has at most so many; a coupon of more is for their categories. */
const PRODUCTS_MAX = 1000
export const CURRENCY = "USD"
/** Of ten orders one is cancelled and another refunded. */
const TENTH = 10

export const RULES = [
  "A campaign of Scrip is one coupon UPC of one mailing, in the mailing's real window (America/New_York, both days included). One UPC may be in several mailings.",
  "A household of a mailing of type B or C is issued each of its coupons; of type A, whose recipients got 16 chosen ones, those it used and then others by a hash, 16 in all. Who used a coupon twice is issued two.",
  "A manufacturer's coupon (UPC 5…) is amount_off: the last two digits are its value code, and a code is worth the commonest amount that the sample shows on lines it can have been used for, "
    + "else the median of its mailing's type. The retailer doubles it up to $1.00, as every such line of the sample does; the two budgets share it so.",
  "The store's own coupon (UPC 10000…) is percent_off: the sample's coupon money by the shelf's price of the lines that have any, at most what 19 of 20 such lines got; shared as in the sample.",
  "A coupon is for its products; one of more than 1,000 for their categories.",
  "Type A holds money at the reserve and gives a refunded coupon back, type B holds it at the issue, type C at the reserve; both keep.",
  "An order is a household's day: its sampled lines of that day, and for each coupon that none of them is left for, one more of the coupon's products at the sample's median price of the product, else of its category, "
    + "and in such a number that there is something to discount. The price is before coupons. A line that is not price times quantity is one unit at its amount.",
  "It is reserved at the time of its first sampled line, else between 8:00 and 22:00 by a hash, for a day, and confirmed two minutes later. By a hash, one of ten is cancelled instead, and one of ten "
    + "refunded 3 to 14 days later: half of these all lines, half of the units of one line.",
  "Each business line (national brands, store coupons) has for each month a budget of the manufacturers and one of the retailer, of what the month will hold, rounded up to $100.",
] as const

export type Party = "manufacturer" | "retailer"
export const PARTIES: readonly Party[] = ["manufacturer", "retailer"]
export type BusinessLine = "national" | "store"
export const BUSINESS_LINES: readonly BusinessLine[] = ["national", "store"]

export type Terms =
  | { readonly kind: "amount_off"; readonly terms: { readonly amount_minor: number } }
  | { readonly kind: "percent_off"; readonly terms: { readonly percent_bp: number; readonly max_minor: number } }

/** What a coupon is worth and who pays. */
export interface Worth {
  readonly line: BusinessLine
  readonly promise: Terms
  /** The parties that pay and their shares, which sum to 10000. */
  readonly shares: readonly { readonly party: Party; readonly share_bp: number }[]
}

/** The parties' shares of what each pays; who pays nothing is left out. */
const sharesOf = (manufacturer_minor: number, retailer_minor: number): Worth["shares"] => {
  const whole = manufacturer_minor + retailer_minor
  const share_bp = Math.round((manufacturer_minor * 10_000) / whole)
  return [{ party: "manufacturer" as const, share_bp }, { party: "retailer" as const, share_bp: 10_000 - share_bp }].filter((share) => share.share_bp > 0)
}

/** What a printed coupon is worth. */
export const worthOf = ({ values }: Data, { type }: Mailing, { upc }: PrintedCoupon): Worth => {
  if (upc.startsWith(STORE_PREFIX)) {
    const paid_minor = values.manufacturer_minor + values.retailer_minor
    const percent_bp = Math.round((paid_minor * 10_000) / values.shelf_minor)
    return {
      line: "store", promise: { kind: "percent_off", terms: { percent_bp, max_minor: values.line_max_minor } },
      shares: sharesOf(values.manufacturer_minor, values.retailer_minor),
    }
  }
  const face_minor = values.of_code.get(upc.slice(-2)) ?? values.of_type.get(type)
  if (face_minor === undefined) throw new Error(`the sample shows no coupon of ${type}`)
  const match_minor = Math.min(face_minor, Math.max(0, DOUBLED_TO_MINOR - face_minor))
  return { line: "national", promise: { kind: "amount_off", terms: { amount_minor: face_minor + match_minor } }, shares: sharesOf(face_minor, match_minor) }
}

/** The most that one coupon can cost. */
export const boundOf = ({ promise }: Worth): number => (promise.kind === "amount_off" ? promise.terms.amount_minor : promise.terms.max_minor)

/** What a promise takes off an amount. */
export const takes = (promise: Terms, amount_minor: number): number =>
  promise.kind === "amount_off"
    ? Math.min(promise.terms.amount_minor, amount_minor)
    : Math.min(shareBp(amount_minor, promise.terms.percent_bp), promise.terms.max_minor)

export type HoldAt = "reserve" | "issue"
export type OnRefund = "keep" | "return"
/** How the campaigns of a type of mailing treat money and refunded coupons. */
export const mannersOf = (type: string): { hold_at: HoldAt; on_refund: OnRefund } =>
  type === "Type A" ? { hold_at: "reserve", on_refund: "return" } : type === "Type B" ? { hold_at: "issue", on_refund: "keep" } : { hold_at: "reserve", on_refund: "keep" }

const UNKNOWN: Product = { category: "NONE", manufacturer: 0 }
/** A product as the set knows it; six coupon products are in no list. */
export const productOf = ({ products }: Data, product: number): Product => products.get(product) ?? UNKNOWN

/** What a coupon is for, as a campaign says it and as a test of a line. */
export interface Scope {
  readonly applies_to: { readonly skus: readonly string[] } | { readonly categories: readonly string[] }
  readonly covers: (line: { readonly product: number; readonly category: string }) => boolean
}

/** What a printed coupon is for. */
export const scopeOf = (data: Data, { products }: PrintedCoupon): Scope => {
  if (products.length <= PRODUCTS_MAX) {
    const skus = new Set(products)
    return { applies_to: { skus: products.map(String) }, covers: ({ product }) => skus.has(product) }
  }
  const categories = new Set(products.map((product) => productOf(data, product).category))
  return { applies_to: { categories: [...categories].sort() }, covers: ({ category }) => categories.has(category) }
}

/** Which coupons of a mailing a household is issued: UPCs, one that it used more than once as often as it did. */
export const issuedTo = (mailing: Mailing, household: number, upcs: readonly string[], used: readonly string[]): string[] => {
  const distinct = new Set(used)
  const again = used.filter((upc, i) => used.indexOf(upc) < i)
  if (mailing.type !== "Type A") return [...upcs, ...again]
  const others = upcs.filter((upc) => !distinct.has(upc))
  const from = chance(`coupons of ${household} in ${mailing.campaign}`, Math.max(1, others.length))
  const chosen = Array.from({ length: Math.min(others.length, Math.max(0, TYPE_A_COUPONS - distinct.size)) }, (_, i) => others[(from + i) % others.length]!)
  return [...distinct, ...chosen, ...again]
}

/** A line of an order before it has an id. */
export interface Bought { readonly product: number; readonly category: string; readonly unit_price_minor: number; readonly quantity: number }

/** A sampled line as an order has it: price times quantity where that is exact. */
export const boughtOf = (data: Data, { product, quantity, amount_minor }: SampledLine): Bought => {
  const isExact = amount_minor % quantity === 0
  return {
    product, category: productOf(data, product).category,
    unit_price_minor: isExact ? amount_minor / quantity : amount_minor, quantity: isExact ? quantity : 1,
  }
}

/** A line made for a coupon that no sampled line is left for. A product with a price of its own comes first. */
export const madeFor = (data: Data, { campaign, upc, products }: PrintedCoupon, household: number, promise: Terms): Bought => {
  const priced = products.filter((product) => data.prices.of_product.has(product))
  const choice = priced.length > 0 ? priced : products
  const product = choice[chance(`line of ${household} for ${upc} in ${campaign}`, choice.length)]!
  const { category } = productOf(data, product)
  const unit_price_minor = data.prices.of_product.get(product) ?? data.prices.of_category.get(category) ?? data.prices.of_all
  // Fuel is sold by the thousandth of a gallon: its unit price is less than a cent would take a percentage of.
  let quantity = 1
  while (takes(promise, unit_price_minor * quantity) === 0) quantity += 1
  return { product, category, unit_price_minor, quantity }
}

export type Ending = "confirmed" | "cancelled" | "refunded"
/** How an order ends. */
export const endingOf = (order_id: string): Ending => {
  const tenth = chance(`ending of ${order_id}`, TENTH)
  return tenth === 0 ? "cancelled" : tenth === 1 ? "refunded" : "confirmed"
}
