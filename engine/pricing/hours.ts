// The hours of a week in which a campaign is open, in the time zone of its shop.
//
// What must stay true: hours are half-open, belong to the weekday on which they begin (Friday 22:00 to 02:00 is open
// on Saturday at 01:00), and follow the zone's clock over its changes. The instant is an argument.

import type { Hours, Opening } from "./types.ts"

const MINUTE_MS = 60_000
const DAY_MS = 86_400_000
const DAY_MINUTES = 1440

/** Hours as functions of an instant. The zone is known to the platform: the schema of the terms has checked it. */
export function openingOf(hours: Hours): Opening {
  const from = minutesOf(hours.from)
  const to = minutesOf(hours.to)
  const lasts = to > from ? to - from : to - from + DAY_MINUTES
  const weekdays = new Set(hours.weekdays ?? [1, 2, 3, 4, 5, 6, 7])
  const offsetMs = zoneOffset(hours.time_zone)

  const openAt = (atMs: number): boolean => {
    const localMs = atMs + offsetMs(atMs)
    const day = Math.floor(localMs / DAY_MS)
    const minute = Math.floor((localMs - day * DAY_MS) / MINUTE_MS)
    if (weekdays.has(weekdayOf(day)) && minute >= from && minute < from + lasts) return true
    return weekdays.has(weekdayOf(day - 1)) && minute + DAY_MINUTES < from + lasts
  }

  const nextMs = (atMs: number): number | undefined => {
    const today = Math.floor((atMs + offsetMs(atMs)) / DAY_MS)
    // Eight days see every weekday and today's hours again a week from now; one more where a clock change hides a day's.
    for (let day = today; day <= today + 8; day++) {
      if (!weekdays.has(weekdayOf(day))) continue
      const localMs = day * DAY_MS + from * MINUTE_MS
      const guessMs = localMs - offsetMs(localMs)
      const startMs = localMs - offsetMs(guessMs)
      if (startMs > atMs && openAt(startMs)) return startMs
    }
    return undefined
  }

  return { openAt, nextMs, hours }
}

/** Does the platform know the zone? */
export function knowsZone(timeZone: string): boolean {
  try {
    new Intl.DateTimeFormat("en-US", { timeZone })
    return true
  } catch {
    return false
  }
}

/** How far the zone's clock is ahead of UTC at an instant. */
function zoneOffset(timeZone: string): (atMs: number) => number {
  const format = new Intl.DateTimeFormat("en-US", {
    timeZone,
    hourCycle: "h23",
    year: "numeric",
    month: "numeric",
    day: "numeric",
    hour: "numeric",
    minute: "numeric",
    second: "numeric",
  })
  return (atMs) => {
    const parts: Record<string, number> = {}
    for (const { type, value } of format.formatToParts(atMs)) parts[type] = Number(value)
    const { year = 0, month = 1, day = 1, hour = 0, minute = 0, second = 0 } = parts
    return Date.UTC(year, month - 1, day, hour, minute, second) - Math.floor(atMs / 1000) * 1000
  }
}

/** Monday is 1; day 0, the first of January 1970, was a Thursday. */
const weekdayOf = (day: number): number => ((((day + 3) % 7) + 7) % 7) + 1

const minutesOf = (clock: string): number => Number(clock.slice(0, 2)) * 60 + Number(clock.slice(3, 5))
