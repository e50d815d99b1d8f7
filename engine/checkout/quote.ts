/**
 * Quote: what would apply to an order, what would not and why. It changes nothing.
 *
 * Operators may have campaigns priced that do not exist yet: a draft is a coupon in the user's hand, called like its campaign, whatever
 * its window says. What its budgets have counts where they exist.
 */
import { userHash } from "../../lua/keys.ts"
import type { Answered, Caller } from "../answers.ts"
import { type QuoteAsk, SEARCH_MS } from "../contract/checkout.ts"
import type { Draft } from "../contract/campaigns.ts"
import { mayTouch } from "../operate/lines.ts"
import type { Parts } from "../parts.ts"
import { STEPS_PER_MS } from "../pricing/best.ts"
import { draftCoupon } from "../pricing/drafts.ts"
import type { Quote } from "../pricing/price.ts"
import { chooseAll, chooseNamed, quotedOf, readWallet, whyNotUsable, type Chosen, type Left } from "./choose.ts"
import { budgetsOf, fundsOf, payersOf, type Priced } from "./payers.ts"
import { placesOf } from "./places.ts"
import { priceBeside } from "./price_beside.ts"
import { withLevels } from "./shopper.ts"
import { signQuote } from "./signed.ts"
import { sayNo, tooMuch } from "./say.ts"

/** A left coupon as an item of `rejected`. */
export const rejectedOf = ({ coupon_id, campaign_id, no: { outcome, retry: _, ...fields } }: Left): Quote["rejected"][number] =>
  ({ detail: sayNo(outcome), ...fields, coupon_id, ...(campaign_id ? { campaign_id } : {}), code: outcome }) as Quote["rejected"][number]

/** How many steps "best" may take. */
export const stepsOf = ({ budget_ms = SEARCH_MS }: { readonly budget_ms?: number | undefined }): number => budget_ms * STEPS_PER_MS

/** Of the named coupons, those that the wallet has and that could be used at an instant. */
const usableNamed = async (parts: Parts, caller: Caller, user: string, coupon_ids: readonly string[], priced_ms: number | undefined): Promise<Chosen> => {
  const places = placesOf(user, parts.cells, caller.now_ms)
  const { choices, left } = await chooseNamed(parts, caller, user, coupon_ids)
  if (choices.length === 0) return { choices, left }
  const { coupons, at_ms } = await readWallet(parts, places, caller.now_ms, { fields: choices.map(({ field }) => field) })
  const usable = choices.filter((choice) => {
    const record = coupons.get(choice.field)
    const no = record ? whyNotUsable(choice.coupon_id, record, choice.campaign, priced_ms ?? at_ms) : { outcome: "coupon_unknown" as const, coupon_id: choice.coupon_id }
    if (no) left.push({ coupon_id: choice.coupon_id, campaign_id: choice.campaign.campaign_id, no })
    return !no
  })
  return { choices: usable, left }
}

const asPriced = (draft: Draft): Priced => ({ held: draftCoupon(draft), draft })

/** What is priced: drafts, and coupons of the wallet where the caller may see it. */
const chooseFor = async (parts: Parts, ask: QuoteAsk, caller: Caller, priced_ms: number | undefined): Promise<{ priced: Priced[]; left: Left[]; is_cut?: true }> => {
  const drafts = (ask.drafts ?? []).map(asPriced)
  const user = ask.user_id !== undefined && caller.scopes.includes("checkout") ? userHash(ask.user_id) : undefined
  if (ask.coupons === "best") {
    const { choices, ...rest }: Chosen = user === undefined ? { choices: [], left: [] } : await chooseAll(parts, caller, placesOf(user, parts.cells, caller.now_ms), user, { priced_ms })
    return { priced: [...drafts, ...choices], ...rest }
  }
  if (ask.coupons === undefined) return { priced: drafts, left: [] }
  const byId = new Map<string, Priced>(drafts.map((each) => [each.held.coupon_id, each]))
  const others = ask.coupons.filter((coupon_id) => !byId.has(coupon_id))
  const { choices, left }: Chosen = user === undefined
    ? { choices: [], left: others.map((coupon_id) => ({ coupon_id, no: { outcome: "coupon_unknown", coupon_id } })) }
    : await usableNamed(parts, caller, user, others, priced_ms)
  for (const choice of choices) byId.set(choice.coupon_id, choice)
  return { priced: ask.coupons.flatMap((coupon_id) => byId.get(coupon_id) ?? []), left }
}

/** A no that is about a budget of another month is called so. */
const saidOf = (rejected: Quote["rejected"][number], shut: ReadonlySet<string>): object =>
  rejected.budget_id !== undefined && shut.has(rejected.budget_id) ? { ...rejected, code: "budget_not_open", detail: sayNo("budget_not_open") } : rejected

/** Price an order with the user's coupons, or with drafts. */
export const quoteWith = (parts: Parts) => async (ask: QuoteAsk, caller: Caller): Promise<Answered> => {
  const scope = ask.drafts ? "operate" : "checkout"
  if (!caller.scopes.includes(scope)) return { outcome: "scope_missing", needs_scope: [scope] }
  const foreign = ask.drafts?.find(({ line }) => line !== undefined && !mayTouch(caller, line))
  if (foreign) return { outcome: "scope_missing", line: foreign.line }

  const { coupons, profile } = ask
  const priced_ms = ask.priced_at === undefined ? undefined : Date.parse(ask.priced_at)
  const at_ms = priced_ms ?? caller.now_ms
  const { priced, left, ...chosen } = await chooseFor(parts, ask, caller, priced_ms)
  // What there is to spend is what there is now, whatever instant the price is asked for.
  const payers = await payersOf(parts, priced, caller.now_ms)
  const order = await withLevels(parts, ask.user_id === undefined ? undefined : userHash(ask.user_id), ask.order, payers.held)
  const quote = quotedOf(await priceBeside(order, payers.held, coupons === "best" ? "best" : "named", {
    now_ms: at_ms, profile, steps_max: stepsOf(ask), funds: await fundsOf(parts, payers, caller.now_ms),
    minimise: ask.minimise && budgetsOf(payers, ask.minimise.line),
  }), chosen)
  const uncounted = tooMuch(quote, ask.drafts ? "drafts" : "coupons")
  if (uncounted) return uncounted
  const rejected = [...left.map(rejectedOf), ...quote.rejected.map((each) => saidOf(each, payers.shut))] as Quote["rejected"][number][]
  if (Array.isArray(coupons)) rejected.sort((a, b) => coupons.indexOf(a.coupon_id) - coupons.indexOf(b.coupon_id))
  if (!ask.hold || ask.user_id === undefined) return { outcome: "quoted", body: { ...quote, rejected } }
  const versionOf = new Map(priced.map((each) => [each.held.coupon_id, each.held.terms.version]))
  const signed = await signQuote(parts, { ...ask, user_id: ask.user_id, badges: order.badges }, quote, quote.applied.map(({ coupon_id }) => versionOf.get(coupon_id)!), caller.now_ms)
  return "outcome" in signed ? signed : { outcome: "quoted", body: { ...quote, rejected, ...signed } }
}
