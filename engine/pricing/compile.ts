// From a campaign's body to terms that price: checked once, prepared once, and after that nothing can fail.
//
// What must stay true: a body that PRICING_FIELDS and termsFaults have passed always compiles; compiling is the only
// place that fills in a default.

import { Type, type TProperties, type TSchema } from "typebox"
import { Value } from "typebox/value"
import { lineTest, setOf } from "./applies_to.ts"
import { knowsZone, openingOf } from "./hours.ts"
import type { Kind, TermsFault } from "./kind.ts"
import { Amount, AppliesToSchema, Names, Units } from "./kinds/terms.ts"
import { KINDS } from "./kinds/index.ts"
import { policyOf, ProfileSchema } from "./policy.ts"
import { LEVELS, type CampaignBody, type Terms } from "./types.ts"

const Id = Type.String({ minLength: 1, maxLength: 128 })
const Clock = Type.String({ pattern: "^([01][0-9]|2[0-3]):[0-5][0-9]$" })
const Priority = Type.Integer({ minimum: -1_000_000, maximum: 1_000_000 })
/** How many coupons of one group or campaign an order may carry. */
const Together = Type.Integer({ minimum: 1, maximum: 100 })

/** The fields of a campaign body that pricing reads, beside `campaign_id`, `line` and `currency`. */
export const PRICING_FIELDS = {
  kind: Type.Enum(KINDS.map((kind) => kind.name)),
  terms: Type.Object({}, { additionalProperties: true, description: "what the kind promises: the schema terms_<kind> of this document" }),
  target: Type.Optional(Type.Enum(["items", "shipping", "everything"], { description: "what the discount is taken from; default items" })),
  max_minor: Type.Optional(Type.Integer({ ...Amount, description: "caps what any price kind takes" })),
  threshold_minor: Type.Optional(Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER, description: "what the items must reach, never the shipping" })),
  threshold_quantity: Type.Optional(Type.Integer({ ...Units, description: "how many units there must be" })),
  threshold_of: Type.Optional(Type.Enum(["eligible", "order"], { description: "which lines thresholds count; default eligible" })),
  threshold_sees: Type.Optional(Type.Enum(["running", "original"], { description: "what earlier coupons have left, or what the items cost; default: the policy's" })),
  only_undiscounted: Type.Optional(Type.Boolean({ description: "leaves lines priced below their list_price_minor alone" })),
  first_order: Type.Optional(Type.Boolean()),
  segments: Type.Optional(Names),
  min_badge: Type.Optional(
    Type.Object({ badge_id: Id, level: Type.Integer({ minimum: 0 }) }, { additionalProperties: false }),
  ),
  applies_to: Type.Optional(AppliesToSchema),
  channels: Type.Optional(Names),
  regions: Type.Optional(Names),
  payment_methods: Type.Optional(Names),
  payment_instruments: Type.Optional(Names),
  not_payment_instruments: Type.Optional(Names),
  hours: Type.Optional(
    Type.Object(
      {
        time_zone: Id,
        weekdays: Type.Optional(Type.Array(Type.Integer({ minimum: 1, maximum: 7 }), { minItems: 1, maxItems: 7 })),
        from: Clock,
        to: Clock,
      },
      { additionalProperties: false },
    ),
  ),
  stacking: Type.Optional(
    Type.Object(
      {
        level: Type.Optional(Type.Enum([...LEVELS])),
        priority: Type.Optional(Priority),
        exclusive: Type.Optional(Type.Boolean()),
        group: Type.Optional(Id),
        group_max: Type.Optional(Together),
        with_groups: Type.Optional(Type.Array(Id, { maxItems: 100 })),
        per_order: Type.Optional(Together),
      },
      { additionalProperties: false, description: "how its coupons stand beside others: level shop, priority 0 (the higher is applied first), group_max 1 and per_order 1 unless told" },
    ),
  ),
  profile: Type.Optional(ProfileSchema),
} satisfies TProperties

const PricingFields = Type.Object(PRICING_FIELDS)

const KIND_OF: ReadonlyMap<string, Kind> = new Map(KINDS.map((kind) => [kind.name, kind]))

/** The kind of a name; undefined where the house has none. */
export const kindOf = (name: string): Kind | undefined => KIND_OF.get(name)

