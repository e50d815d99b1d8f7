/**
 * What many cells cost on one Redis: its processor time per act with 64 cells against 1, and how many acts have to wait for a grant while
 * a uniform load spends a budget to 90 %.
 *
 * What must stay true: both engines are sent the same acts in turn, and what is counted is all of Redis' work until the journals are
 * flushed, the keeper's and the sweeper's too. The budget is spent to the unit that the load asks for, so nobody is refused.
 */
import { CAMPAIGN_ID, confirmRequest, DISCOUNT_MINOR, issueRequest, makeBudget, makeCampaign, reserveRequest } from "../contestants.ts"
import { median } from "../cpu.ts"
import { allWere, drive, type Lap } from "../drive.ts"
import { offer } from "../open_loop.ts"
import type { Result } from "../result.ts"
import { campaignBody, monthOf, shopper } from "../shop.ts"
import { killRedis, must, startStack, type Stack } from "../stack.ts"

const CELLS = 64
const STOCK = 100_000_000
const SPENT_SHARE = 0.9
/** Few enough that two engines on a busy machine refuse nobody for waiting too long. */
const CONNECTIONS = 16
const IDLE_MS = 5_000
const COST_MOST = 1.15
const WAITED_MOST = 0.01
/** After a restart of Redis so many acts a second come for so long. */
const AFTER_PER_S = 500, AFTER_S = 10
const LOOK_MS = 100

export interface LeaseSizes { readonly rounds: number; readonly acts: number; readonly budget_acts: number }

/** A counter of an engine's metrics. */
const counterOf = async (stack: Stack, name: string): Promise<number> => {
  const page = await fetch(`${stack.url}/metrics`, { headers: { authorization: `Bearer ${stack.key}` } })
  return Number(new RegExp(`^${name} (\\S+)$`, "m").exec(await page.text())?.[1] ?? Number.NaN)
}

/** Issue, reserve and confirm for so many new users; what Redis did for it. */
const playRound = async (stack: Stack, campaign_no: number, name: string, acts: number): Promise<Lap[]> => {
  const shoppers = Array.from({ length: acts }, (_, i) => shopper(name, i, campaign_no))
  return [
    allWere(await drive({ stack, connections: CONNECTIONS }, shoppers.map((each) => issueRequest(stack, each))), 201, "issue"),
    allWere(await drive({ stack, connections: CONNECTIONS }, shoppers.map((each) => reserveRequest(stack, "", each))), 201, "reserve"),
    allWere(await drive({ stack, connections: CONNECTIONS }, shoppers.map((each) => confirmRequest(stack, "", each))), 200, "confirm"),
  ]
}

/** Spend a budget of its own to 90 % by reserves of users in every cell; how many of them waited. */
const spend = async (stack: Stack, budget_acts: number): Promise<{ share: number; available_minor: number }> => {
  const month = monthOf(Date.now()), budget_id = `spent-${month}`, campaign_id = `${CAMPAIGN_ID}-spent`
  await must(stack, "PUT", `/v1/budgets/${budget_id}`, { line: "retail", month, currency: "CNY", limit_minor: budget_acts * DISCOUNT_MINOR })
  await must(stack, "PUT", `/v1/campaigns/${campaign_id}`, {
    ...campaignBody(Date.now(), { stock: STOCK, per_user: 1_000 }), funding: [{ budget_id: "spent-{month}", share_bp: 10_000 }],
  })
  await must(stack, "POST", `/v1/campaigns/${campaign_id}/activate`, {})
  const [row] = await stack.sql<{ campaign_no: number }[]>`select campaign_no from campaigns where campaign_id = ${campaign_id}`
  const shoppers = Array.from({ length: Math.floor(budget_acts * SPENT_SHARE) }, (_, i) => shopper("spent", i, row!.campaign_no))
  allWere(await drive({ stack, connections: CONNECTIONS }, shoppers.map((each) => issueRequest(stack, each, campaign_id))), 201, "issue")
  const before = await counterOf(stack, "scrip_lease_acts_waited_total")
  allWere(await drive({ stack, connections: CONNECTIONS }, shoppers.map((each) => reserveRequest(stack, "", each))), 201, "reserve")
  const waited = await counterOf(stack, "scrip_lease_acts_waited_total") - before
  const { available_minor } = await must<{ available_minor: number }>(stack, "GET", `/v1/budgets/${budget_id}`)
  return { share: waited / shoppers.length, available_minor }
}

/**
 * Kill Redis under 64 cells. Each opens with no more than it uses, so the first act of a cell waits for a grant: how long Redis was away, how
 * many acts waited after that, and when the last of them did.
 */
