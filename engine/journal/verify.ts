/**
 * The check that Redis and Postgres agree, field by field, while both are at work.
 *
 * What must stay true: nothing is listed that was only on its way. A cell's counters are read with its tail in one call and held
 * against the fold of its entries up to exactly that tail; a wallet that differs is read again at a later tail before it is
 * listed, and a later look acquits and never accuses. What has aged out of Redis counts as equal; what should have and has not is no difference either.
 */
import type { Redis } from "ioredis"
import { campaignOfField, cellOf, COUPON_HASH_CHARS, dueKey, homeOf, journalKey, openKey, quotaKey, settledKey, USER_HASH_CHARS, walletKey } from "../../lua/keys.ts"
import { unpack, unpackKept, valuesOf, type BankRecord, type RedemptionRecord } from "../../lua/records.ts"
import { readCut } from "../quota/cut.ts"
import type { Sql } from "../store/postgres.ts"
import { ask, askNode, mastersOf, type Servers } from "../store/redis.ts"
import { cursorOf, tailOf } from "./caught_up.ts"
import { collect, LOOK_AGAIN_MS, LOOKS_MAX, standing, type Collected, type Difference } from "./differences.ts"
import { BIRTH, compareIds, idOf, textOf, type EntryId } from "./entry.ts"
import {
  couponFrom, couponMark, couponMarkHour, isAged, isCountOver, isHourAged, isHourOver, isMarkForgotten, jsonOf, OPEN, overSince, redemptionFrom,
  redemptionMark, refusedMark, refusedMarkHour, type Ages, type CampaignFacts, type StoredCoupon, type StoredRedemption,
} from "./expected.ts"
import { readAdditions, readSums } from "./rebuild.ts"
import { verifyCodes } from "./verify_codes.ts"

/** Users in one page, and names in one scan. */
const PAGE_USERS = 1_000
const SCAN_COUNT = 2_000
/** A user who acts in each look is looked at so often: for 2 s or longer. */
const USER_LOOKS_MAX = 20
const CAUGHT_UP_MS = 10_000
/**
 * What a bank that was restored has not heard of yet is on its way: the keeper tells it at its second look, a second after the first. Leases
 * that differ are looked at until then.
 */
const LEASES_SETTLED_MS = 5_000
const LEASES_LOOK_MS = 250
/** More differences than a person reads. */
export const DIFFERENCES_MAX = 1_000

export interface VerifyParts {
  readonly redis: Servers
  readonly sql: Sql
  readonly cells: number
  /** The instant moves while the check runs. */
  readonly ages: () => Ages
  readonly onProgress?: (progress: VerifyProgress) => void
}
export interface VerifyProgress { readonly step: "counters" | "invariants" | "ledger" | "users" | "wallets" | "open" | "codes"; readonly checked: number; readonly differences: number; readonly users_done: number; readonly users: number }

export interface Verified {
  /** How many things were compared. */
  readonly checked: number
  readonly differences: readonly Difference[]
  /** There were more than DIFFERENCES_MAX. */
  readonly is_cut: boolean
}

type Tx = Parameters<Parameters<Sql["begin"]>[1]>[0]
const inSnapshot = <T>(sql: Sql, work: (tx: Tx) => Promise<T>): Promise<T> =>
  sql.begin("isolation level repeatable read read only", work) as Promise<T>

const mapOf = (reply: unknown): Map<string, Buffer> => {
  if (reply instanceof Map) return reply as Map<string, Buffer>
  if (Array.isArray(reply)) return new Map(Array.from({ length: reply.length / 2 }, (_, i) => [String(reply[2 * i]), reply[2 * i + 1] as Buffer]))
  return new Map(Object.entries((reply ?? {}) as Record<string, Buffer>))
}

const waitFor = async (sql: Sql, cell: number, tail: EntryId): Promise<void> => {
  const until = performance.now() + CAUGHT_UP_MS
  while (compareIds(await cursorOf(sql, cell), tail) < 0) {
    if (performance.now() >= until) throw new Error(`cell ${cell} is not flushed up to ${textOf(tail)} within ${CAUGHT_UP_MS} ms: no worker is running, or its journal is stopped`)
    await Bun.sleep(LOOK_AGAIN_MS)
  }
}


// ── Counters ─────────────────────────────────────────────────────────────────────────────────────────────────────

/**
 * A cell's quotas and its tail, read in one step. The commands are written one by one, in one turn so that nothing comes between,
 * because the client's own transactions read every reply as text.
 */
