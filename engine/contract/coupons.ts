/**
 * Coupons: one right held by one user.
 */
import { Type, type Static } from "typebox"
import { closed, Id, InstantOut, PAGE, Text } from "./basics.ts"
import { type AskOf, operation } from "./operation.ts"

export const COUPON_STATES = ["issued", "reserved", "redeemed", "ended", "revoked"] as const

const IssueBody = Type.Object({
  request_id: Id,
  campaign_id: Id,
  user_id: Id,
  channel: Type.Optional(Id),
  device_id: Type.Optional(Type.String({ ...Id, description: "stored only as a keyed hash" })),
}, closed)

export const IssuedOut = Type.Object({
  coupon_id: Id, campaign_id: Id, user_id: Id, state: Type.Literal("issued"), ends_at: InstantOut,
}, closed)
export type IssuedAnswer = Static<typeof IssuedOut>

const CouponOut = Type.Object({
  coupon_id: Id, campaign_id: Id, user_id: Type.Optional(Id), state: Type.Enum([...COUPON_STATES]), ends_at: InstantOut,
  issued_at: Type.Optional(InstantOut), since: Type.Optional(InstantOut), redemption_id: Type.Optional(Id),
}, closed)
const CouponsOut = Type.Object({ items: Type.Array(CouponOut), next: Type.Union([Type.String(), Type.Null()]) }, closed)
export type CouponAnswer = Static<typeof CouponOut>
export type CouponsAnswer = Static<typeof CouponsOut>

const RevokedOut = Type.Object({ coupon_id: Id, campaign_id: Type.Optional(Id), user_id: Type.Optional(Id), state: Type.Literal("revoked"), revoked_at: Type.Optional(InstantOut) }, closed)
export type RevokedAnswer = Static<typeof RevokedOut>

/** What an issue may be refused for; each line of a bulk issue too. */
const ISSUE_NOS = [
  "request_conflict", "campaign_unknown", "campaign_not_live", "campaign_not_started", "campaign_ended", "user_limit_reached", "stock_exhausted",
  "budget_exhausted", "budget_not_open", "held_out", "quota_busy", "journal_full",
] as const

export const issueCoupon = operation({
  name: "issue", method: "POST", path: "/v1/coupons", family: "coupons", scopes: ["issue"],
  says: "Give a user a coupon of a campaign. It is known by (campaign_id, user_id, request_id).",
  body: IssueBody, yes: { issued: IssuedOut }, no: ISSUE_NOS,
})

export const issueCoupons = operation({
  name: "issue_bulk", method: "POST", path: "/v1/coupons/bulk", family: "coupons", scopes: ["issue"],
  says: "Issue many coupons: one JSON object of `POST /v1/coupons` a line, one answer a line, in the same order. What was answered stays when the stream is cut; a server that is stopped answers the first line it has not read `overloaded` and ends the stream there.",
  yes: {}, no: ISSUE_NOS,
})

export const listCoupons = operation({
  name: "list_coupons", method: "GET", path: "/v1/users/{user_id}/coupons", family: "coupons", scopes: ["issue", "read"],
  says: "The coupons of a user.",
  params: Type.Object({ user_id: Id }, closed),
  query: Type.Object({ state: Type.Optional(Type.Enum([...COUPON_STATES])), ...PAGE }, closed),
  yes: { found: CouponsOut }, no: [],
})

export const revokeCoupon = operation({
  name: "revoke", method: "POST", path: "/v1/coupons/{coupon_id}/revoke", family: "coupons", scopes: ["issue"],
  says: "Take an unused coupon away: its money and its stock are free again. With another reason than the first it is `request_conflict`.",
  params: Type.Object({ coupon_id: Id }, closed),
  body: Type.Object({ user_id: Type.Optional(Id), reason: Text }, closed),
  yes: { revoked: RevokedOut }, no: ["request_conflict", "coupon_unknown", "coupon_reserved", "coupon_redeemed", "coupon_ended"],
})

export type IssueAsk = AskOf<typeof issueCoupon>
export type ListCouponsAsk = AskOf<typeof listCoupons>
export type RevokeAsk = AskOf<typeof revokeCoupon>
