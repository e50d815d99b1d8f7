// Every kind of coupon, by hand: a new one is a file beside this one and a line here.

import type { Kind } from "../kind.ts"
import { amountOff } from "./amount_off.ts"
import { percentOff } from "./percent_off.ts"

export const KINDS: readonly Kind[] = [amountOff, percentOff]
