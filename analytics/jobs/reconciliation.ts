/**
 * `reconciliation`, monthly and on demand: what budgets were debited, what was redeemed and refunded, and what the order feed says was
 * discounted, key by key. With `--set` the three are somebody else's books (feed `books`, and `orders` of the same set).
 *
 * What must stay true: every key has one class, the first that holds; what the keys leave open explains the difference of the totals to the
 * cent, or the run fails; so does a budget whose opening, movements and closing do not meet. Nothing depends on today: an age counts to the
 * period's end. What has changed in a closed month before is an adjustment here (analytics/books/closed.ts).
 */
import { readFileSync } from "node:fs"
import { join } from "node:path"
import type { Sql } from "postgres"
import { ADJUSTED_COLUMNS, type Adjusted, bookedFiles, closedBefore, closedSpan, type ClosedMonth, type Control, inSchema, lastSeen, onClosed, seenOf } from "../books/closed.ts"
import { type Duck, quoted } from "../duck.ts"
import { EVENT_COLUMNS, eventFiles, EVENTS, extractEvents } from "../extract.ts"
import { datasetOf, type Feed, lakeColumns } from "../feeds.ts"
import type { Check, Finished, Input, Job, JobParts } from "../job.ts"
import { type Period, periodAt, periodSpan } from "../periods.ts"
import { isClosed } from "../tables.ts"

/** How far from its redemption an order may be booked on the other side of the period's edge, unless told; and at most, for what may have become another. */
const TIMING_DAYS = 3, TIMING_DAYS_MAX = 28
const DAY_MS = 86_400_000
/** How long before its confirm or refund a redemption may have been reserved: as long as its id is known, and some more. */
const RESERVED_DAYS = 100
const HOURS_MAX_S = 2 * 3_600
const BOOKS = join(import.meta.dir, "..", "books")

/** What a set is made of. */
const SET_FEEDS = ["books", "orders"] as const
const CLASSES = ["timing", "reversed_but_order_kept", "duplicate_redemption", "orphan_order_discount", "budget_only", "missing_in_orders", "missing_in_budget", "amount_mismatch", "matched"] as const

const sqlOf = (name: string, period: Period, timing_days: number): string =>
  readFileSync(join(import.meta.dir, name), "utf8").replaceAll("$opens_ms", String(period.opens_ms)).replaceAll("$closes_ms", String(period.closes_ms)).replaceAll("$timing_ms", String(timing_days * DAY_MS))

/** The keys did not come to where the API reads them. */
class KeysNotStaged extends Error { override readonly name = "KeysNotStaged" }

interface Budget { readonly budget_no: number; readonly budget_id: string; readonly line: string; readonly party: string }
interface Rules {
  readonly budgets: readonly Budget[]; readonly controls: readonly Control[]; readonly timing_days: number; readonly is_over: boolean; readonly time_zone: string
  readonly adjusted: readonly Adjusted[]
}

/**
 * The control totals of every budget that had money or moved some in a period. Flows are sums of the ledger; the closing comes from the
 * cells' running sums less what the ledger says came later, so that the two sides are counted on different ways.
 */
export const controlsOf = (sql: Sql, { opens_ms, closes_ms }: Period): Promise<Control[]> => {
  // Money that a close took out to be carried over, and money that came so.
  const carried = sql`(coalesce(ref, '') like 'carry:%' or act = 'closed' and carry_to is not null)`
  return sql.begin("isolation level repeatable read read only", async (tx) => [...await tx<Control[]>`
    with flows as (
      select budget_no,
        coalesce(sum(limit_minor - held_minor - spent_minor) filter (where at_ms < ${opens_ms}), 0) as opening_minor,
        coalesce(sum(limit_minor) filter (where at_ms >= ${opens_ms} and at_ms < ${closes_ms} and not ${carried}), 0) as added_minor,
        coalesce(sum(limit_minor) filter (where at_ms >= ${opens_ms} and at_ms < ${closes_ms} and ${carried}), 0) as transferred_minor,
        coalesce(sum(greatest(held_minor, 0)) filter (where at_ms >= ${opens_ms} and at_ms < ${closes_ms}), 0) as held_minor,
        coalesce(sum(greatest(spent_minor, 0)) filter (where at_ms >= ${opens_ms} and at_ms < ${closes_ms}), 0) as spent_minor,
        coalesce(sum(greatest(-held_minor, 0) + greatest(-spent_minor, 0)) filter (where at_ms >= ${opens_ms} and at_ms < ${closes_ms}), 0) as released_minor,
        coalesce(sum(limit_minor - held_minor - spent_minor) filter (where at_ms >= ${closes_ms}), 0) as later_minor
      from budget_entries join (select budget_no, carry_to from budgets) as policies using (budget_no) group by budget_no
    ), now as (
      select budget_no, sum(limit_minor - held_minor - spent_minor) as available_minor from cell_budgets group by budget_no
    )
    select b.budget_id, f.opening_minor::bigint, f.added_minor::bigint, f.transferred_minor::bigint, f.held_minor::bigint, f.spent_minor::bigint, f.released_minor::bigint,
      (n.available_minor - f.later_minor)::bigint as closing_minor
    from flows f join now n using (budget_no) join budgets b using (budget_no)
    where f.opening_minor <> 0 or f.added_minor <> 0 or f.transferred_minor <> 0 or f.held_minor <> 0 or f.spent_minor <> 0 or f.released_minor <> 0
    order by b.budget_id`])
}

