// Codes in a cell: claim, grant, settle, and all that may be in the way. One test an outcome.

import { expect } from "bun:test"
import { AGE_MS, type Cell, inShop, MONTH_ENDS, MONTH_STARTS, NOON, redis, refused, SPRING, SUMMER } from "./cell.ts"
import { monitor } from "../support/monitor.ts"
import { stack } from "../support/stack.ts"
import { codeHashOf, codesOf } from "./tickets.ts"

const claimed = { outcome: "claimed", campaign: SPRING } as const
const wrong = { outcome: "code_invalid" } as const

inShop("loaded: what is new is loaded, a repeat changes nothing, and another batch's code is said to be taken", async (cell) => {
  const codes = codesOf(cell)
  expect(await codes.load(["A", "B", "B"])).toEqual({ outcome: "loaded", found: "nns" })
  const before = await cell.dump()
  expect(await codes.load(["B", "A"])).toEqual({ outcome: "loaded", found: "ss" })
  expect(await cell.dump()).toEqual(before)
  expect(await codes.load(["C", "A"], { batch: 8 })).toEqual({ outcome: "loaded", found: "nt" })
  expect(await codes.batch()).toMatchObject({ campaign: SPRING, loaded: 2, claimed: 0 })
  expect(JSON.parse((await cell.lastEntry()).payload)).toMatchObject({ codes: codeHashOf("C"), limit: 0 })
})

inShop("loaded: a million codes take 16 bytes each and their share of a bucket", async (cell) => {
  const codes = codesOf(cell)
  await codes.load(Array.from({ length: 300 }, (_, i) => `code ${i}`))
  expect(await codes.chars()).toBe(300 * 16)
})

inShop("campaign_ended: no codes for a campaign that is over", async (cell) => {
  cell.later(MONTH_ENDS - NOON)
  expect(await refused(cell, () => codesOf(cell).load(["A"]))).toEqual({ outcome: "campaign_ended" })
})

inShop("batch_revoked: no codes for a batch that was revoked, also where the cell had none of it", async (cell) => {
  const codes = codesOf(cell)
  expect(await codes.revokeAll()).toEqual({ outcome: "revoked" })
  expect(await refused(cell, () => codes.revokeAll())).toEqual({ outcome: "replayed" })
  expect(await refused(cell, () => codes.load(["A"]))).toEqual({ outcome: "batch_revoked" })
})

inShop("claimed: a code is taken for one user, and pends until his cell has spoken", async (cell) => {
  const codes = codesOf(cell)
  await codes.load(["A", "B"])
  expect(await codes.claim("A")).toEqual(claimed)
  expect(await codes.batch()).toMatchObject({ loaded: 2, claimed: 1 })
  expect([await codes.pends(), Object.keys(await cell.due()).filter((name) => name[0] === "c").length]).toEqual([1, 1])
  expect((await cell.lastEntry()).act).toBe("code_claimed")
})

inShop("pending: the claim's own repeat goes on with the attempt that pends", async (cell) => {
  const codes = codesOf(cell)
  await codes.load(["A"])
  await codes.claim("A", { nonce: "one" })
  const reply = await refused(cell, () => codes.claim("A", { nonce: "two" }))
  expect(reply).toMatchObject({ outcome: "pending", held: expect.stringMatching(/^one-/) })
})

inShop("settled: a granted claim spends its code for good, and replayed: its repeat is told so", async (cell) => {
  const codes = codesOf(cell)
  await codes.load(["A"])
  await codes.claim("A")
  expect(await codes.settle("A", 1)).toEqual({ outcome: "settled" })
  expect(await refused(cell, () => codes.settle("A", 1))).toEqual({ outcome: "replayed" })
  expect(await refused(cell, () => codes.claim("A"))).toEqual({ outcome: "replayed", campaign: SPRING })
  expect(await codes.claim("A", { user: "bob" })).toEqual(wrong)
  expect(await codes.pends()).toBe(0)
})

inShop("settled: a refused grant frees the code for anyone, and a late word about it is of no attempt", async (cell) => {
  const codes = codesOf(cell)
  await codes.load(["A"])
  await codes.claim("A", { nonce: "one" })
  await codes.settle("A", 0, { nonce: "one" })
  expect(await codes.batch()).toMatchObject({ claimed: 0 })
  expect(await codes.claim("A", { user: "bob", nonce: "two" })).toEqual(claimed)
  expect(await refused(cell, () => codes.settle("A", 0, { user: "bob", nonce: "one" }))).toEqual({ outcome: "replayed" })
  expect(await refused(cell, () => codes.settle("A", 1, { user: "ann", nonce: "one" }))).toEqual({ outcome: "replayed" })
})

