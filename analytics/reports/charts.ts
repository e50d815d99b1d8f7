/**
 * Charts as inline SVG, drawn without a browser by ECharts.
 *
 * What must stay true: the same numbers give the same bytes, so ids that the library counts through the process are counted anew in each
 * chart. Whoever cannot see a chart hears its numbers: each has an alternative text. The colours are those of Okabe and Ito, which people
 * with any common colour blindness tell apart ("Color Universal Design", 2008).
 */
import { createHash } from "node:crypto"
import { BarChart, LineChart, SankeyChart, ScatterChart } from "echarts/charts"
import { GridComponent } from "echarts/components"
import { type EChartsCoreOption, init, use } from "echarts/core"
import { SVGRenderer } from "echarts/renderers"

use([BarChart, LineChart, ScatterChart, SankeyChart, GridComponent, SVGRenderer])

const WIDTH = 880
const ROW = 26
/** About what a sign of FONT takes, for the room that names need. */
const SIGN = 6.8
export const COLOURS = { blue: "#0072B2", sky: "#56B4E9", green: "#009E73", orange: "#E69F00", red: "#D55E00", pink: "#CC79A7", grey: "#999999", ink: "#222222", shadow: "#C8C8C8" } as const
const LEVELS = [COLOURS.grey, COLOURS.sky, COLOURS.green, COLOURS.orange, COLOURS.blue, COLOURS.pink, COLOURS.red]
const FONT = { fontFamily: "system-ui, sans-serif", fontSize: 12, color: COLOURS.ink }
/** A number that a line of the grid runs through is read all the same. */
const HALO = { ...FONT, textBorderColor: "#fff", textBorderWidth: 3 }
/** More bars than a page can hold are not drawn; the table below a chart has them all. */
export const BARS_MAX = 30
const NAME_CHARS_MAX = 28
/** So much of a chart's hash tells its ids from those of others. */
const OWN_CHARS = 8
/** A flow is as tall as a screen at most, however many levels it has. */
const FLOW_HEIGHT_MAX = 900
/** Steps that are smaller than this share of the totals beside them are looked at from nearby. */
const CUT_BELOW = 0.5

/** A picture and what it says to those who cannot see it. */
export interface Chart { readonly svg: string; readonly alt: string; /** What must be known to read it. */ readonly note?: string }

