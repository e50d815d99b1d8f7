/**
 * What the page of each kind says: its promise, what every term means, an example with numbers, and what happens at the edges.
 *
 * What must stay true: every term of a kind's schema has its meaning here and no other has; every example runs in a test.
 */
import type { CampaignBody, Order, OrderLine } from "../engine/pricing/types.ts"

export interface KindWords {
  readonly promise: string
  /** By the term's path: what it means, and what holds where it is left out. */
  readonly terms: Readonly<Record<string, string>>
  readonly example: {
    readonly says: string
    readonly order: Order
    readonly campaign: Omit<CampaignBody, "campaign_id">
    /** What comes out: the discount of each line, and what else the example speaks of. */
    readonly lines: readonly number[]
    readonly discount_minor: number
    readonly benefit_minor?: number
    readonly total_minor: number
  }
  readonly edges: readonly string[]
}

type Words = { price: number; quantity?: number } & Partial<OrderLine>
const cart = (lines: readonly Words[], fields: Partial<Order> = {}): Order => ({
  currency: "CNY", ...fields,
  lines: lines.map(({ price, quantity = 1, ...rest }, i) => ({ line_id: `${i + 1}`, sku: `sku-${i + 1}`, unit_price_minor: price, quantity, ...rest })),
})

const CHOICE = {
  max_units: "how many units in all are meant, the shipping not counted; without it all are",
  max_units_per_line: "how many units of each line are meant; without it all are",
  pick: "which units, by their unit price, ties to the earlier line; default `cheapest`",
}
const UNIT_LEFT = "A unit gives only what is left of it: what an earlier coupon took is gone."
const NOT_RAISED = "Nothing is ever taken below a line's `floor_minor`; what finds no room there is dropped."

