/**
 * Commands: what callers may do to a shop, as plain data that fast-check makes and shrinks, and how each is played on both
 * the engine and the model.
 *
 * What must stay true: a command names things by number, and the numbers are turned into ids from what the model knows at that
 * moment. So a command means something in every world, and any command may be left out of a failing run.
 */
import fc from "fast-check"
import type { CampaignBody, Order } from "./pricing.ts"
import {
  addToBudget, cancel, confirm, costOf, type Coupon, couponStateNow, type Expected, extend, getBudget, getCampaign, getRedemption, issue, monthOf, monthStarts, moveCampaign,
  nextMonth, ordersOf, putBudget, putCampaign, quote, type Redemption, refund, type RefundLines, reserve, revoke, settle, stateNow, type World,
} from "./world.ts"

/** What an engine under test must be able to do. */
export interface Engine {
  call(method: string, path: string, body?: unknown): Promise<{ status: number; body: any; headers: Headers }>
  /** Set the time, which never goes back. */
  setNow(now_ms: number): void
  /** Let everything happen that has come by time alone. */
  sweep(): Promise<void>
}

/** One run: its engine, its model, and a word that keeps its ids apart from those of other runs. */
export interface Run {
  readonly engine: Engine
  readonly world: World
  readonly tag: string
  readonly began_ms: number
  played: number
  /** How often each status and word was heard. */
  readonly heard: Map<string, number>
}

const USERS = 3
const ORDERS = 4
const REQUESTS = 3
const CAMPAIGNS = 6
const BUDGETS = 3
const HUGE = Number.MAX_SAFE_INTEGER
/** Who is told "later" comes again so often, after a pause. */
const LATER_MAX = 200, LATER_MS = 50

// ── What commands are made of ────────────────────────────────────────────────────────────────────────────────────

const small = (max: number) => fc.nat({ max })
const user = small(USERS - 1)
const any = fc.nat({ max: 1_000_000 })
/** Money, near its edges now and then. */
const money = fc.oneof({ weight: 12, arbitrary: fc.integer({ min: 1, max: 5_000 }) }, { weight: 1, arbitrary: fc.constantFrom(1, 2, 3, 7, 11, 9_999, 10_000, 10_001) }, { weight: 1, arbitrary: fc.constantFrom(HUGE, HUGE - 1, 2 ** 52) })

/** What a budget begins with: enough for a few coupons, or for many. */
const limit = fc.oneof(fc.integer({ min: 1_000, max: 8_000 }), fc.integer({ min: 8_000, max: 100_000 }))

const order = fc.record({
  currency: fc.constantFrom("CNY", "CNY", "CNY", "CNY", "CNY", "CNY", "CNY", "CNY", "CNY", "EUR"),
  channel: fc.option(fc.constantFrom("app", "web"), { nil: undefined }),
  payment_method: fc.option(fc.constantFrom("card", "baitiao"), { nil: undefined }),
  shipping_minor: fc.option(fc.constantFrom(0, 500), { nil: undefined }),
  lines: fc.array(fc.record({
    sku: fc.constantFrom("a", "b", "c", "d"), category: fc.option(fc.constantFrom("food", "home"), { nil: undefined }),
    unit_price_minor: fc.oneof({ weight: 10, arbitrary: fc.integer({ min: 0, max: 3_000 }) }, { weight: 1, arbitrary: fc.constantFrom(0, 1, 2, 3, 1_000_000_000) }),
    quantity: fc.oneof({ weight: 5, arbitrary: fc.integer({ min: 1, max: 4 }) }, { weight: 1, arbitrary: fc.constantFrom(7, 100) }),
  }), { minLength: 1, maxLength: 4 }),
})

