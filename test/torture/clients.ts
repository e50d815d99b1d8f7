/**
 * The clients: seeded walks through everything a shop does, each act written down with what was heard of it.
 *
 * What must stay true: a client asks again only what he may ask again (the same words under the same ids), and goes on from a yes only.
 * He knows which noes he may be told: nobody hears that what he was given is unknown, or that there is nothing where there is plenty.
 */
import { fresh, issueAsk, order, type Say } from "../story/till.ts"
import { type Act, type ActKind, type Heard, tells, wordOf, yesOf } from "./history.ts"
import { ACTS_WANTED, type Arena } from "./arena.ts"
import type { Chance } from "./chance.ts"
import type { Shelf } from "./shelf.ts"
import { KEY } from "./stand.ts"

/** A client does not wait longer for an answer than an impatient shop does. */
const ANSWER_MS_MAX = 4_000
const AGAIN_MS = 20
/** How likely a shopper is to leave an act for good each time that he hears nothing. */
const LEAVES = 0.05
/** How likely he is to leave after a 503 that says that nothing was begun. */
const LEAVES_REFUSED = 0.3
/** How likely a request is sent twice at once, to both APIs. */
const TWICE = 0.08
/** A user asks so often, which is more than a campaign allows him. */
const ISSUES_PER_USER = 4
const CLAIMS_PER_USER = 2
const SHORT_HOLD_S = 1
const LONG_HOLD_S = 86_400

/** Where the clients ask, and where they write down what they heard. */
export interface Scene {
  urls(): readonly string[]
  readonly shelf: Shelf
  readonly history: Act[]
  /** When a nemesis began to strike, by the history's clock. */
  readonly struck_ms: number[]
  /** What the one who follows the events was told so far, in its order, and where he goes on. */
  readonly followed: { readonly ids: string[]; after: string }
  /** Two answers to one request that were not the same, and the like. */
  readonly findings: string[]
  yeses: number
  isOver(): boolean
}

type Send = (method: string, path: string, body: unknown, chance: Chance) => Promise<Heard | undefined>

/** One request to one of the APIs; nothing when no answer came. */
export const sendTo = (scene: Pick<Scene, "urls">): Send => async (method, path, body, chance) => {
  const urls = scene.urls()
  if (urls.length === 0) return undefined
  try {
    const answer = await fetch(chance.pick(urls) + path, {
      method, headers: { authorization: `Bearer ${KEY}`, "content-type": "application/json" }, ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      signal: AbortSignal.timeout(ANSWER_MS_MAX),
    })
    return { status: answer.status, text: await answer.text() }
  } catch {
    return undefined // the connection or the process behind it is gone: that is the story
  }
}

/** Nobody answered within the time that all should be back in. */
export class Unanswered extends Error { override readonly name = "Unanswered" }

/** Ask until somebody knows; for the words of a story that are no act of its history. Throws Unanswered. */
export const sayTo = (scene: Pick<Scene, "urls">, chance: Chance, wait_ms: number): Say => {
  const send = sendTo(scene)
  return async (method, path, body) => {
    const end = performance.now() + wait_ms
    for (;;) {
      const heard = await send(method, path, body, chance)
      if (heard && heard.status !== 503) return { status: heard.status, body: heard.text === "" ? undefined : JSON.parse(heard.text), headers: new Headers() }
      if (performance.now() > end) throw new Unanswered(`${method} ${path} ${JSON.stringify(body)}: ${heard?.text ?? "no answer"} for ${wait_ms} ms`)
      await Bun.sleep(AGAIN_MS)
    }
  }
}

/** Ask for lines until they come whole. */
export const readFrom = (scene: Pick<Scene, "urls">, chance: Chance, wait_ms: number) => async (path: string, body: object): Promise<string> => {
  const send = sendTo(scene), end = performance.now() + wait_ms
  for (;;) {
    const heard = await send("POST", path, body, chance)
    if (heard && heard.status < 300) return heard.text
    if (performance.now() > end) throw new Error(`${path}: ${heard?.text ?? "no answer"} for ${wait_ms} ms`)
    await Bun.sleep(AGAIN_MS)
  }
}

interface Asked { readonly arena?: number; readonly isStubborn?: boolean }
/** `noes` are the words of the noes that may be told. */
type Do = (kind: ActKind, path: string, body: Record<string, unknown>, noes: readonly string[], asked?: Asked) => Promise<Record<string, any> | undefined>

