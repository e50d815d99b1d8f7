/**
 * What is true of every act: its declaration and its body say the same, its words reach the world, a broken argument
 * writes nothing, nothing refuses once something was written, and it asks Redis for little, of declared keys only.
 */
import { expect, test } from "bun:test"
import { readFileSync } from "node:fs"
import { ANSWERS } from "../../engine/answers.ts"
import { run } from "../../engine/store/redis.ts"
import type { Script } from "../../lua/declare.ts"
import { SCRIPTS } from "../../lua/index.ts"
import { PRELUDE } from "../../lua/library.ts"
import { broken, type Cell, DAY_MS, HOLD_MS, HOUR_MS, hostile, MONEY, NOON, openCell, openShop, OTHER_MONEY, redis, shutCell, SPRING, use } from "./cell.ts"
import { monitor } from "../support/monitor.ts"
import { stack } from "../support/stack.ts"
import { codesOf } from "./tickets.ts"

const source = (file: string): string => readFileSync(new URL(`../../lua/${file}.lua`, import.meta.url), "utf8")
const withoutComments = (lua: string): string => lua.replace(/--[^\n]*/g, "")
const body = ({ name }: Script): string => withoutComments(source(name))
const NOTHING_MAY_REFUSE = "Below this line nothing may refuse"

/** Words that the engine hears and the world does not: it asks again, looks elsewhere, or says another word. */
const INTERNAL: Readonly<Record<string, string>> = {
  gate_closed: "the engine answers overloaded until the cell is open",
  replayed: "the engine answers what it answered the first time", repeated: "as replayed, once the record was found and compared",
  aged: "the engine looks in Postgres", look_in: "the engine looks in that hour", moved: "the engine reads the record again",
  campaign_changed: "the engine prices again", behind: "the engine reads Postgres again", there: "the record is there: the engine looks again", loaded: "and then looks again", peeked: "a read",
  not_open: "the engine finds where the redemption is", wrong_state: "the engine says redemption_<state>", coupon_aged: "the engine brings the coupon from Postgres",
  order_taken: "in what redemption_expired is missing", coupon_taken: "in what redemption_expired is missing",
  known: "a read", rebuilding: "the gate stays shut", tail_moved: "the gate is compared again", opened: "the gate", joined: "the gate", begun: "the rebuild",
  published: "the engine answers changed", funded: "the engine answers created", closed: "the engine answers changed",
  granted: "a lease", bank_asking: "the engine has every cell tell the bank, and asks again", older_epoch: "as bank_asking", weighed: "a lease", met: "a lease", heard: "a lease", open: "a lease",
  cut_pending: "the engine waits for the other cut", set_aside: "a cut", put_back: "the engine answers budget_in_use or quota_busy", shut: "the close of a budget", taken: "a lease", given_back: "a lease", bank_unknown: "a lease", not_enough: "a lease", quota_unknown: "a lease",
  pending: "the engine goes on where the claim stands", claimed: "the engine asks the user's cell", claim_refused: "the claim was ended before: the same request again tells",
  refused: "the engine frees the code", settled: "the engine has answered already", code_free: "a look", dropped: "the sweeper",
  ended: "the sweeper", expired: "the sweeper", not_due: "the sweeper", evicted: "the sweeper", ticked: "the sweeper", marked: "the flusher",
}

