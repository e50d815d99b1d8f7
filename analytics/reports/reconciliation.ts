/**
 * The page of a month's books: from what the budgets were debited to what the orders say, one step for each class of keys.
 *
 * A step is what the keys of its class say in orders less what they say in budgets, so that the steps together are the difference of the
 * totals, whatever the classes are; what has changed in closed months before is a step for each. Each leads to its keys, the largest breaks first.
 */
import { ADJUSTED_COLUMNS } from "../books/closed.ts"
import { quoted } from "../duck.ts"
import { periodBefore } from "../periods.ts"
import { amountOf, grouped, waterfallChart } from "./charts.ts"
import type { Section } from "./page.ts"
import { changeOf, filesOf, KEYED, type Report } from "./report.ts"

/** Keys of one class on the page; the API has all. */
const KEYS_MAX = 50
const ALLOCATION_MAX = 20
/** Classes whose keys agree, or will: they are counted, not listed. */
const AGREEING = ["matched"]

interface Answer {
  readonly totals: { readonly budget_minor: number; readonly redeemed_minor: number; readonly ordered_minor: number; readonly breaks: number; readonly break_minor: number; readonly carried_minor: number }
  readonly controls: readonly (Readonly<Record<string, number>> & { readonly budget_id: string })[]
}
interface Step { readonly class: string; readonly keys: number; readonly step_minor: number; readonly break_minor: number; readonly carried_minor: number }
interface Late { readonly of_period: string; readonly keys: number; readonly step_minor: number; readonly break_minor: number; readonly resolved_minor: number }
interface Key { readonly order_id: string; readonly coupon_id: string; readonly budget_id: string; readonly side: string | null; readonly budget_minor: number; readonly redeemed_minor: number; readonly ordered_minor: number; readonly break_minor: number; readonly age_days: number; readonly party: string | null }

const CONTROLS = ["opening_minor", "added_minor", "transferred_minor", "held_minor", "spent_minor", "released_minor", "closing_minor"] as const
const amount = (minor: number) => ({ number: amountOf(minor) })
const idOf = (name: string): string => `class-${name}`

