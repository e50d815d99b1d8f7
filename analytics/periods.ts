/**
 * Days and months in the business's time zone, as half-open spans of instants.
 *
 * A day is found by asking the time zone database what a clock there shows, never by adding hours: a day on which clocks change is an
 * hour longer or shorter. Pure; the zone is an argument. The engine has the like for a budget's month and does not know this room.
 */

export type PeriodKind = "month" | "day"

/** A period as it is written (`YYYY-MM` or `YYYY-MM-DD`), with its first instant and the first one after it, in milliseconds. */
export interface Period { readonly period: string; readonly kind: PeriodKind; readonly opens_ms: number; readonly closes_ms: number }

const PERIOD = /^([0-9]{4})-(0[1-9]|1[0-2])(?:-(0[1-9]|[12][0-9]|3[01]))?$/
const DAY_MS = 86_400_000
/** A span of periods that anybody asks for at once: ten years of days. */
export const PERIODS_MAX = 3_660

const formats = new Map<string, Intl.DateTimeFormat>()
const formatOf = (zone: string): Intl.DateTimeFormat => {
  const known = formats.get(zone)
  if (known) return known
  const made = new Intl.DateTimeFormat("en-CA", {
    timeZone: zone, hourCycle: "h23", year: "numeric", month: "2-digit", day: "2-digit", hour: "2-digit", minute: "2-digit", second: "2-digit",
  })
  formats.set(zone, made)
  return made
}

/** What a wall clock in the zone shows at an instant, as if it were UTC, in milliseconds. */
const wallClock = (at_ms: number, zone: string): number => {
  const parts: Record<string, string> = {}
  for (const { type, value } of formatOf(zone).formatToParts(at_ms)) parts[type] = value
  return Date.UTC(Number(parts["year"]), Number(parts["month"]) - 1, Number(parts["day"]), Number(parts["hour"]), Number(parts["minute"]), Number(parts["second"]))
}

/** The first instant at which the zone's clocks show a date (given as its midnight in UTC): midnight or, where that is skipped, what follows it. */
const startOf = (wanted: number, zone: string): number => {
  let at_ms = wanted
  // An offset changes at most once near midnight: two corrections reach the fixed point, a third proves it.
  for (let i = 0; i < 3; i += 1) at_ms += wanted - wallClock(at_ms, zone)
  return at_ms
}

const kindOf = (period: string): PeriodKind => period.length === "YYYY-MM".length ? "month" : "day"

/** The date on which a period begins, as its midnight in UTC; nothing when there is no such period. */
const dateOf = (period: string): number | undefined => {
  const match = PERIOD.exec(period)
  if (!match) return undefined
  const date = Date.UTC(Number(match[1]), Number(match[2]) - 1, Number(match[3] ?? 1))
  // The 30th of February is a day in March.
  return new Date(date).getUTCMonth() === Number(match[2]) - 1 ? date : undefined
}

const nameOf = (date: number, kind: PeriodKind): string => new Date(date).toISOString().slice(0, kind === "month" ? "YYYY-MM".length : "YYYY-MM-DD".length)

/** Whether a text is a period of this kind; a leap day is a day only in its year. */
export const isPeriod = (text: string, kind: PeriodKind): boolean => dateOf(text) !== undefined && kindOf(text) === kind

const shifted = (period: string, by: number): string => {
  const date = dateOf(period)
  if (date === undefined) throw new RangeError(`${period} is not a period`)
  const kind = kindOf(period)
  if (kind === "day") return nameOf(date + by * DAY_MS, kind)
  const at = new Date(date)
  return nameOf(Date.UTC(at.getUTCFullYear(), at.getUTCMonth() + by, 1), kind)
}

export const periodAfter = (period: string): string => shifted(period, 1)
export const periodBefore = (period: string): string => shifted(period, -1)

/** A period's span in a zone. Throws on a text that is none. */
export const periodSpan = (period: string, zone: string): Period => {
  const [date, next] = [dateOf(period), dateOf(periodAfter(period))]
  if (date === undefined || next === undefined) throw new RangeError(`${period} is not a period`)
  return { period, kind: kindOf(period), opens_ms: startOf(date, zone), closes_ms: startOf(next, zone) }
}

/** The period of a kind in which an instant lies in a zone. */
export const periodAt = (at_ms: number, kind: PeriodKind, zone: string): string => nameOf(wallClock(at_ms, zone), kind)

/** The periods from one to another, both of them too. Throws when they are more than PERIODS_MAX. */
export const periodsBetween = (first: string, last: string): string[] => {
  const periods: string[] = []
  for (let period = first; period <= last; period = periodAfter(period)) {
    if (periods.length === PERIODS_MAX) throw new RangeError(`from ${first} to ${last} are more than ${PERIODS_MAX} periods`)
    periods.push(period)
  }
  return periods
}

/** The days of a period. */
export const daysOf = (period: string): string[] =>
  kindOf(period) === "day" ? [period] : periodsBetween(`${period}-01`, periodBefore(`${periodAfter(period)}-01`))
