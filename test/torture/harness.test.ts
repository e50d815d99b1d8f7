/** The harness itself: its search, its choices, its command line, and the guards that it can take out. */
import { describe, expect, test } from "bun:test"
import { resolve } from "node:path"
import { AMOUNT_MINOR, type Arena, HOLDS, judgeArena } from "./arena.ts"
import { chanceFrom } from "./chance.ts"
import { sayTo, Unanswered } from "./clients.ts"
import { GUARDS, LEASE_GUARDS, timesFound } from "./guards.ts"
import { type Act, type ActKind, noOf } from "./history.ts"
import { linearizable, type Timed } from "./linear.ts"
import { CLOCK_ERROR_MS, madeBy, type Place, type Window, windowsOf } from "./made.ts"
import { readOptions, type Options } from "./options.ts"

const TREE = resolve(import.meta.dir, "..", "..")

describe("the search", () => {
  const counter = { initial: 1, name: String }
  const take = (call_ms: number, return_ms: number): Timed<number> => ({ call_ms, return_ms, step: (left) => left >= 1 ? left - 1 : undefined })
  const give = (call_ms: number, return_ms: number): Timed<number> => ({ call_ms, return_ms, step: (left) => left + 1 })
  const short = (call_ms: number, return_ms: number): Timed<number> => ({ call_ms, return_ms, step: (left) => left < 1 ? left : undefined })

  test("takes a history that a counter could have had, in whatever order its acts overlap", () => {
    expect(linearizable([], counter)).toBe("linearizable")
    expect(linearizable([take(0, 10), take(5, 20), give(8, 15)], counter)).toBe("linearizable")
    expect(linearizable([take(0, 1), short(2, 3), give(4, 5), take(6, 7)], counter)).toBe("linearizable")
  })

  test("refuses one more take than there is, a refusal while there is enough, and a take before what made room for it", () => {
    expect(linearizable([take(0, 1), take(2, 3)], counter)).toBe("not_linearizable")
    expect(linearizable([short(0, 1), take(2, 3)], counter)).toBe("not_linearizable")
    expect(linearizable([take(0, 1), take(2, 3), give(4, 5)], counter)).toBe("not_linearizable")
  })

  test("lets an act whose end nobody heard happen at any later time", () => {
    expect(linearizable([take(0, Infinity), short(5, 6)], counter)).toBe("linearizable")
    expect(linearizable([take(0, Infinity), take(5, 6), give(7, 8)], counter)).toBe("linearizable")
    expect(linearizable([take(0, Infinity), take(5, 6)], counter)).toBe("not_linearizable")
  })

  test("says of small histories what trying every order says", () => {
    const chance = chanceFrom(11)
    /** Whether acts done in some order, none before one that had returned before it was called, fit the counter. */
    const isPossible = (left: readonly Timed<number>[], state: number): boolean => left.length === 0 || left.some((act) => {
      if (left.some((other) => other.return_ms < act.call_ms)) return false
      const after = act.step(state)
      return after !== undefined && isPossible(left.filter((other) => other !== act), after)
    })
    const verdicts = Array.from({ length: 1_500 }, () => {
      const acts = Array.from({ length: 2 + chance.below(6) }, () => {
        const call_ms = chance.below(20), return_ms = chance.happens(0.1) ? Infinity : call_ms + chance.below(12)
        return chance.pick([take, give, short])(call_ms, return_ms)
      })
      const verdict = linearizable(acts, counter)
      expect([verdict, acts]).toEqual([isPossible(acts, counter.initial) ? "linearizable" : "not_linearizable", acts])
      return verdict
    })
    for (const verdict of ["linearizable", "not_linearizable"] as const) expect(verdicts.filter((each) => each === verdict).length).toBeGreaterThan(300)
  })

  test("finds one wrong answer among a thousand, and judges as quickly", () => {
    const chance = chanceFrom(7)
    const acts: Timed<number>[] = []
    for (let i = 0, left = 1; i < 1_000; i++) {
      const from = i * 2 + chance(), to = i * 2 + 1 + chance.below(6)
      const isTake = left > 0 && chance.happens(0.5)
      acts.push(isTake ? take(from, to) : give(from, to))
      left += isTake ? -1 : 1
    }
    expect(linearizable(acts, counter)).toBe("linearizable")
    expect(linearizable([...acts, short(2_100, 2_101), take(2_102, 2_103)], counter)).toBe("not_linearizable")
  })
})

const AT_ANY_TIME: Window = { from_ms: -Infinity, to_ms: Infinity }

/**
 * A history as rivals would write it of an arena that is whole: each act takes effect at one instant between its call and its return. A small
 * `pace` has more acts in the time that a "sold out" may be old.
 */
