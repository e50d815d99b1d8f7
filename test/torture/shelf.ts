/**
 * What there is to fight over: campaigns that last the whole run, and arenas that are left for new ones.
 */
import { fresh, issueAsk, openCampaign, type Say, yes } from "../story/till.ts"
import { ACTS_WANTED, AMOUNT_MINOR, type Arena, HOLDS } from "./arena.ts"

export interface Shelf {
  readonly campaigns: readonly { readonly budget_id: string; readonly campaign_id: string; readonly stock: number; readonly per_user: number }[]
  readonly arenas: Arena[]
}

/** Beside a campaign that has enough for all there is one that has little money, and one that has little stock and holds at issue. */
const ROOMY_MINOR = 100_000_000
const TIGHT_MINOR = 4_000
const TIGHT_STOCK = 60

/** Open the campaigns that last the whole run. */
export const openShelf = async (say: Say): Promise<Shelf> => {
  const open = async (wishes: { limit_minor: number; stock: number; per_user: number; hold_at?: "issue" }) =>
    ({ ...await openCampaign(say, Date.now(), wishes), stock: wishes.stock, per_user: wishes.per_user })
  return {
    campaigns: [
      await open({ limit_minor: ROOMY_MINOR, stock: 1_000_000, per_user: 2 }),
      await open({ limit_minor: TIGHT_MINOR, stock: 1_000_000, per_user: 2 }),
      await open({ limit_minor: ROOMY_MINOR, stock: TIGHT_STOCK, per_user: 1, hold_at: "issue" }),
    ],
    arenas: [],
  }
}

/** Open a new arena for these clients. */
export const openArena = async (say: Say, shelf: Shelf, clients: readonly string[]): Promise<void> => {
  const own = await openCampaign(say, Date.now(), { limit_minor: HOLDS * AMOUNT_MINOR, amount_minor: AMOUNT_MINOR, on_refund: "return" })
  const all = await openCampaign(say, Date.now(), { amount_minor: AMOUNT_MINOR, on_refund: "return" })
  const couponFor = async (campaign_id: string, user_id: string) => ({ coupon_id: (await yes(say("POST", "/v1/coupons", issueAsk(campaign_id, user_id)))).coupon_id as string, user_id })
  shelf.arenas.push({
    no: shelf.arenas.length, ...own,
    shared: await couponFor(all.campaign_id, fresh("shared")),
    own: new Map(await Promise.all(clients.map(async (client) => [client, await couponFor(own.campaign_id, fresh(client))] as const))),
    begun: { budget: 0, coupon: 0 },
  })
}

/** Whether the newest arena is nearly used up, so that the next one is due. */
export const isArenaDue = ({ arenas }: Shelf): boolean => {
  const last = arenas.at(-1)
  return last === undefined || Math.min(last.begun.budget, last.begun.coupon) >= ACTS_WANTED - 50
}