const rulesOf = async ({ sql, period, set, time_zone, timing_days = TIMING_DAYS }: JobParts, months: readonly ClosedMonth[], adjusted: readonly Adjusted[]): Promise<Rules> => ({
  budgets: [...await sql<Budget[]>`select budget_no, budget_id, line, party from budgets where month <= ${period.period} order by budget_no`],
  controls: set === "" ? await onClosed(await controlsOf(sql, period), months, (closed) => controlsOf(sql, periodSpan(closed, time_zone))) : [],
  timing_days, is_over: await isClosed(sql, period.closes_ms), time_zone, adjusted,
})

type FileParts = Pick<JobParts, "lake" | "set" | "period" | "time_zone" | "timing_days">

const feedInput = ({ lake, set, period, time_zone, timing_days = TIMING_DAYS }: FileParts, feed: Feed): Input => {
  const from = periodAt(period.opens_ms - timing_days * DAY_MS, "day", time_zone), to = periodAt(period.closes_ms + timing_days * DAY_MS, "day", time_zone)
  const files = lake.parts(datasetOf(feed, set)).flatMap((part) => part.files).filter(({ day }) => day !== undefined && day >= from && day <= to)
  return { files: files.toSorted((a, b) => a.path < b.path ? -1 : 1), columns: lakeColumns(feed) }
}

const eventInput = (parts: FileParts): Input => {
  const from = periodAt(parts.period.opens_ms - RESERVED_DAYS * DAY_MS, "day", parts.time_zone), to = periodAt(parts.period.closes_ms - 1, "day", parts.time_zone)
  return { files: eventFiles(parts, (day) => day >= from && day <= to), columns: EVENT_COLUMNS }
}

/** The closed months before that have other files than when they were seen last, the earliest first, with their files and what is booked of them. */
const adjustedInputs = (parts: JobParts, months: readonly ClosedMonth[]): { adjusted: Adjusted[]; inputs: Record<string, Input> } => {
  const adjusted: Adjusted[] = [], inputs: Record<string, Input> = {}
  for (const { period } of months.toReversed()) {
    const of = { ...parts, period: periodSpan(period, parts.time_zone) }
    const own = { orders: feedInput(of, "orders"), events: eventInput(of) }
    const seen = seenOf({ orders: own.orders.files, events: own.events.files })
    if (seen === lastSeen(months, period)) continue
    const booked = bookedFiles(months, period), schema = `closed_${adjusted.length}`
    adjusted.push({ period, seen })
    for (const [name, input] of Object.entries({ ...own, booked_keys: booked.keys, booked_adjustments: booked.adjustments })) inputs[`${schema}_${name}`] = input
  }
  return { adjusted, inputs }
}

/** All sources as entries: one row for each thing that a source says of a key. */
const showEntries = async (duck: Duck, set: string, period: Period, timing_days: number): Promise<void> => {
  const orders = `select 'order' as source, order_id, coalesce(coupon_id, '') as coupon_id, coalesce(budget_id, '') as budget_id,
    case when state = 'placed' then discount_minor else -discount_minor end as amount_minor, at_ms from orders where discount_minor <> 0`
  if (set === "") {
    await duck.run(sqlOf("reconciliation_facts.sql", period, timing_days))
    await duck.run(`create view entries as select * from own_entries union all ${orders}`)
    return
  }
  await duck.run(`create view entries as
    select source, order_id, coalesce(coupon_id, '') as coupon_id, coalesce(budget_id, '') as budget_id, amount_minor, at_ms from books union all ${orders}`)
  await duck.run(`create view set_redeemed as select coalesce(budget_id, '') as budget_id, amount_minor from entries where source = 'redemption' and at_ms >= ${period.opens_ms} and at_ms < ${period.closes_ms}`)
  await duck.run(`create view own_allocation as select 'budget' as dimension, budget_id as key, amount_minor from set_redeemed
    union all select 'line', coalesce(b.line, ''), r.amount_minor from set_redeemed r left join budgets b on b.budget_id = r.budget_id`)
}

