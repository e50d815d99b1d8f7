/**
 * Days of the shops' zone. The set's clocks hang in America/New_York, so a day begins at midnight there, also when clocks change.
 */

/** The zone of the set; the stack must run with the same one, or its months would begin elsewhere. */
export const ZONE = "America/New_York"
const DAY_MS = 86_400_000

const format = new Intl.DateTimeFormat("en-CA", {
  timeZone: ZONE, hourCycle: "h23", year: "numeric", month: "2-digit", day: "2-digit", hour: "2-digit", minute: "2-digit", second: "2-digit",
})

/** What a clock of the zone shows, read as if it were UTC. */
const shown = (at_ms: number): number => {
  const parts: Record<string, string> = {}
  for (const { type, value } of format.formatToParts(at_ms)) parts[type] = value
  return Date.parse(`${parts["year"]}-${parts["month"]}-${parts["day"]}T${parts["hour"]}:${parts["minute"]}:${parts["second"]}Z`)
}

const midnights = new Map<string, number>()
/** The instant of midnight. Clocks there change at two, so midnight is there once each day. */
const midnight = (day: string): number => {
  let at_ms = midnights.get(day)
  if (at_ms === undefined) {
    const wanted = Date.parse(`${day}T00:00:00Z`)
    at_ms = wanted
    // The offset may change between the guess and midnight; the second step is exact.
    for (let step = 0; step < 2; step++) at_ms += wanted - shown(at_ms)
    midnights.set(day, at_ms)
  }
  return at_ms
}

/** The instant at which a clock there shows this second of this day. On two days a year that is an hour off after two o'clock: no matter here. */
export const instant = (day: string, second = 0): number => midnight(day) + second * 1_000

/** The day so many days later. */
export const daysLater = (day: string, days: number): string => new Date(Date.parse(`${day}T00:00:00Z`) + days * DAY_MS).toISOString().slice(0, 10)

/** The month of a day. */
export const monthOf = (day: string): string => day.slice(0, 7)

/** All months from one to another. */
export const monthsFrom = (first: string, last: string): string[] => {
  const months: string[] = []
  for (let month = first; month <= last; month = monthOf(daysLater(`${month}-28`, 4))) months.push(month)
  return months
}