const playedArena = (seed: number, wanted: number, pace = 1): { arena: Arena; acts: Act[]; madeOf: (act: Act) => Window | undefined } => {
  const chance = chanceFrom(seed)
  const arena: Arena = { no: 0, budget_id: "b", campaign_id: "k", shared: { coupon_id: "shared", user_id: "u" }, own: new Map(), begun: { budget: 0, coupon: 0 } }
  const acts: Act[] = [], there = new Set<Act>()
  let available = HOLDS * AMOUNT_MINOR, coupon = "free"
  const rivals = Array.from({ length: 6 }, () => ({ call_ms: pace * chance() * 10, at_ms: pace * (10 + chance() * 10), holds: undefined as { order: string; isShared: boolean; isUsed: boolean } | undefined }))
  while (acts.length < wanted) {
    const rival = rivals.reduce((first, each) => each.at_ms < first.at_ms ? each : first)
    const heard_ms = rival.at_ms + pace * chance() * 12
    const write = (kind: ActKind, path: string, body: Act["body"], status: number, answer: object) => {
      const act: Act = { kind, path, body, arena: 0, first_ms: rival.call_ms, last_ms: rival.call_ms, heard_ms, heard: { status, text: JSON.stringify(answer) }, isLeftBehind: false }
      if (status < 300) there.add(act)
      acts.push(act)
    }
    if (rival.holds) {
      const { order, isShared, isUsed } = rival.holds
      const kind = isUsed ? "refund" : chance.happens(0.5) ? "cancel" : "confirm"
      if (isShared) coupon = kind === "confirm" ? `used ${order}` : "free"
      else if (kind !== "confirm") available += AMOUNT_MINOR
      write(kind, `/v1/redemptions/${order}/${kind}`, {}, 200, {})
      rival.holds = kind === "confirm" ? { order, isShared, isUsed: true } : undefined
    } else {
      const order = `order-${acts.length}`, isShared = chance.happens(0.5)
      const no = isShared ? coupon === "free" ? undefined : coupon.startsWith("held") ? "coupon_reserved" : "coupon_redeemed" : available < AMOUNT_MINOR ? "budget_exhausted" : undefined
      write("reserve", "/v1/redemptions", { order_id: order, coupons: [isShared ? "shared" : "own"] }, no === undefined ? 201 : 409, no === undefined ? { redemption_id: order } : { code: no })
      if (no === undefined) {
        if (isShared) coupon = `held ${order}`
        else available -= AMOUNT_MINOR
        rival.holds = { order, isShared, isUsed: false }
      }
    }
    rival.call_ms = heard_ms + pace * chance() * 5
    rival.at_ms = rival.call_ms + pace * chance() * 12
  }
  return { arena, acts, madeOf: (act) => there.has(act) ? AT_ANY_TIME : undefined }
}