interface Adjustment {
  readonly period: string; readonly class: string; readonly keys: number; readonly breaks: number; readonly budget_minor: number; readonly redeemed_minor: number; readonly ordered_minor: number
  readonly break_minor: number; readonly resolved_minor: number; readonly carried_minor: number
}

/** What a closed month is computed from, in its schema. */
const ADJUSTED_FROM = ["orders", "events", "booked_keys", "booked_adjustments"]

/** Compute closed months again, and keep what differs from what is booked of them in `adjusted`. */
const adjust = async (duck: Duck, until: Period, { adjusted, time_zone, timing_days }: Rules): Promise<Check[]> => {
  const checks: Check[] = []
  await duck.run(`create table adjusted (${Object.entries(ADJUSTED_COLUMNS).map(([name, type]) => `${name} ${type}`).join(", ")})`)
  for (const [i, { period }] of adjusted.entries()) {
    const month = periodSpan(period, time_zone), schema = `closed_${i}`
    await inSchema(duck, schema, async () => {
      for (const name of ADJUSTED_FROM) await duck.run(`create view ${schema}.${name} as select * from main.${schema}_${name}`)
      await showEntries(duck, "", month, timing_days)
      await duck.run(sqlOf("reconciliation.sql", month, timing_days))
      await duck.run(readFileSync(join(BOOKS, "adjustments.sql"), "utf8").replaceAll("$of_period", period).replaceAll("$until_ms", String(until.closes_ms)))
      // Straight from the sources, and from what is booked.
      const totals = await duck.one<{ from_sources: string; from_keys: string }>(`select
        (select coalesce(sum(amount_minor), 0) from entries where at_ms >= ${month.opens_ms} and at_ms < ${month.closes_ms})::varchar as from_sources,
        ((select coalesce(sum(b + r + o), 0) from booked) + (select coalesce(sum(budget_minor + redeemed_minor + ordered_minor), 0) from main.adjusted where of_period = ${quoted(period)}))::varchar as from_keys`)
      checks.push({ name: `what is booked of ${period} and its adjustments are what its sources say`, left: totals.from_keys, right: totals.from_sources })
    })
  }
  return checks
}

interface Totals { budget_minor: number; redeemed_minor: number; ordered_minor: number }

/** What a foreign set says of its budgets: it has no ledger of holds and limits, so what was spent is all that moves. */
const setControls = async (duck: Duck): Promise<Control[]> =>
  (await duck.all<{ budget_id: string; spent_minor: number }>("select budget_id, sum(b)::bigint as spent_minor from sums where budget_id <> '' group by budget_id order by budget_id"))
    .map(({ budget_id, spent_minor }) => ({ budget_id, opening_minor: 0, added_minor: 0, transferred_minor: 0, held_minor: 0, spent_minor, released_minor: 0, closing_minor: -spent_minor }))