inShop("claimed: a public code is claimed as often as its limit says, a freed claim counts no more, and the limit can be moved", async (cell) => {
  const codes = codesOf(cell)
  await codes.load(["SUMMER"], { limit: 2 })
  expect([await codes.claim("SUMMER"), await codes.claim("SUMMER", { user: "bob" }), await codes.claim("SUMMER", { user: "cyd" })]).toEqual([claimed, claimed, wrong])
  await codes.settle("SUMMER", 0)
  expect(await codes.claim("SUMMER", { user: "cyd" })).toEqual(claimed)
  expect(await codes.load(["SUMMER"], { limit: 3 })).toEqual({ outcome: "loaded", found: "s" })
  expect(await codes.claim("SUMMER", { user: "dan" })).toEqual(claimed)
})

// --- wrong codes

const WRONG: Record<string, (cell: Cell) => Promise<unknown>> = {
  "unknown": () => Promise.resolve(),
  "spent by another": async (cell) => {
    await codesOf(cell).load(["A"])
    await codesOf(cell).claim("A", { user: "bob" })
    await codesOf(cell).settle("A", 1, { user: "bob" })
  },
  "being claimed by another": async (cell) => { await codesOf(cell).load(["A"]); await codesOf(cell).claim("A", { user: "bob" }) },
  "revoked": async (cell) => { await codesOf(cell).load(["A"]); await codesOf(cell).revokeOne("A") },
  "of a revoked batch": async (cell) => { await codesOf(cell).load(["A"]); await codesOf(cell).revokeAll() },
  "of a paused campaign": async (cell) => { await codesOf(cell).load(["A"]); await cell.publish({ version: 2, state: "paused" }) },
  "of a campaign that has not started": async (cell) => { await codesOf(cell).load(["A"]) },
  "of an ended campaign": async (cell) => { await codesOf(cell).load(["A"]); cell.later(MONTH_ENDS - NOON) },
  "of a draft, which no cell knows": (cell) => codesOf(cell).load(["A"], { campaign: 99 }),
  "of another line": (cell) => codesOf(cell).load(["A"]),
  "public and used up": async (cell) => { await codesOf(cell).load(["A"], { limit: 1 }); await codesOf(cell).claim("A", { user: "bob" }) },
}

inShop("code_invalid: whatever is wrong, the same word after the same calls in the same order", async (shop) => {
  const on = await redis()
  const heard = new Map<string, string[]>()
  let now = ""
  const end = Promise.withResolvers<void>()
  const silence = await monitor((await stack()).redisUrl, ({ from, command, args }) => {
    if (command.toUpperCase() === "ECHO" && args[0]?.startsWith("case ")) {
      now = args[0].slice(5)
      if (now === "end") end.resolve()
      heard.set(now, [])
    } else if (from === "lua" && args[0]?.startsWith(`{c${shop.no}}`)) heard.get(now)?.push(`${command} ${args[0].replace(/\d+$/, "")} ${args.length}`)
  })
  try {
    for (const [name, spoil] of Object.entries(WRONG)) {
      for (const key of await on.keys(`{c${shop.no}}*`)) await on.del(key)
      await shop.open({ epoch: 1 })
      await shop.publish({ starts_ms: name.includes("not started") ? NOON + 1 : MONTH_STARTS })
      await spoil(shop)
      await on.call("ECHO", `case ${name}`)
      expect([name, await codesOf(shop).claim("A", { lines: name === "of another line" ? ["wealth"] : ["*"] })]).toEqual([name, wrong])
      await on.call("ECHO", "case between")
      shop.later(NOON - shop.now())
    }
    await on.call("ECHO", "case end")
    await end.promise
  } finally {
    silence()
  }
  const unknown = heard.get("unknown")!
  expect(unknown.length).toBeGreaterThan(5)
  for (const name of Object.keys(WRONG)) expect([name, heard.get(name)]).toEqual([name, unknown])
})

inShop("code_misses_exceeded: after so many wrong codes the next are not looked at, but for a claim that was granted", async (cell) => {
  const codes = codesOf(cell)
  await codes.load(["A", "B"])
  await codes.claim("A")
  await codes.settle("A", 1)
  for (let i = 0; i < 5; i += 1) expect(await codes.claim(`wrong ${i}`)).toEqual(wrong)
  expect(await refused(cell, () => codes.claim("B"))).toEqual({ outcome: "code_misses_exceeded", which: 2 })
  expect(await refused(cell, () => codes.see("B"))).toEqual({ outcome: "code_misses_exceeded", which: 2 })
  expect((await codes.claim("A")).outcome).toBe("replayed")
})

inShop("code_invalid: who comes too late for a public code has not guessed, and his next code is looked at", async (cell) => {
  const codes = codesOf(cell)
  await codes.load(["P"], { limit: 1 })
  for (let i = 0; i < 5; i += 1) await codes.load([`Q${i}`], { limit: 1, batch: 20 + i })
  for (const code of ["P", "Q0", "Q1", "Q2", "Q3", "Q4"]) {
    expect(await codes.claim(code, { user: "bob" })).toEqual(claimed)
    expect(await codes.claim(code)).toEqual(wrong)
  }
  await codes.load(["A"], { batch: 40 })
  expect(await codes.claim("A")).toEqual(claimed)
})