/** All that is wrong with the pricing fields of a campaign body, by field; nothing wrong: an empty list. */
export function termsFaults(body: Omit<CampaignBody, "campaign_id">): TermsFault[] {
  const faults = schemaFaults(PricingFields, body, "")
  if (faults.length > 0) return faults
  const kind = kindOf(body.kind)!
  const wrong = schemaFaults(kind.terms, body.terms, "terms")
  if (wrong.length > 0) return wrong
  for (const { field, says } of kind.faults(body.terms)) faults.push({ field: `terms.${field}`, says })
  if (kind.items_only && body.target !== undefined && body.target !== "items")
    faults.push({ field: "target", says: `cannot be ${body.target} with ${kind.name}` })
  if (body.hours && !knowsZone(body.hours.time_zone))
    faults.push({ field: "hours.time_zone", says: "is not a time zone that this machine knows" })
  return faults
}

function schemaFaults(schema: TSchema, value: unknown, root: string): TermsFault[] {
  if (Value.Check(schema, value)) return []
  const faults: TermsFault[] = []
  const seen = new Set<string>()
  for (const error of Value.Errors(schema, value)) {
    // A field that is not known is reported twice, once as the schema `false`.
    if (error.keyword === "boolean") continue
    const inner: readonly (string | undefined)[] =
      error.keyword === "required"
        ? error.params.requiredProperties
        : error.keyword === "additionalProperties"
          ? error.params.additionalProperties
          : [undefined]
    const says =
      error.keyword === "required"
        ? "is missing"
        : error.keyword === "additionalProperties"
          ? "is not a field of this kind"
          : error.keyword === "enum"
            ? `must be one of ${error.params.allowedValues.join(", ")}`
            : error.message
    for (const name of inner) {
      const path = [...error.instancePath.split("/").slice(1), ...(name === undefined ? [] : [name])]
      const field = [...(root ? [root] : []), ...path].join(".")
      if (seen.has(field)) continue
      seen.add(field)
      faults.push({ field, says })
    }
  }
  return faults
}

/** The most that one coupon can cost its budgets; undefined where the terms do not bound it. Terms must be free of faults. */
export function boundMinor(body: Pick<CampaignBody, "kind" | "terms" | "max_minor">): number | undefined {
  const kind = kindOf(body.kind)
  const bound = kind?.boundMinor(body.terms)
  // A gift and a finance kind take nothing off, so the cap on what is taken off does not bound them.
  if (body.max_minor === undefined || kind?.takes_nothing) return bound
  return bound === undefined ? body.max_minor : Math.min(bound, body.max_minor)
}

/** Compiles a campaign version, once; the terms are then used by every quote. Throws for a body that termsFaults refuses. */
export function compileTerms(body: CampaignBody): Terms {
  const [fault] = termsFaults(body)
  if (fault) throw new TypeError(`campaign ${body.campaign_id}: ${fault.field} ${fault.says}`)
  const kind = kindOf(body.kind)!
  const stacking = body.stacking ?? {}
  return {
    campaign_id: body.campaign_id,
    line: body.line ?? "",
    version: body.version ?? 0,
    currency: body.currency,
    kind,
    act: kind.act(body.terms),
    lacks: kind.lacks(body.terms),
    outline: kind.outline(body.terms),
    most: kind.most(body.terms),
    rate: kind.rate(body.terms),
    rises: kind.rises(body.terms),
    each: kind.each(body.terms),
    claim: kind.claim(body.terms),
    target: kind.takes ?? body.target ?? "items",
    maxMinor: body.max_minor ?? Infinity,
    thresholdMinor: body.threshold_minor ?? 0,
    thresholdQuantity: body.threshold_quantity ?? 0,
    thresholdOf: body.threshold_of ?? "eligible",
    thresholdSees: body.threshold_sees,
    onlyUndiscounted: body.only_undiscounted ?? false,
    firstOrder: body.first_order,
    segments: setOf(body.segments),
    minBadge: body.min_badge,
    applies: lineTest(body.applies_to),
    appliesTo: body.applies_to,
    channels: setOf(body.channels),
    regions: setOf(body.regions),
    paymentMethods: setOf(body.payment_methods),
    paymentInstruments: setOf(body.payment_instruments),
    notPaymentInstruments: setOf(body.not_payment_instruments),
    hours: body.hours && openingOf(body.hours),
    level: LEVELS.indexOf(stacking.level ?? "shop"),
    priority: stacking.priority ?? 0,
    exclusive: stacking.exclusive ?? false,
    group: stacking.group,
    groupMax: stacking.group_max ?? 1,
    withGroups: setOf(stacking.with_groups),
    perOrder: stacking.per_order ?? 1,
    profile: body.profile,
    policy: policyOf(undefined, body.profile),
    funding: body.funding ?? [],
  }
}