export const reconciliation: Job = {
  name: "reconciliation",
  period: "month",
  has_sets: true,
  sources: [import.meta.path, join(import.meta.dir, "reconciliation.sql"), join(import.meta.dir, "reconciliation_facts.sql"), join(BOOKS, "closed.ts"), join(BOOKS, "adjustments.sql")],
  timeout_s: HOURS_MAX_S,
  schedule: { kind: "month", periods_max: 12 },
  reads: async ({ sql, period, set, time_zone }) => {
    const closed = set === "" ? await closedSpan(sql, period.period) : undefined
    const opens_ms = closed ? periodSpan(closed.first, time_zone).opens_ms : period.opens_ms
    const [from, to] = [periodAt(opens_ms - TIMING_DAYS_MAX * DAY_MS, "day", time_zone), periodAt(period.closes_ms + TIMING_DAYS_MAX * DAY_MS, "day", time_zone)]
    const own = set === "" ? { dataset: EVENTS, from: periodAt(opens_ms - RESERVED_DAYS * DAY_MS, "day", time_zone), to: periodAt(period.closes_ms - 1, "day", time_zone) } : { dataset: datasetOf("books", set), from, to }
    return { days: [{ dataset: datasetOf("orders", set), from, to }, own], ...(closed ? { changed_ms: closed.closed_ms } : {}) }
  },
  prepare: async (parts) => { if (parts.set === "") await extractEvents(parts) },
  inputs: async (parts) => {
    const months = parts.set === "" ? await closedBefore(parts.sql, parts.period.period) : []
    const { adjusted, inputs } = adjustedInputs(parts, months)
    const isUnknown = parts.set !== "" && SET_FEEDS.every((feed) => parts.lake.parts(datasetOf(feed, parts.set)).length === 0)
    return {
      ...(isUnknown ? { missing: { reason: "set_unknown", detail: `Nothing was imported as the set ${parts.set}: npm run import -- books FILE --set ${parts.set}` } } : {}),
      inputs: {
        orders: feedInput(parts, "orders"),
        ...(parts.set === "" ? { events: eventInput(parts) } : { books: feedInput(parts, "books") }),
        ...inputs,
      },
      rules: await rulesOf(parts, months, adjusted),
    }
  },

  run: async ({ duck, period, set, rules, write, progress }) => {
    const { budgets, controls: own, is_over, time_zone, adjusted, timing_days } = rules as Rules
    await duck.table("budgets", { budget_no: "INTEGER", budget_id: "VARCHAR", line: "VARCHAR", party: "VARCHAR" }, budgets as unknown as readonly Record<string, string | number>[])
    await showEntries(duck, set, period, timing_days)
    progress("classifying")
    await duck.run(sqlOf("reconciliation.sql", period, timing_days))
    const keys = await write({
      name: "keys", key: ["order_id", "coupon_id", "budget_id"], sums: ["budget_minor", "redeemed_minor", "ordered_minor", "break_minor", "carried_minor"],
      select: "select c.*, b.party from classified c left join budgets b on b.budget_id = c.budget_id",
    })
    const allocation = await duck.all<{ dimension: string; key: string; amount_minor: number }>(
      "select dimension, key, sum(amount_minor)::bigint as amount_minor from own_allocation group by dimension, key order by dimension, key")
    await write({ name: "allocation", key: ["dimension", "key"], sums: ["amount_minor"], select: "select dimension, key, sum(amount_minor)::bigint as amount_minor from own_allocation group by dimension, key" })

    progress("adjusting closed months")
    const adjusting = await adjust(duck, period, rules as Rules)
    if (adjusted.length > 0) {
      await write({
        name: "adjustments", key: ["of_period", "order_id", "coupon_id", "budget_id"], sums: ["budget_minor", "redeemed_minor", "ordered_minor", "break_minor", "resolved_minor", "carried_minor"],
        select: "select a.*, b.party from adjusted a left join budgets b on b.budget_id = a.budget_id",
      })
    }
    const adjustments = await duck.all<Adjustment>(`select of_period as period, class, count(*) as keys, sum(budget_minor)::bigint as budget_minor, sum(redeemed_minor)::bigint as redeemed_minor, sum(ordered_minor)::bigint as ordered_minor,
      sum(break_minor)::bigint as break_minor, sum(resolved_minor)::bigint as resolved_minor, sum(carried_minor)::bigint as carried_minor, count(*) filter (where break_minor > 0) as breaks from adjusted group by class, of_period order by of_period, class`)
    const changed = (name: Exclude<keyof Adjustment, "period" | "class">, among = adjustments) => among.reduce((sum, each) => sum + each[name], 0)

    const within = `at_ms >= ${period.opens_ms} and at_ms < ${period.closes_ms}`
    // Straight from the sources, and not from the keys that they must explain.
    const totals = await duck.one<Totals>(`select coalesce(sum(amount_minor) filter (where source = 'budget'), 0)::bigint as budget_minor,
      coalesce(sum(amount_minor) filter (where source = 'redemption'), 0)::bigint as redeemed_minor, coalesce(sum(amount_minor) filter (where source = 'order'), 0)::bigint as ordered_minor from entries where ${within}`)
    const classes = await duck.all<{ class: string; keys: number; break_minor: number; carried_minor: number }>(
      "select class, count(*) as keys, sum(break_minor)::bigint as break_minor, sum(carried_minor)::bigint as carried_minor from classified group by class")
    const explained = await duck.one<{ budget: string; order: string }>(`select coalesce(sum(b - r), 0)::varchar as budget, coalesce(sum(r - o), 0)::varchar as "order" from sums`)
    const broken = classes.filter((each) => each.class !== "matched" && each.class !== "timing")
    const breaks = broken.reduce((sum, each) => sum + each.keys, 0) + changed("breaks"), break_minor = broken.reduce((sum, each) => sum + each.break_minor, 0) + changed("break_minor")
    const carried_minor = classes.reduce((sum, each) => sum + each.carried_minor, 0) + changed("carried_minor")
    const controls = set === "" ? own : await setControls(duck)
    const checks: Check[] = [
      { name: "what the keys leave open between budget and redemption is the difference of the totals", left: explained.budget, right: String(totals.budget_minor - totals.redeemed_minor) },
      { name: "what the keys leave open between redemption and order is the difference of the totals", left: explained.order, right: String(totals.redeemed_minor - totals.ordered_minor) },
      ...["budget_minor", "redeemed_minor", "ordered_minor"].map((name) => ({ name: `the keys' ${name}`, left: keys.sums![name]!, right: String(totals[name as keyof Totals]) })),
      ...[...new Set(allocation.map(({ dimension }) => dimension))].map((dimension) => ({
        name: `the allocation by ${dimension}`, left: String(allocation.filter((each) => each.dimension === dimension).reduce((sum, each) => sum + each.amount_minor, 0)), right: String(totals.redeemed_minor),
      })),
      ...controls.map((control) => ({
        name: `the control of ${control.budget_id}`,
        left: String(control.opening_minor + control.added_minor + control.transferred_minor - control.held_minor - control.spent_minor + control.released_minor), right: String(control.closing_minor),
      })),
      ...adjusting,
    ]
    return {
      checks,
      answer: {
        totals: {
          budget_minor: totals.budget_minor + changed("budget_minor"), redeemed_minor: totals.redeemed_minor + changed("redeemed_minor"), ordered_minor: totals.ordered_minor + changed("ordered_minor"),
          breaks, break_minor, carried_minor,
        },
        classes: CLASSES.map((name) => {
          const found = classes.find((each) => each.class === name), late = adjustments.filter((each) => each.class === name)
          return { class: name, keys: (found?.keys ?? 0) + changed("keys", late), break_minor: (found?.break_minor ?? 0) + changed("break_minor", late) }
        }),
        controls, allocation, time_zone, is_over, adjustments: adjustments.map(({ breaks: _, ...each }) => each),
      },
      report: `${breaks} of ${keys.rows + changed("keys")} keys do not agree, by ${break_minor} minor units; ${carried_minor} are carried.${
        adjustments.length === 0 ? "" : ` ${changed("keys")} of them are adjustments of closed months, which add ${changed("break_minor")} and resolve ${changed("resolved_minor")}.`}`,
    }
  },

  stage: async ({ sql, lake, duck, run_id, outputs, progress }: Finished) => {
    const files = outputs.filter(({ name }) => name === "keys" || name === "adjustments"), total = files.reduce((sum, { rows }) => sum + rows, 0)
    await sql`delete from reconciliation_keys where run_id = ${run_id}`
    let done = 0
    const copy = await sql`copy reconciliation_keys (run_id, order_id, coupon_id, budget_id, class, side, budget_minor, redeemed_minor, ordered_minor, break_minor, carried_minor, age_days, party, of_period, resolved_minor) from stdin`.writable()
    // The stream may tell of a no that Postgres has for what stood before the end, or end first: so what has landed is counted.
    let refused: KeysNotStaged | undefined
    copy.on("error", ({ message }: Error) => { refused = new KeysNotStaged(`Postgres has taken 0 of ${total} keys: ${message}`) })
    for (const file of files) {
      await duck.each<Record<string, string | number | null>>(`select * from read_parquet(${quoted(lake.place(file))})`, async (rows) => {
        const text = rows.map((row) => [run_id, row["order_id"], row["coupon_id"], row["budget_id"], row["class"], row["side"], row["budget_minor"], row["redeemed_minor"], row["ordered_minor"],
          row["break_minor"], row["carried_minor"], row["age_days"], row["party"], row["of_period"] ?? "", row["resolved_minor"] ?? 0].map(copied).join("\t")).join("\n")
        if (refused) throw refused
        if (!copy.write(`${text}\n`)) {
          await new Promise<void>((next) => {
            const go = (): void => { copy.off("drain", go); copy.off("close", go); next() }
            copy.on("drain", go)
            copy.on("close", go)
          })
        }
        done += rows.length
        progress("staging", done / total)
      })
    }
    await new Promise<void>((ended) => { copy.end(() => ended()) })
    if (refused) throw refused
    const [landed] = await sql<{ keys: number }[]>`select count(*)::integer as keys from reconciliation_keys where run_id = ${run_id}`
    if (landed?.keys !== total) throw new KeysNotStaged(`Postgres has taken ${landed?.keys ?? 0} of ${total} keys`)
  },
}

/** A value as Postgres' COPY reads it. */
const copied = (value: string | number | null | undefined): string =>
  value === null || value === undefined ? "\\N" : String(value).replace(/[\\\t\n\r]/g, (character) => ({ "\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r" })[character]!)
