/**
 * The catalogue: campaigns and budgets as this process knows them, ready to price.
 *
 * It is a copy, never a judge: each cell holds every campaign's version and state, and an act that was priced from another
 * version is told so (`campaign_changed`), upon which the copy is read again. What is unknown here is looked up in Postgres once before
 * it is called unknown. A look every second keeps quotes from being older than that.
 */
import type { CampaignBody } from "../contract/campaigns.ts"
import { monthAt } from "../months.ts"
import { compileTerms } from "../pricing/compile.ts"
import type { Terms } from "../pricing/types.ts"
import { mayTouch } from "./lines.ts"
import { answeringPostgres } from "../store/away.ts"
import type { Sql } from "../store/postgres.ts"

export type CatalogueState = "draft" | "live" | "paused" | "stopped"

export interface Campaign {
  readonly campaign_no: number
  readonly campaign_id: string
  readonly line: string
  readonly state: CatalogueState
  readonly version: number
  readonly body: CampaignBody
  /** The lines of the key that made it live: only their budgets may pay, whichever months come. */
  readonly funding_lines: readonly string[]
  readonly terms: Terms
  readonly starts_ms: number
  readonly ends_ms: number
}

export interface Budget {
  readonly budget_no: number
  readonly budget_id: string
  readonly line: string
  readonly month: string
  readonly currency: string
  readonly party: string
  readonly opens_ms: number
  readonly closes_ms: number
  /** The budget of the month after that takes what is unspent at the close; null: it is released. */
  readonly carry_to: string | null
}

/** One share of a campaign's funding at an instant: the budget of that month, and its part. */
export interface Funding { readonly budget: Budget; readonly share_bp: number }

export interface Catalogue {
  campaignById(campaign_id: string): Promise<Campaign | undefined>
  campaignByNo(campaign_no: number): Promise<Campaign | undefined>
  /** What is known of a campaign without asking anybody. */
  knownCampaign(campaign_no: number): Campaign | undefined
  budgetById(budget_id: string): Promise<Budget | undefined>
  budgetByNo(budget_no: number): Promise<Budget | undefined>
  /** A campaign's budgets for a hold at an instant, or the id of one that is not there for it. */
  fundingAt(campaign: Campaign, now_ms: number): Promise<Funding[] | { missing: string }>
  /** The terms of a campaign as one of its versions had them. */
  termsOf(campaign_no: number, version: number): Promise<Terms>
  /** Read a campaign again, after a cell said that it has another version. */
  readAgain(campaign_no: number): Promise<Campaign | undefined>
  /** Read everything that changed since the last look. */
  refresh(): Promise<void>
  campaigns(): Iterable<Campaign>
  budgets(): Iterable<Budget>
}

interface CampaignRow { campaign_no: number; campaign_id: string; line: string; state: CatalogueState; version: number; body: unknown; funding_lines: string[]; changed_ms: number }

/** Rows that were committed out of order within this time are still seen by the next look. */
const LOOK_BACK_MS = 5_000
/** Budgets are made in the order of their numbers, but for transactions that overlap: so many are looked at again. */
const BUDGETS_BACK = 100
/** So many older versions' terms are remembered; beyond it they are forgotten together. */
const OLDER_MAX = 1_000