const campaign = fc.record({
  kind: fc.constantFrom("amount_off", "percent_off"),
  amount_minor: money, percent_bp: fc.constantFrom(1, 333, 1_000, 1_500, 5_000, 9_999, 10_000), max_minor: fc.option(fc.integer({ min: 1, max: 2_000 }), { nil: undefined }),
  threshold_minor: fc.option(fc.constantFrom(0, 1, 1_000, 3_000), { nil: undefined }),
  applies_to: fc.option(fc.constantFrom({ categories: ["food"] }, { not_skus: ["a"] }, { categories: ["food", "home"], not_skus: ["b", "c"] }), { nil: undefined, freq: 3 }),
  channels: fc.option(fc.constantFrom(["app"], ["app", "web"]), { nil: undefined, freq: 5 }),
  payment_methods: fc.option(fc.constantFrom(["baitiao"]), { nil: undefined, freq: 8 }),
  starts_in_ms: fc.constantFrom(-1_000, -1_000, -1_000, -1_000, 0, 60_000), lasts_ms: fc.constantFrom(3_600_000, 86_400_000, 10 * 86_400_000, 40 * 86_400_000, 40 * 86_400_000),
  coupon_valid_s: fc.option(fc.constantFrom(1, 600, 3_600, 100_000), { nil: undefined, freq: 3 }),
  stock: fc.constantFrom<number>(0, 1, 2, 5, 50, 50, 50), per_user: fc.constantFrom(1, 2, 5, 10), holdout_bp: fc.option(fc.constantFrom(0, 0, 0, 10_000), { nil: undefined }),
  hold_at: fc.constantFrom("reserve", "reserve", "issue", undefined), on_refund: fc.constantFrom("keep", "return", undefined),
  funding: fc.constantFrom<readonly [number, number][]>([[0, 10_000]], [[1, 10_000]], [[0, 5_000], [1, 5_000]], [[0, 3_333], [1, 3_333], [2, 3_334]], [[2, 1], [0, 9_999]], [[0, 4_286], [1, 4_286], [2, 1_428]]),
  monthly: fc.boolean(),
  exclusive: fc.option(fc.constantFrom(true, false), { nil: undefined, freq: 4 }), group: fc.option(fc.constantFrom("g"), { nil: undefined, freq: 4 }),
  priority: fc.option(fc.integer({ min: -1, max: 2 }), { nil: undefined }),
})

const reserveAsk = { user, order_no: small(ORDERS - 1), request: fc.option(small(REQUESTS - 1), { nil: undefined }), order, hold_s: fc.option(fc.constantFrom(1, 60, 900, 86_400), { nil: undefined }) }

/** What each command carries. */
const ARBITRARIES = {
  put_budget: fc.record({ budget: small(BUDGETS - 1), next_month: fc.boolean(), limit_minor: fc.oneof(fc.integer({ min: 0, max: 20_000 }), fc.constantFrom(0, 1, HUGE)) }),
  add_to_budget: fc.record({ budget: any, addition: small(6), amount_minor: fc.oneof({ weight: 4, arbitrary: fc.integer({ min: 1, max: 20_000 }) }, { weight: 2, arbitrary: fc.integer({ min: -20_000, max: -1 }) }, { weight: 1, arbitrary: fc.constantFrom(HUGE, -HUGE) }) }),
  /** Cut to the last cent that is free, or one beyond. */
  cut_to_the_edge: fc.record({ budget: any, addition: any, beyond: small(1) }),
  get_budget: fc.record({ budget: any }),
  put_campaign: fc.record({ campaign: small(CAMPAIGNS - 1), body: campaign }),
  open_campaign: fc.record({ campaign: small(CAMPAIGNS - 1), body: campaign, limit_minor: limit }),
  change_campaign: fc.record({ campaign: any, name: fc.constantFrom("A", "B"), later_ms: fc.constantFrom(0, 1, 86_400_000, -1), stock: fc.constantFrom(0, 1, 10, -1), per_user: fc.constantFrom(0, 1, -1) }),
  move_campaign: fc.record({ campaign: any, verb: fc.constantFrom("activate", "activate", "activate", "activate", "pause", "stop" as const) }),
  get_campaign: fc.record({ campaign: any }),
  issue: fc.record({ campaign: any, user, request: small(4), channel: fc.constantFrom(undefined, undefined, undefined, "app") }),
  issue_to_the_edge: fc.record({ campaign: any, user }),
  revoke: fc.record({ coupon: any }),
  quote: fc.record({ user, order, pick: fc.array(any, { maxLength: 3 }), best: fc.boolean() }),
  reserve_named: fc.record({ ...reserveAsk, pick: fc.array(any, { minLength: 1, maxLength: 4 }), foreign: fc.nat({ max: 30 }) }),
  reserve_best: fc.record(reserveAsk),
  /** The budget is cut to what the discount costs, or to one less. */
  reserve_to_the_edge: fc.record({ coupon: any, order, lacks: small(1), addition: any }),
  reserve_again: fc.record({ redemption: any, other: fc.boolean() }),
  replace: fc.record({ redemption: any, request: small(REQUESTS - 1), order, pick: fc.array(any, { maxLength: 2 }), keep: fc.boolean() }),
  confirm: fc.record({ redemption: any, late: fc.constantFrom(false, false, true) }),
  extend: fc.record({ redemption: any, more_ms: fc.constantFrom(-1, 0, 1, 60_000, 86_400_000), to_longest: fc.constantFrom(undefined, undefined, undefined, 0, 1) }),
  cancel: fc.record({ redemption: any }),
  refund: fc.record({ redemption: any, refund: small(3), all: fc.boolean(), lines: fc.array(fc.record({ line: small(4), quantity: fc.integer({ min: 1, max: 4 }) }), { minLength: 1, maxLength: 3 }) }),
  get_redemption: fc.record({ redemption: any }),
  pass: fc.record({ by_ms: fc.constantFrom(1, 1, 999, 999, 1_000, 1_000, 60_000, 60_000, 900_000, 3_600_000, 86_400_000) }),
  /** To the very edge of something that ends, a millisecond to either side, and with an act there. */
  edge: fc.record({ redemption: any, off_ms: fc.constantFrom(-1, 0, 1), then: fc.constantFrom("confirm", "confirm_late", "cancel", "get", "extend" as const) }),
  edge_of_campaign: fc.record({ campaign: any, off_ms: fc.constantFrom(-1, 0), end: fc.boolean(), user }),
  edge_of_coupon: fc.record({ coupon: any, off_ms: fc.constantFrom(-1, 0), order }),
  edge_of_month: fc.record({ off_ms: fc.constantFrom(-1, 0), coupon: any, order }),
  sweep: fc.record({}),
}
type Arbitraries = typeof ARBITRARIES
type CommandOf<K extends keyof Arbitraries> = { readonly act: K } & (Arbitraries[K] extends fc.Arbitrary<infer V> ? Readonly<V> : never)
type AnyCommand = { [K in keyof Arbitraries]: CommandOf<K> }[keyof Arbitraries]

