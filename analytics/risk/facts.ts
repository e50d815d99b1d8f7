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
import { quoted } from "../duck.ts"
import type { JobParts } from "../job.ts"
import { type LakeFile, sha256Of } from "../lake.ts"
import { periodBefore, periodsBetween } from "../periods.ts"
import { dayFigures, LINE_COLUMNS } from "./day.ts"

type Parts = Pick<JobParts, "lake" | "duck" | "signal" | "progress">

/** What was made from the same inputs by another hand is made again when this changes. */
const FORMAT = 2
/** A hold lasts at most so many days after its reserve. */
const HOLD_DAYS_MAX = 8

export const ORDERS = "risk_orders"
/** The facts of a part that was dropped for its age (retention.ts). */
export const DROPPED = { identity: "dropped" }
const LINES = "risk_lines", FIRSTS = "risk_firsts"
export const DAYS = "risk_days"

const SHAPE = '{"order":{"region":"VARCHAR","shipping_minor":"BIGINT","lines":[{"line_id":"VARCHAR","sku":"VARCHAR","merchant_id":"VARCHAR","unit_price_minor":"BIGINT","quantity":"BIGINT"}]},"applied":[{"campaign_id":"VARCHAR","shipping_discount_minor":"BIGINT","benefit_minor":"BIGINT","lines":[{"line_id":"VARCHAR","discount_minor":"BIGINT"}]}]}'
const REFUND_SHAPE = '{"lines":[{"line_id":"VARCHAR"}],"applied":[{"campaign_id":"VARCHAR"}]}'
/** Where an order's shipping and what is given beside its price (a gift, cash back, interest) stand among its lines, which are counted from 1. They have no sku, no merchant and no id. */
const SHIPPING = 0, BENEFIT = -1

const parquet = ({ lake }: Parts, files: readonly LakeFile[]): string => `read_parquet([${files.map((file) => quoted(lake.place(file))).join(", ")}])`
const filesOf = ({ lake }: Parts, dataset: string, day: string): readonly LakeFile[] => lake.part(dataset, day)?.files ?? []

/** Make a part unless it is there and was made from the same. */
const keep = async (parts: Parts, dataset: string, day: string, made_from: unknown, order: string, select: () => Promise<string> | string): Promise<void> => {
  const { lake, duck, signal } = parts
  const identity = sha256Of([FORMAT, made_from])
  if (lake.part(dataset, day)?.facts["identity"] === identity) return
  signal.throwIfAborted()
  const file = await lake.write(duck, { select: await select(), order, folder: `${dataset}/${day}`, name: day, day })
  lake.publish({ dataset, part: day, files: [file], facts: { identity } })
}

/** The first day whose orders a day's confirms may be of. */
const oldestOf = (day: string): string => {
  let oldest = day
  for (let back = 0; back < HOLD_DAYS_MAX; back++) oldest = periodBefore(oldest)
  return oldest
}

const isDropped = ({ lake }: Parts, day: string): boolean => lake.part(ORDERS, day)?.facts["identity"] === DROPPED.identity

const shas = (files: readonly LakeFile[]): string[] => files.map(({ sha256 }) => sha256)

/** What each campaign gave to each line, off the shipping and beside the price, by reserve. The price of a benefit is that of the goods: it is given for them. */
const ordersSelect = (parts: Parts, events: readonly LakeFile[]): string => `
  with reserved as (
    select ref, cell, epoch, n, cast(user_no as bigint) as user_no, from_json(payload, ${quoted(SHAPE)}) as facts from ${parquet(parts, events)} where act = 'reserved' and ref is not null and user_no is not null
  ),
  lines as (select ref, epoch, n, unnest(facts."order".lines) as line, generate_subscripts(facts."order".lines, 1) as nth from reserved),
  applied as (select ref, epoch, n, unnest(facts.applied) as each from reserved),
  given as (select ref, epoch, n, each.campaign_id as campaign, unnest(each.lines) as given from applied),
  amounts as (
    select g.ref, g.epoch, g.n, cast(l.nth as bigint) as line, l.line.line_id as line_id, l.line.sku as sku, l.line.merchant_id as merchant, g.campaign, g.given.discount_minor as amount_minor, l.line.unit_price_minor * l.line.quantity as price_minor
    from given g join lines l on l.ref = g.ref and l.epoch = g.epoch and l.n = g.n and l.line.line_id = g.given.line_id
    union all select a.ref, a.epoch, a.n, ${SHIPPING}, null, null, null, a.each.campaign_id, a.each.shipping_discount_minor, r.facts."order".shipping_minor
    from applied a join reserved r on r.ref = a.ref and r.epoch = a.epoch and r.n = a.n
    union all select a.ref, a.epoch, a.n, ${BENEFIT}, null, null, null, a.each.campaign_id, a.each.benefit_minor, goods.price_minor
    from applied a join (select ref, epoch, n, sum(line.unit_price_minor * line.quantity) as price_minor from lines group by all) goods on goods.ref = a.ref and goods.epoch = a.epoch and goods.n = a.n
  )
  select r.ref as ref, r.cell as cell, r.epoch as epoch, r.n as n, r.user_no as user_no, cast(a.line as bigint) as line, a.line_id as line_id, a.sku as sku, a.merchant as merchant, r.facts."order".region as region,
    a.campaign as campaign, cast(sum(a.amount_minor) as bigint) as amount_minor, cast(max(a.price_minor) as bigint) as price_minor
  from amounts a join reserved r on r.ref = a.ref and r.epoch = a.epoch and r.n = a.n
  where a.amount_minor > 0 group by all`

