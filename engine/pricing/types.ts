// The words of pricing: what is asked, what is answered, and what a campaign's terms become once they are compiled.
//
// What must stay true: names that cross the border are spelled as in the contract; nothing in here is ever changed
// after it was made, except the arrays a function has just built itself.

import type { Profile, Policy } from "./policy.ts"
import type { Kind } from "./kind.ts"
import type { Candidate } from "./candidate.ts"
import type { Refusal, Turn } from "./turn.ts"

/** One line of an order. An amount that is not price times quantity (weighed, 3 for 5.00) comes as quantity 1. */
export type OrderLine = {
  readonly line_id: string
  readonly sku: string
  readonly merchant_id?: string | undefined
  readonly category?: string | undefined
  readonly brand?: string | undefined
  readonly unit_price_minor: number
  readonly quantity: number
  /** What a unit may not be discounted below. */
  readonly floor_minor?: number | undefined
  /** What a unit costs without any promotion; a line priced below it counts as already discounted. */
  readonly list_price_minor?: number | undefined
}

/** The cart that is priced. */
export type Order = {
  readonly currency: string
  readonly channel?: string | undefined
  readonly region?: string | undefined
  readonly payment_method?: string | undefined
  readonly payment_instrument?: string | undefined
  readonly instalments?: number | undefined
  readonly first_order?: boolean | undefined
  readonly segments?: readonly string[] | undefined
  readonly badges?: { readonly [badge_id: string]: number } | undefined
  readonly device_id?: string | undefined
  readonly payment_id?: string | undefined
  readonly address_id?: string | undefined
  readonly shipping_minor?: number | undefined
  readonly lines: readonly OrderLine[]
}

/** Which lines a campaign speaks of: inside one list any, between lists all, and any `not_` wins. */
export type AppliesTo = {
  readonly skus?: readonly string[] | undefined
  readonly categories?: readonly string[] | undefined
  readonly merchants?: readonly string[] | undefined
  readonly brands?: readonly string[] | undefined
  readonly not_skus?: readonly string[] | undefined
  readonly not_categories?: readonly string[] | undefined
  readonly not_merchants?: readonly string[] | undefined
  readonly not_brands?: readonly string[] | undefined
}

/** Hours of a week in a time zone, half-open; where `to` is not after `from` they run over midnight. */
export type Hours = {
  readonly time_zone: string
  readonly weekdays?: readonly number[] | undefined
  readonly from: string
  readonly to: string
}

/** How coupons of a campaign stand beside others. */
export type Stacking = {
  readonly level?: Level | undefined
  readonly priority?: number | undefined
  readonly exclusive?: boolean | undefined
  readonly group?: string | undefined
  readonly group_max?: number | undefined
  readonly with_groups?: readonly string[] | undefined
  readonly per_order?: number | undefined
}

/** The levels in their order of application. */
export const LEVELS = ["line", "shop", "platform", "payment"] as const
export type Level = (typeof LEVELS)[number]

/** What of a campaign body decides prices; the other fields of a campaign are nothing to pricing. */
export type CampaignBody = {
  readonly campaign_id: string
  readonly line?: string | undefined
  readonly version?: number | undefined
  readonly currency?: string | undefined
  readonly kind: string
  readonly terms: unknown
  readonly target?: Target | undefined
  readonly max_minor?: number | undefined
  readonly threshold_minor?: number | undefined
  readonly threshold_quantity?: number | undefined
  readonly threshold_of?: "eligible" | "order" | undefined
  readonly threshold_sees?: "running" | "original" | undefined
  readonly only_undiscounted?: boolean | undefined
  readonly first_order?: boolean | undefined
  readonly segments?: readonly string[] | undefined
  readonly min_badge?: { readonly badge_id: string; readonly level: number } | undefined
  readonly applies_to?: AppliesTo | undefined
  readonly channels?: readonly string[] | undefined
  readonly regions?: readonly string[] | undefined
  readonly payment_methods?: readonly string[] | undefined
  readonly payment_instruments?: readonly string[] | undefined
  readonly not_payment_instruments?: readonly string[] | undefined
  readonly hours?: Hours | undefined
  readonly stacking?: Stacking | undefined
  readonly profile?: Profile | undefined
  readonly funding?: readonly { readonly budget_id: string; readonly share_bp: number }[] | undefined
  /** Of sets that give alike, the one that ends earlier is the best. */
  readonly ends_at?: string | undefined
}

