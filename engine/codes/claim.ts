/**
 * Claim a code: its holder gets the coupon that it stands for.
 *
 * Claim in the code's cell, grant in the user's, settle in the code's. What must stay true: a code is never spent without its coupon
 * and never twice. A crash between two steps leaves a claim that its own repeat continues, or a sweeper ends after CLAIM_MS.
 * A wrong code is answered by one word after the same calls, whatever is wrong with it.
 */
import { randomBytes } from "node:crypto"
import { decode } from "@msgpack/msgpack"
import { claim_code } from "../../lua/claim_code.ts"
import { bucketOf, cellOf, claimHash, fingerprintOf, quotaKey, ticketHex, userHash, walletKey } from "../../lua/keys.ts"
import { peek } from "../../lua/peek.ts"
import { fromValues } from "../../lua/records.ts"
import type { Answered, Caller, Outcome } from "../answers.ts"
import type { ClaimAsk } from "../contract/codes.ts"
import { answerOf, ClaimEnded, issueOne } from "../coupons/issue.ts"
import { readAgedCoupon } from "../journal/aged.ts"
import { CLAIM } from "../journal/fold_codes.ts"
import type { Parts } from "../parts.ts"
import { answeringPostgres } from "../store/away.ts"
import { act, NotExecuted, OutcomeUnknown } from "../store/redis.ts"
import { normalise } from "./code.ts"
import { missesAt } from "./misses.ts"
import { CLAIM_MS, claimedCoupon, codePlaces, fieldOf, type Held, heldText, NONCE_BYTES, readHeld } from "../tickets/places.ts"
import { refuse, settle, type SettleParts } from "../tickets/settle.ts"

const settleParts = ({ redis, postgres, cells, remember_ms }: Parts): SettleParts => ({ redis, sql: postgres.sql, cells, remember_ms })

/** Do what a sweeper would do later; where it cannot be done now, he will. */
const orLater = async (work: Promise<unknown>): Promise<void> => {
  try { await work } catch (error) { if (!(error instanceof NotExecuted || error instanceof OutcomeUnknown)) throw error }
}

/** The answer to a claim whose coupon is the user's already. */
const repeat = async (parts: Parts, ask: ClaimAsk, user: string, campaign_no: number, fingerprint: string, now_ms: number): Promise<Answered> => {
  const campaign = await parts.catalogue.campaignByNo(campaign_no)
  if (!campaign) throw new Error(`campaign ${campaign_no} of a granted code is unknown`)
  const cell = cellOf(user, parts.cells), field = fieldOf({ coupon: claimedCoupon(ask.request_id), campaign_no })
  const { coupons } = await act(parts.redis, peek, { keys: { quota: quotaKey(cell), wallet: walletKey(cell, user) }, args: { now_ms, redemption: "", order: "", fields: [field] } })
  const [found] = decode(coupons) as [string, unknown][]
  const coupon = found ? fromValues("coupon", found[1]) : await readAgedCoupon(parts, user + field)
  if (!coupon) throw new NotExecuted("the coupon of a granted code is on its way")
  if (coupon.fingerprint !== fingerprint) return { outcome: "request_conflict" }
  return { outcome: "issued", hit: true, body: answerOf(user + field, { campaign_id: campaign.campaign_id, user_id: ask.user_id }, coupon.ends_at_ms) }
}

/** Nos of an issue that a code's own cell says by `code_invalid`. */
const GONE: ReadonlySet<Outcome> = new Set(["campaign_not_live", "campaign_not_started", "campaign_ended"])

