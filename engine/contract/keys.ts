/**
 * Keys: who may call what, for which business lines.
 */
import { Type, type Static } from "typebox"
import { SCOPES } from "../answers.ts"
import { closed, Id, InstantOut, LIST_MAX } from "./basics.ts"
import { type AskOf, operation } from "./operation.ts"

/** The word in a key's lines that stands for every line. */
export const EVERY_LINE = "*"

const KeyMade = Type.Object({
  key_id: Id, key: Type.String({ description: "shown once" }),
  name: Type.Optional(Id), scopes: Type.Optional(Type.Array(Type.Enum([...SCOPES]))), lines: Type.Optional(Type.Array(Id)),
}, closed)
export type KeyMadeAnswer = Static<typeof KeyMade>

const KeyRevoked = Type.Object({ key_id: Id, state: Type.Literal("revoked"), revoked_at: Type.Optional(InstantOut) }, closed)
export type KeyRevokedAnswer = Static<typeof KeyRevoked>

export const createKey = operation({
  name: "create_key", method: "POST", path: "/v1/keys", family: "keys", scopes: "every",
  says: "Make a key. It is shown once.",
  body: Type.Object({
    name: Id,
    scopes: Type.Array(Type.Enum([...SCOPES]), { minItems: 1, maxItems: SCOPES.length, uniqueItems: true }),
    lines: Type.Array(Id, { maxItems: LIST_MAX, uniqueItems: true, description: 'the business lines that the key may touch: ["*"] for all, [] for none, which is enough to confirm, cancel and refund' }),
  }, closed),
  yes: { created: KeyMade }, no: [],
})

export const revokeKey = operation({
  name: "revoke_key", method: "DELETE", path: "/v1/keys/{key_id}", family: "keys", scopes: "every",
  says: "Revoke a key; every process feels it within 5 seconds.",
  params: Type.Object({ key_id: Id }, closed),
  yes: { changed: KeyRevoked }, no: ["key_id_unknown"],
})

export type CreateKeyAsk = AskOf<typeof createKey>
export type RevokeKeyAsk = AskOf<typeof revokeKey>