/** The catalogue of one process over one database. `zone` decides which month an instant is in. */
export const openCatalogue = (sql: Sql, zone: string): Catalogue => {
  const byId = new Map<string, Campaign>()
  const byNo = new Map<number, Campaign>()
  const budgetsById = new Map<string, Budget>()
  const budgetsByNo = new Map<number, Budget>()
  const older = new Map<string, Terms>()
  let looked_ms = 0, budget_no_max = 0

  const learn = (row: CampaignRow): Campaign => {
    const known = byNo.get(row.campaign_no)
    if (known && known.version > row.version) return known
    const body = (typeof row.body === "string" ? JSON.parse(row.body) : row.body) as CampaignBody
    const campaign: Campaign = {
      campaign_no: row.campaign_no, campaign_id: row.campaign_id, line: row.line, state: row.state, version: row.version, body, funding_lines: row.funding_lines,
      terms: compileTerms({ ...body, campaign_id: row.campaign_id, version: row.version }),
      starts_ms: Date.parse(body.starts_at), ends_ms: Date.parse(body.ends_at),
    }
    byId.set(campaign.campaign_id, campaign)
    byNo.set(campaign.campaign_no, campaign)
    return campaign
  }
  const learnBudget = (budget: Budget): Budget => {
    budgetsById.set(budget.budget_id, budget)
    budgetsByNo.set(budget.budget_no, budget)
    if (budget.budget_no > budget_no_max) budget_no_max = budget.budget_no
    return budget
  }

  const readCampaigns = (where: ReturnType<Sql>) => answeringPostgres(async () => {
    const rows = await sql<CampaignRow[]>`select campaign_no, campaign_id, line, state, version, body, funding_lines, changed_ms from campaigns where ${where}`
    return rows.map((row) => { if (row.changed_ms > looked_ms) looked_ms = row.changed_ms; return learn(row) })
  })
  const readBudgets = (where: ReturnType<Sql>) => answeringPostgres(async () => {
    const rows = await sql<Budget[]>`select budget_no, budget_id, line, month, currency, party, opens_ms, closes_ms, carry_to from budgets where ${where}`
    return rows.map(learnBudget)
  })

  const fundingOf = async ({ body, funding_lines }: Campaign, now_ms: number): Promise<Funding[] | { missing: string }> => {
    const { month } = monthAt(now_ms, zone)
    const funding: Funding[] = []
    for (const { budget_id, share_bp } of body.funding) {
      const id = budget_id.replaceAll("{month}", month)
      const budget = budgetsById.get(id) ?? await catalogue.budgetById(id)
      // A budget that whoever made the campaign live could not touch, or of other money, pays nothing.
      if (!budget || budget.currency !== body.currency || !mayTouch({ lines: funding_lines }, budget.line)) return { missing: id }
      funding.push({ budget, share_bp })
    }
    return funding
  }

  const catalogue: Catalogue = {
    campaignById: async (campaign_id) => byId.get(campaign_id) ?? (await readCampaigns(sql`campaign_id = ${campaign_id}`))[0],
    campaignByNo: async (campaign_no) => byNo.get(campaign_no) ?? (await readCampaigns(sql`campaign_no = ${campaign_no}`))[0],
    knownCampaign: (campaign_no) => byNo.get(campaign_no),
    budgetById: async (budget_id) => budgetsById.get(budget_id) ?? (await readBudgets(sql`budget_id = ${budget_id}`))[0],
    budgetByNo: async (budget_no) => budgetsByNo.get(budget_no) ?? (await readBudgets(sql`budget_no = ${budget_no}`))[0],
    fundingAt: async (campaign, now_ms) => {
      const funding = await fundingOf(campaign, now_ms)
      if (!("missing" in funding)) return funding
      // No cell would correct this copy, because none is asked: one that another process made live since is still a draft here, which nobody pays for.
      const newest = await catalogue.readAgain(campaign.campaign_no)
      return newest && newest.version > campaign.version ? fundingOf(newest, now_ms) : funding
    },
    termsOf: async (campaign_no, version) => {
      const campaign = await catalogue.campaignByNo(campaign_no)
      if (campaign?.version === version) return campaign.terms
      const key = `${campaign_no}/${version}`
      const known = older.get(key)
      if (known) return known
      const [row] = await answeringPostgres(() => sql<{ body: unknown }[]>`select body from campaign_versions where campaign_no = ${campaign_no} and version = ${version}`)
      if (!campaign || !row) throw new Error(`version ${version} of campaign ${campaign_no} has gone`)
      const body = (typeof row.body === "string" ? JSON.parse(row.body) : row.body) as CampaignBody
      const terms = compileTerms({ ...body, campaign_id: campaign.campaign_id, version })
      if (older.size >= OLDER_MAX) older.clear()
      older.set(key, terms)
      return terms
    },
    readAgain: async (campaign_no) => (await readCampaigns(sql`campaign_no = ${campaign_no}`))[0],
    refresh: async () => {
      await readCampaigns(sql`changed_ms >= ${Math.max(0, looked_ms - LOOK_BACK_MS)}`)
      await readBudgets(sql`budget_no > ${budget_no_max - BUDGETS_BACK}`)
    },
    campaigns: () => byNo.values(),
    budgets: () => budgetsByNo.values(),
  }
  return catalogue
}