const WEIGHTS: Readonly<Record<keyof Arbitraries, number>> = {
  put_budget: 1, add_to_budget: 3, cut_to_the_edge: 1, get_budget: 3, put_campaign: 1, open_campaign: 4, change_campaign: 2, move_campaign: 3, get_campaign: 2,
  issue: 26, issue_to_the_edge: 1, revoke: 3, quote: 4, reserve_named: 14, reserve_best: 7, reserve_to_the_edge: 5, reserve_again: 4, replace: 5, confirm: 12, extend: 4, cancel: 5,
  refund: 10, get_redemption: 3, pass: 5, edge: 4, edge_of_campaign: 1, edge_of_coupon: 1, edge_of_month: 1, sweep: 1,
}

/** One command. */
export const command: fc.Arbitrary<AnyCommand> = fc.oneof(
  ...(Object.keys(ARBITRARIES) as (keyof Arbitraries)[]).map((act) => ({
    weight: WEIGHTS[act], arbitrary: (ARBITRARIES[act] as fc.Arbitrary<object>).map((fields) => ({ act, ...fields })) as fc.Arbitrary<AnyCommand>,
  })),
)

/** How a run begins: some budgets with money, some campaigns that are live. */
export const opening: fc.Arbitrary<readonly AnyCommand[]> = fc.tuple(
  fc.array(limit, { minLength: BUDGETS, maxLength: BUDGETS }),
  fc.array(campaign, { minLength: 3, maxLength: 3 }),
).map(([limits, bodies]) => [
  ...limits.flatMap((limit_minor, budget): AnyCommand[] => [{ act: "put_budget", budget, next_month: false, limit_minor }, { act: "put_budget", budget, next_month: true, limit_minor }]),
  ...bodies.map((body, campaign): AnyCommand => ({ act: "open_campaign", campaign, limit_minor: limits[0]!, body: { ...body, stock: Math.max(body.stock, 5), starts_in_ms: -1_000 } })),
])

// ── How a command is played ──────────────────────────────────────────────────────────────────────────────────────

/** What the engine said and the model did not expect. */
export class Difference extends Error {
  override readonly name = "Difference"
}

const STATUS_OF: Readonly<Record<string, number>> = { coupon_unknown: 404 }

/** What is wrong with an answer; nothing when it is what was expected. */
const whatIsWrong = (expected: Expected, { status, body, headers }: { status: number; body: any; headers: Headers }): string | undefined => {
  if (expected.codes) {
    if (!expected.codes.includes(body?.code)) return `code ${body?.code} instead of ${expected.codes.join(" or ")}`
    const wanted = expected.status || STATUS_OF[body.code] || 409
    if (status !== wanted) return `status ${status} instead of ${wanted}`
    if (!headers.get("content-type")?.startsWith("application/problem+json")) return "a no that is not problem+json"
    if (typeof body.retry !== "boolean" || typeof body.detail !== "string") return "a no without retry and detail"
    return expected.judge?.(body)
  }
  if (status !== expected.status) return `status ${status} instead of ${expected.status}`
  if (expected.hit !== undefined && (headers.get("idempotency-hit") === "true") !== expected.hit) return `Idempotency-Hit is ${headers.get("idempotency-hit")}`
  if (expected.same !== undefined && JSON.stringify(body) !== JSON.stringify(expected.same)) return `another body than the first time: ${JSON.stringify(expected.same)}`
  for (const [field, value] of Object.entries(expected.body ?? {})) {
    if (value !== undefined && JSON.stringify(body?.[field]) !== JSON.stringify(value)) return `${field} is ${JSON.stringify(body?.[field])} instead of ${JSON.stringify(value)}`
  }
  return expected.judge?.(body)
}