describe("the judge of arenas", () => {
  const verdictsOf = ({ arena, acts, madeOf }: ReturnType<typeof playedArena>) => judgeArena(arena, acts, madeOf).map(({ of, verdict }) => `${of} ${verdict}`)
  /** One act of a history heard another answer. */
  const changed = (played: ReturnType<typeof playedArena>, which: (act: Act) => boolean, heard: Act["heard"]) => {
    const found = played.acts.filter(which), one = found[Math.floor(found.length / 2)]!
    return { ...played, acts: played.acts.map((act) => act === one ? { ...act, heard } : act) }
  }
  const ofOwn = ({ kind, body }: Act) => kind === "reserve" && (body["coupons"] as string[])[0] === "own"

  test("takes what rivals wrote of an arena that is whole, and sees every lie told to it", () => {
    // At a quarter of the pace some hundred refusals overlap: a search that tells apart which of them were done gives up.
    for (const [seed, pace] of [[1, 1], [2, 0.5], [3, 0.25]] as const) {
      const judged = judgeArena(...Object.values(playedArena(seed, 1_200, pace)) as Parameters<typeof judgeArena>)
      for (const { of, acts, verdict, lies, lies_seen } of judged) expect([of, acts >= 500, verdict, lies > 0, lies_seen]).toEqual([of, true, "linearizable", true, lies])
    }
  })

  test("refuses a yes to somebody who was refused, of the budget and of the coupon", () => {
    const played = playedArena(5, 1_200)
    const yes = (order: unknown) => ({ status: 201, text: JSON.stringify({ redemption_id: order }) })
    expect(verdictsOf(played)).toEqual(["budget linearizable", "coupon linearizable"])
    expect(verdictsOf(changed(played, (act) => ofOwn(act) && noOf(act) === "budget_exhausted", yes("more")))).toEqual(["budget not_linearizable", "coupon linearizable"])
    expect(verdictsOf(changed(played, (act) => noOf(act) === "coupon_reserved", yes("twice")))).toEqual(["budget linearizable", "coupon not_linearizable"])
  })

  test("counts an act whose end nobody heard where the tables have it, and only there", () => {
    const { arena, acts } = changed(playedArena(6, 300), (act) => ofOwn(act) && noOf(act) === undefined, "unknown")
    const there = judgeArena(arena, acts, () => AT_ANY_TIME)[0]!, absent = judgeArena(arena, acts, () => undefined)[0]!
    expect([there.verdict, absent.acts]).toEqual(["linearizable", there.acts - 1])
  })

  test("takes a no for what became of its own attempt: one that was given up before may happen after it", () => {
    const { arena } = playedArena(1, 1)
    const reserve = (order: string, first_ms: number, heard_ms: number, isLeftBehind: boolean, isYes: boolean): Act => ({
      kind: "reserve", path: "/v1/redemptions", body: { order_id: order, coupons: ["shared"] }, arena: 0, first_ms, last_ms: first_ms, heard_ms, isLeftBehind,
      heard: isYes ? { status: 201, text: JSON.stringify({ redemption_id: order }) } : { status: 409, text: '{"code":"coupon_reserved"}' },
    })
    const cancel: Act = { kind: "cancel", path: "/v1/redemptions/one/cancel", body: {}, arena: 0, first_ms: 20, last_ms: 20, heard_ms: 30, heard: { status: 200, text: "{}" }, isLeftBehind: false }
    // Who holds the coupon that the third is refused? Only the second can, whose first attempt was served late.
    const judged = (isLeftBehind: boolean, made = AT_ANY_TIME) =>
      judgeArena(arena, [reserve("one", 0, 10, false, true), reserve("two", 5, 15, isLeftBehind, false), cancel, reserve("three", 40, 50, false, false)], () => made)[1]!.verdict
    expect([judged(true), judged(false)]).toEqual(["linearizable", "not_linearizable"])
    // The journal says when the first attempt of the second was served: while the coupon was free again, or before, or only after the third.
    expect([judged(true, { from_ms: 30, to_ms: 45 }), judged(true, { from_ms: 5, to_ms: 15 }), judged(true, { from_ms: 60, to_ms: 70 })])
      .toEqual(["linearizable", "not_linearizable", "not_linearizable"])
  })
})

describe("when an act was made", () => {
  const reserve = (order: string, first_ms: number, last_ms: number, heard_ms: number, heard: "yes" | "no" | "unknown", isLeftBehind = false): Act => ({
    kind: "reserve", path: "/v1/redemptions", body: { order_id: order }, first_ms, last_ms, heard_ms, isLeftBehind,
    heard: heard === "unknown" ? heard : heard === "yes" ? { status: 201, text: "{}" } : { status: 409, text: '{"code":"coupon_reserved"}' },
  })
  /** Redis' clock is ahead by this. */
  const OFFSET_MS = 1_000_000
  /** The acts of a cell in the order of its journal, and what each entry says of its instant by the clients' clock. */
  const placed = (...entries: readonly (readonly [act: Act, says_ms: number])[]) => {
    const places = new Map(entries.map(([act, says_ms], n): [Act, Place] => [act, { cell: 3, epoch: 1, n, at_ms: OFFSET_MS + says_ms }]))
    return windowsOf([...places.keys()], (act) => places.get(act), OFFSET_MS)
  }
  const before = reserve("before", 1_000, 1_000, 1_010, "yes"), behind = reserve("behind", 8_000, 8_000, 8_020, "yes")
  /** An attempt was sent at 2,000 and given up at 6,000; that which heard the no was sent at 6,020. */
  const refused = (isLeftBehind: boolean) => reserve("refused", 2_000, 6_020, 6_030, "no", isLeftBehind)
  const by = (act: Act, windows: ReadonlyMap<Act, Window>) => madeBy(act, windows.get(act)!)

  test("is told by its neighbours in the journal, by what its entry says, and by what was heard of it", () => {
    const lost = reserve("lost", 900, 900, Infinity, "unknown")
    expect(placed([before, 1_004], [lost, 1_004], [behind, 8_003]).get(lost)).toEqual({ from_ms: 1_000, to_ms: 8_020 })
    expect(placed([before, 1_004], [lost, 7_000], [behind, 8_003]).get(lost)).toEqual({ from_ms: 7_000 - CLOCK_ERROR_MS, to_ms: 8_020 })
    expect(placed([lost, 950], [before, 1_004], [behind, 8_003]).get(lost)).toEqual({ from_ms: 900, to_ms: 1_010 })
    expect(placed([before, 1_004], [lost, 1_004]).get(lost)).toEqual({ from_ms: 1_000, to_ms: Infinity })
  })

  test("allows one that heard a no if it was made after the no was asked for, by an attempt that was given up", () => {
    const late = refused(true)
    expect(by(late, placed([before, 1_004], [late, 6_500], [behind, 8_003]))).toBe("given_up")
    // The neighbour in front was asked for after the no, whatever the clocks say.
    expect(by(late, placed([reserve("front", 6_040, 6_040, 6_050, "yes"), 6_045], [late, 6_045]))).toBe("given_up")
    // Nobody had given up an attempt: no clock and no neighbour makes that right.
    const never = refused(false)
    expect(by(never, placed([before, 1_004], [never, 6_500], [behind, 8_003]))).toBe("refused")
  })

  test("sees a repeat that was not recognised, though an attempt was given up", () => {
    const lie = refused(true), next = reserve("next", 3_000, 3_000, 3_010, "yes")
    expect(by(lie, placed([before, 1_004], [lie, 2_005], [next, 3_005], [behind, 8_003]))).toBe("earlier")
    // Made by an attempt of which was heard that nothing was begun, before the one that was given up.
    expect(by(lie, placed([reserve("front", 900, 900, 905, "yes"), 904], [lie, 1_500], [reserve("next", 1_700, 1_700, 1_710, "yes"), 1_705]))).toBe("refused")
    // An entry that says it was made before, and no neighbour that tells otherwise.
    expect(by(lie, placed([before, 1_004], [lie, 2_005], [behind, 8_003]))).toBe("unclear")
    // The clocks may err by so much, and no more.
    expect(by(lie, placed([before, 1_004], [lie, 6_020 + CLOCK_ERROR_MS - 1], [behind, 8_003]))).toBe("unclear")
    expect(by(lie, placed([before, 1_004], [lie, 6_020 + CLOCK_ERROR_MS], [behind, 8_003]))).toBe("given_up")
  })

  test("finds no window for acts that stand in an order that cannot have been", () => {
    const windows = placed([behind, 8_003], [before, 8_003])
    for (const { from_ms, to_ms } of windows.values()) expect(from_ms).toBeGreaterThan(to_ms)
    // An entry of the future: whoever made it read another clock.
    const { from_ms, to_ms } = placed([before, 1_500]).get(before)!
    expect(from_ms).toBeGreaterThan(to_ms)
  })
})

