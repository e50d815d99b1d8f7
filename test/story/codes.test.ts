/**
 * Codes over HTTP: made, imported, claimed, taken out of use; hundreds of callers for one; and a process that dies between any two steps.
 *
 * What must stay true: a code is never spent without its coupon and never twice, and a wrong one is answered by one word.
 */
import { afterAll, describe, expect, test } from "bun:test"
import type { Redis } from "ioredis"
import { ALPHABET, codeAt, isWellFormed, newSecret, normalise } from "../../engine/codes/code.ts"
import { claimWith } from "../../engine/codes/claim.ts"
import { pendingKey } from "../../lua/keys.ts"
import type { Masters } from "../../engine/store/masters.ts"
import { ask, mastersOf } from "../../engine/store/redis.ts"
import { cellsOf } from "../../engine/parts.ts"
import { askingAgain } from "../support/later.ts"
import { CELLS as SHOP_CELLS } from "../support/shop.ts"
import { openStory, type Story } from "./story.ts"
import { fresh, openCampaign, type Wishes, yes } from "./till.ts"

const CALLERS = 500
const START_MS_MAX = 120_000
/** A process that did not settle its claim is not waited for longer. */
const CLAIM_MS = 10_000

const stories = new Map<number, Promise<Story>>()
const storyOf = (cells: number): Promise<Story> => {
  const known = stories.get(cells)
  if (known) return known
  const opened = openStory({ cells })
  stories.set(cells, opened)
  return opened
}

afterAll(async () => { for (const opened of stories.values()) await (await opened).close() }, START_MS_MAX)


/** A story with a live campaign and what is said to it. */
const withCampaign = async (cells: number, wishes: Wishes = {}) => {
  const story = await storyOf(cells)
  const say = askingAgain(story.call)
  const { campaign_id } = await openCampaign(say, story.now_ms(), wishes)
  const stream = async (path: string, body: string): Promise<{ status: number; lines: any[]; hit: boolean }> => {
    const answer = await story.app.request(`/v1/campaigns/${campaign_id}/codes${path}`, {
      method: "POST", body, headers: { authorization: `Bearer ${story.key}`, "scrip-now": String(story.now_ms()) },
    })
    const lines = (await answer.text()).trim().split("\n").map((line) => JSON.parse(line))
    return { status: answer.status, lines, hit: answer.headers.get("idempotency-hit") === "true" }
  }
  const generate = async (count: number, batch_id = fresh("batch")): Promise<string[]> =>
    (await stream("", JSON.stringify({ batch_id, count }))).lines.flatMap(({ code }) => code ?? [])
  const claim = (code: string, user_id: string, request_id = "claim", more: object = {}) => say("POST", "/v1/codes/claim", { request_id, code, user_id, ...more })
  const batch = async (batch_id: string) => (await yes(say("GET", `/v1/campaigns/${campaign_id}/codes`))).items.find((each: { batch_id: string }) => each.batch_id === batch_id)
  const couponsOf = async (user_id: string): Promise<number> => (await yes(say("GET", `/v1/users/${encodeURIComponent(user_id)}/coupons`))).items.length
  return { story, say, campaign_id, stream, generate, claim, batch, couponsOf }
}

/** The cells of a run: one and several, or as many as the run is told. */
const CELLS = SHOP_CELLS === 1 ? [1, 4] : [SHOP_CELLS]

describe.each(CELLS)("one request_id with codes of two campaigns, over %d cells", (cells) => {
  test("request_conflict: the second code is free again, and the first claim stays a repeat, also long after its coupon has left Redis", async () => {
    const [ours, theirs] = [await withCampaign(cells, { coupon_valid_s: 1 }), await withCampaign(cells)]
    const user_id = fresh("user")
    const [code] = await ours.generate(1), [other] = await theirs.generate(1)
    const first = await yes(ours.claim(code!, user_id))
    const conflict = async (): Promise<void> => {
      const { status, body } = await theirs.claim(other!, user_id)
      expect([status, body.code]).toEqual([422, "request_conflict"])
      const again = await ours.claim(code!, user_id)
      expect([again.status, again.body, again.headers.get("idempotency-hit")]).toEqual([201, first, "true"])
      expect(await theirs.couponsOf(user_id)).toBe(1)
    }
    await conflict()
    ours.story.setNow(ours.story.now_ms() + ours.story.parts.age_ms + 60_000)
    await ours.story.flush()
    await ours.story.sweep()
    await conflict()
    // Nobody has lost the second code by it.
    expect((await theirs.claim(other!, user_id, "another request")).status).toBe(201)
    expect((await theirs.claim(other!, fresh("user"))).body.code).toBe("code_invalid")
  }, START_MS_MAX)
})

