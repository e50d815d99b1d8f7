/**
 * Load codes into their cells, many at a time. A load is safe to repeat: what a cell has is left as it is.
 */
import { load_codes } from "../../lua/load_codes.ts"
import { batchName } from "../../lua/keys.ts"
import type { Campaign } from "../operate/catalogue.ts"
import type { Parts } from "../parts.ts"
import { act } from "../store/redis.ts"
import { codePlaces } from "../tickets/places.ts"

/** Codes of one call to Redis: 0.6 ms of its time. */
const LOAD_MAX = 500

/** A batch of codes as Postgres has it. */
export interface Batch { readonly batch_no: number; readonly batch_id: string; readonly limit: number; readonly campaign: Pick<Campaign, "campaign_no" | "campaign_id" | "line"> }

/** Of each code: new, this batch's already, or another batch's. */
export type Found = "new" | "same" | "taken"
const FOUND: Readonly<Record<string, Found>> = { n: "new", s: "same", t: "taken" }

export type Loaded = { readonly outcome: "loaded"; readonly found: readonly Found[] } | { readonly outcome: "journal_full" | "campaign_ended" | "batch_revoked" }

/** Load the codes of these hashes; the answers are in their order. */
export const loadCodes = async ({ redis, cells }: Pick<Parts, "redis" | "cells">, { batch_no, limit, campaign }: Batch, hashes: readonly string[], now_ms: number): Promise<Loaded> => {
  const found: Found[] = new Array<Found>(hashes.length)
  const byCell = Map.groupBy(hashes.map((code, at) => ({ code, at, places: codePlaces(code, cells) })), ({ places }) => places.cell)
  const calls = [...byCell.values()].flatMap((all) => Array.from({ length: Math.ceil(all.length / LOAD_MAX) }, (_, i) => all.slice(i * LOAD_MAX, (i + 1) * LOAD_MAX)))
  const replies = await Promise.all(calls.map(async (call) => {
    const batch = batchName(batch_no)
    const reply = await act(redis, load_codes, {
      keys: call[0]!.places.keys,
      args: {
        now_ms, batch, campaign: campaign.campaign_no, limit, line: campaign.line, codes: call.map(({ code, places }) => [places.bucket, code]),
        payload: `${JSON.stringify({ campaign_id: campaign.campaign_id, batch, limit }).slice(0, -1)},"codes":"`,
      },
    })
    if (reply.outcome === "loaded") call.forEach(({ at }, i) => { found[at] = FOUND[reply.found[i]!]! })
    return reply.outcome
  }))
  const refused = replies.find((outcome) => outcome !== "loaded")
  return refused === undefined ? { outcome: "loaded", found } : { outcome: refused }
}
