/**
 * The worked examples over HTTP: each row asked as an operator would, with drafts.
 */
import { beforeAll, expect, test } from "bun:test"
import { differences, EXAMPLES, type Example } from "../pricing/examples.ts"
import { fresh, yes } from "../story/till.ts"
import { brokenContract } from "../support/contract.ts"
import { monthOf } from "../story/model/world.ts"
import { openShop, type Shop } from "../support/shop.ts"

const START_MS_MAX = 60_000
/** The row's noon, a Sunday, as test/pricing has it. */
const PRICED_AT = "2026-11-22T12:00:00Z"
let shop: Shop
beforeAll(async () => { shop = await openShop() }, START_MS_MAX)

/** The drafts of a row, with budgets that have what the row says they have. */
const draftsOf = async ({ drafts, funds, order }: Example): Promise<readonly object[]> => {
  if (!funds) return drafts
  const names = new Map<string, string>()
  for (const [name, limit_minor] of Object.entries(funds)) {
    const budget_id = fresh(name)
    names.set(name, budget_id)
    await yes(shop.call("PUT", `/v1/budgets/${budget_id}`, { line: "retail", month: monthOf(shop.clock.now_ms()), currency: order.currency, limit_minor }))
  }
  return drafts.map((draft) => ({ ...draft, funding: draft.funding?.map(({ budget_id, share_bp }) => ({ budget_id: names.get(budget_id) ?? budget_id, share_bp })) }))
}

for (const example of EXAMPLES) {
  const { id, source, says, profile, order, wish } = example
  test(`quoted: worked example ${id} (${source}): ${says}`, async () => {
    const drafts = await draftsOf(example)
    const { status, body } = await shop.call("POST", "/v1/quotes", { order, drafts, profile, priced_at: PRICED_AT, ...(wish ? { coupons: wish } : {}) })
    expect(brokenContract("POST", "/v1/quotes", status, body)).toBeUndefined()
    expect([status, status === 200 ? differences(example, body) : body]).toEqual([200, []])
  })
}