/** What a coupon takes its discount from. */
export type Target = "items" | "shipping" | "everything"

/** A campaign version ready to price: lists are sets, defaults are filled in, the kind is bound to its terms. */
export type Terms = {
  readonly campaign_id: string
  readonly line: string
  readonly version: number
  readonly currency: string | undefined
  readonly kind: Kind
  readonly act: Act
  readonly lacks: Lacks
  readonly outline: ((policy: Policy) => Outline) | undefined
  /** Undefined: what it gives alone. */
  readonly most: Most | undefined
  /** Of a finance kind: the most that it gives of what is left at the end. */
  readonly rate: Rate | undefined
  readonly rises: boolean
  /** It takes so much off each line, or each unit of it, as far as they have it, and off the units of a line alike. */
  readonly each: "line" | "unit" | undefined
  /** Undefined: it chooses no units, or nothing is known of which. */
  readonly claim: Claim | undefined
  readonly target: Target
  readonly maxMinor: number
  readonly thresholdMinor: number
  readonly thresholdQuantity: number
  readonly thresholdOf: "eligible" | "order"
  readonly thresholdSees: "running" | "original" | undefined
  readonly onlyUndiscounted: boolean
  readonly firstOrder: boolean | undefined
  readonly segments: ReadonlySet<string> | undefined
  readonly minBadge: { readonly badge_id: string; readonly level: number } | undefined
  /** Undefined where every line is meant. */
  readonly applies: LineTest | undefined
  readonly appliesTo: AppliesTo | undefined
  readonly channels: ReadonlySet<string> | undefined
  readonly regions: ReadonlySet<string> | undefined
  readonly paymentMethods: ReadonlySet<string> | undefined
  readonly paymentInstruments: ReadonlySet<string> | undefined
  readonly notPaymentInstruments: ReadonlySet<string> | undefined
  readonly hours: Opening | undefined
  readonly level: number
  readonly priority: number
  readonly exclusive: boolean
  readonly group: string | undefined
  readonly groupMax: number
  readonly withGroups: ReadonlySet<string> | undefined
  readonly perOrder: number
  readonly profile: Profile | undefined
  /** The policy where the request names none. */
  readonly policy: Policy
  readonly funding: readonly { readonly budget_id: string; readonly share_bp: number }[]
}

/** Does a line belong to what the campaign speaks of? */
export type LineTest = (line: OrderLine) => boolean

/** When a campaign's hours are open. */
export type Opening = {
  readonly openAt: (atMs: number) => boolean
  /** The next instant at which they open, undefined where they never do. */
  readonly nextMs: (atMs: number) => number | undefined
  readonly hours: Hours
}

/** A coupon that the user holds, with the terms of its campaign. */
export type HeldCoupon = {
  readonly coupon_id: string
  readonly ends_at_ms: number
  readonly terms: Terms
  /** Its money was held when it was issued, so no budget is asked again. */
  readonly is_paid?: boolean | undefined
}

/** What budgets have, by the budget_id that a campaign's funding names. */
export type Funds = ReadonlyMap<string, number>

/** What a pricing may be told beside order and coupons. */
export type Setting = {
  /** The instant that `hours` are judged at. */
  readonly now_ms?: number | undefined
  readonly profile?: Profile | undefined
  /** How many steps (one coupon on one line) `"best"` may take before it answers with what it has; see `STEPS_PER_MS`. */
  readonly steps_max?: number | undefined
  /** What the budgets have; one that is not named has enough. */
  readonly funds?: Funds | undefined
  /** Budgets to spare: among the best sets, the one that costs these least. */
  readonly minimise?: ReadonlySet<string> | undefined
}