describe("a code", () => {
  test("is 16 characters that nobody mistakes for another, and its last finds any one wrong and any two exchanged", () => {
    expect([ALPHABET.length, /[01ILO]/.test(ALPHABET)]).toEqual([31, false])
    const code = codeAt(newSecret(), 7)
    expect([code.length, isWellFormed(code)]).toEqual([16, true])
    for (let i = 0; i < 16; i += 1) {
      for (const char of ALPHABET) if (char !== code[i]) expect(isWellFormed(code.slice(0, i) + char + code.slice(i + 1))).toBe(false)
      if (i > 0 && code[i] !== code[i - 1]) expect(isWellFormed(code.slice(0, i - 1) + code[i] + code[i - 1] + code.slice(i + 1))).toBe(false)
    }
  })
  test("is the same at the same place of a batch, another at every other, and each character as frequent as any", () => {
    const secret = newSecret()
    const codes = Array.from({ length: 3_100 }, (_, i) => codeAt(secret, i))
    expect(codes).toEqual(Array.from({ length: 3_100 }, (_, i) => codeAt(secret, i)))
    expect(new Set(codes).size).toBe(codes.length)
    const counts = new Map<string, number>()
    for (const char of codes.join("")) counts.set(char, (counts.get(char) ?? 0) + 1)
    // 1,600 of each are expected; seven deviations of 40 are met once in 10^11 runs.
    for (const char of ALPHABET) expect(Math.abs(counts.get(char)! - 1_600)).toBeLessThan(280)
  })
  test("is compared without case, spaces, dashes and the width of its letters", () => {
    for (const typed of ["abcd-2345", " ABCD 2345", "ABCD\u20132345", "ＡＢＣＤ２３４５", "ab\u00a0cd2345\n"]) expect(normalise(typed)).toBe("ABCD2345")
  })
})