const readQuotas = async (redis: Servers, cell: number): Promise<{ fields: Map<string, Buffer>; tail: EntryId }> => {
  const replies = await ask(redis, quotaKey(cell), (node) => Promise.all([
    node.call("MULTI"), node.call("HGETALL", quotaKey(cell)), node.call("EXISTS", journalKey(cell)),
    node.call("XREVRANGE", journalKey(cell), "+", "-", "COUNT", "1"), node.callBuffer("EXEC"),
  ]))
  const [fields, exists, last] = replies.at(-1) as [unknown, number, [Buffer, unknown][]]
  // An empty stream keeps its last id out of reach of a range; nothing is being written to it then.
  const tail = last[0] ? idOf(last[0][0].toString("latin1")) : Number(exists) === 1 ? await tailOf(redis, cell) : BIRTH
  return { fields: mapOf(fields), tail }
}

interface LaterMoves { readonly budgets: Map<number, [number, number, number]>; readonly campaigns: Map<number, [number, number, number, number, number]>; readonly idle: Map<string, number>; readonly is_restated: boolean }

const RESTATING: ReadonlySet<string> = new Set(["published", "paused", "stopped", "funded", "closed"])

const readLater = async (tx: Tx, cell: number, tail: EntryId): Promise<LaterMoves> => {
  const rows = await tx<{ act: string; moves: unknown }[]>`
    select act, moves from events where cell = ${cell} and (epoch, n) > (${tail.epoch}, ${tail.n})`
  const budgets = new Map<number, [number, number, number]>(), campaigns = new Map<number, [number, number, number, number, number]>(), idle = new Map<string, number>()
  for (const { moves } of rows) {
    for (const [quota, ...deltas] of (jsonOf(moves) ?? []) as [string, ...number[]][]) {
      const no = Number(quota.slice(1))
      if (quota[0] === "i") idle.set(`${no}/${deltas[0]}`, (idle.get(`${no}/${deltas[0]}`) ?? 0) + deltas[1]!)
      else {
        const sums = (quota[0] === "b" ? budgets : campaigns) as Map<number, number[]>
        const sum = sums.get(no) ?? deltas.map(() => 0)
        sums.set(no, sum.map((value, i) => value + deltas[i]!))
      }
    }
  }
  return { budgets, campaigns, idle, is_restated: rows.some(({ act }) => RESTATING.has(act)) }
}

/** Hold one cell's counters against the entries up to the tail at which they were read. */
const verifyCounters = async ({ redis, sql, cells }: VerifyParts, cell: number): Promise<Collected> => {
  for (let looks = 1; ; looks += 1) {
    const { fields, tail } = await readQuotas(redis, cell)
    await waitFor(sql, cell, tail)
    const found = await inSnapshot(sql, async (tx) => ({
      sums: await readSums(tx, cell), later: await readLater(tx, cell, tail), additions: await readAdditions(tx, cells, cell),
      at: (await tx<{ at_ms: number }[]>`select at_ms from events where cell = ${cell} and epoch = ${tail.epoch} and n = ${tail.n}`)[0]?.at_ms ?? 0,
    }))
    // Terms have changed meanwhile: they are not deltas that can be taken back, so all is read again.
    if (found.later.is_restated && looks < LOOKS_MAX) continue
    const { sums, later, additions, at } = found
    const out = collect()
    const key = quotaKey(cell)
    const expected = new Set(["cell"])

    const raw = fields.get("cell")
    const record = raw ? unpack("cell", raw) : undefined
    out.compare("cell", key, "epoch", record?.epoch ?? 0, tail.epoch)
    out.compare("cell", key, "rebuilding", record?.rebuilding ?? 0, 0)
    if (record && record.at_ms < at) out.note("cell", key, "at_ms", record.at_ms, at)

    for (const row of sums.budgets.filter((each) => each.cell === cell)) {
      const name = `b${row.budget_no}`, is_home = homeOf(name, cells) === cell
      const [limit = 0, held = 0, spent = 0] = later.budgets.get(row.budget_no) ?? []
      const bytes = fields.get(name), budget = bytes ? unpack("budget", bytes) : undefined
      expected.add(name)
      out.compare("budget", key, `${name}.held`, budget?.held, row.held_minor - held)
      out.compare("budget", key, `${name}.spent`, budget?.spent, row.spent_minor - spent)
      out.compare("budget", key, `${name}.opens_ms`, budget?.opens_ms, row.opens_ms)
      out.compare("budget", key, `${name}.closes_ms`, budget?.closes_ms, Math.min(row.closes_ms, row.closed_ms ?? Infinity))
      if (!is_home) continue
      const bank = fields.get(`v${name}`)
      expected.add(`v${name}`)
      out.compare("bank", key, `v${name}.total`, bank ? unpack("bank", bank).total : undefined, row.limit_minor - limit)
      if (cells === 1) out.compare("budget", key, `${name}.granted - returned`, budget && budget.granted - budget.returned, row.limit_minor - limit)
    }
    for (const row of sums.campaigns.filter((each) => each.cell === cell)) {
      const name = `k${row.campaign_no}`, is_home = homeOf(name, cells) === cell
      const [stock = 0, issued = 0, revoked = 0, reserved = 0, redeemed = 0] = later.campaigns.get(row.campaign_no) ?? []
      const bytes = fields.get(name), campaign = bytes ? unpack("campaign", bytes) : undefined
      expected.add(name)
      for (const field of ["version", "state", "starts_ms", "ends_ms", "per_user"] as const) out.compare("campaign", key, `${name}.${field}`, campaign?.[field], row[field])
      out.compare("campaign", key, `${name}.issued`, campaign?.issued, row.issued - issued)
      out.compare("campaign", key, `${name}.revoked`, campaign?.revoked, row.revoked - revoked)
      out.compare("campaign", key, `${name}.reserved`, campaign?.reserved, row.reserved - reserved)
      out.compare("campaign", key, `${name}.redeemed`, campaign?.redeemed, row.redeemed - redeemed)
      const idle = new Map(sums.idle.filter((each) => each.campaign_no === row.campaign_no).map((each) =>
        [each.budget_no, each.held_minor - (later.idle.get(`${row.campaign_no}/${each.budget_no}`) ?? 0)]))
      for (const budget_no of new Set([...idle.keys(), ...(campaign?.idle ?? []).map(([no]) => no)])) {
        out.compare("campaign", key, `${name}.idle.${budget_no}`, campaign?.idle.find(([no]) => no === budget_no)?.[1] ?? 0, idle.get(budget_no) ?? 0)
      }
      if (!is_home) continue
      const bank = fields.get(`v${name}`)
      expected.add(`v${name}`)
      out.compare("bank", key, `v${name}.total`, bank ? unpack("bank", bank).total : undefined, row.stock - stock)
      if (cells === 1) out.compare("campaign", key, `${name}.granted - returned`, campaign && campaign.granted - campaign.returned, row.stock - stock)
    }
    for (const { addition, fingerprint, limit_minor } of additions) {
      expected.add(`a${addition}`)
      out.compare("addition", key, `a${addition}`, fields.get(`a${addition}`)?.toString(), `${fingerprint} ${limit_minor}`)
    }
    for (const [field, bytes] of fields) {
      // What a cell knows of its banks' epochs, and a cut that is being gathered: neither is an event.
      // Batches of codes are held against their codes.
      if (expected.has(field) || field[0] === "t" || /^h\d+$/.test(field) || (field[0] === "a" && readCut(field.slice(1), bytes.toString()))) continue
      // A cell that was lent money and has not used it has a record and no entry yet.
      const budget = field[0] === "b" ? unpack("budget", bytes) : undefined
      if (budget && budget.held === 0 && budget.spent === 0 && cells > 1) continue
      out.note(field[0] === "a" ? "addition" : field[0] === "v" ? "bank" : field[0] === "k" ? "campaign" : "budget", key, field, "there", undefined)
    }
    if (out.differences.length === 0 || looks >= LOOKS_MAX) return out
    await Bun.sleep(LOOK_AGAIN_MS)
  }
}