/** Units of one line that cost alike: how many, with what is left of all of them together. */
export type Run = {
  readonly quantity: number
  readonly leftMinor: number
  /** Taken by a bundle or a buy-x-get-y, and so gone for the next. */
  readonly spent: boolean
}

/** The order as arrays, one place for each line and the last for the shipping. Never changes while it is priced. */
export type Sheet = {
  readonly order: Order
  readonly nowMs: number
  readonly funds: Funds | undefined
  /** The place of the shipping: a line of its own, one unit at the shipping's price. */
  readonly shipping: number
  /** The places of all lines, without the shipping. */
  readonly all: readonly number[]
  readonly prices: readonly number[]
  readonly quantities: readonly number[]
  readonly floors: readonly number[]
  readonly amounts: readonly number[]
  /** Lists of places by unit price, found once for each list: positions in it, the cheapest first and the dearest first. */
  readonly sorted: Readonly<Record<"cheapest" | "dearest", Map<readonly unknown[], readonly number[]>>>
  /** Which places of a list pass a test, found once for each test and list. */
  readonly passing: Map<LineTest, Map<readonly number[], readonly boolean[]>>
  /** The cart before any coupon. */
  readonly untouched: Cart
}

/** What is left to pay while coupons are applied one after the other. */
export type Cart = {
  readonly sheet: Sheet
  readonly left: readonly number[]
  /** Where units of a line differ: its units in order. Undefined: all alike. */
  readonly runs: readonly (readonly Run[] | undefined)[]
  /** The money that is left to pay discounts with. */
  readonly funds: Funds | undefined
  /** The turns already taken on this very cart, where they are asked for again and again: by a search, or by what would help. */
  readonly turns: Map<Candidate, Turn | Refusal> | undefined
}

/** What a kind sees. */
export type Scene = {
  readonly cart: Cart
  /** The cart with which the coupon's level began. */
  readonly began: Cart
  /** The eligible lines, without the shipping. */
  readonly lines: readonly number[]
  /** What the discount may be taken from. */
  readonly targets: readonly number[]
  readonly policy: Policy
  readonly thresholdSees: "running" | "original"
  readonly maxMinor: number
}

/** A run of units after a kind has acted: what it took off them, and what it left; so it is the next cart's run as it is. */
export type Piece = Run & { readonly offMinor: number }

/** What a kind does to a cart. */
export type Effect = {
  /** By place. */
  readonly off: readonly number[]
  /** By place, where the units of a line did not fare alike or do not cost alike. */
  readonly pieces?: readonly (readonly Piece[] | undefined)[] | undefined
  readonly totalMinor: number
  readonly benefitMinor: number
  readonly costMinor: number
  readonly gifts?: readonly Gift[] | undefined
  readonly schedule?: readonly Instalment[] | undefined
}

/** Which units of the lines a kind means; none of the three: all. */
export type Choice = {
  readonly max_units?: number | undefined
  readonly max_units_per_line?: number | undefined
  readonly pick?: "cheapest" | "dearest" | undefined
}

/** A kind bound to its terms. Undefined: it would change nothing. */
export type Act = (scene: Scene) => Effect | undefined

/** More of an order: so much money, or so many units of each of these lines. */
export type More = {
  readonly spend_more_minor?: number
  readonly units?: readonly { readonly quantity: number; readonly applies_to?: AppliesTo | undefined }[]
}

/**
 * What more of the order the kind asks for before it can have something to do; parts of 0 units where enough are there.
 * Beyond help: more of the order would not change it.
 */
export type Lacks = (scene: Scene) => More | "beyond_help" | undefined

/** The most that a kind gives on whatever other coupons leave of an untouched order, its own cap set aside. */
export type Most = (scene: Scene) => number

/** A share of an amount, and what rounding may add to it. */
export type Rate = { readonly share: number; readonly oddMinor: number }

export type Gift = { readonly sku: string; readonly unit_price_minor: number; readonly quantity: number }
export type Instalment = { readonly period: number; readonly principal_minor: number; readonly interest_minor: number }

