/**
 * The badge levels of one user, from Redis in one round trip.
 *
 * What must stay true: while a newer month is loaded the older one is answered, whole; a Redis that has none yet, because it came back empty or
 * was rebuilt, is not believed: the user's block is read from Postgres instead.
 */
import { cellOf, hashBytes, levelBucketKey, levelsKey } from "../../lua/keys.ts"
import { fieldOf, monthBefore, rangeOf, unpackBlock, unpackLevels } from "../badges/packed.ts"
import type { Rules } from "../badges/rules.ts"
import type { Parts } from "../parts.ts"
import { answeringPostgres } from "../store/away.ts"
import { ask, NotExecuted } from "../store/redis.ts"
import type { Generation } from "./generations.ts"

/** A level that a user has. */
export interface Held {
  readonly badge_id: string
  readonly level: number
  readonly period: string
  readonly since_period: string
  readonly rules: Rules
}

/** What a cell says of its levels: the generation that counts there, its buckets, and for how many cells they were made. */
export interface Pointer { readonly generation: number; readonly buckets: number; readonly cells: number }

export const POINTER_FIELDS = ["generation", "buckets", "cells"] as const
export const pointerOf = (values: readonly unknown[]): Pointer | undefined => {
  const [generation, buckets, cells] = values.map((value) => value === null ? Number.NaN : Number(value))
  return Number.isSafeInteger(generation) && Number.isSafeInteger(buckets) && Number.isSafeInteger(cells) ? { generation: generation!, buckets: buckets!, cells: cells! } : undefined
}

/** A month that is switched to another while a user is read is read again, so many times. */
const TRIES_MAX = 3

const heldFrom = ({ period, badges }: Generation, packed: Buffer): Held[] => unpackLevels(packed).map(({ badge, level, age }) => {
  const ruled = badges[badge]
  if (!ruled) throw new Error("a level names a badge that its generation does not have")
  return { badge_id: ruled.badge_id, level, period, since_period: monthBefore(period, age), rules: ruled.rules }
})

/** The user's levels in the newest generation, from his block in Postgres. */
const readBlock = async ({ postgres, generations }: Parts, hash: Buffer): Promise<Held[]> => {
  const latest = await generations.latest()
  if (!latest) return []
  const [row] = await answeringPostgres(() => postgres.sql<{ body: Buffer }[]>`
    select body from level_blocks where generation = ${latest.generation} and block = ${rangeOf(hash, latest.blocks)}`)
  const entry = row && unpackBlock(row.body).find((each) => each.hash.equals(hash))
  return entry ? heldFrom(latest, entry.levels) : []
}

/** What each cell said last. A process asks with it, and is told with the same answer when it is no longer so. */
const pointers = new WeakMap<object, Map<number, Pointer>>()

/** The levels of a user, by his hash. */
export const readLevels = async (parts: Parts, user: string): Promise<Held[]> => {
  const { redis } = parts
  const cell = cellOf(user, parts.cells)
  const hash = hashBytes(user)
  const known = pointers.get(redis) ?? new Map<number, Pointer>()
  pointers.set(redis, known)
  for (let tries = 0; tries < TRIES_MAX; tries++) {
    const guess = known.get(cell)
    const readBucket = ({ generation, buckets }: Pointer) => {
      const key = levelBucketKey(cell, generation, rangeOf(hash, buckets))
      return ask(redis, key, (node) => node.hgetBuffer(key, fieldOf(hash)))
    }
    const [values, packed] = await Promise.all([
      ask(redis, levelsKey(cell), (node) => node.hmget(levelsKey(cell), ...POINTER_FIELDS)),
      guess ? readBucket(guess) : undefined,
    ])
    const pointer = pointerOf(values)
    if (!pointer || pointer.cells !== parts.cells) {
      known.delete(cell)
      return readBlock(parts, hash)
    }
    if (guess && guess.generation === pointer.generation && guess.buckets === pointer.buckets) {
      if (!packed) return []
      const generation = await parts.generations.byNumber(pointer.generation)
      return generation ? heldFrom(generation, packed) : readBlock(parts, hash)
    }
    known.set(cell, pointer)
  }
  throw new NotExecuted("the badge levels are being switched to another month")
}
