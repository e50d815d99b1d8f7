/**
 * The statements of a flush: one a table, whatever the number of rows.
 *
 * A column travels as one text parameter and is taken apart by Postgres: 65,534 parameters would be too few for a batch, and an
 * array's own quoting would be written for every quote of every payload. The separators are control characters, which JSON
 * text and our ids never hold; a value that does hold one is refused before anything is sent.
 * All statements but the first three go out without waiting for each other.
 */
import type { TransactionSql } from "postgres"
import { idOf, textOf, type EntryId } from "./entry.ts"
import { couponOf, type Allotment, type Batch } from "./fold.ts"
import type { CodeRows } from "./fold_codes.ts"

type Tx = TransactionSql<{ bigint: number }>

/** Unit and record separator: between values, and in place of a null. */
const BETWEEN = "\x1f"
const NULL = "\x1e"

/** A value that would be taken for two. Its entry cannot be written and goes to quarantine. */
export class Unwritable extends Error { override readonly name = "Unwritable" }

const texts = <T>(rows: readonly T[], value: (row: T) => string | null): string => {
  let joined = ""
  for (let i = 0; i < rows.length; i += 1) {
    const text = value(rows[i]!)
    if (i > 0) joined += BETWEEN
    if (text === null) joined += NULL
    else if (text === "" || text === NULL) throw new Unwritable("a text is empty, or a control character")
    else joined += text
  }
  return joined
}

/** Whether a text has room for what separates it: looked for once in a whole column, not in each value. */
const separated = (column: string, rows: number): string => {
  let count = 0
  for (let at = column.indexOf(BETWEEN); at >= 0; at = column.indexOf(BETWEEN, at + 1)) count += 1
  if (count !== rows - 1) throw new Unwritable("a text holds a control character")
  return column
}

const textColumn = <T>(rows: readonly T[], value: (row: T) => string | null): string => separated(texts(rows, value), rows.length)

const numbers = <T>(rows: readonly T[], value: (row: T) => number | null): string => {
  let joined = "{"
  for (let i = 0; i < rows.length; i += 1) joined += (i > 0 ? "," : "") + (value(rows[i]!) ?? "null")
  return joined + "}"
}

/** A cell's cursor as its locked row says, with every epoch allotted after it. */
export interface LockedCell { readonly cell: number; readonly cursor: EntryId; readonly at_ms: number; readonly allotments: readonly Allotment[] }

/**
 * Lock the cursor rows of some cells, in their order. The epochs are read by a statement of their own, because one that waited for
 * the lock would still show them as they were before.
 */
export const lockCells = async (tx: Tx, cells: readonly number[]): Promise<LockedCell[]> => {
  const wanted = numbers(cells, (cell) => cell)
  const [rows, allotted] = await Promise.all([
    // Tables that grow fast have no statistics yet, and every statement here finds its rows by key.
    tx<{ cell: number; epoch: number; n: number; at_ms: number }[]>`
      select cell, epoch, n, at_ms, set_config('enable_seqscan', 'off', true) as seqscan
      from cells where cell = any(${wanted}::integer[]) order by cell for update`,
    tx<{ cell: number; epoch: number; tail: string }[]>`
      select e.cell, e.epoch, e.tail from epochs e join cells c on c.cell = e.cell
      where e.cell = any(${wanted}::integer[]) and e.epoch > c.epoch order by e.cell, e.epoch`,
  ])
  return rows.map(({ cell, epoch, n, at_ms }) => ({
    cell, cursor: { epoch, n }, at_ms,
    allotments: allotted.filter((each) => each.cell === cell).map((each) => ({ epoch: each.epoch, tail: idOf(each.tail) })),
  }))
}