test("every act's body returns the words of its declaration, in their order of precedence, and no other", () => {
  for (const act of SCRIPTS) {
    const declared = Object.keys(act.outcomes)
    const returned = [...body(act).matchAll(/return \{ ([A-Z_]+)/g)].map(([, word]) => word!.toLowerCase())
    expect([act.name, [...new Set(returned)].sort()]).toEqual([act.name, declared.toSorted()])
    // A word may be returned at several places; the declared order is found in the body's, from top to bottom.
    let place = 0
    for (const word of returned) if (word === declared[place]) place++
    expect([act.name, declared.slice(place)]).toEqual([act.name, []])
  }
})

test("every word is one that the world hears, with a line in ANSWERS, or one that the engine keeps to itself", () => {
  const words = [...new Set(SCRIPTS.flatMap(({ outcomes }) => Object.keys(outcomes)))].sort()
  expect(words.filter((word) => word in ANSWERS === word in INTERNAL)).toEqual([])
  expect(Object.keys(INTERNAL).filter((word) => !words.includes(word))).toEqual([])
})

test("every declared key and argument is read by its body, and no body reads a position, a clock or chance", () => {
  for (const act of SCRIPTS) {
    const text = body(act)
    const unread = [...act.keys, ...Object.keys(act.args)].filter((name) => !new RegExp(`\\b${name}\\b`).test(text))
    expect([act.name, unread]).toEqual([act.name, []])
    expect([act.name, /\bKEYS\b|\bARGV\b|\bkeys\[|\bargs\[|"TIME"|os\.|math\.random|redis\.pcall|"[A-Z]*RAND/.test(text)]).toEqual([act.name, false])
  }
})

// --- nothing refuses once something was written

const WRITES = /redis\.call\("(HSET|HDEL|XADD|ZADD|ZREM|UNLINK|DEL|SET|HINCRBY|HSETNX)"|\b(write_act|save_book|close_hold|note_miss|learn_epochs)\(/
/** A wrong code is counted, in counters that expire. */
const MISSED = /if not \([^)]*\) then\s+note_miss[\s\S]*?return \{ CODE_INVALID \}\s+end/
/** Acts that may write before the line, and what: a deadline whose hold is gone, the first hold-out of a user, and a miss. */
const EARLY: Readonly<Record<string, RegExp>> = {
  expire: /if not head then\s+redis\.call\("ZREM"[^\n]*\n\s+return \{ NOT_OPEN \}\s+end/,
  claim_code: MISSED,
  issue: /if held_out == 1 then[\s\S]*?return \{ HELD_OUT \}\s+end/,
}

for (const act of SCRIPTS) {
  test(`nothing may refuse below the line: ${act.name}`, () => {
    const text = source(act.name)
    if (act.nature === "read") return expect(body(act)).not.toMatch(WRITES)
    const [above, below] = text.split(NOTHING_MAY_REFUSE)
    if (below === undefined) { // short enough to be read at a glance: one write, in front of the last word or of its own return
      const tail = body(act).split(WRITES).at(-1)!
      expect(tail).not.toMatch(/error\(|return \{ [A-Z_]+[\s\S]*return \{/)
      return
    }
    expect(withoutComments(`--${above}`.replace(EARLY[act.name] ?? /$^/, ""))).not.toMatch(WRITES)
    const after = withoutComments(`--${below}`)
    const last = Object.keys(act.outcomes).at(-1)!.toUpperCase()
    expect([...after.matchAll(/return \{ ([A-Z_]+)/g)].map(([, word]) => word)).toEqual([last])
    expect(after).not.toMatch(/error\(|\bwhole\(|\blist\(|open_book\(|read_quotas\(/)
  })
}

test("nothing may refuse below the line: what the acts share", () => {
  const prelude = PRELUDE.map((part) => source(`prelude/${part}`)).join("\n")
  const writing = prelude.split(/^local function /m).filter((each) => WRITES.test(withoutComments(each)))
  expect(writing.map((each) => /^\w+/.exec(each)![0]).sort()).toEqual(["close_hold", "learn_epochs", "note_miss", "put_batch", "put_bucket", "save_book", "write_act"])
  for (const each of writing) {
    const text = withoutComments(each)
    expect(text.slice(text.search(WRITES))).not.toMatch(/error\(|return \{|\bwhole\(|\blist\(/)
  }
  expect(withoutComments(prelude.split("local function write_act")[1]!).match(WRITES)?.[0]).toContain("XADD") // the write that can fail is the first
})

// --- broken arguments

const NOT_WHOLE = ["nan", "inf", "-inf", "1e3", "-5", "-0", "", " ", "1.5", " 1", "1 ", "0x10", "1_000", "١", "9007199254740992", "99999999999999999999", "null", "1\n", "--"]
const NOT_LISTS = ["", "null", "1", "\"x\"", "[", "{", "[1,]", "nan", "true", "[1]]"]

for (const act of SCRIPTS.filter(({ args }) => Object.values(args).some((type) => type !== "text"))) {
  test(`a broken argument is an error before anything is written: ${act.name}`, async () => {
    const cell = await openShop()
    const keys = { ...Object.fromEntries(act.keys.map((name) => [name, `{c${cell.no}}${name}`])), ...cell.keysFor("ann") }
    const fine = Object.fromEntries(Object.entries(act.args).map(([name, type]) => [name, type === "int" ? NOON : type === "text" ? "x" : "[]"]))
    const before = await cell.dump()
    for (const [name, type] of Object.entries(act.args)) {
      if (type === "text") continue
      const words = type === "int" ? "is not a whole number" : "is not a list"
      const errors = await Promise.all((type === "int" ? NOT_WHOLE : NOT_LISTS).map((text) =>
        run(cell.redis, act, { keys, args: { ...fine, [name]: hostile(text) } }).then(
          (reply) => `${JSON.stringify(text)} was taken: ${JSON.stringify(reply)}`, (error: Error) => error.message)))
      expect(errors.filter((said) => !said.includes(`argument ${name} ${words}`))).toEqual([])
    }
    expect(await cell.dump()).toEqual(before)
  })
}

test("a call with a key or an argument too many or too few is an error", async () => {
  const cell = await openShop()
  const call = (...args: (string | number)[]) => broken(cell, () => cell.redis.fcall(`tick_${hash}`, ...args as [number, string]))
  const { hash } = (await import("../../engine/store/redis.ts")).ourLibrary()
  const { quota, journal } = cell.keys
  for (const args of [[1, quota, NOON], [2, quota, journal], [2, quota, journal, NOON, NOON], [3, quota, journal, journal, NOON]]) {
    expect(await call(...args)).toContain("tick: wrong number of keys or arguments")
  }
})

// --- how much each act asks of Redis

/** What an act of one coupon may ask of Redis: calls from inside the function. A new call needs its reason here. */
const CALLS_MAX: Readonly<Record<string, number>> = {
  gate_state: 3, open_gate: 5, begin_rebuild: 2, publish: 4, fund: 5, close_budget: 3, grant: 2, take_grant: 4, give_back: 3, take_back: 3,
  take_leases: 5, meet: 3, hear: 2, weigh: 1, set_aside: 4, put_back: 3, shut_budget: 3,
  issue: 6, revoke: 6, end_coupons: 6, peek: 3, reserve: 8, find: 3, extend: 6, confirm: 9, confirm_late: 9, cancel: 10, expire: 10,
  refund: 8, load: 6, evict: 10, evict_settled: 5, tick: 3, mark_full: 2,
  load_codes: 7, revoke_code: 7, revoke_codes: 5, claim_code: 14, refuse_grant: 6, settle_claim: 12, see_code: 8, drop_codes: 8,
}

/** Every act once, so that what each asks of Redis can be heard. */
const wholeLife = async (cell: Cell): Promise<void> => {
  await cell.open()
  await cell.fund()
  await cell.publish()
  await cell.hearAll(2)
  await cell.meet([0, 1])
  await cell.grant()
  await cell.weigh()
  await cell.setAside()
  await cell.putBack()
  await cell.takeGrant({ name: `b${OTHER_MONEY}`, granted_total: 5 })
  await cell.giveBack({ name: `b${OTHER_MONEY}` })
  await cell.takeBack()
  for (const request of ["first", "second"]) await cell.issue({ request, holds: [[MONEY, 100]] })
  await cell.issue({ request: "ends", holds: [[MONEY, 100]], valid_ms: 1 })
  await cell.peek()
  await cell.reserve({ coupons: [use({ at_issue: 1 })] })
  await cell.extend()
  await cell.cancel()
  await cell.revoke({ request: "second" })
  await cell.reserve({ order: "order 2", coupons: [use({ at_issue: 1 })] })
  cell.later(HOLD_MS)
  await cell.expire({ order: "order 2" })
  await cell.confirmLate({ order: "order 2" })
  await cell.find({ order: "order 2" })
  await cell.refund({ order: "order 2", revision: 2 })
  await cell.endCoupons([{ request: "ends" }])
  await cell.publish({ version: 2 })
  const codes = codesOf(cell)
  await codes.load(["A", "B", "C"])
  await codes.claim("A")
  await codes.claim("unknown")
  await codes.refuse("A")
  await codes.settle("A", 0)
  await codes.see("unknown")
  await codes.revokeOne("B")
  await codes.revokeAll()
  await cell.issue({ user: "bob", version: 2 })
  await cell.reserve({ user: "bob", coupons: [use({ version: 2 })] })
  await cell.confirm({ user: "bob" })
  await cell.tick()
  const head = (await cell.redemption({ user: "bob" }))!
  await cell.markFull()
  cell.later(3 * DAY_MS)
  await cell.evictSettled({ hour: NOON / HOUR_MS })
  await cell.load({ user: "bob", head: { ...head, state: 2 }, mark_then: (await cell.mark({ user: "bob" }))! })
  await cell.evict({ user: "bob", next_ms: 1 })
  await cell.shutBudget({ budget: OTHER_MONEY })
  await cell.closeBudget()
  await cell.publish({ version: 3, state: "stopped" })
  await codes.drop(["C"])
  await codes.drop([])
  await cell.gateState()
  await cell.beginRebuild()
  await cell.takeLeases({ leases: [[`b${MONEY}`, 1, 0, 0, 1]], homes: [[0, 2]] })
}

test("calls: a one-coupon reserve asks Redis for at most eight things, and every act only of keys that it was given", async () => {
  const [cell, client] = [await shutCell(), await redis()]
  const heard: { act: string; keys: string[]; calls: string[][] }[] = []
  const done = Promise.withResolvers<void>()
  const end = `end of ${cell.no}`
  const silence = await monitor((await stack()).redisUrl, ({ from, command, args }) => {
    const words = [command, ...args]
    if (command.toUpperCase() === "ECHO" && args[0] === end) done.resolve()
    if (/^fcall/i.test(command) && words.some((word) => word.includes(`{c${cell.no}}`))) {
      const count = Number(args[1])
      heard.push({ act: args[0]!.replace(/_[0-9a-f]{12}$/, ""), keys: args.slice(2, 2 + count), calls: [] })
    } else if (from === "lua" && words.some((word) => word.includes(`{c${cell.no}}`))) heard.at(-1)!.calls.push(words)
  })
  try {
    await wholeLife(cell)
    await client.call("ECHO", end)
    await done.promise
  } finally {
    silence()
  }

  const most: Record<string, number> = {}
  for (const { act, keys, calls } of heard) {
    most[act] = Math.max(most[act] ?? 0, calls.length)
    const touched = calls.map(([command, first, second]) => command === "XINFO" ? second! : first!)
    expect([act, touched.filter((key) => !keys.includes(key))]).toEqual([act, []])
  }
  expect(Object.keys(most).sort()).toEqual(SCRIPTS.map(({ name }) => name).sort())
  expect(Object.entries(most).filter(([act, calls]) => calls > CALLS_MAX[act]!)).toEqual([])
  expect(most["reserve"]).toBeLessThanOrEqual(8)
})

test("hostile names are data: a key, a word or a wildcard in an id changes nothing but its own place", async () => {
  const cell = await openCell()
  await cell.fund()
  await cell.publish()
  for (const name of ["{c1}q", "*", "\u0000", "'; return 1 --", "cell", `k${SPRING}`, "n12", "🎟".repeat(40)]) {
    expect((await cell.issue({ user: name, request: name })).outcome).toBe(name === "never" ? "replayed" : "issued")
    expect((await cell.issue({ user: name, request: name })).outcome).toBe("replayed")
    if ((await cell.counts()).issued >= 4) break
  }
  expect(await cell.counts()).toMatchObject({ issued: 4 })
})
