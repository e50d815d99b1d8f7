/**
 * One run: seeded buyers in 64 cells sell out a stock and a budget through processes that crash, over messages that get lost.
 *
 * What must stay true, at every look: nothing is used twice or over. At the end: exactly all is sold and nothing is stranded. And no
 * "exhausted" was told while enough had been unused, through every change that Redis made, for the 250 ms before it.
 */
import type { Redis } from "ioredis"
import { quietLog } from "../../../engine/log.ts"
import type { QuotaParts } from "../../../engine/parts.ts"
import { changeLimit } from "../../../engine/quota/cut.ts"
import { makeKeeper, type Keeper } from "../../../engine/quota/keeper.ts"
import { greet } from "../../../engine/quota/post.ts"
import { newLeaseTally } from "../../../engine/quota/tally.ts"
import { homeOf } from "../../../lua/keys.ts"
import { chanceFrom, type Chance } from "../chance.ts"
import { followUnused } from "./ledger.ts"
import { bring, CELLS, clearAll, giveUp, type Goods, lookAt, moneyOf, openAll, restart, rewrite, sell, shutCells, stockOf, type Sold } from "./market.ts"
import { NO_FAULTS, openPostOffice, type Faults, type PostOffice, type Stray } from "./post_office.ts"

const PROCESSES = 3
const BUYERS = 48
/** Faults are done for so long, and until so many lost messages came late; a machine that does much else is not waited for longer. */
const FAULTY_MS = 1_200
const LATE_MIN = 3
const FAULTY_MS_MAX = 4_000
const LOOK_MS = 12
const KEEP_MS = 60
/** A refusal must have been true within so long before it. */
const STALE_MS = 250
const SETTLE_MS_MAX = 60_000
const AMOUNT_MAX = 9
/** A buyer who hears "later" and "busy" for so long hears it for ever. */
const ANSWER_MS_MAX = 60_000
const RETRY_MS = 5

export interface Ran {
  readonly seed: number
  readonly faults: string[]
  readonly sold: number
  readonly refused: number
  readonly busy: number
  readonly crashes: number
  readonly done: PostOffice["done"]
  readonly restarts: number
  readonly rewrites: number
  /** Lost messages that came after the one who knew better was written anew. */
  readonly late: number
  readonly cuts: number
  readonly ms: number
}

interface Process { alive: boolean; readonly parts: QuotaParts; readonly keeper: Keeper }

let goods_no = 1_000
/** Every run sells goods of its own. */
const newGoods = (): Goods => ({ campaign: ++goods_no, budget: ++goods_no })

const faultsOf = (chance: Chance): Faults => ({
  lost_request: chance.pick([0.01, 0.02, 0.05]), lost_reply: chance.pick([0, 0.01, 0.05]), twice: chance.pick([0, 0.05, 0.2]),
  late: chance.pick([0, 0.1, 0.4]), crash: chance.pick([0, 0.002, 0.01]),
})