/** The numbers of users, made for those who have none yet; and their ids, where an entry has named one. */
export const numberUsers = async (tx: Tx, users: ReadonlyMap<string, string | null>): Promise<Map<string, number>> => {
  if (users.size === 0) return new Map()
  const asked = [...users].sort(([a], [b]) => a < b ? -1 : 1)
  const rows = await tx<{ user_hash: string; user_no: number }[]>`
    with asked as materialized (
      select * from unnest(string_to_array(${textColumn(asked, ([hash]) => hash)}, ${BETWEEN}), string_to_array(${textColumn(asked, ([, id]) => id)}, ${BETWEEN}, ${NULL})) as a(user_hash, user_id)
    ), known as materialized (
      select a.user_hash, a.user_id as asked_id, u.user_no, u.user_id from asked a join users u on u.user_hash = a.user_hash collate "C"
    ), born as (
      insert into users (user_hash, user_id) select a.user_hash, a.user_id from asked a where a.user_hash not in (select user_hash from known)
      on conflict (user_hash) do update set user_id = coalesce(users.user_id, excluded.user_id)
      returning user_hash, user_no
    ), named as (
      update users u set user_id = k.asked_id from known k where u.user_no = k.user_no and k.user_id is null and k.asked_id is not null
    )
    select user_hash, user_no from known union all select user_hash, user_no from born`
  return new Map(rows.map(({ user_hash, user_no }) => [user_hash, user_no]))
}

/** The statements for codes, the claims of them and the grants that were refused. */
const writeCodes = (tx: Tx, { codes, claims, refused }: CodeRows, userNo: (hash: string) => number): PromiseLike<unknown>[] => {
  const sent: PromiseLike<unknown>[] = []
  if (codes.length > 0) sent.push(tx`
    insert into codes (code_hash, batch_no, state)
    select * from unnest(string_to_array(${textColumn(codes, (row) => row.code_hash)}, ${BETWEEN}), ${numbers(codes, (row) => row.batch_no)}::integer[], ${numbers(codes, (row) => row.state)}::smallint[])
    on conflict (code_hash) do update set batch_no = excluded.batch_no, state = excluded.state`)
  if (claims.length > 0) sent.push(tx`
    insert into code_claims as c (claim_hash, code_hash, batch_no, state, nonce, user_no, coupon, fingerprint, claimed_ms, since_ms)
    select * from unnest(
      string_to_array(${textColumn(claims, (row) => row.claim_hash)}, ${BETWEEN}), string_to_array(${textColumn(claims, (row) => row.code_hash)}, ${BETWEEN}),
      ${numbers(claims, (row) => row.batch_no)}::integer[], ${numbers(claims, (row) => row.state)}::smallint[], string_to_array(${textColumn(claims, (row) => row.nonce)}, ${BETWEEN}),
      ${numbers(claims, (row) => row.user === null ? null : userNo(row.user))}::integer[], string_to_array(${textColumn(claims, (row) => row.coupon)}, ${BETWEEN}, ${NULL}),
      string_to_array(${textColumn(claims, (row) => row.fingerprint)}, ${BETWEEN}, ${NULL}), ${numbers(claims, (row) => row.claimed_ms)}::bigint[], ${numbers(claims, (row) => row.since_ms)}::bigint[])
    on conflict (claim_hash) do update set state = excluded.state, nonce = excluded.nonce, since_ms = excluded.since_ms, user_no = coalesce(excluded.user_no, c.user_no),
      coupon = coalesce(excluded.coupon, c.coupon), fingerprint = coalesce(excluded.fingerprint, c.fingerprint), claimed_ms = coalesce(excluded.claimed_ms, c.claimed_ms)`)
  if (refused.length > 0) sent.push(tx`
    insert into refused_grants (user_no, nonce, at_ms)
    select * from unnest(${numbers(refused, (row) => userNo(row.user))}::integer[], string_to_array(${textColumn(refused, (row) => row.nonce)}, ${BETWEEN}), ${numbers(refused, (row) => row.at_ms)}::bigint[])
    on conflict (user_no, nonce) do update set at_ms = excluded.at_ms`)
  return sent
}