/** The lines of what was confirmed on the day, as its last reserve before had them, and of what was refunded. */
const linesSelect = (parts: Parts, events: readonly LakeFile[], recent: readonly LakeFile[], all: readonly LakeFile[]): string => {
  const last = (orders: readonly LakeFile[], settled: string): string => `
    select * from (
      select o.*, s.refunded_lines, s.refunded_campaigns, rank() over (partition by o.ref order by o.epoch desc, o.n desc) as nth from ${parquet(parts, orders)} o join ${settled} s on s.ref = o.ref and (o.epoch, o.n) <= (s.epoch, s.n)
    ) where nth = 1`
  return `
  with settled as (
    select act, ref, max(epoch) as epoch, max(n) as n, flatten(list(list_transform(coalesce(back.lines, []), lambda l: l.line_id))) as refunded_lines, flatten(list(list_transform(coalesce(back.applied, []), lambda c: c.campaign_id))) as refunded_campaigns
    from (select *, case when act = 'refunded' then from_json(payload, ${quoted(REFUND_SHAPE)}) end as back from ${parquet(parts, events)} where act in ('confirmed', 'refunded') and ref is not null) group by act, ref
  ),
  confirmed as (select * from settled where act = 'confirmed'),
  refunded as (select * from settled where act = 'refunded')
  select kind, dense_rank() over (partition by kind order by ref) as redemption, user_no, line, sku, merchant, region, campaign, amount_minor, price_minor from (
    select 0 as kind, * from (${last(recent, "confirmed")})
    union all select 1 as kind, * from (${last(all, "refunded")}) where case when line_id is null then list_contains(refunded_campaigns, campaign) else list_contains(refunded_lines, line_id) end
  )`
}

const EMPTY_LINES = `select ${Object.entries(LINE_COLUMNS).map(([name, type]) => `cast(null as ${type}) as ${name}`).join(", ")} where false`
const LINES_ORDER = "kind, redemption, line, campaign"

/** The days that the lake has events of, in their order. */
const eventDays = (parts: Parts): string[] => [...new Set(eventFiles(parts, () => true).map(({ day }) => day!))].sort()

/** Make all that a day's risk needs: the figures of that day and of the days before it, from `first` on. */
export const makeDays = async (parts: Parts, first: string, last: string): Promise<void> => {
  const { lake, progress } = parts
  const days = eventDays(parts).filter((day) => day <= last)
  const byDay = new Map<string, LakeFile[]>(days.map((day) => [day, []]))
  for (const file of eventFiles(parts, (day) => byDay.has(day))) byDay.get(file.day!)!.push(file)
  const eventsOf = (day: string): readonly LakeFile[] => byDay.get(day) ?? []
  const needed = oldestOf(first)
  for (const [i, day] of days.entries()) {
    progress("orders and first events", i / days.length)
    if (day >= needed || !isDropped(parts, day)) await keep(parts, ORDERS, day, shas(eventsOf(day)), "ref, epoch, n, line, campaign", () => ordersSelect(parts, eventsOf(day)))
    const before = i === 0 ? [] : days.slice(0, i).flatMap((each) => filesOf(parts, FIRSTS, each))
    await keep(parts, FIRSTS, day, [shas(eventsOf(day)), shas(before)], "user_no", () => `
      select distinct cast(user_no as bigint) as user_no from ${parquet(parts, eventsOf(day))} where user_no is not null ${
        before.length === 0 ? "" : `and user_no not in (select user_no from ${parquet(parts, before)})`}`)
  }
  const wanted = days.filter((day) => day >= first)
  for (const [i, day] of wanted.entries()) {
    progress("days", i / wanted.length)
    const oldest = oldestOf(day)
    const all = days.filter((each) => each <= day).flatMap((each) => filesOf(parts, ORDERS, each))
    const recent = days.filter((each) => each <= day && each >= oldest).flatMap((each) => filesOf(parts, ORDERS, each))
    await keep(parts, LINES, day, [shas(eventsOf(day)), shas(all)], LINES_ORDER, () => linesSelect(parts, eventsOf(day), recent, all))
    await makeDay(parts, day)
  }
  // A day whose events have gone, with a user who was forgotten alone, has no part left over.
  for (const { part } of lake.parts(DAYS)) if (part >= first && part <= last && !byDay.has(part)) lake.publish({ dataset: DAYS, part, files: [], facts: {} })
}

/** The figures of one day from its lines and firsts. */
export const makeDay = async (parts: Parts, day: string): Promise<void> => {
  const lines = filesOf(parts, LINES, day), firsts = filesOf(parts, FIRSTS, day)
  await keep(parts, DAYS, day, [shas(lines), shas(firsts)], "dimension, key", () =>
    dayFigures(day, lines.length === 0 ? `(${EMPTY_LINES})` : parquet(parts, lines), firsts.length === 0 ? "(select cast(null as bigint) as user_no where false)" : parquet(parts, firsts)))
}

/** The files of the days' figures, from one day to another, both of them too. */
export const dayFiles = (parts: Pick<Parts, "lake">, first: string, last: string): LakeFile[] =>
  periodsBetween(first, last).flatMap((day) => parts.lake.part(DAYS, day)?.files ?? [])
