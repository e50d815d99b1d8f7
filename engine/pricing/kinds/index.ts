// Every kind of coupon, by hand: a new one is a file beside this one and a line here.

import type { Kind } from "../kind.ts"
import { amountOff } from "./amount_off.ts"
import { bundle } from "./bundle.ts"
import { buyXGetY } from "./buy_x_get_y.ts"
import { cashBack } from "./cash_back.ts"
import { fixedPrice } from "./fixed_price.ts"
import { freeShipping } from "./free_shipping.ts"
import { gift } from "./gift.ts"
import { interestFree } from "./interest_free.ts"
import { percentOff } from "./percent_off.ts"
import { rateUplift } from "./rate_uplift.ts"
import { tieredOff } from "./tiered_off.ts"

export const KINDS: readonly Kind[] = [
  amountOff,
  percentOff,
  fixedPrice,
  tieredOff,
  buyXGetY,
  bundle,
  freeShipping,
  gift,
  interestFree,
  cashBack,
  rateUplift,
]
