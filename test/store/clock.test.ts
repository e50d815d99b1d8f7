/** The clock that every process takes from Redis. */
import { describe, expect, test } from "bun:test"
import { betterOf, type Measured, ROUND_TRIP_MS_MAX } from "../../engine/store/clock.ts"

describe("a measure of the clock", () => {
  const took = (round_trip_ms: number, heard_ms: number): Measured => ({ offset_ms: heard_ms, round_trip_ms, heard_ms })

  test("is replaced by the next one, as long as that is exact enough", () => {
    expect(betterOf(took(1, 1_000), took(2, 2_000))).toEqual(took(2, 2_000))
    expect(betterOf(took(1, 1_000), took(ROUND_TRIP_MS_MAX, 2_000))).toEqual(took(ROUND_TRIP_MS_MAX, 2_000))
  })

  test("is kept when Redis stood still during the next one, which then may be off by half of that time", () => {
    expect(betterOf(took(1, 1_000), took(2_000, 4_000))).toEqual(took(1, 1_000))
  })

  test("gives way to a better one, however vague, and in the end to any: clocks drift apart", () => {
    expect(betterOf(took(3_000, 1_000), took(2_500, 2_000))).toEqual(took(2_500, 2_000))
    expect(betterOf(took(120, 1_000), took(160, 2_000))).toEqual(took(120, 1_000))
    expect(betterOf(took(120, 1_000), took(160, 22_000))).toEqual(took(160, 22_000))
  })
})
