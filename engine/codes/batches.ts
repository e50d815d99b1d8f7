/**
 * Batches of codes: generated, imported, or one public code; and their revocation.
 *
 * What must stay true: a batch is made in Postgres first, its codes then in their cells, whose journals bring them to Postgres. So a
 * call that was cut is asked again under its batch_id and goes on: a generated batch derives the same codes from its secret, an import
 * answers of each code that it is there. No code is stored in clear anywhere.
 */
import { batchName, journalKey, quotaKey } from "../../lua/keys.ts"
import { revoke_code } from "../../lua/revoke_code.ts"
import { revoke_codes } from "../../lua/revoke_codes.ts"
import type { Answered, Caller, No } from "../answers.ts"
import type { GenerateCodesAsk, ImportCodesAsk, PutPublicCodeAsk, RevokeCodesAsk } from "../contract/codes.ts"
import type { Campaign } from "../operate/catalogue.ts"
import { mayTouch } from "../operate/lines.ts"
import { cellsOf, type Parts } from "../parts.ts"
import { answeringPostgres } from "../store/away.ts"
import { act, NotExecuted, OutcomeUnknown } from "../store/redis.ts"
import { CODE_CHARS_MAX, codeAt, newSecret, normalise, printed } from "./code.ts"
import { batchAnswer } from "./list.ts"
import { type Batch, loadCodes } from "./load.ts"
import { codePlaces } from "../tickets/places.ts"

/** Codes of a stream that are made, loaded and handed on together: others are answered in between. */
const CHUNK_CODES = 1_000
/** Codes of an import wait so long for others, or until there are so many. */
const GATHER_MS = 5
const GATHER_CODES = 500
/** Revocations that one round of the worker tells. */
const UNTOLD_MAX = 100

interface Row { batch_no: number; batch_id: string; kind: string; asked: number | null; limit: number; secret: Uint8Array | null; created_ms: number; revoked_ms: number | null }

/** The campaign that codes are made for, or why none may be. */
const campaignFor = async (parts: Parts, campaign_id: string, caller: Caller): Promise<Campaign | No> => {
  const campaign = await parts.catalogue.campaignById(campaign_id)
  if (!campaign || !mayTouch(caller, campaign.line)) return { outcome: "campaign_unknown", campaign_id }
  if (campaign.state === "stopped") return { outcome: "campaign_stopped", campaign_id }
  if (campaign.ends_ms <= caller.now_ms) return { outcome: "campaign_ended", ended_at: new Date(campaign.ends_ms).toISOString() }
  return campaign
}
const isNo = (found: object): found is No => "outcome" in found

/** The batch of this name, made where there is none; `isNew` says which. */
const openBatch = async (
  { postgres: { sql } }: Parts, { campaign_no }: Campaign, wanted: { batch_id: string; kind: "generated" | "imported" | "public"; asked: number | null; limit: number }, now_ms: number,
): Promise<Row & { isNew: boolean }> => answeringPostgres(async () => {
  const secret = wanted.kind === "generated" ? newSecret() : null
  const made = await sql<Row[]>`
    insert into code_batches (campaign_no, batch_id, kind, asked, "limit", secret, created_ms)
    values (${campaign_no}, ${wanted.batch_id}, ${wanted.kind}, ${wanted.asked}, ${wanted.limit}, ${secret}, ${now_ms}) on conflict (campaign_no, batch_id) do nothing returning *`
  const [row] = made.length > 0 ? made : await sql<Row[]>`select * from code_batches where campaign_no = ${campaign_no} and batch_id = ${wanted.batch_id}`
  return { ...row!, isNew: made.length > 0 }
})

// --- generated

export interface CodeStream {
  /** The batch was made before: these are its codes again. */
  readonly hit: boolean
  /** Lines of NDJSON, many at a time; the last says how many codes there were, or what broke it off. */
  readonly lines: AsyncGenerator<string>
}

async function* generatedLines(parts: Parts, batch: Batch, secret: Uint8Array, count: number, now_ms: number): AsyncGenerator<string> {
  for (let from = 0; from < count; from += CHUNK_CODES) {
    const codes = Array.from({ length: Math.min(CHUNK_CODES, count - from) }, (_, i) => codeAt(secret, from + i))
    const loaded = await loadCodes(parts, batch, codes.map(parts.codeHash), now_ms)
    if (loaded.outcome !== "loaded") return yield `${JSON.stringify({ codes: from, code: loaded.outcome })}\n`
    if (loaded.found.includes("taken")) throw new Error(`batch ${batch.batch_no} has made a code that another batch has`)
    yield codes.map((code) => `{"code":"${printed(code)}"}\n`).join("")
  }
  yield `${JSON.stringify({ codes: count })}\n`
}