/** Ask the engine and hold its answer against what the model expects. */
const ask = async (run: Run, expected: Expected, method: string, path: string, body?: unknown): Promise<any> => {
  let answer = await run.engine.call(method, path, body)
  // "Later" is no answer: on a machine that does much else money may take longer to come from another cell than anybody waits.
  for (let tries = 0; answer.status === 503 && tries < LATER_MAX; tries += 1) {
    await Bun.sleep(LATER_MS)
    answer = await run.engine.call(method, path, body)
  }
  run.played += 1
  const word = `${answer.status} ${answer.body?.code ?? (answer.headers.get("idempotency-hit") ? "again" : "yes")}`
  run.heard.set(word, (run.heard.get(word) ?? 0) + 1)
  const wrong = whatIsWrong(expected, answer)
  if (wrong !== undefined) {
    throw new Difference(`${method} ${path} ${JSON.stringify(body)} at ${new Date(run.world.now_ms).toISOString()}\n  answered ${answer.status} ${JSON.stringify(answer.body)}\n  but: ${wrong}`)
  }
  expected.commit?.(answer.body)
  return answer.body
}

const nth = <T>(items: Iterable<T>, number: number): T | undefined => {
  const list = [...items]
  return list.length === 0 ? undefined : list[number % list.length]
}
const userId = (run: Run, no: number): string => `${run.tag}-user-${no}`
const campaignId = (run: Run, no: number): string => `${run.tag}-campaign-${no}`
const budgetId = (run: Run, no: number, month: string): string => `${run.tag}-budget-${no}-${month}`
const withoutNothing = <T extends object>(fields: T): T => Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as T

const orderFrom = (raw: { lines: readonly object[] } & object): Order =>
  withoutNothing({ ...raw, lines: raw.lines.map((line, place) => withoutNothing({ line_id: `l${place}`, ...line })) }) as unknown as Order

const bodyFrom = (run: Run, raw: any, campaign: number): CampaignBody => {
  const isIssue = raw.hold_at === "issue"
  const starts_ms = run.world.now_ms + raw.starts_in_ms
  const month = monthOf(run.world.now_ms)
  const stacking = withoutNothing({ exclusive: raw.exclusive, group: raw.group, priority: raw.priority })
  return withoutNothing({
    line: "retail", name: `Campaign ${campaign}`, currency: "CNY", kind: raw.kind,
    terms: raw.kind === "amount_off" ? { amount_minor: raw.amount_minor } : withoutNothing({ percent_bp: raw.percent_bp, max_minor: isIssue ? raw.max_minor ?? 500 : raw.max_minor }),
    threshold_minor: raw.threshold_minor ?? 0, applies_to: raw.applies_to, channels: raw.channels, payment_methods: raw.payment_methods,
    starts_at: new Date(starts_ms).toISOString(), ends_at: new Date(starts_ms + raw.lasts_ms).toISOString(), coupon_valid_s: raw.coupon_valid_s,
    stock: raw.holdout_bp === 10_000 ? 1_000 : raw.stock, per_user: raw.per_user, holdout_bp: raw.holdout_bp, hold_at: raw.hold_at,
    funding: raw.funding.map(([no, share_bp]: [number, number]) => ({ budget_id: budgetId(run, no, raw.monthly ? "{month}" : month), share_bp })),
    on_refund: isIssue ? "keep" : raw.on_refund, stacking: Object.keys(stacking).length === 0 ? undefined : stacking,
  }) as CampaignBody
}

/** A campaign by number; the ones that sell are likelier. */
const sellingOf = (run: Run, number: number): string | undefined => {
  const all = [...run.world.campaigns.values()]
  const selling = all.filter(({ state, body }) => state === "live" && Date.parse(body.ends_at) > run.world.now_ms)
  return nth(number % 5 > 0 && selling.length > 0 ? selling : all, number)?.campaign_id
}

/** Which coupons a user names: his own, by number, each once. */
const picked = (run: Run, user_id: string, numbers: readonly number[]): string[] => {
  const his = [...run.world.coupons.values()].filter((coupon) => coupon.user_id === user_id)
  // The ones that could be used stand first, so that most lists mean something.
  const isUsable = (coupon: Coupon) => couponStateNow(run.world, coupon) === "issued"
  const ranked = his.toSorted((a, b) => Number(isUsable(b)) - Number(isUsable(a)))
  const usable = ranked.filter(isUsable)
  return [...new Set(numbers.flatMap((number) => nth(number % 4 > 0 && usable.length > 0 ? usable : ranked, number)?.coupon_id ?? []))]
}

const pathOf = (redemption_id: string, act?: string): string => `/v1/redemptions/${redemption_id}${act === undefined ? "" : `/${act}`}`

const setNow = async (run: Run, now_ms: number): Promise<void> => {
  if (now_ms <= run.world.now_ms) return
  run.world.now_ms = now_ms
  run.engine.setNow(now_ms)
}
/** An id is remembered for at least 90 days; a run that is longer would have to know which ids are new again. */
const RUN_MS_MAX = 85 * 86_400_000
const mayPassTo = (run: Run, now_ms: number): boolean => now_ms <= run.began_ms + RUN_MS_MAX