/** What a kind takes off its targets, as far as it can be said without their lines: for the search of the best set. */
export type Outline = {
  /** What a tier's `from` is held against. */
  readonly by: "amount" | "quantity"
  /** In rising order of `from`; the highest one reached holds alone, by its fraction or its amount, the other is 0. */
  readonly tiers: readonly { readonly from: number; readonly fraction: number; readonly amountMinor: number }[]
  /** The amount comes once for each full `from`. */
  readonly repeat: boolean
  readonly capMinor: number
  /** Only of some units of its targets. */
  readonly choice?: Choice | undefined
  /** What a fraction is rounded for. */
  readonly per: "order" | "line" | "unit"
}

/** Which units a kind that chooses among them takes, and what of them it gives: for the search of the best set. */
export type Claim =
  /** Of the n-th unit of a line the fraction of the last step up to n; across a line the discount falls on its units alike, unless each step gives for itself. */
  | { readonly takes: "share"; readonly choice: Choice; readonly steps: readonly { readonly from: number; readonly fraction: number }[]; readonly falls: "alike" | "by_step" }
  /** Rounds of units bought, the dearest first, and units got. */
  | { readonly takes: "rounds"; readonly buy: Portion; readonly get: Portion; readonly times: number; readonly pick: "cheapest" | "dearest"; readonly fraction: number }
  /** Sets of units; each gives what it is worth above its price, or an amount, or a fraction. */
  | { readonly takes: "sets"; readonly portions: readonly Portion[]; readonly times: number; readonly pick: "cheapest" | "dearest"; readonly gives: "above_price" | "amount" | "fraction"; readonly of: number }

/** So many units of the lines that pass a test; without one, of all. */
export type Portion = { readonly quantity: number; readonly test: LineTest | undefined }

/** Why terms were not met, in the order in which the reasons are looked at. */
export const REASONS = [
  "currency",
  "channel",
  "region",
  "payment_method",
  "payment_instrument",
  "hours",
  "first_order",
  "segment",
  "badge",
  "lines",
  "quantity",
  "threshold",
  "nothing_to_discount",
] as const
export type Reason = (typeof REASONS)[number]

/** Which rule keeps a coupon from standing beside another, in the order in which the rules are looked at. */
export const RULE_NAMES = ["exclusive", "group", "with_groups", "per_order"] as const
export type RuleName = (typeof RULE_NAMES)[number]

/** What the shopper can change; all keys together are the change. */
export type Needs = {
  readonly payment_method?: string
  readonly without?: readonly string[]
  readonly spend_more_minor?: number
  readonly quantity_more?: number
  readonly from_at?: string
}

export type AppliedLine = {
  readonly line_id: string
  readonly discount_minor: number
  /** The line's units in order, in runs of equal ones: the discount is that of one unit. */
  readonly units: readonly { readonly quantity: number; readonly discount_minor: number }[]
}

export type AppliedCoupon = {
  readonly coupon_id: string
  readonly campaign_id: string
  readonly discount_minor: number
  readonly shipping_discount_minor: number
  readonly benefit_minor: number
  readonly cost_minor: number
  readonly lines: readonly AppliedLine[]
  readonly gifts?: readonly Gift[]
  readonly schedule?: readonly Instalment[]
}

export type RejectedCoupon = {
  readonly coupon_id: string
  readonly campaign_id: string
  readonly code: "terms_not_met" | "not_stackable" | "budget_exhausted"
  readonly detail: string
  readonly reason?: Reason
  readonly rule?: RuleName
  readonly other_coupon_id?: string
  readonly budget_id?: string
  readonly needs?: Needs
}

/** The priced answer. */
export type Quote = {
  readonly discount_minor: number
  readonly shipping_discount_minor: number
  readonly total_minor: number
  readonly benefit_minor: number
  readonly cost_minor: number
  readonly profile: Profile
  /** Nothing better exists; a named list is what was asked for and always proved. */
  readonly proved: boolean
  /** How much better a set could at most be, where that was not proved. */
  readonly gap_minor: number
  readonly applied: readonly AppliedCoupon[]
  readonly rejected: readonly RejectedCoupon[]
}