/** Give the user the coupon of a claim that is pending, and settle it. */
const grant = async (parts: Parts, ask: ClaimAsk, claim: string, held: Held, caller: Caller): Promise<Answered> => {
  const { user, campaign_no, fingerprint, nonce, code } = held
  const campaign = await parts.catalogue.campaignByNo(campaign_no)
  if (!campaign) throw new Error(`campaign ${campaign_no} of a code is unknown`)
  let answered: Answered
  try {
    answered = await issueOne(parts, {
      ask: { ...ask, campaign_id: campaign.campaign_id }, campaign, user, field: fieldOf(held), fingerprint, claim: nonce, facts: { code, claim, nonce },
    }, caller)
  } catch (error) {
    // Whoever refused it may have died before he freed the code.
    if (error instanceof ClaimEnded) await refuse(settleParts(parts), claim, held, caller.now_ms)
    throw error
  }
  // Paused, stopped or over since the code's cell has looked, or as the user's cell has heard it first: as ever for a code of such a campaign.
  if (GONE.has(answered.outcome)) answered = { outcome: "code_invalid" }
  const isGranted = answered.outcome === "issued"
  await orLater(isGranted ? settle(settleParts(parts), claim, held, true, caller.now_ms) : refuse(settleParts(parts), claim, held, caller.now_ms))
  return answered
}

/** An attempt that somebody else has ended is made anew so often. */
const TRIES_MAX = 3

/** Claim a code for a user. */
export const claimWith = (parts: Parts) => async (ask: ClaimAsk, caller: Caller): Promise<Answered> => {
  for (let tries = 1; ; tries += 1) {
    try { return await claimOnce(parts, ask, caller) } catch (error) {
      if (tries === TRIES_MAX || !(error instanceof ClaimEnded)) throw error
    }
  }
}

const claimOnce = async (parts: Parts, ask: ClaimAsk, caller: Caller): Promise<Answered> => {
  const { now_ms, key_id, lines } = caller
  const { request_id, user_id, client_address, ...rest } = ask
  const code = parts.codeHash(normalise(ask.code)), user = userHash(user_id), claim = claimHash(code, user, request_id)
  const fingerprint = fingerprintOf({ ...rest, request_id, user_id, code })
  const coupon = claimedCoupon(request_id)
  const misses = missesAt(parts.misses, { key_id, user, ...(client_address === undefined ? {} : { address: parts.hashId("address", client_address) }) }, code, parts.cells, now_ms)
  const places = codePlaces(code, parts.cells)
  const nonce = randomBytes(NONCE_BYTES).toString("base64url")
  const reply = await act(parts.redis, claim_code, {
    keys: { ...places.keys, misses: places.misses(misses.window) },
    args: {
      now_ms, code, bucket: places.bucket, claim, claim_bucket: bucketOf(claim, parts.cells), nonce, user, lines, ...misses.args, due_ms: now_ms + CLAIM_MS,
      grant: heldText({ fingerprint, code, user, coupon }),
      payload: JSON.stringify({ code, claim, nonce, coupon, fingerprint, user_id, request_id }).slice(0, -1),
    },
  })
  switch (reply.outcome) {
    case "claimed": return grant(parts, ask, claim, { nonce, fingerprint, code, user, coupon, campaign_no: reply.campaign }, caller)
    case "pending": {
      const held = readHeld(reply.held)
      return held.fingerprint === fingerprint ? grant(parts, ask, claim, held, caller) : { outcome: "request_conflict" }
    }
    case "replayed": return repeat(parts, ask, user, reply.campaign, fingerprint, now_ms)
    case "code_misses_exceeded": return misses.exceeded(reply.which)
    case "journal_full": return { outcome: "journal_full" }
    case "code_invalid": {
      // What has left Redis with its campaign is no unknown: a repeat is answered for as long as ids are remembered.
      const [row] = await answeringPostgres(() => parts.postgres.sql<{ campaign_no: number }[]>`
        select b.campaign_no from code_claims c join code_batches b using (batch_no) where c.claim_hash = ${ticketHex(claim)} and c.state = ${CLAIM.granted}`)
      return row ? repeat(parts, ask, user, row.campaign_no, fingerprint, now_ms) : { outcome: "code_invalid" }
    }
  }
}