const settleBoth = async (run: Run): Promise<void> => {
  await run.engine.sweep()
  settle(run.world)
}
/** Time goes on to an instant: what ends before it has ended there, and what ends exactly then has not been swept. */
const passTo = async (run: Run, now_ms: number): Promise<void> => {
  if (now_ms - 1 > run.world.now_ms) {
    await setNow(run, now_ms - 1)
    await settleBoth(run)
  }
  await setNow(run, now_ms)
}

const unknownRedemption = "redemption-that-is-none"
/** A redemption by number; the open ones are likelier. */
const redemptionOf = (run: Run, number: number): Redemption | undefined => {
  const all = [...run.world.redemptions.values()].reverse()
  const open = all.filter((each) => each.state === "reserved")
  return number % 3 > 0 && open.length > 0 ? nth(open, number) : nth(all, number)
}

const reserveFrom = (run: Run, c: { user: number; order_no: number; request: number | undefined; order: any; hold_s: number | undefined }, coupons: "best" | string[]) =>
  withoutNothing({
    order_id: `${run.tag}-order-${c.order_no}-${Math.floor(run.world.redemptions.size / 12)}`, user_id: userId(run, c.user),
    request_id: c.request === undefined ? undefined : `request-${c.request}`, order: orderFrom(c.order), coupons, hold_s: c.hold_s,
  })

const doReserve = (run: Run, body: Parameters<typeof reserve>[1]) => ask(run, reserve(run.world, body), "POST", "/v1/redemptions", body)
const doConfirm = (run: Run, redemption_id: string, late: boolean) => ask(run, confirm(run.world, redemption_id, late), "POST", pathOf(redemption_id, "confirm"), late ? { late } : {})
const doExtend = (run: Run, redemption_id: string, expires_ms: number) =>
  ask(run, extend(run.world, redemption_id, expires_ms), "POST", pathOf(redemption_id, "extend"), { expires_at: new Date(expires_ms).toISOString() })
const doCancel = (run: Run, redemption_id: string) => ask(run, cancel(run.world, redemption_id), "POST", pathOf(redemption_id, "cancel"), {})
const doGet = (run: Run, redemption_id: string) => ask(run, getRedemption(run.world, redemption_id), "GET", pathOf(redemption_id))
const doIssue = (run: Run, campaign_id: string, user_id: string, request_id: string, channel?: string) => {
  const body = withoutNothing({ request_id, campaign_id, user_id, channel })
  return ask(run, issue(run.world, body as Parameters<typeof issue>[1]), "POST", "/v1/coupons", body)
}
const doPutCampaign = (run: Run, campaign_id: string, body: CampaignBody) => ask(run, putCampaign(run.world, campaign_id, body), "PUT", `/v1/campaigns/${campaign_id}`, body)
const doMove = (run: Run, campaign_id: string, verb: "activate" | "pause" | "stop") =>
  ask(run, moveCampaign(run.world, campaign_id, verb), "POST", `/v1/campaigns/${campaign_id}/${verb}`, {})
const doAdd = (run: Run, budget_id: string, addition_id: string, amount_minor: number) =>
  ask(run, addToBudget(run.world, budget_id, addition_id, amount_minor), "POST", `/v1/budgets/${budget_id}/additions`, { addition_id, amount_minor })

const doPutBudget = (run: Run, budget_id: string, body: Parameters<typeof putBudget>[2]) => ask(run, putBudget(run.world, budget_id, body), "PUT", `/v1/budgets/${budget_id}`, body)

const useAlone = (run: Run, coupon: Coupon, order: any): Promise<unknown> =>
  doReserve(run, { order_id: `${run.tag}-edge-${run.world.redemptions.size}`, user_id: coupon.user_id, order: orderFrom(order), coupons: [coupon.coupon_id] })

type Players = { readonly [K in keyof Arbitraries]: (run: Run, command: CommandOf<K>) => Promise<unknown> }

