// Days and months by the zone's own clocks, for every zone there is.

import { expect, test } from "bun:test"
import { daysOf, isPeriod, periodAfter, periodAt, periodBefore, periodsBetween, periodSpan } from "../../analytics/periods.ts"

test("a leap day is a day only in its year", () => {
  expect(isPeriod("2024-02-29", "day")).toBe(true)
  expect(isPeriod("2026-02-29", "day")).toBe(false)
  expect(isPeriod("2026-02", "day")).toBe(false)
  expect(isPeriod("2026-13", "month")).toBe(false)
  expect(isPeriod("2026-2", "month")).toBe(false)
  expect(periodAfter("2024-02-28")).toBe("2024-02-29")
  expect(periodBefore("2026-03-01")).toBe("2026-02-28")
  expect(periodAfter("2026-12")).toBe("2027-01")
  expect(periodBefore("2026-01")).toBe("2025-12")
})

test("a span begins and ends at the zone's midnight, also where clocks change", () => {
  expect(periodSpan("2026-10", "Asia/Shanghai")).toEqual({ period: "2026-10", kind: "month", opens_ms: Date.parse("2026-09-30T16:00:00Z"), closes_ms: Date.parse("2026-10-31T16:00:00Z") })
  const spring = periodSpan("2026-03-08", "America/New_York")
  expect(spring.closes_ms - spring.opens_ms).toBe(23 * 3_600_000)
  const autumn = periodSpan("2026-11-01", "America/New_York")
  expect(autumn.closes_ms - autumn.opens_ms).toBe(25 * 3_600_000)
  // Where midnight itself is skipped the day begins at what follows it.
  expect(new Date(periodSpan("2018-11-04", "America/Sao_Paulo").opens_ms).toISOString()).toBe("2018-11-04T03:00:00.000Z")
})

test("in every zone the days of a year follow each other without a gap, and each holds its own instants", () => {
  for (const zone of Intl.supportedValuesOf("timeZone")) {
    for (const month of ["2026-03", "2026-04", "2026-10", "2026-11"]) {
      const span = periodSpan(month, zone)
      const days = daysOf(month)
      let at_ms = span.opens_ms
      for (const day of [days[0]!, days.at(-1)!]) expect(periodAt(periodSpan(day, zone).opens_ms, "month", zone)).toBe(month)
      for (const day of days) {
        const { opens_ms, closes_ms } = periodSpan(day, zone)
        if (opens_ms !== at_ms) throw new Error(`${day} in ${zone} begins at ${opens_ms} and not at ${at_ms}`)
        at_ms = closes_ms
      }
      expect(at_ms).toBe(span.closes_ms)
    }
  }
}, 120_000)

test("periods between two, both of them too, and no more than ten years of days", () => {
  expect(periodsBetween("2025-11", "2026-02")).toEqual(["2025-11", "2025-12", "2026-01", "2026-02"])
  expect(periodsBetween("2026-02", "2026-01")).toEqual([])
  expect(() => periodsBetween("2000-01-01", "2026-01-01")).toThrow("more than 3660")
})