// ── Leases ───────────────────────────────────────────────────────────────────────────────────────────────────────

interface Side { readonly granted: number; readonly returned: number; readonly used: number; readonly parts: readonly number[] }

/** The invariants of the leases. Each side is read before the one that may only be ahead of it: B, then g and r, then G. */
const lookAtLeases = async ({ redis, cells }: VerifyParts): Promise<Collected> => {
  const all = Array.from({ length: cells }, (_, cell) => cell)
  const readAll = () => Promise.all(all.map(async (cell) => mapOf(await ask(redis, quotaKey(cell), (node) => node.hgetallBuffer(quotaKey(cell))))))
  const banksOf = (read: readonly Map<string, Buffer>[]) => new Map(read.flatMap((fields, cell) => [...fields].filter(([name]) => name[0] === "v").map(([name, bytes]) => [name.slice(1), { cell, bank: unpack("bank", bytes) }] as const)))
  const before = banksOf(await readAll()), sides = await readAll(), after = banksOf(await readAll())
  const out = collect()
  const leaseIn = (bank: BankRecord | undefined, cell: number) => { const [, granted = 0, returned = 0] = bank?.leases.find(([of]) => of === cell) ?? []; return { granted, returned } }
  const must = (ok: boolean, key: string, field: string, found: string, law: string): void => out.compare("invariant", key, field, ok ? law : found, law)
  for (const [name, { cell, bank }] of after) {
    const free = bank.leases.reduce((left, [, granted, returned]) => left - (granted - returned), bank.total)
    must(free >= 0, quotaKey(cell), `v${name}`, `free is ${free}`, "I1: what a bank may grant is never below zero")
  }
  sides.forEach((fields, cell) => {
    for (const [name, bytes] of fields) {
      if (name[0] !== "b" && name[0] !== "k") continue
      const side: Side = name[0] === "b"
        ? (({ granted, returned, held, spent }) => ({ granted, returned, used: held + spent, parts: [held, spent] }))(unpack("budget", bytes))
        : (({ granted, returned, issued, revoked, reserved, redeemed }) => ({ granted, returned, used: issued - revoked, parts: [issued, revoked, reserved, redeemed] }))(unpack("campaign", bytes))
      const left = side.granted - side.returned - side.used
      must(left >= 0 && side.parts.every((part) => part >= 0), quotaKey(cell), name, `left is ${left} of ${side.parts.join(", ")}`, "I2: nothing in a cell is below zero")
      const told = leaseIn(before.get(name)?.bank, cell), lent = leaseIn(after.get(name)?.bank, cell)
      must(told.returned <= side.returned && side.granted <= lent.granted, quotaKey(cell), name,
        `B ${told.returned}, r ${side.returned}, g ${side.granted}, G ${lent.granted}`, "I3, I4: B <= r and g <= G, so that bank and cells sum to the total")
    }
  })
  return out
}

