/**
 * Follow the events: what Postgres has of every cell's journal, each entry told once.
 *
 * What must stay true: a place names, for every cell that has ever been, the last entry that was told. Entries of a cell come to
 * Postgres in their order and whole batches at a time, so what lies behind a place is exactly what was not told yet, whatever was
 * restarted, rebuilt or cut into another number of cells in between: an entry keeps the cell in which it was written, and a cell's epochs
 * only grow. Nobody's turn is passed over: each page begins with the cell after the one where the page before ended.
 */
import { AFTER_INVALID, type Answered, type Caller } from "../answers.ts"
import type { EventsAnswer, ListEventsAsk } from "../contract/events.ts"
import { EVERY_LINE } from "../contract/keys.ts"
import { BIRTH, compareIds, type EntryId } from "../journal/entry.ts"
import { jsonOf } from "../journal/expected.ts"
import type { Parts } from "../parts.ts"
import { answeringPostgres } from "../store/away.ts"
import { mayTouch } from "./lines.ts"

/** What was told: of each cell the last entry, and the cell whose turn is next. */
interface Places { readonly turn: number; readonly told: Map<number, EntryId> }
/** A cell, and how far Postgres has it. */
interface Place extends EntryId { readonly cell: number }

const PLACES_FORMAT = 1

/** Whole numbers in as few bytes as they need, seven bits a byte, the lowest first. */
const packNumbers = (numbers: readonly number[]): string => {
  const bytes: number[] = []
  for (let rest of numbers) {
    for (; rest > 0x7f; rest = Math.floor(rest / 0x80)) bytes.push((rest % 0x80) | 0x80)
    bytes.push(rest)
  }
  return Buffer.from(bytes).toString("base64url")
}

/** The numbers of a text, or nothing when it is none of ours. */
const unpackNumbers = (text: string): number[] | undefined => {
  const numbers: number[] = []
  let value = 0, scale = 1
  for (const byte of Buffer.from(text, "base64url")) {
    value += (byte & 0x7f) * scale
    if (!Number.isSafeInteger(value)) return undefined
    if (byte & 0x80) scale *= 0x80
    else { numbers.push(value); value = 0; scale = 1 }
  }
  return scale === 1 ? numbers : undefined
}

const textOf = ({ turn, told }: Places): string =>
  packNumbers([PLACES_FORMAT, turn, ...[...told].toSorted(([a], [b]) => a - b).flatMap(([cell, { epoch, n }]) => [cell, epoch, n])])

const placesOf = (text: string | undefined): Places | undefined => {
  if (text === undefined) return { turn: 0, told: new Map() }
  const [format, turn, ...triples] = unpackNumbers(text) ?? []
  if (format !== PLACES_FORMAT || turn === undefined || triples.length % 3 !== 0) return undefined
  const told = new Map(Array.from({ length: triples.length / 3 }, (_, i) => [triples[3 * i]!, { epoch: triples[3 * i + 1]!, n: triples[3 * i + 2]! }]))
  return { turn, told }
}

interface Row { cell: number; epoch: number; n: number; act: string; at_ms: number; user_no: number | null; moves: unknown; payload: unknown; ref: string | null }
type Event = EventsAnswer["items"][number]

/** An event as the caller may see it; nothing where it concerns no line of his. */
const eventFor = async ({ catalogue }: Parts, caller: Caller, row: Row): Promise<Event | undefined> => {
  const budgets: Event["budgets"] = [], campaigns: Event["campaigns"] = []
  for (const [quota, a = 0, b = 0, c = 0, d = 0, e = 0] of (jsonOf(row.moves) ?? []) as [string, ...number[]][]) {
    const no = Number(quota.slice(1))
    if (quota[0] === "b") {
      const budget = await catalogue.budgetByNo(no)
      if (budget && mayTouch(caller, budget.line)) budgets.push({ budget_id: budget.budget_id, limit_minor: a, held_minor: b, spent_minor: c })
    } else if (quota[0] === "k") {
      const campaign = await catalogue.campaignByNo(no)
      if (campaign && mayTouch(caller, campaign.line)) campaigns.push({ campaign_id: campaign.campaign_id, stock: a, issued: b, revoked: c, reserved: d, redeemed: e })
    }
  }
  if (budgets.length + campaigns.length === 0 && !caller.lines.includes(EVERY_LINE)) return undefined
  return {
    event_id: `${row.cell}-${row.epoch}-${row.n}`, cell: row.cell, act: row.act, at: new Date(row.at_ms).toISOString(), user_no: row.user_no,
    budgets, campaigns, ref: row.ref, payload: jsonOf(row.payload) ?? null,
  }
}

/** The cells that have something new, in turn, until they fill a page; how many entries of each, and how far Postgres has each. */
const newsOf = (cells: readonly Place[], { turn, told }: Places, limit: number): Place[] => {
  const news: Place[] = []
  let count = 0
  for (const cursor of [...cells.filter(({ cell }) => cell >= turn), ...cells.filter(({ cell }) => cell < turn)]) {
    if (count >= limit) break
    const from = told.get(cursor.cell) ?? BIRTH
    if (compareIds(from, cursor) >= 0) continue
    news.push(cursor)
    count += from.epoch === cursor.epoch ? cursor.n - from.n : limit
  }
  return news
}

/** What follows a place, page by page. */
export const listEventsWith = (parts: Parts) => async ({ after, limit }: ListEventsAsk, caller: Caller): Promise<Answered> => {
  const places = placesOf(after)
  if (!places) return AFTER_INVALID
  const { told } = places
  const { sql } = parts.postgres
  const news = newsOf(await answeringPostgres(() => sql<Place[]>`select cell, epoch, n from cells order by cell`), places, limit)
  const from = news.map(({ cell }) => told.get(cell) ?? BIRTH)
  const rows = news.length === 0 ? [] : await answeringPostgres(() => sql<Row[]>`
    select e.cell, e.epoch, e.n, e.act, e.at_ms, e.user_no, e.moves, e.payload, e.ref
    from unnest(${news.map(({ cell }) => cell)}::integer[], ${from.map(({ epoch }) => epoch)}::integer[], ${from.map(({ n }) => n)}::bigint[]) with ordinality as p(cell, epoch, n, turn),
      lateral (select * from events where cell = p.cell and (epoch, n) > (p.epoch, p.n) order by epoch, n limit ${limit}) e
    order by p.turn, e.epoch, e.n limit ${limit}`)
  const items: Event[] = []
  for (const row of rows) {
    told.set(row.cell, { epoch: row.epoch, n: row.n })
    const event = await eventFor(parts, caller, row)
    if (event) items.push(event)
  }
  // A cell whose rows ended before the page was full is told up to its cursor: what lies between is in quarantine, and no event.
  const last = rows.length === limit ? rows.at(-1)!.cell : news.at(-1)?.cell
  for (const { cell, epoch, n } of news) {
    if (rows.length === limit && cell === last) break
    if (compareIds(told.get(cell) ?? BIRTH, { epoch, n }) < 0) told.set(cell, { epoch, n })
  }
  return { outcome: "found", body: { items, next: textOf({ turn: last === undefined ? places.turn : last + 1, told }) } satisfies EventsAnswer }
}