/** How one client does an act: asks, asks again while nobody knows, writes down, and comes back with a yes or nothing. */
const actor = (scene: Scene, chance: Chance): Do => {
  const send = sendTo(scene)
  const once = async (path: string, body: unknown, noes: readonly string[]): Promise<Heard | undefined> => {
    const ask = async (): Promise<Heard | undefined> => {
      const heard = await send("POST", path, body, chance)
      const word = wordOf(heard)
      if (word !== undefined && !noes.includes(word)) scene.findings.push(`a no that cannot be: ${path} ${JSON.stringify(body)}: ${heard!.text}`)
      return heard
    }
    if (!chance.happens(TWICE)) return ask()
    const [one, two] = await Promise.all([ask(), ask()])
    if (one && two && one.status < 300 && two.status < 300 && one.text !== two.text) scene.findings.push(`I10: one request, two answers: ${path} ${JSON.stringify(body)}: ${one.text} and ${two.text}`)
    return [one, two].find((heard) => heard !== undefined && heard.status < 300) ?? (tells(one) === "end" && tells(two) === "end" ? one : undefined)
  }
  return async (kind, path, body, noes, { arena, isStubborn = false } = {}) => {
    const act: Act = { kind, path, body, ...(arena === undefined ? {} : { arena }), first_ms: performance.now(), last_ms: 0, heard_ms: Infinity, heard: "unknown", isLeftBehind: false }
    let isWritten = false
    for (;;) {
      act.last_ms = performance.now()
      if (!isWritten) act.first_ms = act.last_ms
      const heard = await once(path, body, noes)
      const told = tells(heard)
      if (told === "nothing") act.isLeftBehind = true
      if (told !== "not_begun" && !isWritten) { scene.history.push(act); isWritten = true }
      if (told === "end") {
        act.heard = heard!
        act.heard_ms = performance.now()
        if (heard!.status < 300) scene.yeses += 1
        return yesOf(act)
      }
      if (scene.isOver() || (!isStubborn && chance.happens(told === "not_begun" ? LEAVES_REFUSED : LEAVES))) {
        // Whoever leaves after a 503 that says that nothing was begun has heard a no, which must have left nothing.
        if (!isWritten && heard) { act.heard = heard; act.heard_ms = performance.now(); scene.history.push(act) }
        return undefined
      }
      await Bun.sleep(AGAIN_MS)
    }
  }
}

const reserveBody = (user_id: string, coupons: readonly string[], hold_s: number) => ({ order_id: fresh("order"), user_id, order: order(), coupons, hold_s })

/** Only what is taken away can be in use. */
const noesOfFund = (amount_minor: number): readonly string[] => amount_minor < 0 ? ["budget_in_use"] : []

/** Coupon after coupon, from issue to refund, each user asking for more than he may have. */
export const shopper = async (scene: Scene, chance: Chance, name: string): Promise<void> => {
  const act = actor(scene, chance)
  for (let round = 0; !scene.isOver(); round++) {
    const user_id = `${name}-${Math.floor(round / ISSUES_PER_USER)}`
    const { campaign_id, scarce } = scene.shelf.campaigns[Math.floor(round / ISSUES_PER_USER) % scene.shelf.campaigns.length]!
    const coupon = await act("issue", "/v1/coupons", issueAsk(campaign_id, user_id), ["campaign_not_live", "user_limit_reached", ...scarce === "stock" ? ["stock_exhausted"] : []])
    if (!coupon || scene.isOver()) continue
    const isShort = chance.happens(0.15)
    const redemption = await act("reserve", "/v1/redemptions", reserveBody(user_id, [coupon["coupon_id"]], isShort ? SHORT_HOLD_S : LONG_HOLD_S), ["campaign_paused", ...scarce === "money" ? ["budget_exhausted"] : []])
    if (!redemption || scene.isOver() || chance.happens(isShort ? 0.7 : 0.05)) continue
    const path = `/v1/redemptions/${redemption["redemption_id"]}`, noes = isShort ? ["redemption_expired"] : []
    if (chance.happens(0.3)) { await act("cancel", `${path}/cancel`, {}, noes); continue }
    const confirmed = await act("confirm", `${path}/confirm`, chance.happens(0.2) ? { late: true } : {}, noes)
    if (confirmed && !scene.isOver() && chance.happens(0.7)) await act("refund", `${path}/refunds`, { refund_id: "all", lines: "all" }, [])
  }
}