const verifyInvariants = async (parts: VerifyParts): Promise<Collected> => {
  const until = performance.now() + LEASES_SETTLED_MS
  for (;;) {
    const out = await lookAtLeases(parts)
    if (out.differences.length === 0 || performance.now() >= until) return out
    await Bun.sleep(LEASES_LOOK_MS)
  }
}

// ── Postgres with itself ─────────────────────────────────────────────────────────────────────────────────────────

/** The ledger, the counters, the redemptions and the coupons of Postgres, in one snapshot: each tells what the others sum to. */
const verifyLedger = ({ sql }: VerifyParts): Promise<Collected> => inSnapshot(sql, async (tx) => {
  const out = collect()
  // Over all cells, because an installation may have had another number of them when an entry was written.
  const ledger = await tx<{ budget_no: number; limit_minor: number; held_minor: number; spent_minor: number; l: number; h: number; s: number }[]>`
    with sums as (
      select budget_no, sum(limit_minor)::bigint as limit_minor, sum(held_minor)::bigint as held_minor, sum(spent_minor)::bigint as spent_minor from cell_budgets group by 1
    ), entries as (
      select budget_no, sum(limit_minor)::bigint as l, sum(held_minor)::bigint as h, sum(spent_minor)::bigint as s from budget_entries group by 1
    )
    select budget_no, limit_minor, held_minor, spent_minor, coalesce(l, 0) as l, coalesce(h, 0) as h, coalesce(s, 0) as s from sums left join entries using (budget_no) order by 1`
  for (const row of ledger) {
    const key = `budget ${row.budget_no}`
    out.compare("ledger", key, "limit = sum of entries", row.limit_minor, row.l)
    out.compare("ledger", key, "held = sum of entries", row.held_minor, row.h)
    out.compare("ledger", key, "spent = sum of entries", row.spent_minor, row.s)
  }
  const rows = await tx<{ cell: number; budget_no: number; held_minor: number; spent_minor: number; open: number; idle: number; used: number }[]>`
    with shares as (
      select d.cell, (share ->> 0)::integer as budget_no,
        sum(case when d.state = ${OPEN} then (share ->> 1)::bigint else 0 end)::bigint as open,
        sum(case when d.state in (2, 5, 6) then (share ->> 2)::bigint - (share ->> 3)::bigint else 0 end)::bigint as used
      from redemptions d, json_array_elements(d.head -> 8) held, json_array_elements(held -> 4) share group by 1, 2
    ), idle as (
      select cell, budget_no, sum(held_minor)::bigint as idle from cell_idle group by 1, 2
    )
    select b.cell, b.budget_no, b.held_minor, b.spent_minor, coalesce(x.open, 0) as open, coalesce(i.idle, 0) as idle, coalesce(x.used, 0) as used
    from cell_budgets b left join shares x using (cell, budget_no) left join idle i using (cell, budget_no)
    order by b.cell, b.budget_no`
  for (const row of rows) {
    const key = `cell ${row.cell} budget ${row.budget_no}`
    out.compare("ledger", key, "held = open redemptions + idle", row.held_minor, row.open + row.idle)
    out.compare("ledger", key, "spent = confirmed less refunded", row.spent_minor, row.used)
  }
  const campaigns = await tx<{ cell: number; campaign_no: number; reserved: number; redeemed: number; revoked: number; r: number; d: number; v: number }[]>`
    with states as (
      select cell, campaign_no, count(*) filter (where state = 2) as r, count(*) filter (where state = 3) as d, count(*) filter (where state = 5) as v from coupons group by 1, 2
    )
    select k.cell, k.campaign_no, k.reserved, k.redeemed, k.revoked, coalesce(s.r, 0) as r, coalesce(s.d, 0) as d, coalesce(s.v, 0) as v
    from cell_campaigns k left join states s using (cell, campaign_no)`
  for (const row of campaigns) {
    const key = `cell ${row.cell} campaign ${row.campaign_no}`
    out.compare("ledger", key, "reserved = reserved coupons", row.reserved, row.r)
    out.compare("ledger", key, "redeemed = redeemed coupons", row.redeemed, row.d)
    out.compare("ledger", key, "revoked = revoked coupons", row.revoked, row.v)
  }
  // Money held at issue lies in the coupons that may still be used; a stopped campaign has given it back.
  const idle = await tx<{ cell: number; campaign_no: number; budget_no: number; held_minor: number; held: number }[]>`
    with held as (
      select c.cell, c.campaign_no, (hold ->> 0)::integer as budget_no, sum((hold ->> 1)::bigint)::bigint as held
      from coupons c join cell_campaigns k using (cell, campaign_no), json_array_elements(c.holds) hold where c.state = 1 and k.state <> 3 group by 1, 2, 3
    )
    select i.cell, i.campaign_no, i.budget_no, i.held_minor, coalesce(h.held, 0) as held from cell_idle i left join held h using (cell, campaign_no, budget_no)`
  for (const row of idle) out.compare("ledger", `cell ${row.cell} campaign ${row.campaign_no} budget ${row.budget_no}`, "idle = held by coupons", row.held_minor, row.held)
  return out
})

