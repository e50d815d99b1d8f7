/**
 * Badges: levels that a line gives its users by thresholds of a score feed, as an operator writes them and a user sees them.
 *
 * Rules are data: a new line or field needs no code. What they are is said in engine/badges, which the monthly job compiles them by.
 */
import { Type, type Static } from "typebox"
import { CONDITIONS_MAX, DEPTH_MAX, FIELDS_MAX, GRACE_MONTHS_MAX, LEVEL_MAX, LEVELS_MAX, OPS, RIGHTS_MAX, type Rules, rulesFault } from "../badges/rules.ts"
import { Bp, closed, Count, CountFromOne, Id, isPrintable, Money, Month, Text } from "./basics.ts"
import type { RequestFault } from "./check.ts"
import { type AskOf, operation } from "./operation.ts"

const FIELD_CHARS_MAX = 64

/** A badge's id is part of its rights' request_id. */
const BADGE_CHARS_MAX = 100
const BadgeId = Type.String({ ...Id, maxLength: BADGE_CHARS_MAX, description: `1 to ${BADGE_CHARS_MAX} printable characters` })

const BadgePath = Type.Object({ badge_id: BadgeId }, closed)
const UserPath = Type.Object({ user_id: Id }, closed)
const HeldPath = Type.Object({ user_id: Id, badge_id: Id }, closed)

const Field = Type.Object({
  type: Type.Enum(["integer", "money", "flag"]),
  unit: Type.Optional(Type.Enum(["major", "minor"], { description: "of money: the unit of the feed's values" })),
}, closed)
const LevelNumber = Type.Integer({ minimum: 1, maximum: LEVEL_MAX, description: `a level of 1 to ${LEVEL_MAX}` })

const BadgeBodySchema = Type.Object({
  line: Id,
  name: Text,
  effective_month: Type.String({ ...Month, description: "the first month that is judged by these rules, as YYYY-MM" }),
  fields: Type.Record(Type.String(), Field, { description: `at most ${FIELDS_MAX} columns of the score feed` }),
  levels: Type.Array(Type.Object({
    level: LevelNumber,
    name: Text,
    when: Type.Object({}, {
      additionalProperties: true,
      description: `{field, op, value}, {badge, op, level}, {all: [..]} or {any: [..]}, ${DEPTH_MAX} deep at most; op is one of ${OPS.join(" ")}; values are text in the field's spelling`,
    }),
  }, closed), { minItems: 1, maxItems: LEVELS_MAX, description: `in rising order; at most ${CONDITIONS_MAX} conditions in all` }),
  downgrade: Type.Optional(Type.Union(
    [Type.Enum(["at_once", "one_level"]), Type.Object({ grace_months: Type.Integer({ minimum: 1, maximum: GRACE_MONTHS_MAX }) }, closed)],
    { description: `"at_once", "one_level" or {"grace_months": n} of 1 to ${GRACE_MONTHS_MAX}; at_once unless told` },
  )),
  rights: Type.Optional(Type.Array(Type.Object({ level: LevelNumber, campaign_id: Id, claim: Type.Enum(["automatic", "activate"]) }, closed), { maxItems: RIGHTS_MAX })),
  change_max_bp: Type.Optional(Type.Integer({ ...Bp, description: "a month in which more of the holders change than this share waits for a sign-off" })),
}, closed)

/** What the schema of a badge cannot say. */
export const badgeFault = (body: Static<typeof BadgeBodySchema>): RequestFault | undefined => {
  for (const [field, value] of Object.entries(body)) if (!isPrintable(value)) return { field, detail: `${field} must have only printable characters.` }
  const long = Object.keys(body.fields).find((name) => name.length < 1 || name.length > FIELD_CHARS_MAX)
  if (long !== undefined) return { field: "fields", detail: `fields must have names of 1 to ${FIELD_CHARS_MAX} characters.` }
  const fault = rulesFault(body as unknown as Rules)
  return fault && { field: fault.field, detail: `${fault.field} ${fault.says}.` }
}

const Nullable = <S extends Parameters<typeof Type.Union>[0][number]>(schema: S) => Type.Union([schema, Type.Null()])

