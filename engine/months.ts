/**
 * Months and days in a business's time zone, as half-open spans of instants.
 *
 * A month is found by asking the time zone database what a clock there shows, never by adding hours: a month in which clocks
 * change is an hour longer or shorter. Pure; the zone is an argument.
 */

/** A month as the contract writes it, with its first instant and the first instant after it, in milliseconds. */
export interface Month { readonly month: string; readonly opens_ms: number; readonly closes_ms: number }

const MONTH = /^(\d{4})-(0[1-9]|1[0-2])$/

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

/** The first instant at which the zone's clocks show this date, midnight or, where that is skipped, what follows it. */
const dayStarts = (year: number, month: number, zone: string): number => {
  const wanted = Date.UTC(year, month - 1, 1)
  let at_ms = wanted
  // An offset changes at most once near midnight: two corrections reach the fixed point, a third proves it.
  for (let i = 0; i < 3; i++) at_ms += wanted - wallClock(at_ms, zone)
  return at_ms
}

/** The span of a month in a zone. Throws on a text that is not `YYYY-MM`. */
export const monthSpan = (month: string, zone: string): Month => {
  const match = MONTH.exec(month)
  if (!match) throw new RangeError(`${month} is not a month`)
  const [year, number] = [Number(match[1]), Number(match[2])]
  return { month, opens_ms: dayStarts(year, number, zone), closes_ms: number === 12 ? dayStarts(year + 1, 1, zone) : dayStarts(year, number + 1, zone) }
}

/** The month after one. */
export const monthAfter = (month: string): string => {
  const match = MONTH.exec(month)
  if (!match) throw new RangeError(`${month} is not a month`)
  const [year, number] = [Number(match[1]), Number(match[2])]
  return number === 12 ? `${String(year + 1).padStart(4, "0")}-01` : `${match[1]}-${String(number + 1).padStart(2, "0")}`
}

const lastMonths = new Map<string, Month>()

/** The month in which an instant lies in a zone. The last answer of a zone is kept: a checkout asks for the same month again and again. */
export const monthAt = (at_ms: number, zone: string): Month => {
  const last = lastMonths.get(zone)
  if (last && at_ms >= last.opens_ms && at_ms < last.closes_ms) return last
  const wall = new Date(wallClock(at_ms, zone))
  const month = monthSpan(`${wall.getUTCFullYear().toString().padStart(4, "0")}-${(wall.getUTCMonth() + 1).toString().padStart(2, "0")}`, zone)
  lastMonths.set(zone, month)
  return month
}
