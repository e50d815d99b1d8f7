// The money policy: on which axes shops round and stack differently, and what each known system does.
//
// What must stay true: a policy is complete before it is used (every axis has a value), and the same profile name
// always means the same values, because redemptions store the policy they were priced with.

import { Type, type Static } from "typebox"
import type { Remainder, Rounding } from "./money.ts"

/** Every axis with its value; the names are those of the contract. */
export type Policy = {
  readonly remainder: Remainder
  readonly rounding: Rounding
  readonly percent_base: "running" | "original"
  readonly kind_order: "priority" | "percent_first"
  readonly percent_per: "order" | "line" | "unit"
  readonly threshold_sees: "running" | "original"
  readonly budget_short: "refuse" | "partial"
}

const SCRIP: Policy = {
  remainder: "largest",
  rounding: "half_up",
  percent_base: "running",
  kind_order: "priority",
  percent_per: "order",
  threshold_sees: "running",
  budget_short: "refuse",
}

const SALEOR: Policy = { ...SCRIP, remainder: "last", percent_per: "unit" }

/** The profiles by name. Systems that differ in nothing keep a name of their own, so that a table can say whose it is. */
export const PROFILES = {
  scrip: SCRIP,
  sylius: { ...SCRIP, remainder: "first_rounded" },
  saleor: SALEOR,
  reaction: SALEOR,
  solidus: { ...SCRIP, remainder: "first", percent_per: "line" },
  lago: { ...SCRIP, remainder: "first" },
  commercetools: { ...SCRIP, rounding: "half_even", percent_per: "line" },
  shopify: { ...SCRIP, percent_base: "original", kind_order: "percent_first" },
  medusa: { ...SCRIP, percent_per: "line" },
  vendure: SCRIP,
  voucherify: SCRIP,
  ucp: SCRIP,
  talon_one: SCRIP,
  spree: SCRIP,
  shopware: SCRIP,
} as const satisfies Record<string, Policy>

const ProfileName = Type.Unsafe<keyof typeof PROFILES>(Type.Enum(Object.keys(PROFILES)))

export const PROFILE_SAYS = `a money policy: one of ${Object.keys(PROFILES).join(", ")}, or an object of its axes`

/** A profile as a request or a campaign gives it: a name, or a name with some axes set otherwise. */
export const ProfileSchema = Type.Union([
  ProfileName,
  Type.Object(
    {
      extends: Type.Optional(ProfileName),
      remainder: Type.Optional(Type.Enum(["largest", "first", "first_rounded", "last"])),
      rounding: Type.Optional(Type.Enum(["half_up", "half_even", "half_down", "down"])),
      percent_base: Type.Optional(Type.Enum(["running", "original"])),
      kind_order: Type.Optional(Type.Enum(["priority", "percent_first"])),
      percent_per: Type.Optional(Type.Enum(["order", "line", "unit"])),
      threshold_sees: Type.Optional(Type.Enum(["running", "original"])),
      budget_short: Type.Optional(Type.Enum(["refuse", "partial"])),
    },
    { additionalProperties: false, description: "with extends it settles every axis, without it those that it names" },
  ),
], { description: PROFILE_SAYS })
export type Profile = Static<typeof ProfileSchema>

/** The axes that a profile settles: all of them by a name, else the ones it sets. */
export function axesOf(profile: Profile | undefined): Partial<Policy> {
  if (profile === undefined) return {}
  if (typeof profile === "string") return PROFILES[profile]
  const { extends: base, ...axes } = profile
  return base === undefined ? axes : { ...PROFILES[base], ...axes }
}

/** The whole policy: the request's profile, else the campaign's, else the house's. */
export function policyOf(request: Profile | undefined, campaign: Profile | undefined): Policy {
  return { ...SCRIP, ...axesOf(campaign), ...axesOf(request) }
}

/** The order of kinds concerns the whole order: the request's profile, else the house's, never one campaign's. */
export const kindOrderOf = (request: Profile | undefined): Policy["kind_order"] => policyOf(request, undefined).kind_order
