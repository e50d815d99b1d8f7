/**
 * What risk is computed from, day by day, each thing derived once from the lake's events and kept until its own input is another:
 *
 *   risk_orders   what each reserve of the day gave to which line, or      from the events of the day
 *                 to the order beside its lines
 *   risk_lines    the lines of what was confirmed or refunded on the day  from its events and the orders of the days before
 *   risk_firsts   the users whose first event of any kind fell on the day from its events and the firsts of all days before
 *   risk_days     the day's figures by dimension and key                  from its lines and firsts
 *
 * What must stay true: a part says which inputs it was made from, so a late event, which adds a file to its day, has that day made anew, and
 * what follows from it; a day that has not ended is made anew each time. All of it may be deleted: it comes back the same. What was dropped for
 * its age stays away, but where the day that is asked for is made of it: a refund of an older order has no line any more.
 */
import { eventFiles } from "../extract.ts"
import { type Duck, quoted } from "../duck.ts"
import type { JobParts } from "../job.ts"
import { type Lake, type LakeFile, sha256Of } from "../lake.ts"
import { periodsBetween } from "../periods.ts"
import { dayFigures, LINE_COLUMNS } from "./day.ts"
import { makeLines, oldestOf, parquet } from "./lines.ts"

type Parts = Pick<JobParts, "lake" | "signal" | "progress">
type Session = Pick<Duck, "run" | "one">

/** What was made from the same inputs by another hand is made again when this changes. */
const FORMAT = 3

export const ORDERS = "risk_orders"
/** The facts of a part that was dropped for its age (retention.ts). */
export const DROPPED = { identity: "dropped" }
const LINES = "risk_lines", FIRSTS = "risk_firsts"
export const DAYS = "risk_days"

const SHAPE = '{"order":{"region":"VARCHAR","shipping_minor":"BIGINT","lines":[{"line_id":"VARCHAR","sku":"VARCHAR","merchant_id":"VARCHAR","unit_price_minor":"BIGINT","quantity":"BIGINT"}]},"applied":[{"campaign_id":"VARCHAR","shipping_discount_minor":"BIGINT","benefit_minor":"BIGINT","lines":[{"line_id":"VARCHAR","discount_minor":"BIGINT"}]}]}'
/** Where an order's shipping and what is given beside its price (a gift, cash back, interest) stand among its lines, which are counted from 1. They have no sku, no merchant and no id. */
const SHIPPING = 0, BENEFIT = -1

/** Events of the days whose lines are made at once. */
const AT_ONCE_EVENTS = 3_000_000
/** The table of these lines. */
const MADE = "made_lines"

const filesOf = ({ lake }: Parts, dataset: string, day: string): readonly LakeFile[] => lake.part(dataset, day)?.files ?? []

const identityOf = (made_from: unknown): string => sha256Of([FORMAT, made_from])
const isKept = ({ lake }: Parts, dataset: string, day: string, made_from: unknown): boolean => lake.part(dataset, day)?.facts["identity"] === identityOf(made_from)

/** Make a part unless it is there and was made from the same. */
const keep = async (parts: Parts, session: Session, dataset: string, day: string, made_from: unknown, order: string, select: () => string): Promise<void> => {
  if (isKept(parts, dataset, day, made_from)) return
  const { lake, signal } = parts
  signal.throwIfAborted()
  const file = await lake.write(session, { select: select(), order, folder: `${dataset}/${day}`, name: day, day })
  lake.publish({ dataset, part: day, files: [file], facts: { identity: identityOf(made_from) } })
}

const isDropped = ({ lake }: Parts, day: string): boolean => lake.part(ORDERS, day)?.facts["identity"] === DROPPED.identity

const shas = (files: readonly LakeFile[]): string[] => files.map(({ sha256 }) => sha256)

/**
 * What each campaign gave to each line, off the shipping and beside the price, by reserve. The price of a benefit is that of the goods: it is given for them. An order's
 * lines are found by their place in it and nothing is joined, and only a reserve that has a campaign twice is summed: 2.7 µs a reserve where joins and sums of all
 * took 4.3 (2026-11-23).
 */