/** Write a batch and move the cursors. `userNo` knows every user that the batch names. */
export const writeBatch = async (tx: Tx, batch: Batch, relearned: readonly { cell: number; allotment: Allotment }[], userNo: (hash: string) => number): Promise<void> => {
  const { events, ledger, coupons, redemptions, counts, refunds, codes, cellBudgets, cellCampaigns, cellIdle, quarantine, cursors } = batch
  const sent: PromiseLike<unknown>[] = []

  if (events.length > 0) sent.push(tx`
    insert into events (cell, epoch, n, act, at_ms, user_no, moves, payload, ref)
    select cell, epoch, n, act, at_ms, user_no, moves::json, payload::json, ref from unnest(
      ${numbers(events, (row) => row.cell)}::integer[], ${numbers(events, (row) => row.id.epoch)}::integer[], ${numbers(events, (row) => row.id.n)}::bigint[],
      string_to_array(${textColumn(events, (row) => row.act)}, ${BETWEEN}), ${numbers(events, (row) => row.at_ms)}::bigint[],
      ${numbers(events, (row) => row.user === "" ? null : userNo(row.user))}::integer[],
      string_to_array(${textColumn(events, (row) => row.moves)}, ${BETWEEN}, ${NULL}), string_to_array(${textColumn(events, (row) => row.payload)}, ${BETWEEN}, ${NULL}),
      string_to_array(${textColumn(events, (row) => row.ref)}, ${BETWEEN}, ${NULL})
    ) as r(cell, epoch, n, act, at_ms, user_no, moves, payload, ref)`)

  if (ledger.length > 0) sent.push(tx`
    insert into budget_entries (budget_no, at_ms, cell, epoch, n, act, limit_minor, held_minor, spent_minor, ref)
    select * from unnest(
      ${numbers(ledger, (row) => row.budget_no)}::integer[], ${numbers(ledger, (row) => row.at_ms)}::bigint[], ${numbers(ledger, (row) => row.cell)}::integer[],
      ${numbers(ledger, (row) => row.id.epoch)}::integer[], ${numbers(ledger, (row) => row.id.n)}::bigint[], string_to_array(${textColumn(ledger, (row) => row.act)}, ${BETWEEN}),
      ${numbers(ledger, (row) => row.limit_minor)}::bigint[], ${numbers(ledger, (row) => row.held_minor)}::bigint[], ${numbers(ledger, (row) => row.spent_minor)}::bigint[],
      string_to_array(${textColumn(ledger, (row) => row.ref)}, ${BETWEEN}, ${NULL}))`)

  if (coupons.length > 0) {
    const records = coupons.map(({ values }) => couponOf(values))
    const column = (value: (record: (typeof records)[number]) => number | null): string => numbers(records, value)
    sent.push(tx`
    insert into coupons as c (coupon_id, user_no, campaign_no, cell, state, ends_at_ms, fingerprint, redemption, since_ms, holds, version, request_id, channel, device, issued_ms, epoch, n)
    select coupon_id, user_no, campaign_no, cell, state, ends_at_ms, fingerprint, redemption, since_ms, holds::json, version, request_id, channel, device, issued_ms, epoch, n from unnest(
      string_to_array(${textColumn(coupons, (row) => row.coupon_id)}, ${BETWEEN}), ${numbers(coupons, (row) => userNo(row.user))}::integer[],
      ${numbers(coupons, (row) => row.campaign_no)}::integer[], ${numbers(coupons, (row) => row.cell)}::integer[],
      ${column((record) => record.state)}::smallint[], ${column((record) => record.ends_at_ms)}::bigint[],
      string_to_array(${textColumn(records, (record) => record.fingerprint)}, ${BETWEEN}), string_to_array(${textColumn(records, (record) => record.redemption ?? null)}, ${BETWEEN}, ${NULL}),
      ${column((record) => record.since_ms ?? null)}::bigint[], string_to_array(${textColumn(records, (record) => record.holds ? JSON.stringify(record.holds) : null)}, ${BETWEEN}, ${NULL}),
      ${numbers(coupons, (row) => row.version)}::integer[], string_to_array(${textColumn(coupons, (row) => row.request_id)}, ${BETWEEN}, ${NULL}),
      string_to_array(${textColumn(coupons, (row) => row.channel)}, ${BETWEEN}, ${NULL}), string_to_array(${textColumn(coupons, (row) => row.device)}, ${BETWEEN}, ${NULL}),
      ${numbers(coupons, (row) => row.issued_ms)}::bigint[], ${numbers(coupons, (row) => row.id.epoch)}::integer[], ${numbers(coupons, (row) => row.id.n)}::bigint[]
    ) as r(coupon_id, user_no, campaign_no, cell, state, ends_at_ms, fingerprint, redemption, since_ms, holds, version, request_id, channel, device, issued_ms, epoch, n)
    on conflict (coupon_id) do update set
      state = excluded.state, ends_at_ms = excluded.ends_at_ms, fingerprint = excluded.fingerprint, redemption = excluded.redemption,
      since_ms = excluded.since_ms, holds = excluded.holds, version = coalesce(excluded.version, c.version), request_id = coalesce(excluded.request_id, c.request_id),
      channel = case when excluded.issued_ms is null then c.channel else excluded.channel end,
      device = case when excluded.issued_ms is null then c.device else excluded.device end,
      issued_ms = coalesce(excluded.issued_ms, c.issued_ms), epoch = excluded.epoch, n = excluded.n`)
  }

  if (redemptions.length > 0) sent.push(tx`
    insert into redemptions as d (redemption_id, user_no, cell, order_id, request_id, state, head, body, reserved_ms, since_ms, epoch, n)
    select redemption_id, user_no, cell, order_id, request_id, state, head::json, coalesce(body, ''), reserved_ms, since_ms, epoch, n from unnest(
      string_to_array(${textColumn(redemptions, (row) => row.redemption_id)}, ${BETWEEN}), ${numbers(redemptions, (row) => userNo(row.user))}::integer[],
      ${numbers(redemptions, (row) => row.cell)}::integer[], string_to_array(${textColumn(redemptions, (row) => row.order_id)}, ${BETWEEN}, ${NULL}),
      string_to_array(${textColumn(redemptions, (row) => row.request_id)}, ${BETWEEN}, ${NULL}), ${numbers(redemptions, (row) => Number(row.head[1]))}::smallint[],
      string_to_array(${textColumn(redemptions, (row) => JSON.stringify(row.head))}, ${BETWEEN}), string_to_array(${textColumn(redemptions, (row) => row.body)}, ${BETWEEN}, ${NULL}),
      ${numbers(redemptions, (row) => Number(row.head[4]))}::bigint[], ${numbers(redemptions, (row) => Number(row.head[6]))}::bigint[],
      ${numbers(redemptions, (row) => row.id.epoch)}::integer[], ${numbers(redemptions, (row) => row.id.n)}::bigint[]
    ) as r(redemption_id, user_no, cell, order_id, request_id, state, head, body, reserved_ms, since_ms, epoch, n)
    on conflict (redemption_id) do update set
      order_id = coalesce(excluded.order_id, d.order_id), request_id = coalesce(excluded.request_id, d.request_id), state = excluded.state, head = excluded.head,
      body = case when excluded.body = '' then d.body else excluded.body end, reserved_ms = excluded.reserved_ms, since_ms = excluded.since_ms,
      epoch = excluded.epoch, n = excluded.n`)

  if (counts.length > 0) sent.push(tx`
    insert into wallet_counts (user_no, campaign_no, cell, count)
    select * from unnest(${numbers(counts, (row) => userNo(row.user))}::integer[], ${numbers(counts, (row) => row.campaign_no)}::integer[],
      ${numbers(counts, (row) => row.cell)}::integer[], string_to_array(${textColumn(counts, (row) => row.count)}, ${BETWEEN}))
    on conflict (user_no, campaign_no) do update set count = excluded.count`)

  if (refunds.length > 0) sent.push(tx`
    insert into refunds (redemption_id, refund_id, at_ms, discount_minor, payload)
    select redemption_id, refund_id, at_ms, discount_minor, payload::json from unnest(
      string_to_array(${textColumn(refunds, (row) => row.redemption_id)}, ${BETWEEN}), string_to_array(${textColumn(refunds, (row) => row.refund_id)}, ${BETWEEN}),
      ${numbers(refunds, (row) => row.at_ms)}::bigint[], ${numbers(refunds, (row) => row.discount_minor)}::bigint[], string_to_array(${textColumn(refunds, (row) => row.payload)}, ${BETWEEN})
    ) as r(redemption_id, refund_id, at_ms, discount_minor, payload)
    on conflict (redemption_id, refund_id) do update set at_ms = excluded.at_ms, discount_minor = excluded.discount_minor, payload = excluded.payload`)

  if (cellBudgets.length > 0) sent.push(tx`
    insert into cell_budgets as b (cell, budget_no, limit_minor, held_minor, spent_minor, closed_ms)
    select * from unnest(${numbers(cellBudgets, (row) => row.cell)}::integer[], ${numbers(cellBudgets, (row) => row.budget_no)}::integer[],
      ${numbers(cellBudgets, (row) => row.limit_minor)}::bigint[], ${numbers(cellBudgets, (row) => row.held_minor)}::bigint[],
      ${numbers(cellBudgets, (row) => row.spent_minor)}::bigint[], ${numbers(cellBudgets, (row) => row.closed_ms)}::bigint[])
    on conflict (cell, budget_no) do update set limit_minor = b.limit_minor + excluded.limit_minor, held_minor = b.held_minor + excluded.held_minor,
      spent_minor = b.spent_minor + excluded.spent_minor, closed_ms = coalesce(b.closed_ms, excluded.closed_ms)`)

  if (cellCampaigns.length > 0) sent.push(tx`
    insert into cell_campaigns as k (cell, campaign_no, version, state, stock, issued, revoked, reserved, redeemed)
    select * from unnest(${numbers(cellCampaigns, (row) => row.cell)}::integer[], ${numbers(cellCampaigns, (row) => row.campaign_no)}::integer[],
      ${numbers(cellCampaigns, (row) => row.version)}::integer[], ${numbers(cellCampaigns, (row) => row.state)}::smallint[], ${numbers(cellCampaigns, (row) => row.stock)}::bigint[],
      ${numbers(cellCampaigns, (row) => row.issued)}::bigint[], ${numbers(cellCampaigns, (row) => row.revoked)}::bigint[],
      ${numbers(cellCampaigns, (row) => row.reserved)}::bigint[], ${numbers(cellCampaigns, (row) => row.redeemed)}::bigint[])
    on conflict (cell, campaign_no) do update set version = greatest(k.version, excluded.version), state = case when excluded.version > k.version then excluded.state else k.state end,
      stock = k.stock + excluded.stock, issued = k.issued + excluded.issued, revoked = k.revoked + excluded.revoked,
      reserved = k.reserved + excluded.reserved, redeemed = k.redeemed + excluded.redeemed`)

  if (cellIdle.length > 0) sent.push(tx`
    insert into cell_idle as i (cell, campaign_no, budget_no, held_minor)
    select * from unnest(${numbers(cellIdle, (row) => row.cell)}::integer[], ${numbers(cellIdle, (row) => row.campaign_no)}::integer[],
      ${numbers(cellIdle, (row) => row.budget_no)}::integer[], ${numbers(cellIdle, (row) => row.held_minor)}::bigint[])
    on conflict (cell, campaign_no, budget_no) do update set held_minor = i.held_minor + excluded.held_minor`)

  sent.push(...writeCodes(tx, codes, userNo))

  for (const { cell, unreadable: { id, raw, reason } } of quarantine) sent.push(tx`
    insert into quarantine (cell, epoch, n, raw, reason, at_ms)
    values (${cell}, ${id.epoch}, ${id.n}, ${raw}, ${reason}, (select at_ms from cells where cell = ${cell}))`)

  for (const { cell, allotment } of relearned) sent.push(tx`
    insert into epochs (cell, epoch, tail, at_ms) values (${cell}, ${allotment.epoch}, ${textOf(allotment.tail)}, (select at_ms from cells where cell = ${cell}))`)

  sent.push(tx`
    update cells c set epoch = r.epoch, n = r.n, at_ms = r.at_ms
    from unnest(${numbers(cursors, (row) => row.cell)}::integer[], ${numbers(cursors, (row) => row.id.epoch)}::integer[],
      ${numbers(cursors, (row) => row.id.n)}::bigint[], ${numbers(cursors, (row) => row.at_ms)}::bigint[]) as r(cell, epoch, n, at_ms)
    where c.cell = r.cell`)
  await Promise.all(sent)
}
