/**
 * What the pages about conditions, stacking, policy, the best set and the package say beside what is made from the code.
 *
 * What must stay true: names and defaults are those of engine/pricing/compile.ts and policy.ts; a change there is a change here.
 */
export const PRICING_WORDS = {
  conditions: `A campaign may ask for any of these beside its kind's terms; all of them must hold. Each is judged on the untouched order, but for a
running threshold, which is judged again when the coupon's turn comes.

| field | holds when |
| --- | --- |
| \`currency\` | the order is in it |
| \`channels\`, \`regions\`, \`payment_methods\`, \`payment_instruments\` | the order's is one of the list; an order that names none is in no list |
| \`not_payment_instruments\` | the order's is none of the list |
| \`hours\` \`{time_zone, weekdays, from, to}\` | the instant is in them: half-open, Monday is 1; where \`to\` is not after \`from\` they run over midnight and belong to the day on which they begin |
| \`first_order\` | the order says \`first_order: true\` |
| \`segments\` | the order is in one of them |
| \`min_badge\` \`{badge_id, level}\` | the order's badge has at least that level |
| \`applies_to\` | some line is meant: inside one list any, between lists all, and any \`not_\` list wins |
| \`only_undiscounted\` | some of those lines is not priced below its \`list_price_minor\` |
| \`threshold_quantity\` | so many units |
| \`threshold_minor\` | so much money, at least; items only, never the shipping |

\`threshold_of\`: \`eligible\` (default) counts the lines that the campaign speaks of, \`order\` all of them. \`threshold_sees\`: \`running\` (default) counts
what earlier coupons have left, \`original\` what the items cost; without it the policy's axis of that name holds.

\`target\` says what the discount is taken from: \`items\` (default), \`shipping\` or \`everything\`. \`max_minor\` caps what any price kind takes.`,

  stacking: `The order of application never depends on which coupons are chosen:

1. by level: \`line\`, \`shop\` (default), \`platform\`, \`payment\`; coupons with \`target: "shipping"\` and \`free_shipping\` last of all, by level among themselves;
2. inside a level \`percent_off\` before the rest, where the policy's \`kind_order\` is \`percent_first\`;
3. by \`priority\`, the higher first (default 0);
4. by the place in the request's list, with \`"best"\` the smaller \`coupon_id\`.

With a named list, coupons that fail their own conditions drop out. If a usable one is \`exclusive\`, the exclusive one of highest priority (then
first in the list) stands alone, even against others of higher priority. Else each is taken in its turn unless it conflicts with those already taken:

| field | a coupon conflicts |
| --- | --- |
| \`exclusive\` | with every other |
| \`group\`, \`group_max\` (default 1) | when its group is full: the smallest \`group_max\` of the members holds, the newcomer's included |
| \`with_groups\` | with any coupon that is not in one of these groups; a pair needs the yes of both, and an empty list allows nobody |
| \`per_order\` (default 1) | when so many coupons of its campaign are taken; of two versions the smaller number holds |

A coupon that would change nothing is \`terms_not_met\` with \`nothing_to_discount\` and is never applied with 0.`,

  policy: `Shops round and stack differently. A \`profile\` says how: a name, or \`{extends: name, axis: value, …}\`. Axis by axis the terms' own setting holds
(\`per\`, \`threshold_sees\`), else the request's profile, else the campaign's, else \`scrip\`; \`kind_order\` concerns the whole order, so there the
request's profile holds, else \`scrip\`. The full policy is kept with the redemption.

An object without \`extends\` settles the axes that it names and no other: the rest are the next one's in that order, so \`{"rounding": "down"}\` on a request
leaves a campaign's \`remainder\` as it is. With \`extends\` an object settles every axis, as a name does. A field that is no axis, a value that the axis
does not have and a name that is no profile are refused, naming the field.

| axis | what it decides |
| --- | --- |
| \`remainder\` | who gets the odd units of an amount shared over lines. \`largest\`: all are floored, one more by the largest fraction, ties to the earlier line. \`first\`: floored, one more from the first line on. \`first_rounded\`: rounded half down, one more or less from the first. \`last\`: rounded half up, the last takes the rest |
| \`rounding\` | of a discount that falls between two units: \`half_up\`, \`half_even\`, \`half_down\`, \`down\` |
| \`percent_base\` | a percentage is of what is left (\`running\`), or of what its level began with (\`original\`); of single units (rounds, sets, tiers by unit) always of what is left of them |
| \`kind_order\` | inside a level by priority, or percentages first |
| \`percent_per\` | a percentage is rounded for the order, for each line, or for each unit and then multiplied |
| \`threshold_sees\` | a threshold counts what is left, or what the items cost |
| \`budget_short\` | a budget that has too little: the coupon is refused, or gives what there is (\`partial\`) |

An amount is shared in proportion to what the lines cost at that moment; a line that costs nothing gets nothing. What is spread fills a line down to its
floor and is shared again over the rest until nothing moves; what is per line or per unit is cut at the floor. Products beyond 2^53 are computed exactly.`,

  best: `**Best.** \`"best"\` chooses which coupons, never their order. It maximises discount and benefit together; a tie falls to the fewest coupons, then
to the earliest ends (sorted, compared one by one), then to the smallest coupon ids. With \`minimise: {line}\`, among the sets of that same maximum, the one
that costs the line's budgets least. \`proved: true\` and \`gap_minor: 0\`: no other set gives more. Of more than 500 usable coupons of a wallet those that end first
are looked at, of a campaign at most 100, and then nothing is proved. With at most 20 usable coupons on at most 200 lines
the search goes on until it has proved that, mostly for less than 0.05 s and hardly ever for one; beyond, it stops after \`budget_ms\`, which is turned into a count of
steps so that the answer does not depend on the clock (what a list by name costs comes on top), and \`gap_minor\` is how much more a set could at most give.

**Why not.** Every coupon that was asked for is applied or in \`rejected\`, with its code, a sentence, and \`needs\` where the shopper can help it: one
object whose keys together are the change (\`payment_method\`, \`without\`, \`spend_more_minor\`, \`quantity_more\`, \`from_at\`). What is named has been priced
with the changed order and is enough. Where several single changes would do, the first of that list is named; two together only where none does alone.
More money is what has to be spent on lines like those the coupon speaks of, so behind 50 % off it is twice what its threshold lacks; more units are of what the
coupon asks for. Without \`needs\`, nothing that is done to the order would help.

**Refunds.** A line's discount lies evenly on its units, the first ones carry what does not divide, also where the kind chose units; a refund by quantity
takes units from the last to the first. The shipping's discount goes back with the last line. Any split of a return, in any order, adds up to the
whole. With \`refund_policy: "re_evaluate"\` what is kept is priced anew with the redemption's coupons, terms, policy and instant; what it holds beyond that
is \`withheld_minor\`, at most the money paid for the units returned. Who buys 6 at 50.00 for 10 % off from 300.00 and sends 5 back keeps
one at 45.00 by \`keep\`, and pays 50.00 for it by \`re_evaluate\`.`,

  package: `\`npm run build:pricing\` writes \`dist/pricing.js\`, one module for browsers, tills and tests, of [build/package.ts](../../build/package.ts).
It needs nothing of Bun or Node, and the worked examples come out of it to the cent. What the engine would refuse it throws as a \`TypeError\`
with \`code: "request_invalid"\`, the \`field\` and the engine's sentence, by the engine's own check.

\`\`\`js
import { quote } from "./pricing.js"

quote({
  order: { currency: "CNY", lines: [{ line_id: "1", sku: "kettle", unit_price_minor: 25000, quantity: 1 }] },
  campaigns: [{ campaign_id: "welcome", kind: "amount_off", terms: { amount_minor: 3000 }, threshold_minor: 20000 }],
}).total_minor // 22000
\`\`\`

| export | what it does |
| --- | --- |
| \`quote({order, campaigns, coupons?, profile?, now_ms?, budget_ms?})\` | prices an order as if the shopper held one coupon of each campaign; \`coupons\` is \`"best"\` or a list of campaign ids, without it all of them as a list |
| \`faults(campaign)\` | all that is wrong with a campaign's pricing fields, by field |
| \`refund(lines, ask, shipping?)\`, \`refundReEvaluated(remembered, ask)\` | what a return gives back |
| \`kinds\`, \`profiles\`, \`policy(profile)\` | the names there are, and what a profile means |

It is a calculator, not a judge: limits, budgets and who holds what are the engine's.`,
} as const
