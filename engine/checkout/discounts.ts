/**
 * Checkout discounts, as the Universal Commerce Protocol's discount extension (2026-04-08) asks for them: codes in, a priced checkout out.
 *
 * What must stay true: nothing is claimed; each code is applied or said, never both; allocations sum to their discount, and the totals to
 * what is to be paid. A free code is priced as if the user had claimed it; one whose coupon he holds is that coupon. The protocol's
 * priority is the place in the order of application, so there lower is first.
 */
import { userHash } from "../../lua/keys.ts"
import type { Answered, Caller } from "../answers.ts"
import { normalise } from "../codes/code.ts"
import { seeCode } from "../codes/see.ts"
import type { CheckoutDiscountsAsk, DiscountsAnswer, MessageCode } from "../contract/ucp.ts"
import type { Campaign } from "../operate/catalogue.ts"
import type { Parts } from "../parts.ts"
import type { Terms } from "../pricing/types.ts"
import { readWallet, whyNotUsable } from "./choose.ts"
import { fundsOf, payersOf, type Priced } from "./payers.ts"
import { placesOf } from "./places.ts"
import { priceBeside } from "./price_beside.ts"
import { sayNo } from "./say.ts"
import { withLevels } from "./shopper.ts"

type Ask = CheckoutDiscountsAsk
type Message = DiscountsAnswer["messages"][number]

const warning = (at: number, code: MessageCode, content: string): Message => ({ type: "warning", code, path: `$.discounts.codes[${at}]`, content })

/** Kinds and terms that discount items one by one; anything else is shared over what it applies to. */
const methodOf = ({ kind, terms }: Campaign["body"]): "each" | "across" => {
  const { per, spread } = terms as { per?: unknown; spread?: unknown }
  return per === "line" || per === "unit" || spread === "each_line" || spread === "each_unit" || (kind === "fixed_price" && per === undefined) ? "each" : "across"
}

interface CodeUse { readonly at: number; readonly campaign: Campaign; readonly priced: Priced }
type Looked = { readonly use: CodeUse } | { readonly message: Message } | { readonly no: Answered }

/** A code's coupon as if it had just been claimed. */
const asClaimed = (at: number, campaign: Campaign, now_ms: number): CodeUse => {
  const { coupon_valid_s } = campaign.body
  const ends_at_ms = coupon_valid_s === undefined ? campaign.ends_ms : Math.min(campaign.ends_ms, now_ms + coupon_valid_s * 1_000)
  return { at, campaign, priced: { held: { coupon_id: `code ${at}`, ends_at_ms, terms: campaign.terms as Terms }, campaign } }
}

const lookAt = async (parts: Parts, ask: Ask, at: number, text: string, caller: Caller): Promise<Looked> => {
  const seen = await seeCode(parts, text, ask.user_id, caller)
  switch (seen.is) {
    case "exceeded": return { no: seen.no }
    case "invalid": return { message: warning(at, "discount_code_invalid", "There is no such code.") }
    case "over": return { message: warning(at, "discount_code_expired", "The code has been used up or has ended.") }
    case "not_for_user": return { message: warning(at, "discount_code_user_ineligible", seen.detail) }
    case "free": return { use: asClaimed(at, seen.campaign, caller.now_ms) }
    case "held": {
      const { campaign, coupon_id, field } = seen
      const { coupons, at_ms } = await readWallet(parts, placesOf(userHash(ask.user_id), parts.cells, caller.now_ms), caller.now_ms, { fields: [field] })
      const record = coupons.get(field)
      const no = record ? whyNotUsable(coupon_id, record, campaign, at_ms) : { outcome: "coupon_ended" as const }
      if (no?.outcome === "campaign_paused") return { message: warning(at, "discount_code_user_ineligible", sayNo(no.outcome)) }
      if (no || !record) return { message: warning(at, "discount_code_expired", sayNo(no?.outcome ?? "coupon_ended")) }
      return { use: { at, campaign, priced: { held: { coupon_id, ends_at_ms: record.ends_at_ms, terms: campaign.terms }, campaign } } }
    }
  }
}

