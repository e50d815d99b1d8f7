/**
 * The guards, and how to take one out: a checker that has never seen a fault proves nothing.
 *
 * Each guard is one place in the source. The harness copies the tree, takes the guard out of the copy and runs that; it must then find
 * something. The engine itself has no switch for it. A test holds that every place is found exactly once.
 */
import { cpSync, readFileSync, symlinkSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { scratchFolder } from "../support/scratch.ts"
import type { Step } from "./leases/protocol.ts"
import type { Part } from "./options.ts"

export interface Guard {
  readonly name: string
  readonly says: string
  readonly file: string
  /** What stands there, once, and what stands there without the guard. */
  readonly find: string
  readonly without: string
  /** The nemeses that a run without it suffers; all where it is missing. Those that are named are the ones that the guard stands against. */
  readonly only?: readonly string[]
  /** Where it stands guard, if that is not on one Redis at local. */
  readonly on?: Part
}

export const GUARDS: readonly Guard[] = [
  {
    name: "reserve_replay", says: "a redemption that is there is not reserved again",
    file: "lua/reserve.lua", find: "if found[1] and is_new == 0 then return { REPEATED } end", without: "",
  },
  {
    name: "issue_replay", says: "an issue that is there is not issued again",
    file: "lua/issue.lua", find: "if found[1] then\n", without: "if false then\n",
  },
  {
    name: "fingerprint", says: "the same ids with other content are a conflict",
    file: "lua/issue.lua", find: "if coupon.fingerprint ~= fingerprint then return { REQUEST_CONFLICT } end", without: "",
  },
  {
    name: "user_limit", says: "a user gets no more coupons than the campaign allows",
    file: "lua/issue.lua", find: "if count >= terms.per_user then", without: "if false then",
  },
  {
    name: "stock", says: "a campaign issues no more than its stock",
    file: "lua/issue.lua", find: "if stock_left(terms) < 1 then", without: "if false then",
  },
  {
    name: "budget", says: "a hold takes no more than is available",
    file: "lua/reserve.lua", find: "if available(budget) < amount_minor then", without: "if false then",
  },
  {
    name: "coupon_state", says: "a coupon that is held is not held again",
    // Two lines of it refuse one that is held: that of every coupon, and that of a coupon which was named twice.
    file: "lua/reserve.lua", find: "held_coupons[fields[i]] = unpack_coupon(found[i + 2]) end",
    without: "held_coupons[fields[i]] = unpack_coupon(found[i + 2]); if held_coupons[fields[i]].state == COUPON.reserved then held_coupons[fields[i]].state = COUPON.issued end end",
  },
  {
    name: "code_once", says: "a code that is claimed is not claimed again",
    file: "lua/claim_code.lua", find: 'ticket_state(codes, place) == "f" and ', without: "",
  },
  {
    name: "code_freed", says: "a claim that brings no coupon leaves its code free",
    file: "lua/settle_claim.lua", find: 'is_granted == 1 and "s" or "f"', without: '"s"',
  },
  {
    name: "release_on_expiry", says: "a hold that runs out gives its money back",
    file: "lua/prelude/holds.lua", find: "  release(book, head, coupons)\n  head.state = state", without: "  if state ~= REDEMPTION.expired then release(book, head, coupons) end\n  head.state = state",
  },
  {
    name: "journal", says: "an act and its entry are one",
    file: "lua/prelude/act.lua", find: "local moves, move_count = packed_moves(book)", without: "if word == ACT.cancelled then return save_book(book) end\n  local moves, move_count = packed_moves(book)",
  },
  {
    name: "gate", says: "a cell that was restarted serves nobody until it was compared with Postgres",
    file: "lua/prelude/book.lua", find: "gate[quota] ~= cell.epoch or", without: "", only: ["lose_tail"],
  },
  {
    name: "contiguity", says: "a batch begins where the cursor stands, and has no hole",
    file: "engine/journal/fold.ts", find: "if (id.n !== at.n + 1) return", without: "if (id.n < 0) return", only: ["lose_entry"],
  },
  {
    name: "unknown", says: "an act whose reply was lost is an unknown outcome, not a no",
    file: "engine/store/redis.ts", find: "return new OutcomeUnknown(message, { cause: error })", without: "return new NotExecuted(message, { cause: error })", only: ["lose_replies"],
  },
  {
    name: "replica", says: "at replicated, what was answered is on a replica",
    file: "engine/store/redis.ts", find: "  await acknowledged\n", without: "", only: ["fail_over_behind"], on: { layout: "cluster", cells: 7, durability: "replicated", share: 1 },
  },
  {
    name: "ledger", says: "at ledger, what was answered is in Postgres",
    file: "engine/store/redis.ts", find: "await waits.passed(cell, entry_id)", without: "void entry_id", only: ["lose_unflushed"], on: { layout: "split", cells: 1, durability: "ledger", share: 1 },
  },
]

/**
 * A guard of the leases. What is wrong without one that has steps needs more losses one after the other than a run meets: of those the search
 * over all states of the protocol says how it goes wrong without the step, and the tests of the Lua that it takes the step.
 */
export interface LeaseGuard extends Guard { readonly steps?: readonly Step[] }
/** The tests that hold the Lua to the steps of the protocol. */
export const STEPS_OF_LUA = "test/lua/leases.test.ts"

/** The guards of the leases, which `npm run torture:leases -- --break` takes out. */
export const LEASE_GUARDS: readonly LeaseGuard[] = [
  {
    name: "absolute_grant", says: "a grant that comes late takes nothing away from a cell",
    file: "lua/take_grant.lua", find: "math.max(record.granted, granted_total)", without: "granted_total",
  },
  {
    name: "absolute_return", says: "a return says what was returned in all, so that one that is told twice counts once",
    file: "lua/take_back.lua", find: "math.max(lease[3], returned_total)", without: "lease[3] + returned_total",
  },
  {
    name: "all_told", says: "a restored bank grants nothing until every cell has told it what it has",
    file: "lua/grant.lua", find: "if not has_heard(quota, book.cell.epoch, cells) then return { BANK_ASKING } end", without: "",
  },
  {
    name: "older_grant", says: "a cell refuses what a bank sent before it was restored",
    file: "lua/take_grant.lua", find: "if epoch < epoch_now then return { OLDER_EPOCH, epoch_now } end", without: "", steps: ["refuse_older_grants"],
  },
  {
    name: "older_return", says: "a bank refuses what a cell had returned before it was opened anew",
    file: "lua/take_back.lua", find: "if cell_epoch < cell_epoch_now then return { OLDER_EPOCH, cell_epoch_now } end", without: "", steps: ["refuse_older_cells"],
  },
  {
    name: "older_telling", says: "a bank refuses what a cell told it before it was opened anew",
    file: "lua/hear.lua", find: "if cell_epoch < cell_epoch_now then return { OLDER_EPOCH, cell_epoch_now } end", without: "", steps: ["refuse_older_cells"],
  },
  {
    name: "returns_all", says: "a cell opens with no more than it uses",
    file: "lua/take_leases.lua", find: "record.returned = math.max(record.returned, record.granted - used)", without: "", steps: ["returns_all"],
  },
  {
    name: "granted_what_it_uses", says: "a cell that opens was granted what it uses, whatever its bank remembers",
    file: "lua/take_leases.lua", find: "record.granted = math.max(record.granted, record.returned + used)", without: "", steps: ["granted_what_it_uses"],
  },
  {
    name: "recalled_first", says: "nobody hears that all is gone before every cell was asked for what it does not use",
    file: "engine/quota/recall.ts", find: "unused: known.reduce((unused, { used }) => unused - used, bank.total)", without: "unused: weighed.free",
  },
]

/** What is copied; packages are linked. */
const PARTS = ["engine", "lua", "analytics", "test", "package.json", "tsconfig.json", "bunfig.toml"]

/** How often the place of a guard is found in the source, which must be once. */
export const timesFound = (tree: string, { file, find }: Guard): number => readFileSync(join(tree, file), "utf8").split(find).length - 1

/** A copy of the tree without this guard. */
export const withoutGuard = (tree: string, guard: Guard): string => {
  if (timesFound(tree, guard) !== 1) throw new Error(`the guard ${guard.name} is not found once in ${guard.file}`)
  const copy = scratchFolder()
  for (const part of PARTS) cpSync(join(tree, part), join(copy, part), { recursive: true })
  symlinkSync(join(tree, "node_modules"), join(copy, "node_modules"))
  const file = join(copy, guard.file)
  writeFileSync(file, readFileSync(file, "utf8").replace(guard.find, () => guard.without))
  return copy
}
