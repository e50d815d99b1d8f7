/**
 * How a run is shown: a table of all contestants beside each other, the figures with what they must reach, and what was proved.
 */
import { appendFileSync, existsSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { type Machine, machineLine } from "./machine.ts"
import { type Figure, isProved, isReached, type Proof, type Result, type Row } from "./result.ts"

const RESULTS = join(import.meta.dir, "results.md")
const README = join(import.meta.dir, "..", "README.md")

const grouped = (value: number, digits: number): string => value.toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits }).replaceAll(",", " ")
/** A number with the digits that mean something. */
export const shown = (value: number): string => Number.isNaN(value) ? "–" : grouped(value, Math.abs(value) >= 100 || Number.isInteger(value) ? 0 : Math.abs(value) >= 10 ? 1 : 2)

const COLUMNS: readonly [title: string, value: (row: Row) => string][] = [
  ["act", (row) => row.act], ["who", (row) => row.who], ["acts/s", (row) => grouped(row.acts_per_s, 0)],
  ["p50 ms", (row) => shown(row.p50_ms)], ["p99 ms", (row) => shown(row.p99_ms)],
  ["API µs", (row) => shown(row.api_us)], ["Redis µs", (row) => shown(row.redis_us)], ["Postgres µs", (row) => shown(row.postgres_us)],
  ["answer B", (row) => grouped(row.answer_bytes, 0)],
  ["of HTTP", (row) => row.of_http === undefined ? "" : shown(row.of_http)], ["of one act", (row) => row.of_act === undefined ? "" : shown(row.of_act)],
]

const cells = (rows: readonly Row[]): string[][] => [COLUMNS.map(([title]) => title), ...rows.map((row) => COLUMNS.map(([, value]) => value(row)))]

/** Rows as a table for a terminal: words to the left, numbers to the right. */
export const tableOf = (rows: readonly Row[]): string => {
  if (rows.length === 0) return ""
  const lines = cells(rows)
  const widths = COLUMNS.map((_, column) => Math.max(...lines.map((line) => line[column]!.length)))
  return lines.map((line) => line.map((cell, column) => column < 2 ? cell.padEnd(widths[column]!) : cell.padStart(widths[column]!)).join("  ")).join("\n")
}

/** One figure, with what it must reach. */
export const figureLine = (figure: Figure): string => {
  const { name, value, unit, wanted } = figure
  const verdict = wanted ? `   ${isReached(figure) ? "reached" : "NOT REACHED"}: at ${wanted.at} ${shown(wanted.value)}` : ""
  return `${name}: ${shown(value)} ${unit}${verdict}`
}

const proofLine = ({ name, wanted, found }: Proof): string => `WRONG  ${name}: ${found} instead of ${wanted}`

/** A whole run for a terminal. */
export const textOf = (machine: Machine, results: readonly Result[]): string => {
  const proofs = results.flatMap((result) => result.proofs)
  const wrong = proofs.filter((proof) => !isProved(proof))
  return [
    "", machineLine(machine), "", tableOf(results.flatMap(({ rows }) => rows)), "",
    ...results.flatMap(({ figures }) => figures.map(figureLine)), "",
    ...wrong.map(proofLine), `${proofs.length - wrong.length} of ${proofs.length} counts are right: nothing over-issued, over-spent, lost or doubled${wrong.length > 0 ? ", but for the ones above" : ""}.`,
  ].join("\n")
}

const HEAD = `# Results of the bench

Each run was appended by \`npm run bench -- --keep\`; the newest stands last. API, Redis, Postgres and the driver share the machine, so the
absolute numbers are of that machine and its other load; the ratios are of contestants that took turns within one run.
`

/** Append a run to the kept ones. */
export const keep = (machine: Machine, results: readonly Result[], isQuick: boolean): void => {
  if (!existsSync(RESULTS)) writeFileSync(RESULTS, HEAD)
  const [titles, ...rows] = cells(results.flatMap((result) => result.rows))
  const markdown = (line: readonly string[]): string => `| ${line.join(" | ")} |`
  const figures = results.flatMap((result) => result.figures)
  appendFileSync(RESULTS, [
    "", `## ${machineLine(machine)}${isQuick ? " (quick)" : ""}`, "",
    markdown(titles!), markdown(titles!.map((_, column) => column < 2 ? "---" : "---:")), ...rows.map(markdown), "",
    ...figures.map((figure) => `- ${figureLine(figure)}`), "",
  ].join("\n"))
}

const BEGIN = "<!-- bench -->", END = "<!-- /bench -->"
/** What README shows of an act: all but what only the floors are compared by. */
const SHOWN: readonly string[] = ["act", "acts/s", "p50 ms", "p99 ms", "API µs", "Redis µs", "of one act"]

/** A run as README shows it: Scrip's own acts, and the figures that must reach something. */
export const readmeOf = (machine: Machine, results: readonly Result[]): string => {
  const columns = COLUMNS.filter(([title]) => SHOWN.includes(title))
  const line = (values: readonly string[]): string => `| ${values.join(" | ")} |`
  const rows = results.flatMap((result) => result.rows).filter(({ who }) => who === "Scrip")
  const figures = results.flatMap((result) => result.figures).flatMap((figure) => figure.wanted ? [{ ...figure, wanted: figure.wanted }] : [])
  return [
    `Measured ${machineLine(machine)}.`,
    "API, worker, Redis, Postgres and the callers share the processors, so rates are of that machine and its load; what the API took is what its process and its worker's took; ratios are of contestants",
    "that took turns within one run.", "",
    line(columns.map(([title]) => title)), line(columns.map((_, place) => place === 0 ? "---" : "---:")), ...rows.map((row) => line(columns.map(([, value]) => value(row)))), "",
    line(["what", "measured", "to reach"]), line(["---", "---:", "---"]),
    ...figures.map((figure) => line([
      figure.name, `${shown(figure.value)} ${figure.unit}`.trim(), `at ${figure.wanted.at} ${shown(figure.wanted.value)}, ${isReached(figure) ? "reached" : "not reached"}`,
    ])),
  ].join("\n")
}

/** Put a run in the place of the one that README shows. Throws where its marks are not there. */
export const showInReadme = (machine: Machine, results: readonly Result[]): void => {
  const text = readFileSync(README, "utf8")
  const from = text.indexOf(BEGIN), to = text.indexOf(END)
  if (from < 0 || to < from) throw new Error(`README has no ${BEGIN} before an ${END}`)
  writeFileSync(README, `${text.slice(0, from + BEGIN.length)}\n${readmeOf(machine, results)}\n${text.slice(to)}`)
}
