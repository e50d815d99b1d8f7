/**
 * Charts as inline SVG, drawn without a browser by ECharts.
 *
 * What must stay true: the same numbers give the same bytes, so ids that the library counts through the process are counted anew in each
 * chart. Whoever cannot see a chart hears its numbers: each has an alternative text. The colours are those of Okabe and Ito, which people
 * with any common colour blindness tell apart ("Color Universal Design", 2008).
 */
import { BarChart, LineChart, SankeyChart, ScatterChart } from "echarts/charts"
import { GridComponent } from "echarts/components"
import { type EChartsCoreOption, init, use } from "echarts/core"
import { SVGRenderer } from "echarts/renderers"

use([BarChart, LineChart, ScatterChart, SankeyChart, GridComponent, SVGRenderer])

const WIDTH = 880
const ROW = 26
export const COLOURS = { blue: "#0072B2", sky: "#56B4E9", green: "#009E73", orange: "#E69F00", red: "#D55E00", pink: "#CC79A7", grey: "#999999", ink: "#222222" } as const
const LEVELS = [COLOURS.grey, COLOURS.sky, COLOURS.green, COLOURS.orange, COLOURS.blue, COLOURS.pink, COLOURS.red]
const FONT = { fontFamily: "system-ui, sans-serif", fontSize: 12, color: COLOURS.ink }
/** More bars than a page can hold are not drawn; the table below a chart has them all. */
export const BARS_MAX = 30
const NAME_CHARS_MAX = 24

/** A picture and what it says to those who cannot see it. */
export interface Chart { readonly svg: string; readonly alt: string }

