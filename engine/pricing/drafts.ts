// Campaigns that do not exist yet, priced as if the user held one coupon of each.
//
// What must stay true: a draft prices to the cent as the campaign will once it is live.

import { compileTerms } from "./compile.ts"
import type { CampaignBody, HeldCoupon } from "./types.ts"

/** A draft as a coupon in hand: it is called like its campaign and ends with it, where that is known. The body is free of `termsFaults`. */
export const draftCoupon = (body: CampaignBody): HeldCoupon => ({
  coupon_id: body.campaign_id,
  ends_at_ms: body.ends_at === undefined ? Number.MAX_SAFE_INTEGER : Date.parse(body.ends_at),
  terms: compileTerms(body),
})