// ── Users ────────────────────────────────────────────────────────────────────────────────────────────────────────

interface StoredUser {
  readonly user_hash: string
  readonly coupons: readonly (StoredCoupon & EntryId & { cell: number })[]
  readonly counts: readonly { campaign_no: number; count: string }[]
  readonly refused: readonly { nonce: string; at_ms: number }[]
  readonly redemptions: readonly (StoredRedemption & EntryId & { reserved_ms: number })[]
}
interface SeenRecord { readonly kept: Buffer | null; readonly due: string | null }
interface SeenUser { readonly wallet: ReadonlyMap<string, Buffer>; readonly records: ReadonlyMap<string, SeenRecord>; readonly due: string | null }

const readStored = async (tx: Tx | Sql, users: readonly { user_no: number; user_hash: string }[]): Promise<StoredUser[]> => {
  if (users.length === 0) return []
  const first = users[0]!.user_hash, end = `${users.at(-1)!.user_hash}~` // above every character of an id
  const [coupons, redemptions, counts, refused] = await Promise.all([
    tx<(StoredCoupon & EntryId & { cell: number })[]>`
      select coupon_id, state, ends_at_ms, fingerprint, redemption, since_ms, holds, cell, epoch, n from coupons where coupon_id >= ${first} and coupon_id < ${end}`,
    tx<(StoredRedemption & EntryId & { reserved_ms: number })[]>`
      select redemption_id, state, head, body, since_ms, reserved_ms, epoch, n from redemptions where redemption_id >= ${first} and redemption_id < ${end}`,
    tx<{ user_no: number; campaign_no: number; count: string }[]>`select user_no, campaign_no, count from wallet_counts where user_no = any(${users.map(({ user_no }) => user_no)})`,
    tx<{ user_no: number; nonce: string; at_ms: number }[]>`select user_no, nonce, at_ms from refused_grants where user_no = any(${users.map(({ user_no }) => user_no)})`,
  ])
  const couponsOf = Map.groupBy(coupons, (row) => row.coupon_id.slice(0, USER_HASH_CHARS))
  const redemptionsOf = Map.groupBy(redemptions, (row) => row.redemption_id.slice(0, USER_HASH_CHARS))
  const countsOf = Map.groupBy(counts, (row) => row.user_no), refusedOf = Map.groupBy(refused, (row) => row.user_no)
  return users.map(({ user_no, user_hash }) => ({ user_hash, coupons: couponsOf.get(user_hash) ?? [], redemptions: redemptionsOf.get(user_hash) ?? [], counts: countsOf.get(user_no) ?? [], refused: refusedOf.get(user_no) ?? [] }))
}

const readSeen = async (redis: Servers, cells: number, users: readonly StoredUser[]): Promise<SeenUser[]> => {
  // Asked in one turn, so what goes to one master leaves in one write.
  const wallets = await Promise.all(users.map(({ user_hash }) => {
    const cell = cellOf(user_hash, cells)
    return ask(redis, quotaKey(cell), (node) => Promise.all([node.hgetallBuffer(walletKey(cell, user_hash)), node.zscore(dueKey(cell), `u${user_hash}`)]))
  }))
  const reads: Promise<[Buffer | null, string | null]>[] = []
  const asked = users.map(({ user_hash }, i) => {
    const cell = cellOf(user_hash, cells), wallet = mapOf(wallets[i]![0])
    const names = [...wallet.keys()].filter((field) => field[0] === "r" && field.length <= COUPON_HASH_CHARS).map((field) => field.slice(1))
    for (const name of names) {
      const mark = wallet.get(`r${name}`)!.toString("latin1")
      reads.push(ask(redis, quotaKey(cell), (node) => Promise.all([
        node.hgetBuffer(mark === "o" ? openKey(cell) : settledKey(cell, Number(mark.slice(1))), name), node.zscore(dueKey(cell), `r${user_hash}${name}`),
      ])))
    }
    return { wallet, names, due: wallets[i]![1] }
  })
  const records = await Promise.all(reads)
  let at = 0
  return asked.map(({ wallet, names, due }) => ({
    wallet, due: due === null ? null : String(due),
    records: new Map(names.map((name) => {
      const [kept, deadline] = records[at++]!
      return [name, { kept, due: deadline === null ? null : String(deadline) }]
    })),
  }))
}

