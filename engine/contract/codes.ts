/**
 * Codes: tickets that are claimed for a coupon.
 */
import { Type, type Static } from "typebox"
import { closed, Count, Id, InstantOut, PAGE, WHOLE_MAX } from "./basics.ts"
import { type AskOf, operation } from "./operation.ts"
import { IssuedOut } from "./coupons.ts"

/** Codes that one call generates. */
export const CODES_MAX = 10_000_000
/** A code as it is typed, with its spaces and dashes. */
const Code = Type.String({ minLength: 1, maxLength: 128, pattern: "^[^\\p{Cc}\\p{Cs}]*$", description: "as it is typed: case, spaces and dashes do not matter" })

const ClaimBody = Type.Object({
  request_id: Id,
  code: Code,
  user_id: Id,
  channel: Type.Optional(Id),
  device_id: Type.Optional(Type.String({ ...Id, description: "stored only as a keyed hash" })),
  client_address: Type.Optional(Type.String({ ...Id, description: "the shopper's network address, whose misses are counted; stored only as a keyed hash" })),
}, closed)

/** The coupon's own nos; what is wrong with a code is one word. */
const CLAIM_NOS = [
  "request_conflict", "code_invalid", "code_misses_exceeded", "user_limit_reached", "stock_exhausted", "budget_exhausted", "budget_not_open", "held_out", "quota_busy", "journal_full",
] as const

export const claimCode = operation({
  name: "claim", method: "POST", path: "/v1/codes/claim", family: "codes", scopes: ["issue"],
  says: "Claim a code: the user gets the coupon that it stands for. Whatever is wrong with a code, the answer is `code_invalid`. A request_id is one user's for one code: with another code, of whatever campaign, it is `request_conflict`.",
  body: ClaimBody, yes: { issued: IssuedOut }, no: CLAIM_NOS,
})

const BatchOut = Type.Object({
  batch_id: Id, campaign_id: Id, kind: Type.Enum(["generated", "imported", "public"]), state: Type.Enum(["live", "revoked"]),
  limit: Type.Optional(Count), codes: Count, claimed: Count, free: Count, created_at: InstantOut,
}, closed)
export type BatchAnswer = Static<typeof BatchOut>

const CampaignPath = Type.Object({ campaign_id: Id }, closed)
const NOS = ["campaign_unknown", "campaign_stopped", "campaign_ended", "batch_revoked", "journal_full"] as const

export const generateCodes = operation({
  name: "generate_codes", method: "POST", path: "/v1/campaigns/{campaign_id}/codes", family: "codes", scopes: ["operate"],
  says: "Generate a batch of unique codes, one JSON object a line: `{\"code\"}` each, and `{\"codes\"}`, how many, last. The same batch_id gives the same codes again, so a stream that was cut is asked for once more.",
  params: CampaignPath,
  body: Type.Object({ batch_id: Id, count: Type.Integer({ minimum: 1, maximum: CODES_MAX }) }, closed),
  yes: {}, no: [...NOS, "request_conflict"],
})

/** One line of an import. */
export const ImportLine = Type.Object({ code: Code }, closed)

export const importCodes = operation({
  name: "import_codes", method: "POST", path: "/v1/campaigns/{campaign_id}/codes/import", family: "codes", scopes: ["operate"],
  says: "Import a partner's own codes: one JSON object `{\"code\"}` a line, one answer a line, in the same order. What was answered stays when the stream is cut; a server that is stopped answers the first line it has not read `overloaded` and ends the stream there.",
  params: CampaignPath, query: Type.Object({ batch_id: Id }, closed),
  yes: {}, no: [...NOS, "request_conflict", "code_taken"],
})

export const putPublicCode = operation({
  name: "put_public_code", method: "PUT", path: "/v1/campaigns/{campaign_id}/codes", family: "codes", scopes: ["operate"],
  says: "Make a public code, which up to `limit` users may claim, or give it another limit.",
  params: CampaignPath,
  body: Type.Object({ code: Code, limit: Type.Integer({ minimum: 1, maximum: WHOLE_MAX }) }, closed),
  yes: { created: BatchOut, changed: BatchOut, found: BatchOut }, no: [...NOS, "code_taken"],
})

export const listCodes = operation({
  name: "list_codes", method: "GET", path: "/v1/campaigns/{campaign_id}/codes", family: "codes", scopes: ["operate", "read"],
  says: "The batches of a campaign's codes, with how many were claimed and are free. Codes themselves are kept as hashes and never listed.",
  params: CampaignPath, query: Type.Object({ ...PAGE }, closed),
  yes: { found: Type.Object({ items: Type.Array(BatchOut), next: Type.Union([Type.String(), Type.Null()]) }, closed) }, no: ["campaign_unknown"],
})

export const revokeCodes = operation({
  name: "revoke_codes", method: "POST", path: "/v1/campaigns/{campaign_id}/codes/revoke", family: "codes", scopes: ["operate"],
  says: "Take a batch of codes or one code out of use. What was claimed stays.",
  params: CampaignPath,
  body: Type.Object({ batch_id: Type.Optional(Id), code: Type.Optional(Code) }, closed),
  rule: ({ batch_id, code }) => (batch_id === undefined) === (code === undefined) ? { field: "batch_id", detail: "Either batch_id or code must be there, and not both." } : undefined,
  yes: { revoked: Type.Object({ batch_id: Type.Optional(Id), campaign_id: Id, state: Type.Literal("revoked") }, closed) },
  no: ["campaign_unknown", "batch_unknown", "code_unknown", "code_spent"],
})

export type ClaimAsk = AskOf<typeof claimCode>
export type GenerateCodesAsk = AskOf<typeof generateCodes>
export type ImportCodesAsk = AskOf<typeof importCodes>
export type PutPublicCodeAsk = AskOf<typeof putPublicCode>
export type ListCodesAsk = AskOf<typeof listCodes>
export type RevokeCodesAsk = AskOf<typeof revokeCodes>