const ordersSelect = (lake: Lake, events: readonly LakeFile[]): string => `
  with reserved as (
    select ref, cell, epoch, n, cast(user_no as bigint) as user_no, from_json(payload, ${quoted(SHAPE)}) as facts from ${parquet(lake, events)} where act = 'reserved' and ref is not null and user_no is not null
  ),
  applied as (
    select ref, cell, epoch, n, user_no, facts."order".region as region, facts."order".lines as lines, [one.line_id for one in facts."order".lines] as line_ids, facts."order".shipping_minor as shipping_minor,
      list_sum([one.unit_price_minor * one.quantity for one in facts."order".lines]) as goods_minor, list_unique([one.campaign_id for one in facts.applied]) < len(facts.applied) as is_twice, unnest(facts.applied) as each
    from reserved
  ),
  given as (select ref, cell, epoch, n, user_no, region, is_twice, lines, line_ids, each.campaign_id as campaign, unnest(each.lines) as one from applied),
  placed as (select *, list_position(line_ids, one.line_id) as line, lines[list_position(line_ids, one.line_id)] as found from given),
  amounts as (
    select ref, cell, epoch, n, user_no, is_twice, cast(line as bigint) as line, found.line_id as line_id, found.sku as sku, found.merchant_id as merchant, region, campaign, one.discount_minor as amount_minor, found.unit_price_minor * found.quantity as price_minor
    from placed where line is not null and one.discount_minor > 0
    union all select ref, cell, epoch, n, user_no, is_twice, ${SHIPPING}, null, null, null, region, each.campaign_id, each.shipping_discount_minor, shipping_minor from applied where each.shipping_discount_minor > 0
    union all select ref, cell, epoch, n, user_no, is_twice, ${BENEFIT}, null, null, null, region, each.campaign_id, each.benefit_minor, coalesce(cast(goods_minor as bigint), 0) from applied where each.benefit_minor > 0
  )
  select * exclude (is_twice) from amounts where not is_twice
  union all select ref, cell, epoch, n, user_no, line, line_id, sku, merchant, region, campaign, cast(sum(amount_minor) as bigint), max(price_minor) from amounts where is_twice group by all`

const EMPTY_LINES = `select ${Object.entries(LINE_COLUMNS).map(([name, type]) => `cast(null as ${type}) as ${name}`).join(", ")} where false`
const LINES_ORDER = "kind, redemption, line, campaign"

/** Who had the first event of all on the day. */
const firstsSelect = (lake: Lake, events: readonly LakeFile[], before: readonly LakeFile[]): string => `
  select distinct cast(user_no as bigint) as user_no from ${parquet(lake, events)} where user_no is not null ${
    before.length === 0 ? "" : `and user_no not in (select user_no from ${parquet(lake, before)})`}`

/** The days that the lake has events of, in their order. */
const eventDays = (parts: Parts): string[] => [...new Set(eventFiles(parts, () => true).map(({ day }) => day!))].sort()

/** Cut days in spans of so many events that are looked at. */
const inSpans = (days: readonly string[], eventsOf: (day: string) => number): string[][] => {
  const spans: string[][] = []
  let left = 0
  for (const day of days) {
    const events = eventsOf(day)
    if (spans.length === 0 || events > left) {
      spans.push([])
      left = AT_ONCE_EVENTS
    }
    spans.at(-1)!.push(day)
    left -= events
  }
  return spans
}

/** Wait until all have ended, and throw what one of them has thrown: nobody works on in a database that is closed. */
const allEnded = async (works: readonly Promise<void>[]): Promise<void> => {
  for (const each of await Promise.allSettled(works)) if (each.status === "rejected") throw each.reason
}

/** Do something for every day, in each session one at a time: while one waits for the disk, the other has the processors. */
const eachDay = (sessions: readonly Session[], days: readonly string[], work: (session: Session, day: string, done: number) => Promise<void>): Promise<void> => {
  let begun = 0
  return allEnded(sessions.map(async (session) => {
    while (begun < days.length) {
      const nth = begun++
      await work(session, days[nth]!, nth / days.length)
    }
  }))
}