const escaped = (text: string): string => text.replace(/[&<>"]/g, (sign) => `&#${sign.charCodeAt(0)};`)
const short = (text: string): string => text.length > NAME_CHARS_MAX ? `${text.slice(0, NAME_CHARS_MAX - 1)}…` : text
/** A whole number with its thousands apart. */
export const grouped = (n: number | bigint): string => String(n).replace(/\B(?=(\d{3})+(?!\d))/g, " ")
/** Minor units as an amount with two decimals, exact. */
export const amountOf = (minor: number): string => `${minor < 0 ? "−" : ""}${grouped(Math.floor(Math.abs(minor) / 100))}.${String(Math.abs(minor) % 100).padStart(2, "0")}`

/** Where a click on a part of a chart leads. */
interface Link { readonly x: number; readonly y: number; readonly width: number; readonly height: number; readonly href: string; readonly says: string }

/** Draw, and forget the instance: it holds the whole scene otherwise. */
const draw = (height: number, option: EChartsCoreOption, alt: string, linksOf: (place: (x: number, y: number) => readonly [number, number]) => readonly Link[] = () => []): Chart => {
  const chart = init(null, null, { renderer: "svg", ssr: true, width: WIDTH, height })
  try {
    chart.setOption({ animation: false, textStyle: FONT, ...option })
    const links = linksOf((x, y) => chart.convertToPixel({ gridIndex: 0 }, [x, y]) as [number, number])
    const names = new Map<string, string>()
    const svg = chart.renderToSVGString()
      // Ids count through the process; here they begin anew.
      .replace(/zr\d+-[a-z]+-?\d+/gi, (id) => names.get(id) ?? names.set(id, `s${names.size}`).get(id)!)
      .replace(/^<svg /, `<svg role="img" aria-label="${escaped(alt)}" style="max-width:100%;height:auto" `)
      .replace(/<\/svg>$/, `${links.map(({ x, y, width, height: tall, href, says }) =>
        `<a href="${escaped(href)}"><title>${escaped(says)}</title><rect x="${x.toFixed(1)}" y="${y.toFixed(1)}" width="${width.toFixed(1)}" height="${tall.toFixed(1)}" fill="transparent"/></a>`).join("")}</svg>`)
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
  return draw(Math.max(220, levels.length * 70), {
    series: [{
      type: "sankey", left: 10, right: 150, top: 10, bottom: 10, nodeGap: 14, draggable: false, layoutIterations: 0, label: FONT,
      data: [
        ...sides("from").map((level) => ({ name: `from ${level}`, itemStyle: { color: colour(level) }, label: { formatter: `${level} ${grouped(sum("from", level))}` } })),
        ...sides("to").map((level) => ({ name: `to ${level}`, itemStyle: { color: colour(level) }, label: { formatter: `${level} ${grouped(sum("to", level))}` } })),
      ],
      links: shown.map(({ from, to, users }) => ({ source: `from ${from}`, target: `to ${to}`, value: users, lineStyle: { color: colour(from), opacity: 0.35 } })),
    }],
  }, `Users by level, last month to this month: ${shown.map(({ from, to, users }) => `${from} to ${to} ${grouped(users)}`).join("; ") || "none"}.`)
}

export interface Moved { readonly value: number; readonly users: number; readonly cost_minor: number }

/** How many users a moved threshold would bring to a level, and what their rights would cost; `now` is the threshold that holds. */
export const curveChart = (points: readonly Moved[], now: number, field: string): Chart => {
  // A level without rights costs nothing at any threshold: then there is no second axis.
  const hasCost = points.some(({ cost_minor }) => cost_minor > 0)
  return draw(260, {
    grid: { left: 80, right: 90, top: 30, bottom: 45 },
    xAxis: { type: "value", name: field, nameLocation: "middle", nameGap: 28, scale: true, ...axis },
    yAxis: [{ type: "value", name: "users", minInterval: 1, ...axis }, { type: "value", name: "cost", show: hasCost, minInterval: 1, position: "right", splitLine: { show: false }, ...axis, axisLabel: { ...FONT, formatter: (value: number) => amountOf(value) } }],
    series: [
      { type: "line", step: "end", showSymbol: false, lineStyle: { color: COLOURS.blue, width: 2 }, data: points.map(({ value, users }) => [value, users]) },
      { type: "line", step: "end", showSymbol: false, yAxisIndex: 1, lineStyle: { color: COLOURS.orange, width: 2, type: "dashed" }, data: hasCost ? points.map(({ value, cost_minor }) => [value, cost_minor]) : [] },
      { type: "scatter", symbolSize: 11, itemStyle: { color: COLOURS.red }, data: points.filter(({ value }) => value === now).map(({ value, users }) => [value, users]) },
    ],
  }, `Users by threshold of ${field}: ${points.map(({ value, users, cost_minor }) => `${grouped(value)} ${grouped(users)} users, cost ${amountOf(cost_minor)}${value === now ? " (now)" : ""}`).join("; ")}.`)
}

export interface Step { readonly name: string; readonly minor: number; readonly href: string }

/** From one total to the other, one bar for each step between; each bar leads to what is behind it. */
export const waterfallChart = (begin: { readonly name: string; readonly minor: number }, steps: readonly Step[], end: { readonly name: string; readonly minor: number }): Chart => {
  let at = begin.minor
  const floating = steps.map(({ name, minor, href }) => { const from = at; at += minor; return { name, minor, href, low: Math.min(from, at), high: Math.max(from, at) } })
  const bars = [{ ...begin, href: "", low: Math.min(0, begin.minor), high: Math.max(0, begin.minor) }, ...floating, { ...end, href: "", low: Math.min(0, end.minor), high: Math.max(0, end.minor) }]
  const colourOf = (i: number, minor: number) => i === 0 || i === bars.length - 1 ? COLOURS.blue : minor < 0 ? COLOURS.red : minor > 0 ? COLOURS.green : COLOURS.grey
  return draw(340, {
    grid: { left: 100, right: 20, top: 20, bottom: 110 },
    xAxis: { type: "category", data: bars.map(({ name }) => name), ...axis, axisLabel: { ...FONT, rotate: 35, interval: 0 } },
    yAxis: { type: "value", ...axis, axisLabel: { ...FONT, formatter: (value: number) => amountOf(value) } },
    series: [
      // The invisible part under a floating bar; below zero it hangs from the axis.
      { type: "bar", stack: "up", silent: true, itemStyle: { color: "transparent" }, data: bars.map(({ low, high }) => low >= 0 ? low : high <= 0 ? high : 0) },
      { type: "bar", stack: "up", label: { show: true, position: "top", formatter: ({ dataIndex }: { dataIndex: number }) => amountOf(bars[dataIndex]!.minor), ...FONT },
        data: bars.map(({ low, high, minor }, i) => ({ value: low >= 0 ? high - low : high <= 0 ? low - high : high, itemStyle: { color: colourOf(i, minor) } })) },
      { type: "bar", stack: "up", silent: true, data: bars.map(({ low, high, minor }, i) => ({ value: low < 0 && high > 0 ? low : 0, itemStyle: { color: colourOf(i, minor) } })) },
    ],
  }, `${begin.name} ${amountOf(begin.minor)}; ${steps.map(({ name, minor }) => `${name} ${amountOf(minor)}`).join("; ")}; ${end.name} ${amountOf(end.minor)}.`,
  (place) => bars.flatMap(({ name, minor, href, low, high }, i) => {
    if (href === "") return []
    const [x, y] = place(i, high), [, foot] = place(i, low), step = (WIDTH - 120) / bars.length
    return [{ x: x - step / 2, y: Math.min(y, foot) - 4, width: step, height: Math.abs(foot - y) + 8, href, says: `${name} ${amountOf(minor)}` }]
  }))
}

export interface Bar { readonly key: string; readonly value: number; readonly ghost: number | null }

/** The largest, each with what it was a month before as a shadow behind it. */
export const barsChart = (rows: readonly Bar[], unit: string, format: (value: number) => string): Chart => {
  const shown = rows.slice(0, BARS_MAX)
  return draw(shown.length * ROW + 50, {
    grid: { left: 190, right: 90, top: 10, bottom: 30 },
    // The shadow has an axis of its own, so that both bars have one middle.
    yAxis: [
      { type: "category", inverse: true, data: shown.map(({ key }) => short(key)), ...axis, axisTick: { show: false } },
      { type: "category", inverse: true, data: shown.map(({ key }) => key), show: false },
    ],
    xAxis: { type: "value", ...axis, axisLabel: { ...FONT, formatter: format } },
    series: [
      { type: "bar", yAxisIndex: 1, z: 1, barWidth: "80%", silent: true, itemStyle: { color: "#DDDDDD" }, data: shown.map(({ ghost }) => ghost ?? 0) },
      { type: "bar", z: 2, barWidth: "45%", itemStyle: { color: COLOURS.blue }, data: shown.map(({ value }) => value), label: { show: true, position: "right", formatter: ({ value }: { value: number }) => format(value), ...FONT } },
    ],
  }, `${unit}: ${shown.map(({ key, value, ghost }) => `${key} ${format(value)}${ghost === null ? "" : ` (a month before ${format(ghost)})`}`).join("; ") || "none"}.`)
}