/** Hold one user's records against his rows. */
const compareUser = (out: Collected, stored: StoredUser, seen: SeenUser, campaigns: ReadonlyMap<number, CampaignFacts>, cells: number, ages: Ages): void => {
  const { user_hash } = stored
  const cell = cellOf(user_hash, cells), key = walletKey(cell, user_hash)
  const expected = new Set<string>()
  for (const row of stored.coupons) {
    const field = row.coupon_id.slice(USER_HASH_CHARS), coupon = couponFrom(row), campaign = campaigns.get(campaignOfField(field))
    expected.add(field).add(couponMark(field))
    out.compare("coupon", row.coupon_id, "cell", cell, row.cell)
    const raw = seen.wallet.get(field)
    if (!raw) {
      if (!isAged(coupon, campaign, ages)) out.note("coupon", row.coupon_id, field, undefined, valuesOf("coupon", coupon))
      else if (!seen.wallet.has(couponMark(field)) && !isHourOver(couponMarkHour(overSince(coupon, campaign, ages)!, ages), ages.now_ms)) {
        out.note("mark", key, couponMark(field), undefined, "there, for an aged coupon")
      }
      continue
    }
    const found = unpack("coupon", raw)
    for (const name of ["state", "ends_at_ms", "fingerprint", "redemption", "since_ms", "holds"] as const) out.compare("coupon", row.coupon_id, name, found[name], coupon[name])
  }
  for (const { campaign_no, count } of stored.counts) {
    const field = `n${campaign_no}`, raw = seen.wallet.get(field)
    expected.add(field)
    if (raw || !isCountOver(campaigns.get(campaign_no), ages)) out.compare("count", key, field, raw?.toString(), count)
  }
  for (const { nonce, at_ms } of stored.refused) {
    const field = refusedMark(nonce), hour = refusedMarkHour(at_ms, ages)
    expected.add(field)
    if (!isHourOver(hour, ages.now_ms)) out.compare("mark", key, field, seen.wallet.get(field)?.toString(), hour)
  }
  const orders = new Map<string, string[]>()
  for (const row of stored.redemptions) {
    const name = row.redemption_id.slice(USER_HASH_CHARS), head = redemptionFrom(row), mark = redemptionMark(row.state, row.since_ms)
    expected.add(`r${name}`).add(`o${head.order}`)
    const place = seen.wallet.get(`r${name}`)?.toString("latin1")
    const hour = place === undefined ? Number(mark.slice(1)) : Number(place.slice(1))
    if (place === undefined) {
      if (row.state === OPEN || !isMarkForgotten(Number(mark.slice(1)), ages)) out.note("redemption", row.redemption_id, "mark", undefined, mark)
      continue
    }
    orders.set(head.order, [...orders.get(head.order) ?? [], name])
    out.compare("redemption", row.redemption_id, "mark", place[0], mark[0])
    const record = seen.records.get(name)
    if (!record?.kept) {
      if (place === "o" || !isHourAged(hour, ages)) out.note("redemption", row.redemption_id, "record", undefined, head)
      continue
    }
    const { head: found, body } = unpackKept(record.kept)
    for (const field of Object.keys({ ...found, ...head }) as (keyof RedemptionRecord)[]) out.compare("redemption", row.redemption_id, field, found[field], head[field])
    out.compare("redemption", row.redemption_id, "body", body, row.body)
    if (row.state === OPEN) out.compare("deadline", dueKey(cell), `r${row.redemption_id}`, record.due, head.expires_ms)
  }
  // One that was forgotten stands no more, although another of its order may have been loaded back since.
  const remembered = stored.redemptions.filter((row) => redemptionMark(row.state, 0)[0] !== "x" && seen.wallet.has(`r${row.redemption_id.slice(USER_HASH_CHARS)}`))
  const standing = Map.groupBy(remembered, (row) => redemptionFrom(row).order)
  // An order's mark names the redemption that stands, or where none does any that came to nothing, or nothing at all: one that was
  // loaded back is remembered longer than the order's last. Two stand where the order was forgotten and came again.
  for (const [order, names] of orders) {
    const found = seen.wallet.get(`o${order}`)?.toString()
    const stand = standing.get(order)?.map((row) => row.redemption_id.slice(USER_HASH_CHARS))
    const isRight = stand ? stand.includes(found ?? "") : found === undefined || names.includes(found)
    out.compare("order", key, `o${order}`, found, isRight ? found : (stand ?? names)[0])
  }
  for (const field of seen.wallet.keys()) if (!expected.has(field)) out.note("wallet", key, field, "there", undefined)
  if (seen.wallet.size > 0 && seen.due === null) out.note("deadline", dueKey(cell), `u${user_hash}`, undefined, "there")
}

