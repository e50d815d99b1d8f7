/**
 * What there is to fight over: campaigns that last the whole run, and arenas that are left for new ones.
 */
import { fresh, issueAsk, openCampaign, type Say, yes } from "../story/till.ts"
import { ACTS_WANTED, AMOUNT_MINOR, type Arena, HOLDS } from "./arena.ts"

export interface Shelf {
  /** What each of them runs out of in a run; of the rest there is more than can be asked for. */
  readonly campaigns: readonly { readonly budget_id: string; readonly campaign_id: string; readonly stock: number; readonly per_user: number; readonly scarce: "nothing" | "money" | "stock" }[]
  /** Codes that everybody claims: unique ones, each for one user, and a public one for some. */
  readonly codes: { readonly campaign_id: string; readonly stock: number; readonly per_user: number; readonly unique: readonly string[]; readonly public: string; readonly limit: number }
  readonly arenas: Arena[]
}

/** Beside a campaign that has enough for all there is one that has little money, and one that has little stock and holds at issue. */
const ROOMY_MINOR = 100_000_000
const ROOMY_STOCK = 1_000_000
const TIGHT_MINOR = 4_000
const TIGHT_STOCK = 60
const CODES = 300
const PUBLIC_LIMIT = 100

/** Open a campaign whose coupons are claimed, one for each user: a claim of a second is refused, and frees its code. `read` asks for a stream of lines. */
const openCodes = async (say: Say, read: (path: string, body: object) => Promise<string>): Promise<Shelf["codes"]> => {
  const { campaign_id } = await openCampaign(say, Date.now(), { limit_minor: ROOMY_MINOR, stock: ROOMY_STOCK, per_user: 1 })
  const lines = (await read(`/v1/campaigns/${campaign_id}/codes`, { batch_id: "torture", count: CODES })).trim().split("\n").map((line) => JSON.parse(line) as { code?: string })
  const code = fresh("PUBLIC")
  await yes(say("PUT", `/v1/campaigns/${campaign_id}/codes`, { code, limit: PUBLIC_LIMIT }))
  return { campaign_id, stock: ROOMY_STOCK, per_user: 1, unique: lines.flatMap((line) => line.code ?? []), public: code, limit: PUBLIC_LIMIT }
}

/** Open what lasts the whole run. */
export const openShelf = async (say: Say, read: (path: string, body: object) => Promise<string>): Promise<Shelf> => {
  const open = async (scarce: "nothing" | "money" | "stock", wishes: { limit_minor: number; stock: number; per_user: number; hold_at?: "issue" }) =>
    ({ ...await openCampaign(say, Date.now(), wishes), stock: wishes.stock, per_user: wishes.per_user, scarce })
  return {
    campaigns: [
      await open("nothing", { limit_minor: ROOMY_MINOR, stock: ROOMY_STOCK, per_user: 2 }),
      await open("money", { limit_minor: TIGHT_MINOR, stock: ROOMY_STOCK, per_user: 2 }),
      await open("stock", { limit_minor: ROOMY_MINOR, stock: TIGHT_STOCK, per_user: 1, hold_at: "issue" }),
    ],
    codes: await openCodes(say, read),
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

/** How many histories of arenas have all the acts they should. */
export const historiesOf = ({ arenas }: Shelf): number =>
  arenas.reduce((sum, { begun }) => sum + Number(begun.budget >= ACTS_WANTED) + Number(begun.coupon >= ACTS_WANTED), 0)
