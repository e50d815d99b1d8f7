// Packed levels: what goes into a block and a bucket comes out, and every block fills whole buckets.
import { expect, test } from "bun:test"
import { cellOf, hashBytes, userHash } from "../../lua/keys.ts"
import { blocksFor, bucketsFor, bucketWrites, fieldOf, monthBefore, packBlock, packLevels, rangeOf, unpackBlock, unpackLevels } from "../../engine/badges/packed.ts"

test("levels come back as they were packed; an age of more than 255 months is 255", () => {
  const levels = [{ badge: 0, level: 1, age: 0 }, { badge: 254, level: 255, age: 300 }]
  expect(unpackLevels(packLevels(levels))).toEqual([{ badge: 0, level: 1, age: 0 }, { badge: 254, level: 255, age: 255 }])
  expect(unpackLevels(packLevels([]))).toEqual([])
})

test("a block comes back entry by entry, and one that is cut off is a fault", () => {
  const entries = ["ann", "ben", "cleo"].map((user_id, i) => ({ hash: hashBytes(userHash(user_id)), levels: packLevels(Array.from({ length: i }, () => ({ badge: i, level: 2, age: 1 }))) }))
  const block = packBlock(entries)
  expect(unpackBlock(block).map(({ hash, levels }) => [hash.toString("hex"), levels.toString("hex")])).toEqual(entries.map(({ hash, levels }) => [hash.toString("hex"), levels.toString("hex")]))
  expect(() => unpackBlock(block.subarray(0, -1))).toThrow("cut off")
})

test("a user's bucket lies in his block's range, for any number of users and cells", () => {
  for (const users of [1, 5_000, 100_000, 10_000_000]) for (const cells of [1, 7, 64]) {
    const blocks = blocksFor(users), buckets = bucketsFor(users, blocks, cells)
    for (let i = 0; i < 200; i++) {
      const hash = hashBytes(userHash(`user-${i}`))
      expect(Math.floor(rangeOf(hash, buckets) / (buckets / blocks))).toBe(rangeOf(hash, blocks))
    }
  }
})

test("a bucket's HSET has each of its users once, at his cell, and stays a listpack, with any number of cells", () => {
  const users = 8_192
  const entries = Array.from({ length: users }, (_, i) => ({ hash: hashBytes(userHash(`user-${i}`)), levels: packLevels(Array.from({ length: i % 5 }, (_, badge) => ({ badge, level: 1 + i % 9, age: i % 255 }))) }))
    .toSorted((a, b) => Buffer.compare(a.hash, b.hash))
  const body = packBlock(entries)
  for (const cells of [1, 2, 64]) {
    const buckets = bucketsFor(users, 1, cells)
    const wanted = entries.map(({ hash, levels }) => `${cellOf(hash.toString("base64url"), cells)}.${rangeOf(hash, buckets)} ${fieldOf(hash).toString("hex")} ${levels.toString("hex")}`)
    const found: string[] = []
    for (const { key, wire } of bucketWrites(body, { buckets, cells }, (cell, bucket) => `${cell}.${bucket}`)) {
      const text = wire.toString("latin1")
      const parts: string[] = []
      let at = text.indexOf("\r\n") + 2
      while (at < text.length) {
        const end = text.indexOf("\r\n", at), from = end + 2, to = from + Number(text.slice(at + 1, end))
        parts.push(text.slice(from, to))
        expect(text.slice(to, to + 2)).toBe("\r\n")
        at = to + 2
      }
      expect([text.slice(0, text.indexOf("\r\n")), parts[0], parts[1]]).toEqual([`*${parts.length}`, "HSET", key])
      expect(parts.length - 2).toBeLessThanOrEqual(2 * 128)
      for (let i = 2; i < parts.length; i += 2) found.push(`${key} ${Buffer.from(parts[i]!, "latin1").toString("hex")} ${Buffer.from(parts[i + 1]!, "latin1").toString("hex")}`)
    }
    expect(found.toSorted()).toEqual(wanted.toSorted())
  }
  expect(() => bucketWrites(body.subarray(0, -1), { buckets: 1, cells: 1 }, () => "")).toThrow("cut off")
})

test("months are counted back over years", () => {
  expect([monthBefore("2026-10", 0), monthBefore("2026-10", 9), monthBefore("2026-10", 10), monthBefore("2026-01", 1), monthBefore("2026-12", 24)]).toEqual(["2026-10", "2026-01", "2025-12", "2025-12", "2024-12"])
})
