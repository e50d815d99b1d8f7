/**
 * The OpenAPI document as one page that a person can read, with nothing to load from elsewhere.
 */
import { ANSWERS } from "../answers.ts"
import type { Described, OpenApi } from "./openapi.ts"

type Schema = Readonly<Record<string, unknown>>

const escape = (text: string): string => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;")
/** Text of ours, where back quotes mean code. */
const prose = (text: string): string => escape(text).replace(/`([^`]+)`/g, "<code>$1</code>")

const STYLE = `
:root { --ink: #1d2430; --soft: #5b6675; --line: #dfe4ea; --ground: #fff; --panel: #f6f8fa; --accent: #0b5cad }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e9f0; --soft: #9aa7b8; --line: #2c3542; --ground: #12161c; --panel: #1a2028; --accent: #6cb0ff } }
* { box-sizing: border-box } html { scroll-padding-top: 1rem }
body { margin: 0; font: 15px/1.55 system-ui, sans-serif; color: var(--ink); background: var(--ground) }
main { display: grid; grid-template-columns: minmax(200px, 260px) minmax(0, 1fr); max-width: 1200px; margin: auto }
nav { position: sticky; top: 0; align-self: start; max-height: 100vh; overflow: auto; padding: 1.5rem 1rem; border-right: 1px solid var(--line); font-size: 13px }
nav h2 { font-size: 12px; margin: 1.2em 0 .3em; color: var(--soft); text-transform: capitalize } nav a { display: block; padding: .1em 0; color: inherit; text-decoration: none; overflow-wrap: anywhere }
nav a:hover, a { color: var(--accent) } article { padding: 1.5rem 2rem 6rem } h1 { margin: 0 0 .5rem } h2 { margin: 2.5rem 0 0; text-transform: capitalize }
section { border-top: 1px solid var(--line); margin-top: 1.5rem; padding-top: 1rem } h3 { margin: 0; font: 600 15px ui-monospace, monospace; overflow-wrap: anywhere }
h3 b { color: var(--accent) } h4 { margin: 1rem 0 .25rem; font-size: 13px; color: var(--soft) } p { margin: .4rem 0; max-width: 75ch }
table { border-collapse: collapse; width: 100%; font-size: 13.5px } td, th { text-align: left; vertical-align: top; padding: .3rem .6rem .3rem 0; border-bottom: 1px solid var(--line) }
td:first-child { white-space: nowrap } code { font: 13px ui-monospace, monospace; background: var(--panel); padding: 0 .25em; border-radius: 3px } .soft { color: var(--soft) }
@media (max-width: 700px) { main { display: block } nav { position: static; max-height: none; border: 0 } article { padding: 1rem } }
`

const list = (value: unknown): unknown[] => Array.isArray(value) ? value : []

/** What a value is, in words. */
const typeWords = (schema: Schema): string => {
  if (schema["enum"]) return list(schema["enum"]).map((value) => `<code>${escape(JSON.stringify(value))}</code>`).join(" or ")
  if (schema["const"] !== undefined) return `<code>${escape(JSON.stringify(schema["const"]))}</code>`
  if (schema["anyOf"]) return list(schema["anyOf"]).map((each) => typeWords(each as Schema)).join(" or ")
  if (schema["type"] === "array") return `list of ${typeWords((schema["items"] ?? {}) as Schema)}`
  if (schema["type"] === "string") return schema["format"] === "date-time" ? "instant" : "text"
  if (schema["type"] === "integer") return "whole number"
  return escape(String(schema["type"] ?? "anything"))
}

/** The object inside a schema whose fields are worth a table: itself, the items of a list, or the object among choices. */
const objectIn = (schema: Schema): Schema | undefined => {
  if (schema["properties"]) return schema
  if (schema["items"]) return objectIn(schema["items"] as Schema)
  for (const each of list(schema["anyOf"])) {
    const found = objectIn(each as Schema)
    if (found) return found
  }
  return undefined
}

/** Bodies of the contract are three objects deep at most; a deeper one is told by its name alone. */
const DEPTH_MAX = 5

const rows = (schema: Schema, before: string, depth: number): string => {
  const object = objectIn(schema)
  if (!object || depth > DEPTH_MAX) return ""
  const needed = list(object["required"])
  return Object.entries(object["properties"] as Record<string, Schema>).map(([name, each]) => {
    const path = `${before}${name}`
    const inner = each["type"] === "array" || each["anyOf"] ? `${path}[].` : `${path}.`
    const extra = [each["description"], each["default"] === undefined ? undefined : `default ${JSON.stringify(each["default"])}`].filter((text) => text !== undefined).join("; ")
    return `<tr><td><code>${escape(path)}</code>${needed.includes(name) ? "" : ' <span class="soft">optional</span>'}</td><td>${typeWords(each)}${extra ? `<br><span class="soft">${prose(extra)}</span>` : ""}</td></tr>${rows(each, inner, depth + 1)}`
  }).join("")
}

const table = (title: string, schema: Schema): string => {
  const body = rows(schema, "", 0)
  return body === "" ? "" : `<h4>${escape(title)}</h4><table>${body}</table>`
}

const codesIn = (content: unknown): string[] => {
  const { schema } = (content ?? {}) as { schema?: Schema }
  for (const part of list(schema?.["allOf"])) {
    const code = ((part as Schema)["properties"] as Record<string, Schema> | undefined)?.["code"]
    if (code) return list(code["enum"]).map(String)
  }
  return []
}

const section = (path: string, method: string, described: Described): string => {
  const { operationId, summary, parameters = [], requestBody, responses } = described
  const scopes = described["x-scopes"]
  const who = scopes === "every" ? "A key with every scope." : scopes.length === 0 ? "No key is needed." : `A key with the scope ${scopes.map((scope) => `<code>${scope}</code>`).join(" or ")}${described["x-every-line"] ? ", and every business line" : ""}.`
  const asked = parameters.map(({ name, in: where, required, schema }) =>
    `<tr><td><code>${escape(name)}</code> <span class="soft">${where}${required ? "" : ", optional"}</span></td><td>${typeWords(schema as Schema)}${(schema as Schema)["description"] ? `<br><span class="soft">${prose(String((schema as Schema)["description"]))}</span>` : ""}</td></tr>`).join("")
  const [yes, no] = [Object.entries(responses).filter(([status]) => status < "300"), Object.entries(responses).filter(([status]) => status >= "300")]
  const yeses = yes.map(([status, { description, content }]) => {
    const schema = Object.values(content ?? {})[0]?.schema as Schema | undefined
    return `<h4>${status}</h4><p>${prose(description)}</p>${schema ? table("Answer", schema) : ""}`
  }).join("")
  const noes = no.map(([status, { content, description }]) => {
    const codes = codesIn(Object.values(content ?? {})[0])
    return `<tr><td>${status}</td><td>${codes.length > 0 ? codes.map((code) => `<a href="#${code}"><code>${code}</code></a>`).join(" ") : prose(description)}</td></tr>`
  }).join("")
  const body = Object.values(requestBody?.content ?? {})[0]?.schema as Schema | undefined
  return `<section id="${operationId}"><h3><b>${method.toUpperCase()}</b> ${escape(path)}</h3><p>${prose(summary)}</p><p class="soft">${who}</p>${
    asked ? `<h4>Path and query</h4><table>${asked}</table>` : ""}${body ? table("Body", body) : ""}${yeses}${noes ? `<h4>Nos</h4><table>${noes}</table>` : ""}</section>`
}

/** The page. */
export const docsPage = (document: OpenApi): string => {
  const operations = Object.entries(document.paths).flatMap(([path, methods]) => Object.entries(methods).map(([method, described]) => ({ path, method, described })))
  const families = document.tags.map(({ name }) => ({ name, members: operations.filter(({ described }) => described.tags.includes(name)) }))
  const menu = families.map(({ name, members }) =>
    `<h2>${escape(name)}</h2>${members.map(({ path, method, described }) => `<a href="#${described.operationId}">${method.toUpperCase()} ${escape(path)}</a>`).join("")}`).join("")
  const sections = families.map(({ name, members }) => `<h2>${escape(name)}</h2>${members.map(({ path, method, described }) => section(path, method, described)).join("")}`).join("")
  const outcomes = Object.entries(ANSWERS).map(([code, { status, retry, say }]) =>
    `<tr id="${code}"><td><code>${code}</code></td><td>${status}</td><td>${retry ? "may succeed later" : ""}</td><td>${escape(say)}</td></tr>`).join("")
  const { title, version, description } = document.info
  return `<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>${escape(title!)} API</title><style>${STYLE}</style></head><body><main><nav><a href="#top"><b>${escape(title!)}</b></a>${menu}<h2>Words</h2><a href="#outcomes">Every outcome</a></nav><article id="top"><h1>${escape(title!)} <span class="soft">${escape(version!)}</span></h1><p>${prose(description!)}</p><p><a href="/openapi.json">openapi.json</a></p>${sections}<h2 id="outcomes">Every outcome</h2><table><tr><th>Word</th><th>Status</th><th>Retry</th><th>Meaning</th></tr>${outcomes}</table></article></main></body></html>`
}
