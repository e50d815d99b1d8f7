/**
 * Reports: the pages that the jobs of the sidecar have made of closed periods.
 */
import { Type } from "typebox"
import { closed, Id, InstantOut, PAGE } from "./basics.ts"
import { type AskOf, operation } from "./operation.ts"

const ReportOut = {
  job: Id, period: Type.String({ description: "YYYY-MM, or YYYY-MM-DD for a nightly job" }), set: Type.String({ description: "a named foreign set; empty for our own books" }),
  title: Type.String(), sentence: Type.String({ description: "the number that matters, and its change" }), published_at: InstantOut,
}
const SET = { set: Type.Optional(Id) }

export const listReports = operation({
  name: "list_reports", method: "GET", path: "/v1/reports", family: "reports", scopes: ["read"], every_line: true,
  says: "The published reports, the newest period first.",
  query: Type.Object(PAGE, closed),
  yes: { found: Type.Object({ items: Type.Array(Type.Object({ ...ReportOut, page: Type.String({ description: "where the whole report is read" }) }, closed)), next: Type.Union([Type.String(), Type.Null()]) }, closed) },
  no: [],
})

export const getReport = operation({
  name: "get_report", method: "GET", path: "/v1/reports/{job}/{period}", family: "reports", scopes: ["read"], every_line: true,
  says: "One report, with its page as HTML that loads nothing from elsewhere. The same pages lie as files in the lake's folder `reports`, with an `index.html`.",
  params: Type.Object({ job: Id, period: Id }, closed), query: Type.Object(SET, closed),
  yes: { found: Type.Object({ ...ReportOut, html: Type.String() }, closed) },
  no: ["report_unknown"],
})

export type ListReportsAsk = AskOf<typeof listReports>
export type ReportAsk = AskOf<typeof getReport>