const DryRunOut = Type.Object({
  period: Month,
  levels: Type.Array(Type.Object({ level: CountFromOne, users: Count }, closed)),
  events: Type.Object({ new: Count, up: Count, down: Count, lost: Count, same: Count }, closed),
  rights_cost_minor: Nullable(Type.Integer({ ...Money, description: "the most that a month's rights can cost; null where a campaign's terms do not bound it" })),
}, closed)
export type DryRun = Static<typeof DryRunOut>

const BadgeOut = Type.Object({
  badge_id: Id, line: Id, version: CountFromOne, state: Type.Enum(["draft", "active"]),
  dry_run: Type.Optional(Type.Union([DryRunOut, Type.Null()], { description: "last month's scores by these rules; null where there are none, or no job process to judge them" })),
}, closed)
export type BadgeAnswer = Static<typeof BadgeOut>

const BadgeVersionOut = Type.Object({
  badge_id: Id, version: CountFromOne, state: Type.Enum(["draft", "active"]), active_version: Nullable(CountFromOne), ...BadgeBodySchema.properties,
}, closed)

const HeldOut = Type.Object({
  badge_id: Id, line: Id, level: CountFromOne,
  name: Type.String({ description: "the level's name" }),
  period: Month,
  since_period: Month,
  active: Type.Boolean({ description: "false while a right of this level waits to be claimed" }),
}, closed)
const HeldsOut = Type.Object({ badges: Type.Array(HeldOut) }, closed)
export type HeldAnswer = Static<typeof HeldOut>

const ClaimedOut = Type.Object({
  badge_id: Id, user_id: Id, level: CountFromOne, period: Month, active: Type.Boolean(),
  rights: Type.Array(Type.Object({
    campaign_id: Id, coupon_id: Type.Optional(Id), code: Type.Optional(Type.String({ description: "why it could not be issued" })),
  }, closed)),
}, closed)

export const putBadge = operation({
  name: "put_badge", method: "PUT", path: "/v1/badges/{badge_id}", family: "badges", scopes: ["operate"],
  says: "Write the next version of a badge's rules, tried on last month's scores first. It judges nothing until it is activated.",
  params: BadgePath, body: BadgeBodySchema, rule: badgeFault,
  yes: { created: BadgeOut }, no: ["badge_unknown", "badge_cycle"],
})

export const activateBadge = operation({
  name: "activate_badge", method: "POST", path: "/v1/badges/{badge_id}/activate", family: "badges", scopes: ["operate"],
  says: "Have a version judge every month from its effective month on.",
  params: BadgePath, body: Type.Object({ version: CountFromOne }, closed),
  yes: { changed: BadgeOut }, no: ["badge_unknown", "badge_cycle"],
})

export const getBadge = operation({
  name: "get_badge", method: "GET", path: "/v1/badges/{badge_id}", family: "badges", scopes: ["operate", "read"],
  says: "The newest version of a badge's rules, and which version is active.",
  params: BadgePath, yes: { found: BadgeVersionOut }, no: ["badge_unknown"],
})

export const listUserBadges = operation({
  name: "list_user_badges", method: "GET", path: "/v1/users/{user_id}/badges", family: "badges", scopes: ["checkout", "issue", "read"],
  says: "The levels that a user has, as the last published month says.",
  params: UserPath, yes: { found: HeldsOut }, no: [],
})

export const claimBadge = operation({
  name: "claim_badge", method: "POST", path: "/v1/users/{user_id}/badges/{badge_id}/activate", family: "badges", scopes: ["issue"],
  says: "Claim the rights of a user's level that wait for it. A repeat gives nothing twice.",
  params: HeldPath, body: Type.Object({}, closed), body_optional: true,
  yes: { changed: ClaimedOut },
  no: [
    "badge_unknown", "badge_not_held", "campaign_unknown", "campaign_not_live", "campaign_not_started", "campaign_ended", "user_limit_reached", "stock_exhausted",
    "budget_exhausted", "budget_not_open", "held_out", "request_conflict", "quota_busy", "journal_full",
  ],
})

export type PutBadgeAsk = AskOf<typeof putBadge>
export type ActivateBadgeAsk = AskOf<typeof activateBadge>
export type BadgeAsk = AskOf<typeof getBadge>
export type UserBadgesAsk = AskOf<typeof listUserBadges>
export type ClaimBadgeAsk = AskOf<typeof claimBadge>