/** Play one run on a Redis of its own, at an address. */
export const playRun = async (redis: Redis, redisUrl: string, seed: number): Promise<Ran> => {
  const began = performance.now()
  const chance = chanceFrom(seed)
  const goods = newGoods()
  const stock = 300 + chance.below(900)
  const money = Math.floor(stock * (AMOUNT_MAX + 1) / 2 * (0.5 + chance()))
  await openAll(redis)
  await clearAll(redis)
  const ledger = await followUnused(redisUrl, [stockOf(goods), moneyOf(goods)])
  await bring(redis, goods, stock, money)
  const office = openPostOffice(redis, chance.fork("post"), faultsOf(chance.fork("faults")))
  const found: string[] = []
  let crashes = 0, restarts = 0, rewrites = 0, late = 0, busy = 0, refused = 0, cuts = 0, total_money = money
  let isFaulty = true, isOver = false

  const start = (): Process => {
    const process: Process = {
      alive: true,
      parts: { redis: office.line(() => process.alive, () => { process.alive = false; crashes += 1 }), cells: CELLS, leases: newLeaseTally() },
      get keeper() { return keeper },
    }
    const keeper = makeKeeper(process.parts, quietLog, Date.now)
    return process
  }
  const processes = Array.from({ length: PROCESSES }, start)
  const someone = (by: Chance): Process => {
    const place = by.below(PROCESSES)
    if (!processes[place]!.alive) processes[place] = start()
    return processes[place]!
  }

  // --- the looks: that nothing is over, at instants
  const looking = (async () => {
    while (!isOver) {
      const [stock_now, money_now] = await Promise.all([lookAt(redis, stockOf(goods)), lookAt(redis, moneyOf(goods))])
      found.push(...stock_now.faults, ...money_now.faults)
      await Bun.sleep(LOOK_MS)
    }
  })()
  const refusals: { readonly name: string; readonly need: number; readonly asked_ms: number; readonly at_ms: number }[] = []
  const judge = ({ name, need, asked_ms, at_ms }: (typeof refusals)[number]): void => {
    const least = ledger.leastOf(name, at_ms - STALE_MS, at_ms)
    if (least >= need) found.push(`sold out and not so: ${name} was refused ${need} at ${at_ms} (asked ${at_ms - asked_ms} ms before), and never had less than ${least} in the ${STALE_MS} ms before`)
  }

  // --- buyers
  const kept = new Map<string, { user: string; amount: number }>()
  /** Buy until the answer is known; an unknown one is asked again under the same ids, by whichever process. */
  const buy = async (by: Chance, user: string, request: string, amount: number): Promise<"yes" | "exhausted"> => {
    const until = performance.now() + ANSWER_MS_MAX
    for (let last = ""; ;) {
      const process = someone(by)
      const asked_ms = Date.now()
      if (performance.now() > until) {
        found.push(`no answer: ${request} still hears ${last} after ${ANSWER_MS_MAX} ms: ${JSON.stringify([await lookAt(redis, stockOf(goods)), await lookAt(redis, moneyOf(goods)), await shutCells(redis)])}`)
        return "exhausted"
      }
      let sold: Sold
      try {
        sold = await sell(process.parts, goods, user, request, amount)
      } catch (fault) {
        last = String(fault)
        await Bun.sleep(RETRY_MS)
        continue
      }
      last = sold.outcome
      if (sold.outcome === "yes") {
        kept.set(request, { user, amount })
        if (by.happens(0.9)) process.keeper.hear([{ cell: 0, name: stockOf(goods), used: 1 }])
        return "yes"
      }
      if (sold.outcome === "exhausted") {
        const { name, need } = sold
        refused += 1
        refusals.push({ name, need, asked_ms, at_ms: Date.now() })
        return "exhausted"
      }
      busy += 1
      await Bun.sleep(RETRY_MS)
    }
  }
  const buyers = Array.from({ length: BUYERS }, async (_, no) => {
    const by = chance.fork(`buyer ${no}`)
    for (let i = 0; isFaulty; i++) {
      const request = `${seed} ${goods.campaign} ${no} ${i}`
      await buy(by, `${no} ${by.below(50)}`, request, 1 + by.below(AMOUNT_MAX))
      if (!by.happens(0.25)) continue
      const [given, of] = [...kept].at(by.below(kept.size)) ?? []
      if (given === undefined || !kept.delete(given)) continue
      for (let tries = 0; tries >= 0; tries++) {
        try { await giveUp(someone(by).parts, goods, of!.user, given); break } catch { await Bun.sleep(RETRY_MS) }
      }
    }
  })

  /** A message that was lost comes after the one who knew better was written anew. What a bank that was told all hears then, it must know. */
  const comeLate = async (stray: Stray): Promise<void> => {
    rewrites += 1
    await rewrite(redis, stray.cell)
    const isTold = stray.isGrant && await greet({ redis, cells: CELLS, leases: newLeaseTally() }, stray.cell, Date.now())
    await stray.tell().catch(() => undefined)
    late += 1
    if (!isTold) return
    for (const name of [stockOf(goods), moneyOf(goods)]) if (homeOf(name, CELLS) === stray.cell) found.push(...(await lookAt(redis, name)).ahead)
  }

  // --- what happens to them
  const trouble = (async () => {
    const by = chance.fork("trouble")
    while (isFaulty) {
      await Bun.sleep(20 + by.below(100))
      await Promise.all(Array.from({ length: by.below(20) }, office.tellOld))
      if (by.happens(0.08)) { restarts += 1; await restart(redis) }
      const stray = office.takeStray()
      if (stray) await comeLate(stray)
      else if (by.happens(0.6)) { rewrites += 1; await rewrite(redis, by.pick([by.below(CELLS), homeOf(stockOf(goods), CELLS), homeOf(moneyOf(goods), CELLS)])) }
      if (by.happens(0.15)) someone(by).alive = false
    }
  })()
  const keeping = (async () => {
    const by = chance.fork("keeper")
    while (!isOver) {
      await Bun.sleep(KEEP_MS)
      await someone(by).keeper.look().catch(() => undefined)
    }
  })()
  const cutting = (async () => {
    const by = chance.fork("cuts")
    for (let i = 0; i < by.below(4); i++) {
      await Bun.sleep(by.below(FAULTY_MS / 2))
      const amount_minor = -(1 + by.below(Math.floor(money / 4)))
      const change = { budget_no: goods.budget, opens_ms: 0, closes_ms: 1, addition: `${goods.budget}cut${i}`, fingerprint: "cut", amount_minor, payload: "{}" }
      for (const until = performance.now() + ANSWER_MS_MAX; ;) {
        if (performance.now() > until) { found.push(`no answer: the cut of ${-amount_minor} of ${moneyOf(goods)}`); break }
        try {
          const { outcome } = await changeLimit(someone(by).parts, change, Date.now())
          if (outcome === "funded" || outcome === "replayed") { total_money += amount_minor; cuts += 1 }
          if (outcome !== "busy") break
        } catch { /* nobody heard the end of it: the same cut again tells */ }
        await Bun.sleep(RETRY_MS)
      }
    }
  })()

  for (const since = performance.now(); performance.now() - since < (late < LATE_MIN ? FAULTY_MS_MAX : FAULTY_MS);) await Bun.sleep(LOOK_MS)
  isFaulty = false
  await trouble
  office.faults = NO_FAULTS
  await Promise.all([...buyers, cutting])
  await office.settled()

  // --- all is well again: what is left is sold to the last unit, wherever it was
  const by = chance.fork("end")
  const until = performance.now() + SETTLE_MS_MAX
  let sold_out = false
  for (let i = 0; !sold_out && performance.now() < until; i++) {
    const bought = await Promise.all(Array.from({ length: BUYERS }, (_, no) => buy(by, `end ${by.below(1_000)}`, `${seed} ${goods.campaign} end ${i} ${no}`, 1)))
    sold_out = bought.includes("exhausted")
  }
  const [stock_end, money_end] = await Promise.all([lookAt(redis, stockOf(goods)), lookAt(redis, moneyOf(goods))])
  isOver = true
  await Promise.all([looking, keeping])
  await office.settled()
  await ledger.stop(redis)
  refusals.forEach(judge)
  if (!sold_out) found.push("what was left was not sold out in time")
  if (stock_end.total - stock_end.used > 0 && money_end.total - money_end.used > 0) found.push(`stranded: ${JSON.stringify({ stock_end, money_end })}`)
  if (money_end.total !== total_money) found.push(`the budget is ${money_end.total} and ${total_money} was funded`)
  if (stock_end.used !== kept.size) found.push(`${stock_end.used} are sold and buyers have ${kept.size}`)
  const paid = [...kept.values()].reduce((sum, { amount }) => sum + amount, 0)
  if (money_end.used !== paid) found.push(`${money_end.used} is held and buyers were promised ${paid}`)
  return {
    seed, faults: [...new Set(found)], sold: stock_end.used, refused, busy, crashes, done: office.done, restarts, rewrites, late, cuts,
    ms: performance.now() - began,
  }
}

/** A run on one line. */
export const lineOf = ({ seed, sold, refused, busy, crashes, done, restarts, rewrites, late, cuts, ms, faults }: Ran): string =>
  `seed ${seed}: ${sold} sold, ${refused} refused, ${busy} busy; ${crashes} crashes, ${done.lost_request + done.lost_reply} messages lost, ` +
  `${done.twice + done.again} told again, ${done.late} late, ${restarts} restarts, ${rewrites} rewrites, ${late} of them with a message on its way, ${cuts} cuts; ${(ms / 1_000).toFixed(1)} s${faults.length > 0 ? `\n  ${faults.slice(0, 10).join("\n  ")}` : ""}`
