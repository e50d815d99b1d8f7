/**
 * Events: what the cells have decided, to be followed by whoever keeps a copy of his own.
 */
import { Type, type Static } from "typebox"
import { closed, Count, Id, InstantOut, PAGE } from "./basics.ts"
import { type AskOf, operation } from "./operation.ts"

/** A place of every cell takes about seven characters; 1,500 cells fit into the address of a request. */
const PLACES_CHARS_MAX = 12_000

const EventOut = Type.Object({
  event_id: Type.String({ description: "cell-epoch-n; the n of an epoch have no hole" }),
  cell: Count, act: Id, at: InstantOut,
  user_no: Type.Union([Count, Type.Null()], { description: "a made-up number of the user; null for an operator's act" }),
  budgets: Type.Array(Type.Object({ budget_id: Id, limit_minor: Type.Integer(), held_minor: Type.Integer(), spent_minor: Type.Integer() }, closed), { description: "by how much each budget was changed" }),
  campaigns: Type.Array(Type.Object({
    campaign_id: Id, stock: Type.Integer(), issued: Type.Integer(), revoked: Type.Integer(), reserved: Type.Integer(), redeemed: Type.Integer(),
  }, closed), { description: "by how much each campaign's counts were changed" }),
  ref: Type.Union([Id, Type.Null()], { description: "what it is about: a redemption_id, else a coupon_id, an addition_id or a campaign_id" }),
  payload: Type.Unknown({ description: "the facts of the act, null where there are none" }),
}, closed)
const EventsOut = Type.Object({
  items: Type.Array(EventOut), next: Type.String({ description: "where to go on; there is always one, because more will come" }),
}, closed)
export type EventsAnswer = Static<typeof EventsOut>

export const listEvents = operation({
  name: "list_events", method: "GET", path: "/v1/events", family: "events", scopes: ["read"],
  says: "Follow what was decided: every event that Postgres has, each once, those of a cell in their order. Ask again with `next`; no items means that nothing new is there yet, and a page of fewer than `limit` does not. A key of some lines hears of the events that changed their budgets and campaigns.",
  query: Type.Object({ ...PAGE, after: Type.Optional(Type.String({ minLength: 1, maxLength: PLACES_CHARS_MAX, pattern: "^[A-Za-z0-9_-]+$", description: "the `next` of the page before" })) }, closed),
  yes: { found: EventsOut }, no: [],
})

export type ListEventsAsk = AskOf<typeof listEvents>
