// Campaigns that do not exist yet, priced as if the user held one coupon of each.
//
// What must stay true: a draft prices to the cent as the campaign will once it is live.

import { compileTerms } from "./compile.ts"
import type { CampaignBody, HeldCoupon } from "./types.ts"

/** A draft as a coupon in hand: it is called like its campaign and does not end. The body is free of `termsFaults`. */
export const draftCoupon = (body: CampaignBody): HeldCoupon => ({
  coupon_id: body.campaign_id,
  ends_at_ms: Number.MAX_SAFE_INTEGER,
  terms: compileTerms(body),
})