/** One of those who fight over the arenas: takes and gives back, so that there is always something to fight over. */
export const rival = async (scene: Scene, chance: Chance, name: string): Promise<void> => {
  const act = actor(scene, chance)
  while (!scene.isOver()) {
    const arena = scene.shelf.arenas.find(({ begun }) => begun.budget < ACTS_WANTED || begun.coupon < ACTS_WANTED)
    if (!arena) { await Bun.sleep(AGAIN_MS); continue }
    const asked = { arena: arena.no, isStubborn: true }
    if (chance.happens(0.08)) {
      arena.begun.budget += 1
      // What is added is taken away again, and the other way round, so the budget stays small.
      const amount_minor = chance.pick([100, -100, 50, -50])
      const funded = await act("fund", `/v1/budgets/${arena.budget_id}/additions`, { addition_id: fresh("addition"), amount_minor }, noesOfFund(amount_minor), asked)
      if (funded) await act("fund", `/v1/budgets/${arena.budget_id}/additions`, { addition_id: fresh("addition"), amount_minor: -amount_minor }, noesOfFund(-amount_minor), asked)
      continue
    }
    const of = arena.begun.coupon < arena.begun.budget ? "coupon" : "budget"
    const { coupon_id, user_id } = of === "coupon" ? arena.shared : arena.own.get(name)!
    arena.begun[of] += 1
    const redemption = await act("reserve", "/v1/redemptions", reserveBody(user_id, [coupon_id], LONG_HOLD_S), of === "coupon" ? ["coupon_reserved", "coupon_redeemed"] : ["budget_exhausted", "coupon_reserved"], asked)
    if (!redemption) continue
    const path = `/v1/redemptions/${redemption["redemption_id"]}`
    if (chance.happens(0.5)) { arena.begun[of] += 1; await act("cancel", `${path}/cancel`, {}, [], asked); continue }
    // A budget's model knows what is available, which a confirm does not change.
    if (of === "coupon") arena.begun.coupon += 1
    const confirmed = await act("confirm", `${path}/confirm`, {}, [], asked)
    arena.begun[of] += 1
    if (confirmed) await act("refund", `${path}/refunds`, { refund_id: "all", lines: "all" }, [], asked)
  }
}

/** One who claims codes that others claim too, and more than he may have, and uses what he gets. */
export const claimant = async (scene: Scene, chance: Chance, name: string): Promise<void> => {
  const act = actor(scene, chance)
  const { codes } = scene.shelf
  for (let round = 0; !scene.isOver(); round++) {
    const user_id = `${name}-${Math.floor(round / CLAIMS_PER_USER)}`, code = chance.happens(0.3) ? codes.public : chance.pick(codes.unique)
    const coupon = await act("claim", "/v1/codes/claim", { request_id: fresh("claim"), code, user_id }, ["code_invalid", "user_limit_reached"])
    if (!coupon || scene.isOver()) continue
    const redemption = await act("reserve", "/v1/redemptions", reserveBody(user_id, [coupon["coupon_id"]], LONG_HOLD_S), [])
    if (redemption && !scene.isOver()) await act("confirm", `/v1/redemptions/${redemption["redemption_id"]}/confirm`, {}, [])
  }
}

const OPERATOR_MS = 150
/** The one who pauses and goes on, adds money and takes it away, while everybody shops. */
export const operator = async (scene: Scene, chance: Chance): Promise<void> => {
  const act = actor(scene, chance)
  const send = sendTo(scene)
  while (!scene.isOver()) {
    const { campaign_id, budget_id, scarce } = chance.pick(scene.shelf.campaigns)
    if (chance.happens(0.6)) {
      const amount_minor = chance.pick([5_000, -5_000, 700, -700])
      await act("fund", `/v1/budgets/${budget_id}/additions`, { addition_id: fresh("addition"), amount_minor }, scarce === "money" ? noesOfFund(amount_minor) : [])
    } else {
      await send("POST", `/v1/campaigns/${campaign_id}/pause`, {}, chance)
      await Bun.sleep(OPERATOR_MS)
      // Until it is heard: a campaign that stays paused would leave nothing to torture.
      while (!scene.isOver() && (await send("POST", `/v1/campaigns/${campaign_id}/activate`, {}, chance))?.status !== 200) await Bun.sleep(AGAIN_MS)
    }
    await Bun.sleep(OPERATOR_MS)
  }
}

const FOLLOW_MS = 250
export const FOLLOW_PAGE = 500
/** The path of a page of events behind a place. */
export const pageAfter = (after: string): string => `/v1/events?limit=${FOLLOW_PAGE}${after === "" ? "" : `&after=${after}`}`

/** One who keeps a copy of his own by following the events, whichever API answers; he goes on from the last page that he heard. */
export const follower = async (scene: Scene, chance: Chance): Promise<void> => {
  const send = sendTo(scene)
  while (!scene.isOver()) {
    const heard = await send("GET", pageAfter(scene.followed.after), undefined, chance)
    if (heard?.status === 200) follow(scene.followed, JSON.parse(heard.text))
    await Bun.sleep(FOLLOW_MS)
  }
}

/** Take down a page of events; how many it had. */
export const follow = (followed: Scene["followed"], { items, next }: { items: readonly { event_id: string }[]; next: string }): number => {
  for (const { event_id } of items) followed.ids.push(event_id)
  followed.after = next
  return items.length
}
