/**
 * A report as one page that loads nothing: a sentence with the number and its change, charts, and the tables behind them.
 */
import type { Chart } from "./charts.ts"

const escaped = (text: string): string => text.replace(/[&<>"]/g, (sign) => `&#${sign.charCodeAt(0)};`)

const STYLE = `
body{font:15px/1.55 system-ui,sans-serif;color:#222;background:#fff;max-width:58rem;margin:2rem auto;padding:0 1.2rem}
h1{font-size:1.5rem;line-height:1.3;margin:0 0 .3rem}h2{font-size:1.1rem;margin:2.2rem 0 .5rem}.soft{color:#595959;font-size:13px}
figure{margin:1rem 0}figcaption{color:#595959;font-size:13px}table{border-collapse:collapse;width:100%;font-size:13.5px;font-variant-numeric:tabular-nums}
th,td{padding:.25rem .8rem .25rem 0;border-bottom:1px solid #ddd;text-align:left;vertical-align:top}td.long{overflow-wrap:anywhere;min-width:9rem}
th:last-child,td:last-child{padding-right:0}td.number,th.number{text-align:right}td.number{white-space:nowrap}a{color:#0072B2}section{overflow-x:auto}
@page{margin:14mm}
@media print{section{overflow:visible}body{margin:0;max-width:none;padding:0;font-size:10pt}table{font-size:8pt}th,td{padding-right:.4rem}td.long{min-width:5rem}a{color:inherit;text-decoration:none}h2,thead{break-after:avoid}figure,tr{break-inside:avoid}*{print-color-adjust:exact}}`

/** A cell of a table: text, a number as it is to be read, or a link. */
export type Cell = string | { readonly number: string } | { readonly text: string; readonly href: string }
export interface Table { readonly columns: readonly string[]; readonly rows: readonly (readonly Cell[])[] }
export interface Section { /** Where a link to it leads. */ readonly id?: string; readonly title: string; readonly says?: string; readonly chart?: Chart; readonly caption?: string; readonly table?: Table }
export interface Page { readonly title: string; readonly sentence: string; readonly facts: readonly string[]; readonly sections: readonly Section[] }

/** Text in which no number is torn apart at the end of a line. */
const said = (text: string): string => escaped(text).replace(/(?<=\d) (?=\d{3}(?!\d)|%)/g, "&#160;")

/** A word that no line of a table holds may be broken anywhere; any other stays whole. */
const LONG = /\S{25}/

const cell = (value: Cell): string =>
  typeof value === "string" ? `<td${LONG.test(value) ? ' class="long"' : ""}>${escaped(value)}</td>`
  : "number" in value ? `<td class="number">${escaped(value.number)}</td>`
  : `<td><a href="${escaped(value.href)}">${escaped(value.text)}</a></td>`

const table = ({ columns, rows }: Table): string => {
  const isNumber = (i: number) => rows.some((row) => typeof row[i] === "object" && "number" in (row[i] as object))
  return `<table><thead><tr>${columns.map((name, i) => `<th${isNumber(i) ? ' class="number"' : ""} scope="col">${escaped(name)}</th>`).join("")}</tr></thead><tbody>
${rows.map((row) => `<tr>${row.map(cell).join("")}</tr>`).join("\n")}</tbody></table>`
}

const section = ({ id, title, says, chart, caption, table: rows }: Section): string => `<section${id === undefined ? "" : ` id="${escaped(id)}"`}><h2>${escaped(title)}</h2>
${says === undefined ? "" : `<p>${said(says)}</p>`}
${chart === undefined ? "" : `<figure>${chart.svg}${[caption, chart.note].some((text) => text !== undefined) ? `<figcaption>${said([caption, chart.note].filter((text) => text !== undefined).join(" "))}</figcaption>` : ""}</figure>`}
${rows === undefined ? "" : table(rows)}</section>`

/** The page as HTML. */
export const pageHtml = ({ title, sentence, facts, sections }: Page): string => `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1"><title>${escaped(title)}</title><style>${STYLE}</style></head>
<body><h1>${escaped(sentence)}</h1><p class="soft">${facts.map(said).join(" · ")}</p>
${sections.map(section).join("\n")}
</body></html>
`

/** The page that lists all reports, the newest first. */
export const indexHtml = (reports: readonly { readonly title: string; readonly sentence: string; readonly file: string }[]): string =>
  pageHtml({ title: "Reports", sentence: reports[0]?.sentence ?? "There is no report yet.", facts: [`${reports.length} reports`], sections: [{
    title: "Reports", table: { columns: ["report", "in a sentence"], rows: reports.map(({ title, sentence, file }) => [{ text: title, href: file }, sentence]) },
  }] })
