/** The atomic acts, by hand and in the order of a coupon's life. A new one is a pair of files and one line here. */
import type { Script } from "./declare.ts"
import { begin_rebuild } from "./begin_rebuild.ts"
import { cancel } from "./cancel.ts"
import { claim_code } from "./claim_code.ts"
import { close_budget } from "./close_budget.ts"
import { confirm } from "./confirm.ts"
import { confirm_late } from "./confirm_late.ts"
import { drop_codes } from "./drop_codes.ts"
import { end_coupons } from "./end_coupons.ts"
import { evict } from "./evict.ts"
import { evict_settled } from "./evict_settled.ts"
import { expire } from "./expire.ts"
import { extend } from "./extend.ts"
import { find } from "./find.ts"
import { fund } from "./fund.ts"
import { gate_state } from "./gate_state.ts"
import { give_back } from "./give_back.ts"
import { grant } from "./grant.ts"
import { hear } from "./hear.ts"
import { issue } from "./issue.ts"
import { load } from "./load.ts"
import { load_codes } from "./load_codes.ts"
import { mark_full } from "./mark_full.ts"
import { meet } from "./meet.ts"
import { open_gate } from "./open_gate.ts"
import { peek } from "./peek.ts"
import { publish } from "./publish.ts"
import { put_back } from "./put_back.ts"
import { refund } from "./refund.ts"
import { refuse_grant } from "./refuse_grant.ts"
import { reserve } from "./reserve.ts"
import { revoke } from "./revoke.ts"
import { set_aside } from "./set_aside.ts"
import { shut_budget } from "./shut_budget.ts"
import { revoke_code } from "./revoke_code.ts"
import { revoke_codes } from "./revoke_codes.ts"
import { see_code } from "./see_code.ts"
import { settle_claim } from "./settle_claim.ts"
import { take_back } from "./take_back.ts"
import { take_grant } from "./take_grant.ts"
import { take_leases } from "./take_leases.ts"
import { tick } from "./tick.ts"
import { weigh } from "./weigh.ts"

export const SCRIPTS: readonly Script[] = [
  gate_state, take_leases, open_gate, begin_rebuild,
  publish, fund, set_aside, put_back, shut_budget, close_budget,
  meet, hear, grant, take_grant, give_back, take_back, weigh,
  issue, revoke, end_coupons,
  load_codes, revoke_code, revoke_codes, claim_code, refuse_grant, settle_claim, see_code, drop_codes,
  peek, reserve, find, extend, confirm, confirm_late, cancel, expire, refund,
  load, evict, evict_settled, tick, mark_full,
]