const PLAYERS: Players = {
  put_budget: (run, c) => {
    const now = monthOf(run.world.now_ms)
    const month = c.next_month ? nextMonth(now) : now
    const budget_id = budgetId(run, c.budget, month)
    const body = { line: "retail", month, currency: "CNY", limit_minor: c.limit_minor }
    return doPutBudget(run, budget_id, body)
  },
  add_to_budget: (run, c) => doAdd(run, nth(run.world.budgets.keys(), c.budget) ?? `${run.tag}-none`, `addition-${c.addition}`, c.amount_minor),
  cut_to_the_edge: async (run, c) => {
    const budget = nth(run.world.budgets.values(), c.budget)
    if (!budget) return
    const free_minor = budget.limit - budget.held - budget.spent
    if (free_minor + c.beyond === 0) return
    const wish = Math.min(free_minor, 40) + (free_minor <= 40 ? c.beyond : 0)
    if (wish > 0) await doAdd(run, budget.budget_id, `edge-${c.addition}`, -wish)
  },
  get_budget: (run, c) => {
    const budget_id = nth(run.world.budgets.keys(), c.budget) ?? `${run.tag}-none`
    return ask(run, getBudget(run.world, budget_id), "GET", `/v1/budgets/${budget_id}`)
  },
  put_campaign: (run, c) => doPutCampaign(run, campaignId(run, c.campaign), bodyFrom(run, c.body, c.campaign)),
  open_campaign: async (run, c) => {
    const campaign_id = campaignId(run, run.world.campaigns.has(campaignId(run, c.campaign)) ? run.world.campaigns.size % 40 : c.campaign)
    const body = bodyFrom(run, { ...c.body, lasts_ms: Math.max(c.body.lasts_ms, 86_400_000) }, c.campaign)
    if (run.world.campaigns.has(campaign_id)) return
    // Budgets of this month, or in a new month nothing would ever happen again.
    const month = monthOf(run.world.now_ms)
    for (const { budget_id } of body.funding) {
      const id = budget_id.replace("{month}", month)
      if (!run.world.budgets.has(id)) await doPutBudget(run, id, { line: "retail", month, currency: "CNY", limit_minor: c.limit_minor })
    }
    await doPutCampaign(run, campaign_id, body)
    await doMove(run, campaign_id, "activate")
  },
  change_campaign: async (run, c) => {
    const campaign = nth(run.world.campaigns.values(), c.campaign)
    if (!campaign) return
    const { body } = campaign
    if (Date.parse(body.ends_at) + c.later_ms <= Date.parse(body.starts_at) || body.stock + c.stock < 0 || body.per_user + c.per_user < 1) return
    await doPutCampaign(run, campaign.campaign_id, {
      ...body, name: c.name, ends_at: new Date(Date.parse(body.ends_at) + c.later_ms).toISOString(), stock: body.stock + c.stock, per_user: body.per_user + c.per_user,
    })
  },
  move_campaign: async (run, c) => {
    const campaign = nth(run.world.campaigns.values(), c.campaign)
    if (!campaign) return ask(run, moveCampaign(run.world, `${run.tag}-none`, c.verb), "POST", `/v1/campaigns/${run.tag}-none/${c.verb}`, {})
    const isUnfunded = campaign.body.funding.some(({ budget_id }) => !budget_id.includes("{month}") && !run.world.budgets.has(budget_id))
    if (c.verb === "activate" && isUnfunded) return
    // Stopping is final: most runs keep their campaigns.
    if (c.verb === "stop" && c.campaign % 3 > 0) return
    await doMove(run, campaign.campaign_id, c.verb)
  },
  get_campaign: (run, c) => {
    const campaign_id = nth(run.world.campaigns.keys(), c.campaign) ?? `${run.tag}-none`
    return ask(run, getCampaign(run.world, campaign_id), "GET", `/v1/campaigns/${campaign_id}`)
  },
  issue: (run, c) => doIssue(run, sellingOf(run, c.campaign) ?? `${run.tag}-none`, userId(run, c.user), `issue-${c.request}-${Math.floor(run.world.coupons.size / 10)}`, c.channel),
  issue_to_the_edge: async (run, c) => {
    const campaign_id = sellingOf(run, c.campaign)
    if (campaign_id === undefined) return
    for (let tries = 0; tries < 6; tries++) await doIssue(run, campaign_id, userId(run, c.user), `edge-${tries}-${run.world.coupons.size}`)
  },
  revoke: (run, c) => {
    const coupon_id = nth(run.world.coupons.keys(), c.coupon) ?? "coupon-that-is-none"
    return ask(run, revoke(run.world, coupon_id), "POST", `/v1/coupons/${coupon_id}/revoke`, { reason: "the model says so" })
  },
  quote: (run, c) => {
    const user_id = userId(run, c.user)
    const body = { user_id, order: orderFrom(c.order), coupons: c.best ? "best" as const : picked(run, user_id, c.pick) }
    return ask(run, quote(run.world, body), "POST", "/v1/quotes", body)
  },
  reserve_named: (run, c) => {
    const coupons = picked(run, userId(run, c.user), c.pick)
    const foreign = c.foreign === 0 ? "coupon-that-is-none" : c.foreign === 1 ? nth(run.world.coupons.keys(), c.pick[0]!) : undefined
    return doReserve(run, reserveFrom(run, c, [...new Set([...coupons, ...(foreign === undefined ? [] : [foreign])])]))
  },
  reserve_best: (run, c) => doReserve(run, reserveFrom(run, c, "best")),
  reserve_to_the_edge: async (run, c) => {
    const coupon = nth([...run.world.coupons.values()].filter((each) => couponStateNow(run.world, each) === "issued"), c.coupon)
    const campaign = coupon && run.world.campaigns.get(coupon.campaign_id)
    if (!coupon || !campaign || campaign.body.hold_at === "issue") return
    // An order that meets the terms, so that nothing but the money decides.
    const { currency, threshold_minor = 0, channels, payment_methods } = campaign.body
    const cart = { ...c.order, currency, channel: channels?.[0], payment_method: payment_methods?.[0], lines: [{ sku: "d", category: "food", unit_price_minor: threshold_minor + 1_000, quantity: 3 }, ...c.order.lines.slice(1)] }
    const asked = { order_id: `${run.tag}-money-${run.world.redemptions.size}-${c.addition}`, user_id: coupon.user_id, order: orderFrom(cart), coupons: [coupon.coupon_id] }
    const [most] = costOf(run.world, asked.order, coupon).toSorted((a, b) => b.minor - a.minor)
    const budget = most && run.world.budgets.get(most.budget_id)
    if (!most || !budget) return
    const cut = budget.limit - budget.held - budget.spent - most.minor + c.lacks
    if (cut <= 0) return
    await doAdd(run, budget.budget_id, `money-${c.addition}-${run.world.redemptions.size}`, -cut)
    await doReserve(run, asked)
    await doAdd(run, budget.budget_id, `money-back-${c.addition}-${run.world.redemptions.size}`, cut)
  },
  reserve_again: async (run, c) => {
    const earlier = nth([...run.world.redemptions.values()].reverse(), c.redemption)
    if (!earlier) return
    const body = JSON.parse(earlier.sent) as Parameters<typeof reserve>[1]
    await doReserve(run, c.other ? { ...body, order: { ...body.order, shipping_minor: (body.order.shipping_minor ?? 0) + 1 } } : body)
  },
  replace: async (run, c) => {
    const earlier = redemptionOf(run, c.redemption)
    if (!earlier) return
    const coupons = [...new Set([...(c.keep ? earlier.parts.map(({ coupon_id }) => coupon_id) : []), ...picked(run, earlier.user_id, c.pick)])]
    await doReserve(run, { order_id: earlier.order_id, user_id: earlier.user_id, request_id: `request-${c.request}`, order: orderFrom(c.order), coupons })
  },
  confirm: (run, c) => doConfirm(run, redemptionOf(run, c.redemption)?.redemption_id ?? unknownRedemption, c.late),
  extend: async (run, c) => {
    const redemption = redemptionOf(run, c.redemption)
    if (!redemption) return doExtend(run, unknownRedemption, run.world.now_ms + c.more_ms)
    const longest_ms = redemption.reserved_ms + 7 * 86_400_000
    await doExtend(run, redemption.redemption_id, c.to_longest === undefined ? redemption.expires_ms + c.more_ms : longest_ms + c.to_longest)
  },
  cancel: (run, c) => doCancel(run, redemptionOf(run, c.redemption)?.redemption_id ?? unknownRedemption),
  refund: (run, c) => {
    const confirmed = [...run.world.redemptions.values()].filter(({ state }) => state === "confirmed" || state === "partly_refunded" || state === "refunded").reverse()
    const redemption = c.redemption % 6 > 0 ? nth(confirmed, c.redemption) : redemptionOf(run, c.redemption)
    if (!redemption) return ask(run, refund(run.world, unknownRedemption, "r", "all"), "POST", pathOf(unknownRedemption, "refunds"), { refund_id: "r", lines: "all" })
    const byLine = new Map(c.lines.map(({ line, quantity }) => [`l${line % (redemption.lines.length + (line === 4 ? 1 : 0))}`, quantity]))
    const lines: RefundLines = c.all ? "all" : [...byLine].map(([line_id, quantity]) => ({ line_id, quantity }))
    const refund_id = `refund-${c.refund}`
    return ask(run, refund(run.world, redemption.redemption_id, refund_id, lines), "POST", pathOf(redemption.redemption_id, "refunds"), { refund_id, lines })
  },
  get_redemption: (run, c) => doGet(run, redemptionOf(run, c.redemption)?.redemption_id ?? unknownRedemption),
  pass: async (run, c) => {
    if (!mayPassTo(run, run.world.now_ms + c.by_ms)) return
    await setNow(run, run.world.now_ms + c.by_ms)
    await settleBoth(run)
  },
  edge: async (run, c) => {
    const open = [...run.world.redemptions.values()].filter((each) => stateNow(run.world, each) === "reserved")
    const redemption = nth(open, c.redemption)
    if (!redemption || !mayPassTo(run, redemption.expires_ms + 1)) return
    await passTo(run, redemption.expires_ms + c.off_ms)
    const { redemption_id } = redemption
    switch (c.then) {
      case "confirm": await doConfirm(run, redemption_id, false); break
      case "confirm_late": await doConfirm(run, redemption_id, true); break
      case "cancel": await doCancel(run, redemption_id); break
      case "extend": await doExtend(run, redemption_id, redemption.expires_ms + 60_000); break
      case "get": await doGet(run, redemption_id)
    }
    await settleBoth(run)
  },
  edge_of_campaign: async (run, c) => {
    const campaign = nth([...run.world.campaigns.values()].filter(({ body }) => Date.parse(c.end ? body.ends_at : body.starts_at) > run.world.now_ms + 1), c.campaign)
    if (!campaign || campaign.state !== "live") return
    const edge_ms = Date.parse(c.end ? campaign.body.ends_at : campaign.body.starts_at) + c.off_ms
    if (!mayPassTo(run, edge_ms)) return
    await passTo(run, edge_ms)
    await settleBoth(run)
    await doIssue(run, campaign.campaign_id, userId(run, c.user), `window-${run.world.coupons.size}`)
  },
  edge_of_coupon: async (run, c) => {
    const coupon = nth([...run.world.coupons.values()].filter(({ state, ends_ms }) => state === "issued" && ends_ms > run.world.now_ms + 1), c.coupon)
    if (!coupon || !mayPassTo(run, coupon.ends_ms)) return
    await passTo(run, coupon.ends_ms + c.off_ms)
    await useAlone(run, coupon, c.order)
    await settleBoth(run)
  },
  edge_of_month: async (run, c) => {
    const edge_ms = monthStarts(nextMonth(monthOf(run.world.now_ms))) + c.off_ms
    if (!mayPassTo(run, edge_ms)) return
    await passTo(run, edge_ms)
    await settleBoth(run)
    const coupon = nth([...run.world.coupons.values()].filter(({ state }) => state === "issued"), c.coupon)
    if (coupon) await useAlone(run, coupon, c.order)
  },
  sweep: (run) => settleBoth(run),
}