const readCampaignFacts = async (tx: Tx | Sql): Promise<Map<number, Map<number, CampaignFacts>>> => {
  const rows = await tx<{ cell: number; campaign_no: number; state: number; ends_ms: number | null }[]>`
    select k.cell, k.campaign_no, k.state, v.ends_ms from cell_campaigns k left join campaign_versions v on v.campaign_no = k.campaign_no and v.version = k.version`
  const byCell = new Map<number, Map<number, CampaignFacts>>()
  for (const { cell, campaign_no, state, ends_ms } of rows) {
    const facts = byCell.get(cell) ?? new Map<number, CampaignFacts>()
    byCell.set(cell, facts.set(campaign_no, { state, ends_ms: ends_ms ?? Infinity }))
  }
  return byCell
}

/** What of a user has moved between two readings: the keys and fields by which a difference names it. */
const movedBetween = (before: StoredUser, after: StoredUser): Set<string> => {
  const moved = <Row>(rows: (of: StoredUser) => readonly Row[], names: (row: Row) => readonly string[]): string[] => {
    const then = new Set(rows(before).map((row) => JSON.stringify(row))), now = new Set(rows(after).map((row) => JSON.stringify(row)))
    return [...rows(before).filter((row) => !now.has(JSON.stringify(row))), ...rows(after).filter((row) => !then.has(JSON.stringify(row)))].flatMap(names)
  }
  return new Set([
    ...moved((of) => of.coupons, ({ coupon_id }) => [coupon_id, coupon_id.slice(USER_HASH_CHARS), couponMark(coupon_id.slice(USER_HASH_CHARS))]),
    ...moved((of) => of.redemptions, (row) => [row.redemption_id, `r${row.redemption_id}`, `r${row.redemption_id.slice(USER_HASH_CHARS)}`, `o${redemptionFrom(row).order}`]),
    ...moved((of) => of.counts, ({ campaign_no }) => [`n${campaign_no}`]),
    ...moved((of) => of.refused, ({ nonce }) => [refusedMark(nonce)]),
  ])
}

/**
 * Look at one user again, each time at a later tail. What has moved while it was looked at is not judged by that look: only what stood still and
 * differs LOOKS_MAX times is listed, and what moved in each of USER_LOOKS_MAX looks where Redis has neither what it was nor what it became.
 */
const lookAgain = async ({ redis, sql, cells, ages }: VerifyParts, user: { user_no: number; user_hash: string }): Promise<Collected> => {
  const cell = cellOf(user.user_hash, cells)
  for (let looks = 1, still = 0; ; looks += 1) {
    await waitFor(sql, cell, await tailOf(redis, cell))
    const { before, facts } = await inSnapshot(sql, async (tx) => ({ before: (await readStored(tx, [user]))[0]!, facts: await readCampaignFacts(tx) }))
    const [seen] = await readSeen(redis, cells, [before])
    const out = collect()
    compareUser(out, before, seen!, facts.get(cell) ?? new Map(), cells, ages())
    if (out.differences.length === 0) return out
    await waitFor(sql, cell, await tailOf(redis, cell))
    const after = (await readStored(sql, [user]))[0]!
    const moved = movedBetween(before, after)
    const isMoving = ({ key, field }: Difference): boolean => moved.has(key) || moved.has(field)
    if (!out.differences.some(isMoving) && ++still >= LOOKS_MAX) return out
    if (looks >= USER_LOOKS_MAX) {
      const became = collect()
      compareUser(became, after, seen!, facts.get(cell) ?? new Map(), cells, ages())
      const isNeither = ({ what, key, field }: Difference): boolean => became.differences.some((each) => each.what === what && each.key === key && each.field === field)
      out.differences.splice(0, Infinity, ...out.differences.filter((each) => !isMoving(each) || isNeither(each)))
      return out
    }
    await Bun.sleep(LOOK_AGAIN_MS * looks)
  }
}

