/** One page about one run: what was done, what was found, and how to do it again. */
import type { RunResult } from "./run.ts"
import { isClean } from "./run.ts"

const escaped = (text: string): string => text.replace(/[&<>"]/g, (sign) => `&#${sign.charCodeAt(0)};`)
const row = (...cells: readonly (string | number)[]): string => `<tr>${cells.map((cell) => `<td>${escaped(String(cell))}</td>`).join("")}</tr>`
const head = (...cells: readonly string[]): string => `<tr>${cells.map((cell) => `<th>${escaped(cell)}</th>`).join("")}</tr>`
const FAULT_CHARS = 4_000

/** The command that does one part again; the choices are the seed's, the instants are the machine's. */
export const againOf = ({ options: { seed, layout, minutes, kills, histories, cells, durability, only } }: RunResult): string =>
  `npm run torture -- --seed ${seed} --layout ${layout} --minutes ${minutes} --kills ${kills} --histories ${histories} --cells ${cells} --durability ${durability}${only ? ` --only ${only.join(",")}` : ""}`

/** What was done in all parts of a run together. */
export const countsOf = (results: readonly RunResult[]) => {
  const sum = (of: (result: RunResult) => number) => results.reduce((total, result) => total + of(result), 0)
  const counted = (what: string) => sum(({ checked }) => checked.reduce((total, check) => total + (check.counted[what] ?? 0), 0))
  return {
    faults: sum(({ findings, checked }) => findings.length + checked.reduce((total, { faults }) => total + faults.length, 0)),
    nemeses: sum(({ strikes }) => strikes.length), kills: sum(({ strikes }) => strikes.filter(({ isKill }) => isKill).length),
    acts: sum(({ acts }) => acts), yeses: sum(({ yeses }) => yeses), unknown: sum(({ unknown }) => unknown),
    budgets_of_500_acts: counted("budgets_of_500_acts"), coupons_of_500_acts: counted("coupons_of_500_acts"), lies: counted("lies"), lies_seen: counted("lies_seen"),
    seconds: Math.round(sum(({ took_ms }) => took_ms) / 1_000),
  }
}

/** One sentence about a run. */
export const sentenceOf = (results: readonly RunResult[]): string => {
  const { faults, nemeses, kills, acts, yeses, unknown, budgets_of_500_acts, coupons_of_500_acts, lies, lies_seen, seconds } = countsOf(results)
  return `${results.every(isClean) ? "Nothing found" : `${faults} faults found`}: ${nemeses} nemeses (${kills} kills) over ${acts} acts (${yeses} yeses, ${unknown} unknown to the end) in ${seconds} s; ` +
    `${budgets_of_500_acts + coupons_of_500_acts} histories of at least 500 acts are linearizable (${budgets_of_500_acts} of a budget, ${coupons_of_500_acts} of a coupon), and ${lies_seen} of ${lies} lies told to histories were seen.`
}

const nameOf = ({ options: { layout, cells, durability } }: RunResult): string => `${layout}, ${cells} cells, ${durability}`

/** How often each nemesis struck in each part, or why it could not. */
const tableOf = (results: readonly RunResult[]): string => {
  const names = [...new Set(results.flatMap(({ strikes, skipped }) => [...strikes, ...skipped].map(({ name }) => name)))].sort()
  const said = (result: RunResult, name: string): string | number =>
    result.skipped.find((each) => each.name === name)?.why ?? result.strikes.filter((each) => each.name === name).length
  return `<table>${head("nemesis", ...results.map(nameOf))}${names.map((name) => row(name, ...results.map((result) => said(result, name)))).join("\n")}</table>`
}

const partOf = (result: RunResult): string => `
<h2>${escaped(nameOf(result))}</h2>
<p>${escaped(sentenceOf([result]))}<br>This part again: <code>${escaped(againOf(result))}</code></p>
<table>${head("invariant", "says", "counted", "broken")}
${result.checked.map(({ name, says, counted, faults }) => row(name, says, Object.entries(counted).map(([what, n]) => `${what} ${n}`).join(", "), faults.length)).join("\n")}</table>
${result.checked.flatMap(({ name, faults }) => faults.map((fault) => `<pre class="no">${escaped(name)}: ${escaped(JSON.stringify(fault, null, 1).slice(0, FAULT_CHARS))}</pre>`)).join("\n")}
${result.findings.map((finding) => `<pre class="no">${escaped(finding.slice(0, FAULT_CHARS))}</pre>`).join("\n")}
<details><summary>What was done</summary><table>${head("ms", "nemesis", "whom")}
${result.strikes.map(({ at_ms, name, what }) => row(at_ms, name, what)).join("\n")}</table></details>`

/** The page. */
export const pageOf = (results: readonly RunResult[], again: string, machine: string): string => `<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Torture, seed ${results[0]?.options.seed ?? ""}</title>
<style>body{font:15px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem}table{border-collapse:collapse}td,th{border-bottom:1px solid #ccc;padding:.2rem .8rem .2rem 0;text-align:left;vertical-align:top}pre{white-space:pre-wrap}.no{color:#b00020}</style>
<h1>${escaped(sentenceOf(results))}</h1>
<p>Again: <code>${escaped(again)}</code><br>${escaped(machine)}</p>
${tableOf(results)}
${results.map(partOf).join("\n")}
</html>
`
