/**
 * Campaigns: terms, a window, stock, limits and funding, as an operator writes them.
 *
 * The fields that decide prices come from pricing and the terms from the kind, so that a kind is declared in one place.
 */
import { Type, type Static, type TSchema } from "typebox"
import { boundMinor, PRICING_FIELDS, termsFaults } from "../pricing/compile.ts"
import { KINDS } from "../pricing/kinds/index.ts"
import {
  Bp, BpFromOne, closed, Count, CountFromOne, Currency, FUNDING_MAX, Id, Instant, instantMs, InstantOut, isPrintable, Text, VALID_S_MAX,
} from "./basics.ts"
import { check, type Check, fieldName, type RequestFault } from "./check.ts"
import { type AskOf, operation } from "./operation.ts"

const CampaignPath = Type.Object({ campaign_id: Id }, closed)

const FIELDS = {
  line: Id,
  name: Text,
  currency: Currency,
  ...PRICING_FIELDS,
  starts_at: Instant,
  ends_at: Instant,
  coupon_valid_s: Type.Optional(Type.Integer({ minimum: 1, maximum: VALID_S_MAX, description: "a coupon ends so long after its issue, or with the campaign" })),
  stock: Type.Integer({ ...Count, description: "how many coupons may be issued" }),
  per_user: Type.Integer({ ...CountFromOne, description: "how many of them one user may have" }),
  holdout_bp: Type.Optional(Type.Integer({
    ...Bp, description: "the share of users that is held out, 0 to 10000: those for whom the first 4 bytes of SHA-256(campaign_id, a zero byte, user_id; UTF-8), a big-endian unsigned integer, modulo 10000 are less than it",
  })),
  hold_at: Type.Optional(Type.Enum(["reserve", "issue"], { default: "reserve", description: "when the budget is first held" })),
  funding: Type.Array(Type.Object({ budget_id: Id, share_bp: BpFromOne }, closed), { minItems: 1, maxItems: FUNDING_MAX, description: "who pays; the shares sum to 10000" }),
  on_refund: Type.Optional(Type.Enum(["keep", "return"], { default: "keep", description: "whether a fully refunded coupon is given back" })),
  refund_policy: Type.Optional(Type.Enum(["keep", "re_evaluate"], { default: "keep", description: "whether what a customer keeps after a partial refund is priced anew" })),
}

const CampaignBodySchema = Type.Object(FIELDS, closed)
/** A campaign as it is sent and stored. */
export type CampaignBody = Static<typeof CampaignBodySchema>

const fault = (field: string, says: string): RequestFault => ({ field, detail: `${field} ${says}.` })

const fundingFault = (funding: CampaignBody["funding"]): RequestFault | undefined => {
  const seen = new Set<string>()
  let sum = 0
  for (const [place, { budget_id, share_bp }] of funding.entries()) {
    if (seen.has(budget_id)) return fault(`funding[${place}].budget_id`, "names a budget for the second time")
    seen.add(budget_id)
    sum += share_bp
  }
  return sum === 10_000 ? undefined : fault("funding", `must have shares that sum to 10000, not ${sum}`)
}

/** The schema of each kind's terms, by the kind's name. */
export const KIND_TERMS: ReadonlyMap<string, TSchema> = new Map(KINDS.map(({ name, terms }) => [name, terms]))

/** The terms of each kind, checked as `terms.…`. */
const TERMS: ReadonlyMap<string, Check> = new Map([...KIND_TERMS].map(([name, terms]) => [name, check(Type.Object({ terms }))]))

/** What is wrong with the fields that decide prices. */
const pricingFault = (body: Pick<CampaignBody, "kind" | "terms">): RequestFault | undefined => {
  const unfit = TERMS.get(body.kind)!({ terms: body.terms })
  if (unfit) return unfit
  for (const [field, value] of Object.entries(body)) if (!isPrintable(value)) return fault(field, "must have only printable characters")
  const [wrong] = termsFaults(body)
  return wrong && fault(fieldName(body, wrong.field.split(".")), wrong.says.replace(/\.$/, ""))
}