export const KIND_WORDS: Readonly<Record<string, KindWords>> = {
  amount_off: {
    promise: "A fixed amount off: once over the eligible lines together, or from each line, or from each unit.",
    terms: {
      amount_minor: "the amount",
      spread: "`across`: once, shared in proportion to what the lines cost now; `each_line`, `each_unit`: from each; default `across`",
      ...CHOICE,
    },
    example: { says: "50.00 off an order of 120.00, 230.00 and 300.00", order: cart([{ price: 12_000 }, { price: 23_000 }, { price: 30_000 }]), campaign: { kind: "amount_off", terms: { amount_minor: 5_000 } }, lines: [923, 1_769, 2_308], discount_minor: 5_000, total_minor: 60_000 },
    edges: ["`across` with `max_units` is refused: an amount that comes once counts no units.", "Which line gets the odd unit is the policy's axis `remainder`.", NOT_RAISED, UNIT_LEFT],
  },
  percent_off: {
    promise: "A share of what the eligible lines cost.",
    terms: {
      percent_bp: "the share in basis points; 1000 is 10 %",
      max_minor: "the most that it takes; without it there is no such cap",
      per: "what is rounded: the sum of the order, each line, or each unit and then multiplied; default: the policy's `percent_per`",
      ...CHOICE,
    },
    example: { says: "10 % off, at most 20.00", order: cart([{ price: 10_600, quantity: 2 }, { price: 4_000 }]), campaign: { kind: "percent_off", terms: { percent_bp: 1_000, max_minor: 2_000 } }, lines: [1_683, 317], discount_minor: 2_000, total_minor: 23_200 },
    edges: ["A second percentage is taken of what the first has left, or, where the policy's `percent_base` is `original`, of what the coupon's level began with.", "A cap is shared over the lines in proportion to what they would have given.", NOT_RAISED],
  },
  fixed_price: {
    promise: "Each unit, or all eligible lines together, for a price. It never raises one.",
    terms: { price_minor: "the price; 0 is free", per: "`unit`, or `order` for all eligible lines together; default `unit`", ...CHOICE },
    example: { says: "one of the cheapest for 1.00", order: cart([{ price: 3_000, quantity: 2 }, { price: 1_500 }]), campaign: { kind: "fixed_price", terms: { price_minor: 100, max_units: 1 } }, lines: [0, 1_400], discount_minor: 1_400, total_minor: 6_100 },
    edges: ["What costs less already stays as it is; where nothing costs more, the coupon is `terms_not_met` with `nothing_to_discount`.", NOT_RAISED],
  },
  tiered_off: {
    promise: "The more there is, the more comes off: by what the eligible lines cost, by how many units they have, or unit by unit.",
    terms: {
      by: "what `from` is held against: `amount`, `quantity`, or `unit`, where the n-th unit of a line takes the tier of n; default `amount`",
      tiers: "in rising order of `from`; the highest one reached holds alone",
      "tiers.from": "inclusive; may be 0",
      "tiers.amount_minor": "an amount off (for `unit`: off each unit of the tier); this or `percent_bp`",
      "tiers.percent_bp": "a share off; this or `amount_minor`",
      repeat: "the amount once for each full `from`; default false",
      per: "as in percent_off",
      max_units: "how many units in all the discount falls on; the tier still counts all of them",
      pick: CHOICE.pick,
    },
    example: { says: "every 200.00 less 30.00", order: cart([{ price: 25_000, quantity: 2 }]), campaign: { kind: "tiered_off", terms: { by: "amount", tiers: [{ from: 20_000, amount_minor: 3_000 }], repeat: true } }, lines: [6_000], discount_minor: 6_000, total_minor: 44_000 },
    edges: ["`repeat` needs exactly one tier, with `amount_minor` and a `from` above 0, by `amount` or `quantity`; anything else is refused, naming `terms.repeat`. By `unit` there is nothing to repeat: every unit of a line has its own tier.", "What is reached sees what earlier coupons have left, unless `threshold_sees` is `original`.", "A higher tier may give less than a lower one; it holds all the same.", NOT_RAISED],
  },
  buy_x_get_y: {
    promise: "Who buys so many of these gets so many of those free, or cheaper by a share.",
    terms: {
      buy: "what has to be bought in each round", "buy.quantity": "how many units", "buy.applies_to": "which lines; without it any eligible one",
      get: "what is got in each round", "get.quantity": "how many units", "get.applies_to": "which lines; without it any eligible one",
      percent_bp: "how much off what is got; default 10000, free", pick: "which units are got; default `cheapest`", times: "the most rounds; without it as many as fit",
    },
    example: { says: "buy two, get one free, of five", order: cart([{ price: 3_000, quantity: 3 }, { price: 1_000, quantity: 2 }]), campaign: { kind: "buy_x_get_y", terms: { buy: { quantity: 2 }, get: { quantity: 1 }, percent_bp: 10_000 } }, lines: [0, 1_000], discount_minor: 1_000, total_minor: 10_000 },
    edges: ["A round needs its full buy and its full get.", "The rounds are counted first; then all buy units are taken, the dearest first, then all get units from what is left. Where lines may be bought and got, the buy leaves as many as the get needs.", "Units that one such coupon or a bundle has taken are gone for the next."],
  },
  bundle: {
    promise: "A set of things together for a price, for an amount less, or for a share less.",
    terms: {
      sets: "the parts of one set, served in their order", "sets.quantity": "how many units of this part", "sets.applies_to": "which lines; without it any eligible one",
      price_minor: "the price of a set; this, `amount_minor` or `percent_bp`", amount_minor: "an amount off each set", percent_bp: "a share off each set",
      pick: "which units; default `dearest`", times: "the most sets; without it as many as fit",
    },
    example: { says: "shirt and trousers for 40.00", order: cart([{ price: 2_000, category: "shirt" }, { price: 3_000, category: "trousers" }, { price: 500, category: "shirt" }]), campaign: { kind: "bundle", terms: { sets: [{ quantity: 1, applies_to: { categories: ["shirt"] } }, { quantity: 1, applies_to: { categories: ["trousers"] } }], price_minor: 4_000 } }, lines: [400, 600, 0], discount_minor: 1_000, total_minor: 4_500 },
    edges: ["What a set saves is shared over its units by what they cost now.", "A set that would save nothing takes no units.", "Units that one coupon has taken are gone for the next."],
  },
  free_shipping: {
    promise: "The shipping costs nothing, or less by `max_minor`.",
    terms: { max_minor: "the most that it takes; without it all of it" },
    example: { says: "the shipping of 12.00 up to 10.00", order: cart([{ price: 5_000 }], { shipping_minor: 1_200 }), campaign: { kind: "free_shipping", terms: { max_minor: 1_000 } }, lines: [0], discount_minor: 1_000, total_minor: 5_200 },
    edges: ["It is applied last of all, with the coupons of `target: \"shipping\"`, so its threshold sees what the others have left of the items.", "Thresholds count items only, never the shipping.", "Where there is no shipping it is `terms_not_met`."],
  },
  gift: {
    promise: "Something is put into the parcel. It adds no line and takes nothing off; its price is what it costs the budgets.",
    terms: {
      sku: "what is given", unit_price_minor: "what one costs the budgets", quantity: "how many are given, each time",
      for_each: "once for each so many units; without it once", "for_each.quantity": "how many units", "for_each.applies_to": "which lines count; without it every eligible one",
    },
    example: { says: "a mug of 4.00 for every three", order: cart([{ price: 1_000, quantity: 7 }]), campaign: { kind: "gift", terms: { sku: "mug", unit_price_minor: 400, quantity: 1, for_each: { quantity: 3 } } }, lines: [0], discount_minor: 0, benefit_minor: 800, total_minor: 7_000 },
    edges: ["`benefit_minor` and `cost_minor` are price times quantity, and `gifts` lists them.", "`max_minor` caps what is taken off, so it does not cap a gift."],
  },
  interest_free: {
    promise: "The order is paid in instalments and the house bears the interest: the price stays, the interest is the cost.",
    terms: {
      periods: "how many instalments; the order's `instalments` must be the same", rate_bp: "interest of one period, in basis points",
      interest: "`flat`: of the whole principal in every period; `declining`: of what is still owed; default `flat`",
    },
    example: { says: "three instalments of 1000.00 at 0.5 %", order: cart([{ price: 100_000 }], { instalments: 3 }), campaign: { kind: "interest_free", terms: { periods: 3, rate_bp: 50 } }, lines: [0], discount_minor: 0, benefit_minor: 1_500, total_minor: 100_000 },
    edges: ["The principal is what the eligible lines cost after all discounts; its parts are floored and the first ones carry what is left over (33334, 33333, 33333).", "Declining, the same order costs 500, 333 and 167.", "With other `instalments` it is `terms_not_met` with `nothing_to_discount`."],
  },
  cash_back: {
    promise: "A share of what is paid for the eligible lines comes back, some days after the confirm.",
    terms: { rate_bp: "the share in basis points", principal_cap_minor: "what counts at most", days: "how many days after the confirm it is due" },
    example: { says: "1 % of at most 50.00", order: cart([{ price: 10_050 }]), campaign: { kind: "cash_back", terms: { rate_bp: 100, principal_cap_minor: 5_000, days: 7 } }, lines: [0], discount_minor: 0, benefit_minor: 50, total_minor: 10_050 },
    edges: ["What is paid is what the lines cost after all discounts, whatever the coupon's place in the order of application.", "It is rounded half up, whatever the policy says of discounts."],
  },
  rate_uplift: {
    promise: "Savings of the order's size earn a higher rate for some days; what that is worth is what it costs.",
    terms: { rate_bp: "how much higher the year's rate is, in basis points", principal_cap_minor: "what counts at most", days: "for how many days" },
    example: { says: "1 % more for 30 days on 5000.00", order: cart([{ price: 500_000 }]), campaign: { kind: "rate_uplift", terms: { rate_bp: 100, principal_cap_minor: 1_000_000, days: 30 } }, lines: [0], discount_minor: 0, benefit_minor: 411, total_minor: 500_000 },
    edges: ["half_up(min(principal, cap) × rate_bp × days / (10000 × 365)): a year has 365 days.", "`rate_bp` times `days` is at most 3650000, a year at 100 %. An uplift that would earn more than the amount itself is refused, naming `terms.days`, because what is given must be countable for every amount."],
  },
}