/** Play one command on engine and model; throws a Difference. */
export const play = (run: Run, command: AnyCommand): Promise<unknown> => (PLAYERS[command.act] as (run: Run, command: AnyCommand) => Promise<unknown>)(run, command)

/** What stands at the end of a run must be what the model has: every budget, campaign, redemption, coupon and order. */
export const compareAll = async (run: Run): Promise<void> => {
  await settleBoth(run)
  const { world } = run
  for (const budget_id of world.budgets.keys()) await ask(run, getBudget(world, budget_id), "GET", `/v1/budgets/${budget_id}`)
  for (const campaign_id of world.campaigns.keys()) await ask(run, getCampaign(world, campaign_id), "GET", `/v1/campaigns/${campaign_id}`)
  for (const redemption_id of world.redemptions.keys()) await doGet(run, redemption_id)
  for (let no = 0; no < USERS; no++) {
    const user_id = userId(run, no)
    const wanted = [...world.coupons.values()].filter((coupon) => coupon.user_id === user_id).map(({ coupon_id, state }) => ({ coupon_id, state }))
      .toSorted((a, b) => (a.coupon_id < b.coupon_id ? -1 : 1))
    const seen = await run.engine.call("GET", `/v1/users/${user_id}/coupons?limit=1000`)
    run.played += 1
    const items = (seen.body.items as { coupon_id: string; state: string }[]).map(({ coupon_id, state }) => ({ coupon_id, state })).toSorted((a, b) => (a.coupon_id < b.coupon_id ? -1 : 1))
    if (JSON.stringify(items) !== JSON.stringify(wanted)) throw new Difference(`the coupons of ${user_id} are ${JSON.stringify(items)} instead of ${JSON.stringify(wanted)}`)
  }
  const orders = new Map([...world.redemptions.values()].map(({ user_id, order_id }) => [`${user_id} ${order_id}`, { user_id, order_id }]))
  for (const { user_id, order_id } of orders.values()) {
    const wanted = ordersOf(world, user_id, order_id).map((each) => `${each.redemption_id} ${each.state}`).toSorted()
    const seen = await run.engine.call("GET", `/v1/redemptions?user_id=${encodeURIComponent(user_id)}&order_id=${encodeURIComponent(order_id)}`)
    run.played += 1
    const items = (seen.body.items as { redemption_id: string; state: string }[]).map(({ redemption_id, state }) => `${redemption_id} ${state}`).toSorted()
    if (JSON.stringify(items) !== JSON.stringify(wanted)) throw new Difference(`the redemptions of ${order_id} are ${JSON.stringify(items)} instead of ${JSON.stringify(wanted)}`)
  }
}

/** The commands of a run, as they are made and shrunk. */
export const commands = (most: number): fc.Arbitrary<readonly AnyCommand[]> =>
  fc.tuple(opening, fc.array(command, { minLength: 1, maxLength: most, size: "max" })).map(([first, then]) => [...first, ...then])
export type { AnyCommand }