const playRestart = async (stack: Stack, campaign_no: number): Promise<{ back_s: number; waited: number; last_s: number }> => {
  const shoppers = Array.from({ length: AFTER_PER_S * AFTER_S }, (_, i) => shopper("after", i, campaign_no))
  allWere(await drive({ stack, connections: CONNECTIONS }, shoppers.map((each) => issueRequest(stack, each))), 201, "issue")
  const back_s = await killRedis(stack, CAMPAIGN_ID), before = await counterOf(stack, "scrip_lease_acts_waited_total")
  let next = 0, waited = 0, last_s = 0
  const began = performance.now()
  const arriving = offer(stack.url, AFTER_PER_S, AFTER_S, () => ({ bytes: reserveRequest(stack, "", shoppers[next++]!), is_give: false }))
  while (performance.now() - began < AFTER_S * 1_000) {
    const now = await counterOf(stack, "scrip_lease_acts_waited_total") - before
    if (now > waited) { waited = now; last_s = (performance.now() - began) / 1_000 }
    await Bun.sleep(LOOK_MS)
  }
  await arriving
  return { back_s, waited, last_s }
}

/** Redis' work while nobody asks for anything, in microseconds a second: flusher, sweeper and keeper look at every cell. */
const idleOf = async (stack: Stack): Promise<number> => {
  const before = stack.cpu().redis, began = performance.now()
  await Bun.sleep(IDLE_MS)
  return (stack.cpu().redis - before) / ((performance.now() - began) / 1_000)
}

/** Measure one engine of one cell and one of 64, turn by turn. */
export const playLeases = async ({ rounds, acts, budget_acts }: LeaseSizes, say: (text: string) => void): Promise<Result> => {
  say(`one engine of one cell and one of ${CELLS} are started`)
  const [one, many] = await Promise.all([startStack("one cell", "engine/main.ts"), startStack(`${CELLS} cells`, "engine/main.ts", CELLS)])
  const stacks = await Promise.all([one, many].map(async (stack) => {
    await makeBudget(stack)
    return { stack, campaign_no: await makeCampaign(stack, CAMPAIGN_ID, { stock: STOCK, per_user: 1_000 }) }
  }))
  const costs: number[][] = [[], []], net: number[][] = [[], []]
  const idle: number[] = []
  for (const { stack } of stacks) idle.push(await idleOf(stack))
  for (let round = 0; round <= rounds; round++) {
    say(`${acts} redemptions each, round ${round} of ${rounds}${round === 0 ? ", not counted" : ""}`)
    for (const place of round % 2 === 0 ? [0, 1] : [1, 0]) {
      const { stack, campaign_no } = stacks[place]!
      const began = performance.now()
      const laps = await playRound(stack, campaign_no, `leases-${round}`, acts)
      const seconds = (performance.now() - began) / 1_000
      const redis_us = laps.reduce((sum, lap) => sum + lap.cpu.redis, 0), acts_done = laps.reduce((sum, lap) => sum + lap.acts, 0)
      if (round === 0) continue
      costs[place]!.push(redis_us / acts_done)
      net[place]!.push((redis_us - idle[place]! * seconds) / acts_done)
    }
  }
  say(`a budget for ${budget_acts} acts is spent to ${SPENT_SHARE * 100} %`)
  const { share, available_minor } = await spend(many, budget_acts)
  say("the Redis of the many cells is killed")
  const { back_s, waited, last_s } = await playRestart(many, stacks[1]!.campaign_no)
  await Promise.all([one.stop(), many.stop()])
  return {
    scenario: "leases", rows: [],
    figures: [
      { name: "Redis CPU of an act, 1 cell (issue, reserve, confirm)", value: median(costs[0]!), unit: "µs" },
      { name: `Redis CPU of an act, ${CELLS} cells on one Redis`, value: median(costs[1]!), unit: "µs" },
      { name: `${CELLS} cells against 1, median of the rounds' ratios`, value: median(costs[1]!.map((us, i) => us / costs[0]![i]!)), unit: "×", wanted: { at: "most", value: COST_MOST } },
      { name: "Redis while nobody asks, 1 cell", value: idle[0]! / 10_000, unit: "% of a core" },
      { name: `Redis while nobody asks, ${CELLS} cells`, value: idle[1]! / 10_000, unit: "% of a core" },
      { name: `${CELLS} cells against 1, without what runs while nobody asks`, value: median(net[1]!.map((us, i) => us / net[0]![i]!)), unit: "×" },
      { name: `acts that waited for a grant, of ${Math.floor(budget_acts * SPENT_SHARE)} that spent a budget to ${SPENT_SHARE * 100} %, ${CELLS} cells`, value: share * 100, unit: "%", wanted: { at: "most", value: WAITED_MOST * 100 } },
      { name: `from a killed Redis of ${CELLS} cells to the first yes`, value: back_s, unit: "s" },
      { name: `acts that then waited for a grant, of ${AFTER_PER_S * AFTER_S} at ${AFTER_PER_S} a second`, value: waited, unit: "acts" },
      { name: "the last of them after", value: last_s, unit: "s" },
    ],
    proofs: [{ name: "leases: what is left of the budget, minor units", wanted: (budget_acts - Math.floor(budget_acts * SPENT_SHARE)) * DISCOUNT_MINOR, found: available_minor }],
  }
}
