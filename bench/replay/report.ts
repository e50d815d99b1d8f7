/**
 * How a replay is printed: plain tables, money as dollars and cents.
 */
import type { Mismatch, Row } from "./prove.ts"

const MISMATCHES_SHOWN = 40

export type Column = "count" | "money"

export const money = (minor: number): string => (minor / 100).toLocaleString("en", { minimumFractionDigits: 2, maximumFractionDigits: 2 })
const shown = (value: number | string, column: Column): string => (typeof value === "string" ? value : column === "money" ? money(value) : value.toLocaleString("en"))

/** A table with its heads; numbers stand at the right. */
export const table = (title: string, heads: readonly (readonly [string, Column])[], rows: readonly Row[]): string => {
  const texts = rows.map(({ name, numbers }) => [name, ...numbers.map((value, i) => shown(value, heads[i]![1]))])
  const all = [[title, ...heads.map(([head]) => head)], ...texts]
  const widths = all[0]!.map((_, i) => Math.max(...all.map((cells) => cells[i]!.length)))
  const line = (cells: readonly string[]) => cells.map((cell, i) => (i === 0 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!))).join("  ")
  return [line(all[0]!), widths.map((width) => "─".repeat(width)).join("  "), ...all.slice(1).map(line)].join("\n")
}

/** Every mismatch as a line, up to a bound. */
export const mismatchLines = (mismatches: readonly Mismatch[]): string[] => [
  ...mismatches.slice(0, MISMATCHES_SHOWN).map(({ what, id, field, own, said, by }) => `DIFFERENT  ${what} ${id} ${field}: the replay counts ${String(own)}, ${by} says ${String(said)}`),
  ...(mismatches.length > MISMATCHES_SHOWN ? [`… and ${mismatches.length - MISMATCHES_SHOWN} more`] : []),
]