/** Generate a batch. */
export const generateWith = (parts: Parts) => async ({ campaign_id, batch_id, count }: GenerateCodesAsk, caller: Caller): Promise<CodeStream | No> => {
  const campaign = await campaignFor(parts, campaign_id, caller)
  if (isNo(campaign)) return campaign
  const { isNew, ...row } = await openBatch(parts, campaign, { batch_id, kind: "generated", asked: count, limit: 0 }, caller.now_ms)
  if (row.kind !== "generated" || row.asked !== count) return { outcome: "request_conflict", batch_id }
  if (row.revoked_ms !== null || row.secret === null) return { outcome: "batch_revoked", batch_id }
  return { hit: !isNew, lines: generatedLines(parts, { ...row, campaign }, row.secret, count, caller.now_ms) }
}

// --- imported

/** Takes one code of an import. Those that come together are loaded together. */
export type Importing = (code: string) => Promise<Answered>

interface Gathered { readonly hash: string; readonly settle: (answered: Answered) => void; readonly fail: (fault: unknown) => void }

/** Import a batch. */
export const importWith = (parts: Parts) => async ({ campaign_id, batch_id }: ImportCodesAsk, caller: Caller): Promise<Importing | No> => {
  const campaign = await campaignFor(parts, campaign_id, caller)
  if (isNo(campaign)) return campaign
  const { isNew: _, ...row } = await openBatch(parts, campaign, { batch_id, kind: "imported", asked: null, limit: 0 }, caller.now_ms)
  if (row.kind !== "imported") return { outcome: "request_conflict", batch_id }
  if (row.revoked_ms !== null) return { outcome: "batch_revoked", batch_id }
  const batch: Batch = { ...row, campaign }
  let waiting: Gathered[] = []
  let timer: Timer | undefined

  const flush = async (): Promise<void> => {
    clearTimeout(timer)
    timer = undefined
    const all = waiting
    waiting = []
    try {
      const loaded = await loadCodes(parts, batch, all.map(({ hash }) => hash), caller.now_ms)
      all.forEach(({ settle }, i) => {
        if (loaded.outcome !== "loaded") return settle({ outcome: loaded.outcome })
        const found = loaded.found[i]!
        settle(found === "taken" ? { outcome: "code_taken" } : { outcome: "created", hit: found === "same", body: { batch_id } })
      })
    } catch (fault) {
      for (const { fail } of all) fail(fault)
    }
  }
  return (text) => {
    const code = normalise(text)
    if (code === "" || code.length > CODE_CHARS_MAX) {
      return Promise.resolve({ outcome: "request_invalid", field: "code", detail: `code must have 1 to ${CODE_CHARS_MAX} characters beside spaces and dashes.` })
    }
    return new Promise((settle, fail) => {
      waiting.push({ hash: parts.codeHash(code), settle, fail })
      if (waiting.length >= GATHER_CODES) void flush()
      else timer ??= setTimeout(() => void flush(), GATHER_MS)
    })
  }
}

// --- public

/** A public code's batch is named after its hash: the code itself is in no table. */
const publicId = (hash: string): string => `public-${hash}`

/** Make a public code, or give it another limit. */
export const putPublicWith = (parts: Parts) => async ({ campaign_id, code, limit }: PutPublicCodeAsk, caller: Caller): Promise<Answered> => {
  const { now_ms } = caller
  const campaign = await campaignFor(parts, campaign_id, caller)
  if (isNo(campaign)) return campaign
  const text = normalise(code)
  if (text === "" || text.length > CODE_CHARS_MAX) return { outcome: "request_invalid", field: "code", detail: `code must have 1 to ${CODE_CHARS_MAX} characters beside spaces and dashes.` }
  const hash = parts.codeHash(text)
  const row = await openBatch(parts, campaign, { batch_id: publicId(hash), kind: "public", asked: 1, limit }, now_ms)
  if (row.revoked_ms !== null) return { outcome: "batch_revoked", batch_id: row.batch_id }
  const isChange = !row.isNew && row.limit !== limit
  if (isChange) await answeringPostgres(() => parts.postgres.sql`update code_batches set "limit" = ${limit} where batch_no = ${row.batch_no}`)
  // Also a repeat is loaded: whoever made it first may have died in between.
  const loaded = await loadCodes(parts, { ...row, limit, campaign }, [hash], now_ms)
  if (loaded.outcome !== "loaded") return { outcome: loaded.outcome }
  if (loaded.found[0] === "taken") {
    if (row.isNew) await answeringPostgres(() => parts.postgres.sql`delete from code_batches where batch_no = ${row.batch_no}`)
    return { outcome: "code_taken" }
  }
  const body = await batchAnswer(parts, campaign, { ...row, limit })
  return row.isNew ? { outcome: "created", body } : isChange ? { outcome: "changed", body } : { outcome: "found", hit: true, body }
}