export const reconciliationReport: Report = {
  job: "reconciliation",
  before: periodBefore,
  reads: (run) => ({ keys: { files: filesOf(run, "keys"), columns: KEYED }, adjustments: { files: filesOf(run, "adjustments"), columns: ADJUSTED_COLUMNS }, allocation: { files: filesOf(run, "allocation"), columns: KEYED } }),
  page: async (duck, { run, before, time_zone, set }) => {
    const { totals, controls } = run.answer as Answer
    const steps = await duck.all<Step>(`select class, count(*) as keys, coalesce(sum(ordered_minor - budget_minor), 0)::bigint as step_minor,
      coalesce(sum(break_minor), 0)::bigint as break_minor, coalesce(sum(carried_minor), 0)::bigint as carried_minor from keys group by 1 order by 1`)
    const open = steps.filter((step) => !AGREEING.includes(step.class))
    const late = await duck.all<Late>(`select of_period, count(*) as keys, sum(ordered_minor - budget_minor)::bigint as step_minor, sum(break_minor)::bigint as break_minor,
      sum(resolved_minor)::bigint as resolved_minor from adjustments group by of_period order by of_period`)
    const stepped = [...steps, ...late].reduce((sum, { step_minor }) => sum + step_minor, 0)
    if (totals.budget_minor + stepped !== totals.ordered_minor) throw new Error(`the steps of ${run.period} come to ${stepped}, and its totals differ by ${totals.ordered_minor - totals.budget_minor}`)
    const sections: Section[] = [{
      title: "From budgets to orders", says: "Each step is what its keys say in orders less what they say in budgets; the steps are the whole difference; beside a step stands what its keys break by, where that is another amount. Totals that agree prove nothing: look at the keys.",
      chart: waterfallChart({ name: "budgets", minor: totals.budget_minor }, [
        // A class may break between budgets and redemptions, and come to the same in orders.
        ...open.map((step) => ({ name: step.class, minor: step.step_minor, href: `#${idOf(step.class)}`, ...(step.break_minor === Math.abs(step.step_minor) ? {} : { says: step.break_minor === 0 ? `carried ${amountOf(step.carried_minor)}` : `break ${amountOf(step.break_minor)}` }) })),
        ...late.map(({ of_period, step_minor }) => ({ name: `of ${of_period}`, minor: step_minor, href: "#adjustments" })),
      ], { name: "orders", minor: totals.ordered_minor }),
      table: { columns: ["class", "keys", "step", "break", "carried"], rows: steps.map((step) => [
        AGREEING.includes(step.class) ? step.class : { text: step.class, href: `#${idOf(step.class)}` }, { number: grouped(step.keys) }, amount(step.step_minor), amount(step.break_minor), amount(step.carried_minor)]) },
    }]
    for (const step of open) {
      const keys = await duck.all<Key>(`select * from keys where class = ${quoted(step.class)} order by break_minor desc, abs(carried_minor) desc, order_id, coupon_id, budget_id limit ${KEYS_MAX}`)
      sections.push({
        id: idOf(step.class), title: step.class,
        says: `${grouped(step.keys)} ${step.keys === 1 ? "key" : "keys"}${step.keys > keys.length ? `, the ${keys.length} largest below; all of them: /v1/reconciliation/${run.period}/keys?class=${step.class}${set === "" ? "" : `&set=${encodeURIComponent(set)}`}` : ""}.`,
        table: { columns: ["order", "coupon", "budget", "party", "side", "in budget", "redeemed", "ordered", "break", "days"], rows: keys.map((key) => [
          key.order_id, key.coupon_id, key.budget_id, key.party ?? "", key.side ?? "", amount(key.budget_minor), amount(key.redeemed_minor), amount(key.ordered_minor), amount(key.break_minor), { number: grouped(key.age_days) }]) },
      })
    }
    if (late.length > 0) {
      const changed = await duck.all<Key & { of_period: string; class: string; resolved_minor: number }>(
        `select * from adjustments order by break_minor + resolved_minor desc, abs(ordered_minor) desc, of_period, order_id, coupon_id, budget_id limit ${KEYS_MAX}`)
      sections.push({
        id: "adjustments", title: "Adjustments of closed months",
        says: `What came after a month was closed: ${late.map(({ of_period, keys, break_minor, resolved_minor }) => `${grouped(keys)} keys of ${of_period}, which add breaks of ${amountOf(break_minor)} and resolve ${amountOf(resolved_minor)}`).join("; ")}. Amounts are changes.`,
        table: { columns: ["month", "order", "coupon", "budget", "is now", "in budget", "redeemed", "ordered", "break", "resolved"], rows: changed.map((key) => [
          key.of_period, key.order_id, key.coupon_id, key.budget_id, key.class, amount(key.budget_minor), amount(key.redeemed_minor), amount(key.ordered_minor), amount(key.break_minor), amount(key.resolved_minor)]) },
      })
    }
    sections.push({ title: "Control totals", says: "opening + added + transferred - held - spent + released = closing, budget by budget.",
      table: { columns: ["budget", ...CONTROLS.map((name) => name.replace("_minor", ""))], rows: controls.map((control) => [control.budget_id, ...CONTROLS.map((name) => amount(control[name]!))]) } })
    for (const { dimension } of await duck.all<{ dimension: string }>("select distinct dimension from allocation order by dimension")) {
      const rows = await duck.all<{ key: string; amount_minor: number }>(`select key, amount_minor from allocation where dimension = ${quoted(dimension)} order by abs(amount_minor) desc, key limit ${ALLOCATION_MAX}`)
      sections.push({ title: `Cost by ${dimension}`, table: { columns: [dimension, "cost"], rows: rows.map(({ key, amount_minor }) => [key === "" ? "(none)" : key, amount(amount_minor)]) } })
    }
    const was = before && (before.answer as Answer).totals.break_minor
    return {
      title: `Books of ${run.period}${set === "" ? "" : `, ${set}`}`,
      sentence: `${grouped(totals.breaks)} ${totals.breaks === 1 ? "key" : "keys"} of ${run.period} ${totals.breaks === 1 ? "does" : "do"} not agree, by ${amountOf(totals.break_minor)}, ${changeOf(totals.break_minor, was)}.`,
      facts: [`${grouped(steps.reduce((sum, { keys }) => sum + keys, 0))} keys compared`, `${amountOf(totals.carried_minor)} carried`, `revision ${run.revision}`, `business days in ${time_zone}`], sections,
    }
  },
}