test("the same seed chooses the same, and an actor's choices are his own", () => {
  const drawn = (seed: number) => { const chance = chanceFrom(seed).fork("one"); return [chance(), chance.below(100), chance.pick(["a", "b", "c"])] }
  expect(drawn(5)).toEqual(drawn(5))
  expect(drawn(5)).not.toEqual(drawn(6))
  const parent = chanceFrom(5), before = parent.fork("one")()
  parent()
  expect(parent.fork("one")()).toBe(before)
})

test("a question that nobody answers is told as such, and not waited for without an end", async () => {
  const nobody = sayTo({ urls: () => [] }, chanceFrom(1), 30)("POST", "/v1/coupons", { request_id: "one" })
  expect(await nobody.catch((fault: unknown) => fault)).toBeInstanceOf(Unanswered)
})

test("every guard that can be taken out is found once in the source", () => {
  const all = [...GUARDS, ...LEASE_GUARDS]
  expect(all.map((guard) => `${guard.name} ${timesFound(TREE, guard)}`)).toEqual(all.map(({ name }) => `${name} 1`))
})

test("the command line: every mistake is named, and both layouts share what is asked", () => {
  const read = (...words: string[]) => readOptions(words, 9) as { options: Options; mistakes: string[] }
  expect(read("--seed", "7", "--minutes=0.5", "--only", "kill_redis,freeze").options).toMatchObject({ seed: 7, minutes: 0.5, only: ["kill_redis", "freeze"], guards: [] })
  expect(read().options).toMatchObject({ seed: 9, minutes: 5, parts: [{ layout: "split", cells: 1, durability: "local", share: 1 }] })
  expect(read("--layout", "cluster").options.parts).toEqual([{ layout: "cluster", cells: 64, durability: "replicated", share: 1 }])
  expect(read("--layout", "both").options.parts.map(({ layout, durability, share }) => `${layout} ${durability} ${share}`)).toEqual(["split local 0.5", "cluster replicated 0.25", "cluster ledger 0.25"])
  expect(read("--histories", "200").options).toMatchObject({ histories: 200, kills: 0 })
  expect(read("--break", "all").options.guards).toEqual(GUARDS.map(({ name }) => name))
  expect(read("--seed", "x", "--only", "nobody", "--what", "--layout", "both", "--durability", "local", "--break").mistakes.length).toBe(5)
})
