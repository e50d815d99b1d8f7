/** The atomic acts, by hand and in the order of a coupon's life. A new one is a pair of files and one line here. */
import type { Script } from "./declare.ts"
import { begin_rebuild } from "./begin_rebuild.ts"
import { cancel } from "./cancel.ts"
import { close_budget } from "./close_budget.ts"
import { confirm } from "./confirm.ts"
import { confirm_late } from "./confirm_late.ts"
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
import { mark_full } from "./mark_full.ts"
import { meet } from "./meet.ts"
import { open_gate } from "./open_gate.ts"
import { peek } from "./peek.ts"
import { publish } from "./publish.ts"
import { put_back } from "./put_back.ts"
import { refund } from "./refund.ts"
import { reserve } from "./reserve.ts"
import { revoke } from "./revoke.ts"
import { set_aside } from "./set_aside.ts"
import { shut_budget } from "./shut_budget.ts"
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
  peek, reserve, find, extend, confirm, confirm_late, cancel, expire, refund,
  load, evict, evict_settled, tick, mark_full,
]