/** Compare everything. It stops where the list of differences is full. */
export const verifyAll = async (parts: VerifyParts): Promise<Verified> => {
  const { redis, sql, cells, ages, onProgress } = parts
  const differences: Difference[] = []
  const [{ users: users_all } = { users: 0 }] = await sql<{ users: number }[]>`select count(*)::integer as users from users`
  let checked = 0, users_done = 0
  const take = (step: VerifyProgress["step"], out: Collected): void => {
    checked += out.checked()
    for (const difference of out.differences) if (differences.length < DIFFERENCES_MAX) differences.push(difference)
    onProgress?.({ step, checked, differences: differences.length, users_done, users: Math.max(users_all, users_done) })
  }
  const isFull = (): boolean => differences.length >= DIFFERENCES_MAX

  for (let cell = 0; cell < cells && !isFull(); cell += 1) take("counters", await verifyCounters(parts, cell))
  take("invariants", await verifyInvariants(parts))
  take("ledger", await verifyLedger(parts))

  let last = ""
  while (!isFull()) {
    const { users, stored, facts } = await inSnapshot(sql, async (tx) => {
      const users = await tx<{ user_no: number; user_hash: string }[]>`select user_no, user_hash from users where user_hash > ${last} order by user_hash limit ${PAGE_USERS}`
      return { users, stored: await readStored(tx, users), facts: await readCampaignFacts(tx) }
    })
    if (users.length === 0) break
    last = users.at(-1)!.user_hash
    const seen = await readSeen(redis, cells, stored)
    for (const [i, user] of stored.entries()) {
      if (isFull()) break
      const out = collect()
      compareUser(out, user, seen[i]!, facts.get(cellOf(user.user_hash, cells)) ?? new Map(), cells, ages())
      users_done += 1
      take("users", out.differences.length === 0 ? out : await lookAgain(parts, users[i]!))
    }
  }

  // What Redis has and Postgres never heard of.
  for (const node of mastersOf(redis)) await verifyWallets(parts, node, isFull, take)

  for (let cell = 0; cell < cells && !isFull(); cell += 1) take("open", await verifyOpen(parts, cell))
  const facts = await readCampaignFacts(sql)
  await verifyCodes({
    redis, sql, cells, ages, factsOf: (cell) => facts.get(cell) ?? new Map(), isFull, take: (out) => take("codes", out),
    readQuotas: (cell) => readQuotas(redis, cell),
    caughtUp: async (cell, tail) => waitFor(sql, cell, tail ?? await tailOf(redis, cell)),
  })
  return { checked, differences, is_cut: isFull() }
}

/** The wallets of one master that belong to no user Postgres knows. */
const verifyWallets = async ({ redis, sql, cells }: VerifyParts, node: Redis, isFull: () => boolean, take: (step: "wallets", out: Collected) => void): Promise<void> => {
  let at = "0"
  do {
    const [next, found] = await askNode(node.scan(at, "MATCH", "{c*}w*", "COUNT", SCAN_COUNT))
    at = next
    const wallets = new Map(found.map((name) => [name.slice(name.indexOf("}w") + 2), name]))
    if (wallets.size === 0) continue
    const unknown = async (hashes: readonly string[]): Promise<string[]> => {
      const known = new Set((await sql<{ user_hash: string }[]>`select user_hash from users where user_hash = any(${[...hashes]})`).map((row) => row.user_hash))
      return hashes.filter((hash) => !known.has(hash))
    }
    const out = collect()
    let strange = await unknown([...wallets.keys()])
    if (strange.length > 0) {
      for (const cell of new Set(strange.map((hash) => cellOf(hash, cells)))) await waitFor(sql, cell, await tailOf(redis, cell))
      strange = await unknown(strange)
    }
    for (const hash of strange) if (await ask(redis, wallets.get(hash)!, (holder) => holder.exists(wallets.get(hash)!)) === 1) out.note("wallet", wallets.get(hash)!, "user", "there", undefined)
    take("wallets", out)
  } while (at !== "0" && !isFull())
}

/**
 * Each open redemption of a cell has its deadline, which says whose it is, and Postgres has it as open too. One that was closed before Postgres was
 * asked is gone from Redis in the next look; one that was reserved since is not asked about.
 */
const verifyOpen = ({ redis, sql }: VerifyParts, cell: number): Promise<Collected> => standing(async () => {
  const replies = await ask(redis, openKey(cell), (node) => node.multi().hkeys(openKey(cell)).zrange(dueKey(cell), "0", "-1").exec()) ?? []
  for (const [error] of replies) if (error) throw error
  const open = replies[0]![1] as string[]
  const ids = new Map((replies[1]![1] as string[]).filter((name) => name[0] === "r").map((name) => [name.slice(1 + USER_HASH_CHARS), name.slice(1)]))
  await waitFor(sql, cell, await tailOf(redis, cell))
  const out = collect()
  const rows = await sql<{ redemption_id: string }[]>`
    select redemption_id from redemptions where redemption_id = any(${open.flatMap((name) => ids.get(name) ?? [])}) and state = ${OPEN}`
  const known = new Set(rows.map((row) => row.redemption_id))
  for (const name of open) {
    const id = ids.get(name)
    if (id === undefined) out.note("deadline", dueKey(cell), `r…${name}`, undefined, "there, for an open redemption")
    else out.compare("redemption", id, "open", "open", known.has(id) ? "open" : "not open")
  }
  return out
})