// --- revoked

/** Tell every cell that a batch was revoked. */
const tellRevoked = async (parts: Parts, campaign: Campaign, { batch_no, limit, batch_id }: Pick<Row, "batch_no" | "limit" | "batch_id">, now_ms: number): Promise<void> => {
  const batch = batchName(batch_no)
  for (const cell of cellsOf(parts)) {
    await act(parts.redis, revoke_codes, {
      keys: { quota: quotaKey(cell), journal: journalKey(cell) },
      args: { now_ms, batch, campaign: campaign.campaign_no, limit, line: campaign.line, payload: JSON.stringify({ campaign_id: campaign.campaign_id, batch, batch_id }) },
    })
  }
  await answeringPostgres(() => parts.postgres.sql`update code_batches set is_told = true where batch_no = ${batch_no}`)
}

/** Tell again what not every cell has heard. */
export const tellUntold = async (parts: Parts, now_ms: number): Promise<void> => {
  const rows = await answeringPostgres(() => parts.postgres.sql<(Row & { campaign_no: number })[]>`select * from code_batches where not is_told order by batch_no limit ${UNTOLD_MAX}`)
  for (const row of rows) {
    const campaign = await parts.catalogue.campaignByNo(row.campaign_no)
    try {
      if (campaign) await tellRevoked(parts, campaign, row, now_ms)
    } catch (error) {
      if (!(error instanceof NotExecuted || error instanceof OutcomeUnknown)) throw error
    }
  }
}

const revokeOne = async (parts: Parts, { campaign_no, campaign_id }: Campaign, text: string, now_ms: number): Promise<Answered> => {
  const code = parts.codeHash(normalise(text))
  const { bucket, keys } = codePlaces(code, parts.cells)
  const reply = await act(parts.redis, revoke_code, { keys, args: { now_ms, campaign: campaign_no, code, bucket, payload: JSON.stringify({ campaign_id, code }).slice(0, -1) } })
  switch (reply.outcome) {
    case "revoked": return { outcome: "revoked", body: { campaign_id, state: "revoked" } }
    case "replayed": return { outcome: "revoked", hit: true, body: { campaign_id, state: "revoked" } }
    case "code_unknown": case "code_spent": return { outcome: reply.outcome }
  }
}

/** Revoke a batch, or one code. */
export const revokeCodesWith = (parts: Parts) => async ({ campaign_id, batch_id, code }: RevokeCodesAsk, caller: Caller): Promise<Answered> => {
  const { now_ms } = caller
  const campaign = await parts.catalogue.campaignById(campaign_id)
  if (!campaign || !mayTouch(caller, campaign.line)) return { outcome: "campaign_unknown", campaign_id }
  if (code !== undefined) return revokeOne(parts, campaign, code, now_ms)
  // The secret goes too: nobody can ask for these codes again.
  const [row] = await answeringPostgres(() => parts.postgres.sql<(Row & { was_ms: number | null; is_told: boolean })[]>`
    update code_batches b set revoked_ms = coalesce(b.revoked_ms, ${now_ms}), secret = null, is_told = b.is_told and b.revoked_ms is not null
    from (select batch_no, revoked_ms as was_ms from code_batches where campaign_no = ${campaign.campaign_no} and batch_id = ${batch_id!} for update) was
    where b.batch_no = was.batch_no returning b.*, was.was_ms`)
  if (!row) return { outcome: "batch_unknown", batch_id }
  if (!row.is_told) await tellRevoked(parts, campaign, row, now_ms)
  return { outcome: "revoked", hit: row.was_ms !== null, body: { batch_id: row.batch_id, campaign_id, state: "revoked" } }
}