inShop("code_free, code_spent: a look takes nothing, and a wrong code counts as a miss", async (cell) => {
  const codes = codesOf(cell)
  await codes.load(["A", "B"])
  expect(await refused(cell, () => codes.see("A"))).toEqual({ outcome: "code_free", campaign: SPRING })
  await codes.revokeOne("B")
  expect(await refused(cell, () => codes.see("B"))).toEqual({ outcome: "code_spent", campaign: SPRING })
  expect(await codes.see("A", ["wealth"])).toEqual(wrong)
  for (let i = 0; i < 9; i += 1) await codes.see("unknown") // one code shown again and again is one miss
  expect((await codes.see("A")).outcome).toBe("code_free")
  for (let i = 0; i < 3; i += 1) await codes.see(`unknown ${i}`)
  expect((await codes.see("A")).outcome).toBe("code_misses_exceeded")
})

inShop("journal_full: while the journal is full no code is taken, and what pends is settled", async (cell) => {
  const codes = codesOf(cell)
  await codes.load(["A", "B"])
  await codes.claim("A")
  await cell.putCell({ full: 1 })
  expect(await refused(cell, () => codes.claim("B"))).toEqual({ outcome: "journal_full" })
  expect(await refused(cell, () => codes.load(["C"]))).toEqual({ outcome: "journal_full" })
  expect(await codes.refuse("A")).toEqual({ outcome: "refused" })
  expect(await codes.settle("A", 0)).toEqual({ outcome: "settled" })
})

// --- the user's cell

inShop("refused: the mark refuses a grant that comes late, and claim_refused is what it hears", async (cell) => {
  const codes = codesOf(cell)
  expect(await codes.refuse("A", { nonce: "one" })).toEqual({ outcome: "refused" })
  expect(await refused(cell, () => codes.refuse("A", { nonce: "one" }))).toEqual({ outcome: "refused" })
  expect(await refused(cell, () => cell.issue({ request: "claim", claim: "one---------" }))).toEqual({ outcome: "claim_refused" })
  expect((await cell.issue({ request: "claim", claim: "two---------" })).outcome).toBe("issued")
})

inShop("granted: a claim whose coupon is there cannot be refused any more; another request's coupon in its place can", async (cell) => {
  const codes = codesOf(cell)
  await cell.issue({ request: "claim" })
  expect(await refused(cell, () => codes.refuse("A"))).toEqual({ outcome: "granted" })
  expect(await codes.refuse("A", { fingerprint: "other" })).toEqual({ outcome: "refused" })
})

inShop("aged: a coupon that has left Redis may have been this claim's, so Postgres is asked first", async (cell) => {
  const codes = codesOf(cell)
  await cell.issue({ request: "claim" })
  await cell.revoke({ request: "claim" })
  cell.later(AGE_MS)
  await cell.evict({ coupons: [{ request: "claim" }], flushed_ms: cell.now() + 1 })
  expect(await refused(cell, () => codes.refuse("A"))).toEqual({ outcome: "aged" })
  expect(await codes.refuse("A", { is_new: 1 })).toEqual({ outcome: "refused" })
})

// --- out of use

inShop("code_unknown: not here, or of another campaign", async (cell) => {
  const codes = codesOf(cell)
  await codes.load(["A"])
  expect(await refused(cell, () => codes.revokeOne("B"))).toEqual({ outcome: "code_unknown" })
  expect(await refused(cell, () => codes.revokeOne("A", SUMMER))).toEqual({ outcome: "code_unknown" })
})

inShop("code_spent: what was claimed, or is being, is not revoked; what is free is, once", async (cell) => {
  const codes = codesOf(cell)
  await codes.load(["A", "B"])
  await codes.claim("A")
  expect(await refused(cell, () => codes.revokeOne("A"))).toEqual({ outcome: "code_spent" })
  expect(await codes.revokeOne("B")).toEqual({ outcome: "revoked" })
  expect(await refused(cell, () => codes.revokeOne("B"))).toEqual({ outcome: "replayed" })
  expect(await codes.batch()).toMatchObject({ loaded: 2, claimed: 1, revoked: 1 })
})

inShop("dropped: codes leave with their campaign, and what pends keeps them until it is settled", async (cell) => {
  const codes = codesOf(cell)
  await codes.load(["A", "B"])
  await codes.load(["X"], { batch: 8, campaign: 99 })
  await codes.claim("A")
  expect(await refused(cell, () => codes.drop(["A", "B", "X"]))).toEqual({ outcome: "dropped", dropped: 0, kept: 0 })
  await cell.publish({ version: 2, state: "stopped" })
  expect(await codes.drop(["A", "B", "X"])).toEqual({ outcome: "dropped", dropped: 1, kept: 2 })
  await codes.settle("A", 1)
  expect(await codes.drop(["A", "B", "X"])).toEqual({ outcome: "dropped", dropped: 2, kept: 0 })
  expect(await codes.batch()).toBeDefined()
  await codes.drop([])
  expect([await codes.batch(), await codes.chars()]).toEqual([undefined, 16])
})
