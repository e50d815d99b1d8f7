/**
 * What a budget or a campaign comes to over all cells.
 */
import { quotaKey, homeOf } from "../../lua/keys.ts"
import { unpack } from "../../lua/records.ts"
import type { Parts } from "../parts.ts"
import { ask } from "../store/redis.ts"
import { leftOf, sideOf } from "./post.ts"

/** A quote may be told sums of this age. */
const SUMS_AGE_MS_MAX = 1_000
/** So many sums are remembered; beyond it they are forgotten together. */
const SUMS_MAX = 10_000

export interface BudgetSums { readonly limit_minor: number; readonly held_minor: number; readonly spent_minor: number; readonly available_minor: number }
export interface CampaignSums { readonly issued: number; readonly revoked: number; readonly reserved: number; readonly redeemed: number; readonly version: number }

const readAll = async (parts: Parts, name: string): Promise<Buffer[]> => {
  const cells = Array.from({ length: parts.cells }, (_, cell) => cell)
  const raw = await Promise.all(cells.map((cell) => ask(parts.redis, quotaKey(cell), (node) => node.hgetBuffer(quotaKey(cell), name))))
  return raw.filter((bytes) => bytes !== null)
}

/** A budget's sums now: limit from its bank, held and spent from every cell. */
export const readBudgetSums = async (parts: Parts, budget_no: number): Promise<BudgetSums> => {
  const name = `b${budget_no}`
  const home = quotaKey(homeOf(name, parts.cells))
  const [bank, cells] = await Promise.all([ask(parts.redis, home, (node) => node.hgetBuffer(home, `v${name}`)), readAll(parts, name)])
  const limit_minor = bank ? unpack("bank", bank).total : 0
  let held_minor = 0, spent_minor = 0
  for (const bytes of cells) {
    const record = unpack("budget", bytes)
    held_minor += record.held
    spent_minor += record.spent
  }
  return { limit_minor, held_minor, spent_minor, available_minor: limit_minor - held_minor - spent_minor }
}

/** What is lent of a quota, and what of it the cells do not use. */
export interface Leases { readonly leased: number; readonly idle: number }

/** A quota's leases now, over every cell. */
export const readLeases = async (parts: Parts, name: string): Promise<Leases> => {
  const home = quotaKey(homeOf(name, parts.cells))
  const [bank, cells] = await Promise.all([ask(parts.redis, home, (node) => node.hgetBuffer(home, `v${name}`)), readAll(parts, name)])
  const leases = bank ? unpack("bank", bank).leases : []
  return {
    leased: leases.reduce((sum, [, granted, returned]) => sum + granted - returned, 0),
    idle: cells.reduce((sum, bytes) => sum + leftOf(sideOf(name, bytes)), 0),
  }
}

/** A campaign's counts now, over every cell; `version` is the lowest that a cell has. */
export const readCampaignSums = async (parts: Parts, campaign_no: number): Promise<CampaignSums> => {
  const records = (await readAll(parts, `k${campaign_no}`)).map((bytes) => unpack("campaign", bytes))
  const sum = (of: (record: (typeof records)[number]) => number) => records.reduce((total, record) => total + of(record), 0)
  return {
    issued: sum(({ issued }) => issued), revoked: sum(({ revoked }) => revoked), reserved: sum(({ reserved }) => reserved), redeemed: sum(({ redeemed }) => redeemed),
    version: records.length < parts.cells ? 0 : Math.min(...records.map(({ version }) => version)),
  }
}

const remembered = new WeakMap<Parts, Map<number, { at_ms: number; read_at: number; sums: Promise<BudgetSums> }>>()

/** A budget's sums, at most a second old, also where a replay's clock stands still; one read serves all who ask meanwhile. */
export const budgetSums = (parts: Parts, budget_no: number, now_ms: number): Promise<BudgetSums> => {
  let ours = remembered.get(parts)
  if (!ours || ours.size > SUMS_MAX) remembered.set(parts, ours = new Map())
  const known = ours.get(budget_no)
  const read_at = performance.now()
  if (known && Math.max(Math.abs(now_ms - known.at_ms), read_at - known.read_at) < SUMS_AGE_MS_MAX) return known.sums
  const sums = readBudgetSums(parts, budget_no)
  ours.set(budget_no, { at_ms: now_ms, read_at, sums })
  sums.catch(() => ours.delete(budget_no))
  return sums
}