/** What the codes are: what is to be priced, and what is said of the others. */
const lookAtAll = async (parts: Parts, ask: Ask, caller: Caller): Promise<{ uses: CodeUse[]; messages: Message[] } | { no: Answered }> => {
  const uses: CodeUse[] = [], messages: Message[] = []
  const first = new Map<string, number>()
  ask.discounts.codes.forEach((text, i) => { const code = normalise(text); if (!first.has(code)) first.set(code, i) })
  const looked = await Promise.all(ask.discounts.codes.map((text, i) =>
    first.get(normalise(text)) === i ? lookAt(parts, ask, i, text, caller) : { message: warning(i, "discount_code_already_applied", "The code is there already.") }))
  const coupons = new Set<string>()
  for (const one of looked) {
    if ("no" in one) return one
    if ("message" in one) messages.push(one.message)
    // Two codes may have become one coupon: it stands once.
    else if (coupons.has(one.use.priced.held.coupon_id)) messages.push(warning(one.use.at, "discount_code_already_applied", "The code's coupon is there already."))
    else { coupons.add(one.use.priced.held.coupon_id); uses.push(one.use) }
  }
  return { uses, messages }
}

/** Totals: those of 0 are left out, but for the first and the last. */
const totals = (entries: readonly (readonly [DiscountsAnswer["totals"][number]["type"], number])[]): DiscountsAnswer["totals"] =>
  entries.filter(([type, amount]) => type === "subtotal" || type === "total" || amount !== 0).map(([type, amount]) => ({ type, amount }))

/** Price a checkout with its codes. */
export const checkoutDiscountsWith = (parts: Parts) => async (ask: Ask, caller: Caller): Promise<Answered> => {
  const { now_ms } = caller
  const looked = await lookAtAll(parts, ask, caller)
  if ("no" in looked) return looked.no
  const { uses, messages } = looked
  const payers = await payersOf(parts, uses.map(({ priced }) => priced), now_ms)
  const order = await withLevels(parts, userHash(ask.user_id), {
    currency: ask.currency, lines: ask.line_items.map(({ id, item, quantity }) => ({ line_id: id, sku: item.id, unit_price_minor: item.price, quantity })),
    ...(ask.fulfillment_minor === undefined ? {} : { shipping_minor: ask.fulfillment_minor }),
  }, payers.held)
  const quote = await priceBeside(order, payers.held, "named", { now_ms, funds: await fundsOf(parts, payers, now_ms) })

  const byCoupon = new Map(uses.map((use) => [use.priced.held.coupon_id, use]))
  const places = new Map(ask.line_items.map(({ id }, i) => [id, i]))
  const perLine = ask.line_items.map(() => 0)
  const applied = quote.applied.map(({ coupon_id, discount_minor, shipping_discount_minor, lines }, i) => {
    const { at, campaign } = byCoupon.get(coupon_id)!
    const onLines = lines.map(({ line_id, discount_minor: amount }) => {
      const place = places.get(line_id)!
      perLine[place]! += amount
      return { path: `$.line_items[${place}]`, amount }
    })
    return {
      code: ask.discounts.codes[at]!, title: campaign.body.name, amount: discount_minor, method: methodOf(campaign.body), priority: i + 1,
      allocations: shipping_discount_minor > 0 ? [...onLines, { path: "$.totals.shipping", amount: shipping_discount_minor }] : onLines,
    }
  })
  for (const { coupon_id, code, detail } of quote.rejected) {
    messages.push(warning(byCoupon.get(coupon_id)!.at, code === "not_stackable" ? "discount_code_combination_disallowed" : "discount_code_user_ineligible", detail))
  }
  const subtotal = ask.line_items.reduce((sum, { item, quantity }) => sum + item.price * quantity, 0)
  const body: DiscountsAnswer = {
    line_items: ask.line_items.map((line, i) => {
      const amount = line.item.price * line.quantity
      return { ...line, totals: totals([["subtotal", amount], ["items_discount", -perLine[i]!], ["total", amount - perLine[i]!]]) }
    }),
    discounts: { codes: [...ask.discounts.codes], applied },
    totals: totals([
      ["subtotal", subtotal], ["items_discount", -perLine.reduce((sum, amount) => sum + amount, 0)], ["discount", -quote.shipping_discount_minor],
      ["fulfillment", ask.fulfillment_minor ?? 0], ["total", quote.total_minor],
    ]),
    messages: messages.sort((a, b) => a.path.localeCompare(b.path, "en", { numeric: true })),
  }
  return { outcome: "quoted", body }
}