for (const cells of [1, 4]) {
  describe(`${cells} cell${cells > 1 ? "s" : ""}`, () => {
    test("issued: a code is claimed once, however it is typed, and its repeat is a hit", async () => {
      const { generate, claim, batch, couponsOf, story } = await withCampaign(cells)
      const batch_id = fresh("batch"), [code] = await generate(3, batch_id)
      const user = fresh("ann")
      const first = await claim(code!, user)
      expect(first.status).toBe(201)
      expect(first.body).toMatchObject({ user_id: user, state: "issued" })
      const again = await claim(code!.toLowerCase().replaceAll("-", " "), user)
      expect([again.status, again.body, again.headers.get("idempotency-hit")]).toEqual([201, first.body, "true"])
      expect((await claim(code!, fresh("bob"))).body).toMatchObject({ code: "code_invalid", retry: false, status: 404 })
      expect(await couponsOf(user)).toBe(1)
      expect(await batch(batch_id)).toMatchObject({ kind: "generated", codes: 3, claimed: 1, free: 2, state: "live" })
      await story.expectConserved()
    }, START_MS_MAX)

    test("request_conflict: the same request with another code or channel; the other code stays free", async () => {
      const { generate, claim } = await withCampaign(cells)
      const [one, two] = await generate(2), user = fresh("ann")
      await yes(claim(one!, user))
      expect((await claim(two!, user)).body.code).toBe("request_conflict")
      expect((await claim(one!, user, "claim", { channel: "app" })).body.code).toBe("request_conflict")
      await yes(claim(two!, fresh("bob")))
    }, START_MS_MAX)

    test("user_limit_reached: the no says why, and the code is free for another", async () => {
      const { generate, claim, story } = await withCampaign(cells, { per_user: 1 })
      const [one, two] = await generate(2), user = fresh("ann")
      await yes(claim(one!, user))
      expect((await claim(two!, user, "again")).body).toMatchObject({ code: "user_limit_reached", per_user: 1 })
      await yes(claim(two!, fresh("bob")))
      await story.expectConserved()
    }, START_MS_MAX)

    test("code_taken: a partner's codes are imported line by line, a second time without harm, and never into two batches", async () => {
      const { stream, claim, batch } = await withCampaign(cells)
      const tag = fresh("P")
      const lines = [`{"code":"${tag} 1"}`, `{"code":"${tag} 2"}`, "{}", `{"code":"${tag}-1"}`, '{"code":" - "}'].join("\n")
      const first = await stream("/import?batch_id=partner", lines)
      expect(first.lines.map(({ line, status, idempotency_hit = false, field }) => [line, status, idempotency_hit, field]))
        .toEqual([[1, 201, false, undefined], [2, 201, false, undefined], [3, 400, false, "code"], [4, 201, true, undefined], [5, 400, false, "code"]])
      expect((await stream("/import?batch_id=partner", lines)).lines[0]).toMatchObject({ idempotency_hit: true })
      expect((await stream("/import?batch_id=other", `{"code":"${tag} 2"}`)).lines[0]).toMatchObject({ code: "code_taken", line: 1 })
      expect(await batch("partner")).toMatchObject({ kind: "imported", codes: 2, free: 2 })
      await yes(claim(`${tag}2`, fresh("ann")))
    }, START_MS_MAX)

    test("500 callers for one code: one gets it, and for a public code with a limit exactly as many as it says", async () => {
      const { generate, claim, say, campaign_id, story } = await withCampaign(cells)
      const [code] = await generate(1)
      const words = await Promise.all(Array.from({ length: CALLERS }, async (_, i) => (await claim(code!, `racer ${i}`)).status))
      expect(words.filter((status) => status === 201).length).toBe(1)
      const open = fresh("SUMMER"), put = (limit: number) => say("PUT", `/v1/campaigns/${campaign_id}/codes`, { code: open, limit })
      expect([(await put(40)).status, (await put(40)).status]).toEqual([201, 200])
      const claims = await Promise.all(Array.from({ length: CALLERS }, async (_, i) => (await claim(open, `racer ${i}`, `of ${open}`)).status))
      expect(claims.filter((status) => status === 201).length).toBe(40)
      expect(await yes(put(41))).toMatchObject({ kind: "public", limit: 41, claimed: 40, free: 1 })
      await yes(claim(open, fresh("late")))
      await story.expectConserved()
    }, START_MS_MAX)

    test("batch_unknown: and code_unknown, code_spent, batch_revoked: what is taken out of use is invalid from then on", async () => {
      const { generate, claim, say, campaign_id, stream, story } = await withCampaign(cells)
      const batch_id = fresh("batch"), [one, two, three] = await generate(3, batch_id)
      const revoke = (body: object) => say("POST", `/v1/campaigns/${campaign_id}/codes/revoke`, body)
      await yes(claim(one!, fresh("ann")))
      expect((await revoke({ code: one })).body.code).toBe("code_spent")
      expect((await revoke({ code: "nobody's" })).body.code).toBe("code_unknown")
      expect((await revoke({ batch_id: "none" })).body.code).toBe("batch_unknown")
      expect((await revoke({})).body).toMatchObject({ code: "request_invalid", field: "batch_id" })
      expect((await revoke({ code: two })).status).toBe(200)
      expect((await claim(two!, fresh("bob"))).body.code).toBe("code_invalid")
      expect((await revoke({ batch_id })).body).toEqual({ batch_id, campaign_id, state: "revoked" })
      expect((await revoke({ batch_id })).headers.get("idempotency-hit")).toBe("true")
      expect((await claim(three!, fresh("bob"))).body.code).toBe("code_invalid")
      expect((await stream("", JSON.stringify({ batch_id, count: 3 }))).lines[0].code).toBe("batch_revoked")
      await story.expectConserved()
    }, START_MS_MAX)

    /** Servers whose connections are cut at the n-th call of an act, before it is sent or before its reply is heard. */
    const cutAt = (servers: Masters, n: number, isSent: boolean): Masters => {
      let calls = 0
      const cut = (redis: Redis): Redis => new Proxy(redis, {
        get: (target, name) => {
          const value: unknown = Reflect.get(target, name)
          if (name !== "sendCommand") return typeof value === "function" ? value.bind(target) : value
          return async (...args: unknown[]) => {
            calls += 1
            if (calls < n) return (value as (...all: unknown[]) => unknown).apply(target, args)
            if (calls === n && isSent) await (value as (...all: unknown[]) => unknown).apply(target, args)
            throw new Error("Connection is closed.")
          }
        },
      })
      return { ...servers, of: (key, lane) => { const node = servers.of(key, lane); return node && cut(node) }, at: (address, lane) => cut(servers.at(address, lane)) }
    }

    test("a process that dies between any two steps: the claim's repeat or a sweeper ends it, once", async () => {
      const { generate, claim, couponsOf, story } = await withCampaign(cells, { per_user: 1 })
      const caller = { now_ms: story.now_ms(), key_id: "k", scopes: ["issue"], lines: ["*"] } as const
      const limited = fresh("limited")
      await yes(claim((await generate(1))[0]!, limited))
      for (const isSent of [false, true]) {
        for (const user_id of [fresh("ann"), limited]) {
          for (let step = 1; step <= 4; step += 1) {
            for (const isRepeated of [true, false]) {
              const [code] = await generate(1), user = user_id === limited ? limited : fresh("user"), request_id = fresh("r")
              const dying = { ...story.parts, redis: cutAt(story.parts.redis as Masters, step, isSent) }
              await claimWith(dying)({ request_id, code: code!, user_id: user }, { ...caller, now_ms: story.now_ms() }).catch(() => undefined)
              if (isRepeated) {
                const again = await claim(code!, user, request_id)
                expect(again.body.code ?? "issued").toBe(user === limited ? "user_limit_reached" : "issued")
              }
              story.setNow(story.now_ms() + CLAIM_MS + 1)
              await story.sweep()
              const got = user === limited ? (await couponsOf(user)) - 1 : await couponsOf(user)
              const other = await claim(code!, fresh("other"))
              // The code went to one of the two, and to nobody else.
              expect([step, isSent, got, other.status]).toEqual([step, isSent, got, got === 1 ? 404 : 201])
            }
          }
        }
      }
      for (const cell of cellsOf(story.parts)) expect(await ask(story.parts.redis, pendingKey(cell), (node) => node.hlen(pendingKey(cell)))).toBe(0)
      await story.expectConserved()
    }, START_MS_MAX)
  })
}