const windowFault = (starts_at: string, ends_at: string): RequestFault | undefined =>
  instantMs(ends_at)! > instantMs(starts_at)! ? undefined : fault("ends_at", "must be after starts_at")

/** What the schema of a campaign cannot say. */
export const campaignFault = (body: CampaignBody): RequestFault | undefined => {
  const wrong = pricingFault(body) ?? windowFault(body.starts_at, body.ends_at) ?? fundingFault(body.funding)
  if (wrong || body.hold_at !== "issue") return wrong
  if (boundMinor(body) === undefined) return fault("terms", 'must bound what one coupon can cost where hold_at is "issue"')
  return body.on_refund === "return" ? fault("on_refund", 'must be "keep" where hold_at is "issue"') : undefined
}

const { kind, terms, ...beside } = FIELDS
/** A campaign that does not exist yet: what it promises, and of the rest what is known already. */
export const Draft = Type.Object({ campaign_id: Id, kind, terms, ...Type.Partial(Type.Object(beside)).properties }, closed)
export type Draft = Static<typeof Draft>

/** What the schema of a draft cannot say. */
export const draftFault = (draft: Draft): RequestFault | undefined =>
  pricingFault(draft)
  ?? (draft.starts_at !== undefined && draft.ends_at !== undefined ? windowFault(draft.starts_at, draft.ends_at) : undefined)
  ?? (draft.funding && fundingFault(draft.funding))

const CampaignOut = Type.Object({
  campaign_id: Id,
  state: Type.Enum(["draft", "live", "paused", "stopped"]),
  version: Count,
  ...FIELDS,
  starts_at: InstantOut,
  ends_at: InstantOut,
  issued: Type.Optional(Type.Integer({ ...Count, description: "how many coupons were ever issued; stock - issued + revoked may still be" })),
  revoked: Type.Optional(Type.Integer({ ...Count, description: "how many of them were taken away, whose stock is free again" })),
  reserved: Type.Optional(Type.Integer({ ...Count, description: "how many are held for an order now" })),
  redeemed: Type.Optional(Type.Integer({ ...Count, description: "how many are redeemed now: one that a refund gave back is not" })),
}, closed)
export type CampaignAnswer = Static<typeof CampaignOut>

export const putCampaign = operation({
  name: "put_campaign", method: "PUT", path: "/v1/campaigns/{campaign_id}", family: "campaigns", scopes: ["operate"],
  says: "Make or change a draft. On a live campaign: another name, a later end, more stock or more per user. A repeat is answered 200 with what the first answer said; GET says what is true now.",
  params: CampaignPath, body: CampaignBodySchema, rule: campaignFault,
  yes: { created: CampaignOut, changed: CampaignOut, found: CampaignOut },
  no: ["campaign_live", "campaign_stopped", "campaign_ended"],
})

const move = (verb: "activate" | "pause" | "stop", says: string, no: Parameters<typeof operation>[0]["no"]) => operation({
  name: `${verb}_campaign`, method: "POST", path: `/v1/campaigns/{campaign_id}/${verb}`, family: "campaigns", scopes: ["operate"], says,
  params: CampaignPath, body: Type.Object({}, closed), body_optional: true,
  yes: { changed: CampaignOut }, no: ["campaign_unknown", ...no],
})

export const activateCampaign = move("activate", "Make a draft or a paused campaign live in every cell that sells from it.", ["campaign_stopped", "campaign_ended", "budget_unknown"])
export const pauseCampaign = move("pause", "Stop issuing and redeeming for now. Holds stay.", ["campaign_draft", "campaign_stopped"])
export const stopCampaign = move("stop", "End a campaign for good: unused coupons end, and the money held for them returns.", [])

export const getCampaign = operation({
  name: "get_campaign", method: "GET", path: "/v1/campaigns/{campaign_id}", family: "campaigns", scopes: ["operate", "read"],
  says: "A campaign as it stands, with how many coupons were ever issued, were revoked, are reserved and are redeemed.",
  params: CampaignPath, yes: { found: CampaignOut }, no: ["campaign_unknown"],
})

export type PutCampaignAsk = AskOf<typeof putCampaign>
export type CampaignAsk = AskOf<typeof getCampaign>
