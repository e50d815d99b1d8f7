/** One page about one run: what was done, what was found, and how to do it again. */
import type { RunResult } from "./run.ts"
import { isClean } from "./run.ts"

const escaped = (text: string): string => text.replace(/[&<>"]/g, (sign) => `&#${sign.charCodeAt(0)};`)
const row = (...cells: readonly (string | number)[]): string => `<tr>${cells.map((cell) => `<td>${escaped(String(cell))}</td>`).join("")}</tr>`
const FAULT_CHARS = 4_000

/** The command that does the same again; the choices are the seed's, the instants are the machine's. */
export const againOf = ({ options: { seed, layout, minutes, kills, cells, durability, only } }: RunResult): string =>
  `npm run torture -- --seed ${seed} --layout ${layout} --minutes ${minutes} --kills ${kills} --cells ${cells} --durability ${durability}${only ? ` --only ${only.join(",")}` : ""}`

/** One sentence about a run. */
export const sentenceOf = (result: RunResult): string => {
  const { acts, yeses, unknown, strikes, took_ms } = result
  const faults = result.findings.length + result.checked.reduce((sum, check) => sum + check.faults.length, 0)
  return `${isClean(result) ? "Nothing found" : `${faults} faults found`}: ${strikes.length} nemeses (${strikes.filter(({ isKill }) => isKill).length} kills) over ${acts} acts (${yeses} yeses, ${unknown} unknown to the end) in ${Math.round(took_ms / 1_000)} s.`
}

/** The page. */
export const pageOf = (result: RunResult, machine: string): string => {
  const times = new Map<string, number>()
  for (const { name } of result.strikes) times.set(name, (times.get(name) ?? 0) + 1)
  return `<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Torture, seed ${result.options.seed}</title>
<style>body{font:15px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem}table{border-collapse:collapse}td,th{border-bottom:1px solid #ccc;padding:.2rem .8rem .2rem 0;text-align:left;vertical-align:top}pre{white-space:pre-wrap}.no{color:#b00020}</style>
<h1>${escaped(sentenceOf(result))}</h1>
<p>Again: <code>${escaped(againOf(result))}</code><br>${escaped(machine)}</p>
<h2>What must be true</h2>
<table><tr><th>invariant</th><th>says</th><th>counted</th><th>broken</th></tr>
${result.checked.map(({ name, says, counted, faults }) => row(name, says, Object.entries(counted).map(([what, n]) => `${what} ${n}`).join(", "), faults.length)).join("\n")}</table>
${result.checked.flatMap(({ name, faults }) => faults.map((fault) => `<pre class="no">${escaped(name)}: ${escaped(JSON.stringify(fault, null, 1).slice(0, FAULT_CHARS))}</pre>`)).join("\n")}
${result.findings.map((finding) => `<pre class="no">${escaped(finding.slice(0, FAULT_CHARS))}</pre>`).join("\n")}
<h2>What was done</h2>
<table><tr><th>nemesis</th><th>times</th></tr>${[...times].sort().map(([name, n]) => row(name, n)).join("\n")}${result.skipped.map(({ name, why }) => row(name, `not here: ${why}`)).join("\n")}</table>
<table><tr><th>ms</th><th>nemesis</th><th>whom</th></tr>
${result.strikes.map(({ at_ms, name, what }) => row(at_ms, name, what)).join("\n")}</table>
</html>
`
}