describe("wrong codes", () => {
  test("code_misses_exceeded: a user's and an address' misses are limited, the wait is told, and another may still claim", async () => {
    const { claim, generate, story } = await withCampaign(1)
    const { user: max, address: max_address, window_s } = story.parts.misses
    const guesser = fresh("guesser"), [code] = await generate(1)
    for (let i = 0; i < max; i += 1) expect((await claim(`guess ${i}`, guesser, `r${i}`)).body.code).toBe("code_invalid")
    const stopped = await claim(code!, guesser)
    expect([stopped.status, stopped.body.code, stopped.body.of, stopped.body.retry]).toEqual([429, "code_misses_exceeded", "user", true])
    expect(Number(stopped.headers.get("retry-after"))).toBeGreaterThan(0)
    expect(Number(stopped.headers.get("retry-after"))).toBeLessThanOrEqual(window_s)
    const client_address = "203.0.113.9"
    for (let i = 0; i < max_address; i += 1) await claim(`guess ${i}`, `one of many ${i}`, "r", { client_address })
    expect((await claim(code!, fresh("ann"), "r", { client_address })).body).toMatchObject({ code: "code_misses_exceeded", of: "address" })
    await yes(claim(code!, fresh("bob")))
    story.setNow(story.now_ms() + window_s * 1_000)
    expect((await claim("guess again", guesser)).body.code).toBe("code_invalid")
  }, START_MS_MAX)

  test("no code is anywhere in clear: not in Redis, not in Postgres", async () => {
    const { generate, claim, story, say, campaign_id } = await withCampaign(1)
    const [code] = await generate(1), open = fresh("OPEN").toUpperCase()
    await say("PUT", `/v1/campaigns/${campaign_id}/codes`, { code: open, limit: 3 })
    await yes(claim(code!, fresh("ann")))
    await yes(claim(open, fresh("ann")))
    await story.flush()
    const plain = [normalise(code!), code!, normalise(open), open]
    const texts: string[] = []
    for (const redis of mastersOf(story.parts.redis)) for (const key of await redis.keys("*")) texts.push((await redis.dumpBuffer(key))!.toString("latin1"))
    const tables = await story.parts.postgres.sql<{ name: string }[]>`select table_name as name from information_schema.tables where table_schema = 'public'`
    for (const { name } of tables) texts.push(JSON.stringify(await story.parts.postgres.sql`select t::text from ${story.parts.postgres.sql(name)} t`))
    expect(plain.filter((each) => texts.some((text) => text.includes(each)))).toEqual([])
  }, START_MS_MAX)
})