const escaped = (text: string): string => text.replace(/[&<>"]/g, (sign) => `&#${sign.charCodeAt(0)};`)
const short = (text: string): string => text.length > NAME_CHARS_MAX ? `${text.slice(0, NAME_CHARS_MAX - 1)}…` : text
/** The room that names need, those of wide signs too. */
const roomFor = (names: readonly string[]): number =>
  Math.ceil(Math.max(0, ...names.map((name) => [...short(name)].reduce((room, sign) => room + (sign.codePointAt(0)! > 0x2e7f ? 2 : 1), 0))) * SIGN)
/** A whole number with its thousands apart. */
export const grouped = (n: number | bigint): string => String(n).replace(/\B(?=(\d{3})+(?!\d))/g, " ")
/** Minor units as an amount with two decimals, exact. */
export const amountOf = (minor: number): string => `${minor < 0 ? "−" : ""}${grouped(Math.floor(Math.abs(minor) / 100))}.${String(Math.abs(minor) % 100).padStart(2, "0")}`
/** The same along an axis: an amount without cents has none written. */
const tickOf = (minor: number): string => amountOf(Math.round(minor)).replace(/\.00$/, "")

/** The place of a value and a row (of those from 0, at their middles) in the picture. */
type Place = (value: number, row: number) => readonly [x: number, y: number]

/** Draw, and forget the instance: it holds the whole scene otherwise. `over` is SVG that is laid on top. */
const draw = (height: number, option: EChartsCoreOption, alt: string, over: (place: Place) => string = () => ""): Chart => {
  const chart = init(null, null, { renderer: "svg", ssr: true, width: WIDTH, height })
  try {
    chart.setOption({ animation: false, textStyle: FONT, ...option })
    const laid = over((value, row) => chart.convertToPixel({ gridIndex: 0 }, [value, row]) as [number, number])
    // Ids count through the process; here they begin anew, and are no other chart's on the same page.
    const names = new Map<string, string>(), own = createHash("sha256").update(alt).digest("hex").slice(0, OWN_CHARS)
    const svg = chart.renderToSVGString()
      // What a mouse would change is not for a page that is read.
      .replace(/<style[\s\S]*?<\/style>\n?/g, "").replace(/ (?:class|ecmeta_\w+)="[^"]*"/g, "")
      .replace(/zr\d+-[a-z]+-?\d+/gi, (id) => names.get(id) ?? names.set(id, `s${own}${names.size}`).get(id)!)
      .replace(/^<svg /, `<svg role="img" aria-label="${escaped(alt)}" style="max-width:100%;height:auto" `)
      .replace(/<\/svg>$/, `${laid}</svg>`)
    return { svg, alt }
  } finally {
    chart.dispose()
  }
}

const axis = { axisLine: { lineStyle: { color: COLOURS.grey } }, axisLabel: FONT, nameTextStyle: FONT }

export interface Flow { readonly from: string; readonly to: string; readonly users: number }

/** How many users went from which level to which. Names on the left are last month's, on the right this month's. */
export const flowChart = (flows: readonly Flow[], levels: readonly string[]): Chart => {
  const colour = (level: string) => LEVELS[levels.indexOf(level) % LEVELS.length]!
  const shown = flows.filter(({ users }) => users > 0)
  const sides = (side: "from" | "to") => levels.filter((level) => shown.some((flow) => flow[side] === level))
  const sum = (side: "from" | "to", level: string) => shown.filter((flow) => flow[side] === level).reduce((users, flow) => users + flow.users, 0)
  const said = (side: "from" | "to", level: string) => `${short(level)}: ${grouped(sum(side, level))}`
  // Names stand outside, so that no flow runs through them.
  const room = (side: "from" | "to") => roomFor(sides(side)) + 9 * SIGN
  const node = (side: "from" | "to", position: "left" | "right") => sides(side).map((level) => ({ name: `${side} ${level}`, itemStyle: { color: colour(level) }, label: { position, formatter: said(side, level) } }))
  return draw(Math.min(Math.max(220, levels.length * 70), FLOW_HEIGHT_MAX), {
    series: [{
      type: "sankey", left: room("from"), right: room("to"), top: 10, bottom: 14, nodeGap: 18, draggable: false, layoutIterations: 0, label: FONT,
      data: [...node("from", "left"), ...node("to", "right")],
      links: shown.map(({ from, to, users }) => ({ source: `from ${from}`, target: `to ${to}`, value: users, lineStyle: { color: colour(from), opacity: 0.35 } })),
    }],
  }, `Users by level, last month to this month: ${shown.map(({ from, to, users }) => `${from} to ${to} ${grouped(users)}`).join("; ") || "none"}.`)
}

export interface Moved { readonly value: number; readonly users: number; readonly cost_minor: number }

/** How many users a moved threshold would bring to a level, and what their rights would cost; `now` is the threshold that holds. */
export const curveChart = (points: readonly Moved[], now: number, field: string, format: (value: number) => string): Chart => {
  // A level without rights costs nothing at any threshold: then there is no second axis.
  const hasCost = points.some(({ cost_minor }) => cost_minor > 0)
  return draw(270, {
    grid: { left: 80, right: 100, top: 34, bottom: 48 },
    xAxis: { type: "value", name: field, nameLocation: "middle", nameGap: 30, min: points[0]?.value, max: points.at(-1)?.value, ...axis, axisLabel: { ...FONT, formatter: (value: number) => format(value).replace(/\.00$/, ""), hideOverlap: true } },
    yAxis: [
      { type: "value", name: "users", minInterval: 1, ...axis, axisLabel: { ...FONT, formatter: (value: number) => grouped(value) } },
      { type: "value", name: "cost (dashed)", show: hasCost, minInterval: 1, position: "right", splitLine: { show: false }, ...axis, axisLabel: { ...FONT, formatter: tickOf } },
    ],
    series: [
      { type: "line", symbolSize: 4, symbol: "circle", itemStyle: { color: COLOURS.blue }, lineStyle: { color: COLOURS.blue, width: 2 }, data: points.map(({ value, users }) => [value, users]) },
      { type: "line", showSymbol: false, yAxisIndex: 1, lineStyle: { color: COLOURS.orange, width: 2, type: "dashed" }, data: hasCost ? points.map(({ value, cost_minor }) => [value, cost_minor]) : [] },
      { type: "scatter", symbolSize: 12, z: 5, itemStyle: { color: COLOURS.red, opacity: 1 }, data: points.filter(({ value }) => value === now).map(({ value, users }) => [value, users]),
        label: { show: true, position: "top", formatter: ({ value }: { value: readonly [number, number] }) => `${format(value[0])}: ${grouped(value[1])}`, ...HALO } },
    ],
  }, `Users by threshold of ${field}: ${points.map(({ value, users, cost_minor }) => `${format(value)} ${grouped(users)} users, cost ${amountOf(cost_minor)}${value === now ? " (now)" : ""}`).join("; ")}.`)
}

interface Total { readonly name: string; readonly minor: number }
/** `says`: what stands behind its number. */
export interface Step extends Total { readonly href: string; readonly says?: string }

/** Where the axis of a waterfall begins: at 0, or nearer where the steps would not be seen beside their totals. */
const cutOf = (lows: readonly number[], highs: readonly number[]): number => {
  const low = Math.min(...lows), high = Math.max(...highs)
  if (low <= 0 || high === low || high - low > high * CUT_BELOW) return 0
  const tick = 10 ** Math.floor(Math.log10(high - low))
  return Math.max(0, Math.floor((low - (high - low) / 3) / tick) * tick)
}

/** From one total down to the other, one bar for each step between; each bar leads to what is behind it. */
export const waterfallChart = (begin: Total, steps: readonly Step[], end: Total): Chart => {
  let at = begin.minor
  const told = ({ minor, says }: Total & { readonly says?: string }): string => `${amountOf(minor)}${says ? `, ${says}` : ""}`
  const floating = steps.map(({ name, minor, href, says }) => { const from = at; at += minor; return { name, minor, href, told: told({ name, minor, ...(says ? { says } : {}) }), low: Math.min(from, at), high: Math.max(from, at), until: at } })
  const whole = ({ name, minor }: Total) => ({ name, minor, href: "", told: amountOf(minor), low: Math.min(0, minor), high: Math.max(0, minor), until: minor })
  const bars = [whole(begin), ...floating, whole(end)]
  const colourOf = (i: number, minor: number) => i === 0 || i === bars.length - 1 ? COLOURS.blue : minor < 0 ? COLOURS.red : minor > 0 ? COLOURS.green : COLOURS.grey
  // Everything is drawn from the cut on: an axis far from 0 with a small span is more than the library bears.
  const cut = cutOf([begin.minor, end.minor, ...floating.map(({ low }) => low)], bars.map(({ high }) => high))
  const left = roomFor(bars.map(({ name }) => name)) + 16, right = Math.max(...bars.map(({ told }) => told.length)) * SIGN + 14
  const drawn = draw(bars.length * (ROW + 6) + 40, {
    grid: { left, right, top: 6, bottom: 30 },
    yAxis: { type: "category", inverse: true, data: bars.map(({ name }) => short(name)), ...axis, axisTick: { show: false }, axisLabel: { ...FONT, interval: 0 } },
    xAxis: { type: "value", minInterval: 1, ...axis, axisLabel: { ...FONT, formatter: (value: number) => tickOf(value + cut), hideOverlap: true }, splitLine: { lineStyle: { color: "#E6E6E6" } } },
    series: [
      // The invisible part before a floating bar; below zero it ends at the axis.
      { type: "bar", stack: "up", silent: true, barWidth: "62%", itemStyle: { color: "transparent" }, data: bars.map(({ low, high }) => low >= 0 ? Math.max(low - cut, 0) : high <= 0 ? high : 0) },
      { type: "bar", stack: "up", data: bars.map(({ low, high, minor }, i) => ({ value: low >= 0 ? high - Math.max(low, cut) : high <= 0 ? low - high : high, itemStyle: { color: colourOf(i, minor) } })) },
      { type: "bar", stack: "up", silent: true, data: bars.map(({ low, high, minor }, i) => ({ value: low < 0 && high > 0 ? low : 0, itemStyle: { color: colourOf(i, minor) } })) },
    ],
  }, `${begin.name} ${amountOf(begin.minor)}; ${floating.map(({ name, told }) => `${name} ${told}; `).join("")}${end.name} ${amountOf(end.minor)}.`,
  (place) => bars.map(({ name, told, href, high, until }, i) => {
    const [x, y] = place(high - cut, i), tall = ROW + 6
    // From where this bar has come to, to where the next begins.
    const [here] = place(until - cut, i)
    const thread = i === bars.length - 1 ? "" : `<path d="M${here.toFixed(1)} ${(y - 8).toFixed(1)}v${tall + 16}" stroke="${COLOURS.grey}" stroke-width="1" fill="none"/>`
    const break_x = left + 12
    const broken = cut > 0 && href === "" ? `<path d="M${break_x} ${(y - 12).toFixed(1)}l-5 24h5l5 -24z" fill="#fff"/>` : ""
    const number = `<text x="${(x + 6).toFixed(1)}" y="${y.toFixed(1)}" dominant-baseline="central" style="font-size:12px;font-family:system-ui, sans-serif;paint-order:stroke" fill="${COLOURS.ink}" stroke="#fff" stroke-width="3">${escaped(told)}</text>`
    return `${thread}${broken}${number}${href === "" ? "" : `<a href="${escaped(href)}"><title>${escaped(`${name} ${told}`)}</title><rect x="0" y="${(y - tall / 2).toFixed(1)}" width="${WIDTH}" height="${tall}" fill="transparent"/></a>`}`
  }).join(""))
  return cut > 0 ? { ...drawn, note: `The axis begins at ${amountOf(cut)}, so that the steps can be seen.` } : drawn
}

export interface Bar { readonly key: string; readonly value: number; readonly ghost: number | null; /** Whether it is far from what it used to be. */ readonly stands_out?: boolean }

/** The largest, each with what it was a month before as a shadow behind it. */
export const barsChart = (rows: readonly Bar[], unit: string, format: (value: number) => string): Chart => {
  const shown = rows.slice(0, BARS_MAX)
  const left = roomFor(shown.map(({ key }) => key)) + 16, right = Math.max(0, ...shown.map(({ value }) => format(value).length)) * SIGN + 14
  return draw(shown.length * ROW + 40, {
    grid: { left, right, top: 4, bottom: 30 },
    // The shadow has an axis of its own, so that both bars have one middle.
    yAxis: [
      { type: "category", inverse: true, data: shown.map(({ key }) => short(key)), ...axis, axisTick: { show: false }, axisLabel: { ...FONT, interval: 0 } },
      { type: "category", inverse: true, data: shown.map(({ key }) => key), show: false },
    ],
    xAxis: { type: "value", ...axis, axisLabel: { ...FONT, formatter: (value: number) => format(value).replace(/\.00$/, ""), hideOverlap: true }, splitLine: { lineStyle: { color: "#E6E6E6" } } },
    series: [
      { type: "bar", yAxisIndex: 1, z: 1, barWidth: "80%", silent: true, itemStyle: { color: COLOURS.shadow }, data: shown.map(({ ghost }) => ghost ?? 0) },
      { type: "bar", z: 2, barWidth: "45%", data: shown.map(({ value, stands_out }) => ({ value, itemStyle: { color: stands_out ? COLOURS.red : COLOURS.blue } })), label: { show: true, position: "right", formatter: ({ value }: { value: number }) => format(value), ...HALO } },
    ],
  }, `${unit}: ${shown.map(({ key, value, ghost, stands_out }) => `${key} ${format(value)}${ghost === null ? "" : ` (a month before ${format(ghost)})`}${stands_out ? ", stands out" : ""}`).join("; ") || "none"}.`)
}