/** Make all that a day's risk needs: the figures of that day and of the days before it, from `first` on. */
export const makeDays = async (parts: Parts & Pick<JobParts, "duck">, first: string, last: string): Promise<void> => {
  const { lake, progress } = parts
  const days = eventDays(parts).filter((day) => day <= last), wanted = days.filter((day) => day >= first)
  const byDay = new Map<string, LakeFile[]>(days.map((day) => [day, []]))
  for (const file of eventFiles(parts, (day) => byDay.has(day))) byDay.get(file.day!)!.push(file)
  const eventsOf = (day: string): readonly LakeFile[] => byDay.get(day) ?? []
  const sessions = [parts.duck, await parts.duck.beside()] as const

  // Orders are of their day alone, and who was there first of all days before: the one beside the other.
  const needed = oldestOf(first), firsts: LakeFile[] = []
  await allEnded([
    eachDay([sessions[0]], days, async (session, day, done) => {
      progress("orders and first events", done)
      if (day >= needed || !isDropped(parts, day)) await keep(parts, session, ORDERS, day, shas(eventsOf(day)), "ref, epoch, n, line, campaign", () => ordersSelect(lake, eventsOf(day)))
    }),
    eachDay([sessions[1]], days, async (session, day) => {
      await keep(parts, session, FIRSTS, day, [shas(eventsOf(day)), shas(firsts)], "user_no", () => firstsSelect(lake, eventsOf(day), firsts))
      firsts.push(...filesOf(parts, FIRSTS, day))
    }),
  ])

  const orders = days.flatMap((day) => filesOf(parts, ORDERS, day))
  const madeOf = new Map(wanted.map((day) => [day, [shas(eventsOf(day)), shas(orders.filter((file) => file.day! <= day))]]))
  const missing = new Set(wanted.filter((day) => !isKept(parts, LINES, day, madeOf.get(day))))
  let done = 0
  for (const some of inSpans(wanted, (day) => missing.has(day) ? eventsOf(day).reduce((sum, { rows }) => sum + rows, 0) : 0)) {
    progress("lines and days", done / wanted.length)
    const anew = some.filter((day) => missing.has(day))
    if (anew.length > 0) await makeLines(lake, sessions[0], MADE, { days: anew, events: anew.flatMap(eventsOf), orders: orders.filter((file) => file.day! <= anew.at(-1)!) })
    await eachDay(sessions, some, async (session, day) => {
      await keep(parts, session, LINES, day, madeOf.get(day), LINES_ORDER, () => `select * exclude (settled_day) from ${MADE} where settled_day = ${quoted(day)}`)
      await makeDay(parts, session, day)
    })
    done += some.length
  }
  await sessions[0].run(`drop table if exists ${MADE}`)
  // A day whose events have gone, with a user who was forgotten alone, has no part left over.
  for (const { part } of lake.parts(DAYS)) if (part >= first && part <= last && !byDay.has(part)) lake.publish({ dataset: DAYS, part, files: [], facts: {} })
}

/** The figures of one day from its lines and firsts. */
const makeDay = async (parts: Parts, session: Session, day: string): Promise<void> => {
  const { lake } = parts
  const lines = filesOf(parts, LINES, day), firsts = filesOf(parts, FIRSTS, day)
  await keep(parts, session, DAYS, day, [shas(lines), shas(firsts)], "dimension, key", () =>
    dayFigures(day, lines.length === 0 ? `(${EMPTY_LINES})` : parquet(lake, lines), firsts.length === 0 ? "(select cast(null as bigint) as user_no where false)" : parquet(lake, firsts)))
}

/** The files of the days' figures, from one day to another, both of them too. */
export const dayFiles = (parts: Pick<Parts, "lake">, first: string, last: string): LakeFile[] =>
  periodsBetween(first, last).flatMap((day) => parts.lake.part(DAYS, day)?.files ?? [])
