/**
 * What the house shows of itself beside its acts: how far Postgres is behind, what each budget holds, what a coupon weighs. Each gauge is
 * read when somebody looks, and what it reads is bounded.
 */
import { COUPON_HASH_CHARS, quotaKey } from "../lua/keys.ts"
import { unpack } from "../lua/records.ts"
import type { Metrics, Sample } from "./http/metrics.ts"
import type { Shedder } from "./http/shed.ts"
import { cursorOf, tailOf } from "./journal/caught_up.ts"
import { cellsOf, type Parts } from "./parts.ts"
import { readBudgetSums, readLeases, type Leases } from "./quota/sums.ts"
import type { Clock } from "./store/clock.ts"
import { ask, askNode, mastersOf } from "./store/redis.ts"

/** So many budgets are shown, those of the latest months first. */
const BUDGETS_MAX = 200
/** So many quotas of each kind are shown with their leases, the newest first. */
const LEASES_MAX = 50
/** So many wallets are weighed, and so many keys are passed over to find them. */
const WALLETS_MAX = 50
const SCANS_MAX = 20
const SCAN_COUNT = 500

/** How far each cell's cursor is behind its journal: entries, and seconds since the cursor's instant. */
const lags = async (parts: Parts, clock: Clock): Promise<{ cell: number; entries: number; seconds: number }[]> => {
  const { sql } = parts.postgres
  return Promise.all(cellsOf(parts).map(async (cell) => {
    const [tail, cursor, rows] = await Promise.all([tailOf(parts.redis, cell), cursorOf(sql, cell), sql<{ at_ms: number }[]>`select at_ms from cells where cell = ${cell}`])
    // Across an epoch's beginning the entries of the one before count as none: they are flushed within a batch.
    const entries = Math.max(0, tail.epoch === cursor.epoch ? tail.n - cursor.n : tail.n + 1)
    return { cell, entries, seconds: entries === 0 ? 0 : Math.max(0, clock.now_ms() - (rows[0]?.at_ms ?? 0)) / 1_000 }
  }))
}

/** Bytes of the wallets of a sample, and the coupons in them. */
const weighWallets = async ({ redis }: Parts): Promise<{ bytes: number; coupons: number }> => {
  let at = "0", wallets = 0, bytes = 0, coupons = 0
  // One master's wallets are like another's.
  const [node] = mastersOf(redis)
  for (let scans = 0; node && scans < SCANS_MAX && wallets < WALLETS_MAX; scans++) {
    const [next, keys] = await askNode(node.scan(at, "MATCH", "{c*}w*", "COUNT", SCAN_COUNT))
    at = next
    for (const key of keys.slice(0, WALLETS_MAX - wallets)) {
      const [weight, fields] = await ask(redis, key, (holder) => Promise.all([holder.memory("USAGE", key), holder.hkeys(key)]))
      wallets += 1
      bytes += Number(weight ?? 0)
      coupons += fields.filter((field) => field.length > COUPON_HASH_CHARS).length
    }
    if (at === "0") break
  }
  return { bytes, coupons }
}

/** What leases cost, and where quotas are: only where there are several cells. */
const showLeases = (metrics: Metrics, parts: Parts): void => {
  const tally = parts.leases
  const counter = (name: string, says: string, read: () => readonly Sample[]) => metrics.gauge({ name, says, type: "counter", read })
  counter("scrip_lease_acts_waited_total", "Acts that waited for a grant, each once.", () => [{ value: tally.acts_waited }])
  counter("scrip_lease_waits_total", "Waits for a grant, by how they ended.", () =>
    Object.entries(tally.waits).map(([outcome, value]) => ({ labels: { outcome }, value })))
  counter("scrip_lease_grants_total", "Grants that somebody waited for, and those that came early.", () =>
    [{ labels: { asked: "waited" }, value: tally.grants_waited }, { labels: { asked: "early" }, value: tally.grants_early }])
  counter("scrip_lease_recalls_total", "Rounds in which every cell was asked for what it does not use.", () => [{ value: tally.recalls }])
  counter("scrip_lease_idle_returns_total", "Leases that went back because nobody used them.", () => [{ value: tally.returns_idle }])
  counter("scrip_lease_told_again_total", "Messages that were told again because one side did not have them.", () => [{ value: tally.told_again }])
  const parted = (labels: Record<string, string>, { leased, idle }: Leases): Sample[] =>
    [{ labels: { ...labels, part: "leased" }, value: leased }, { labels: { ...labels, part: "idle" }, value: idle }]
  metrics.gauge({
    name: "scrip_lease_minor", says: "Money of each budget that is lent to cells, and what of it they do not use, in minor units.",
    read: async () => {
      const budgets = [...parts.catalogue.budgets()].toSorted((a, b) => b.opens_ms - a.opens_ms).slice(0, LEASES_MAX)
      return (await Promise.all(budgets.map(async ({ budget_no, budget_id }) => parted({ budget_id }, await readLeases(parts, `b${budget_no}`))))).flat()
    },
  })
  metrics.gauge({
    name: "scrip_lease_coupons", says: "Stock of each live campaign that is lent to cells, and what of it they do not use.",
    read: async () => {
      const live = [...parts.catalogue.campaigns()].filter(({ state }) => state === "live").toSorted((a, b) => b.campaign_no - a.campaign_no).slice(0, LEASES_MAX)
      return (await Promise.all(live.map(async ({ campaign_no, campaign_id }) => parted({ campaign_id }, await readLeases(parts, `k${campaign_no}`))))).flat()
    },
  })
}

/** Register every gauge of a process. */
export const showGauges = (metrics: Metrics, parts: Parts, clock: Clock): void => {
  metrics.gauge({
    name: "scrip_flush_lag_entries", says: "Journal entries that Postgres does not have yet, by cell.",
    read: async () => (await lags(parts, clock)).map(({ cell, entries }) => ({ labels: { cell: String(cell) }, value: entries })),
  })
  metrics.gauge({
    name: "scrip_flush_lag_seconds", says: "Age of what Postgres has of a cell, while it lacks entries.",
    read: async () => (await lags(parts, clock)).map(({ cell, seconds }) => ({ labels: { cell: String(cell) }, value: seconds })),
  })
  metrics.gauge({
    name: "scrip_budget_minor", says: "Money of each budget over all cells, in minor units: limit, held, spent, available.",
    read: async () => {
      const budgets = [...parts.catalogue.budgets()].toSorted((a, b) => b.opens_ms - a.opens_ms).slice(0, BUDGETS_MAX)
      const sums = await Promise.all(budgets.map(({ budget_no }) => readBudgetSums(parts, budget_no)))
      return budgets.flatMap(({ budget_id, line }, i) => (["limit", "held", "spent", "available"] as const).map((part) =>
        ({ labels: { budget_id, line, part }, value: sums[i]![`${part}_minor`] })))
    },
  })
  if (parts.cells > 1) showLeases(metrics, parts)
  metrics.gauge({
    name: "scrip_redis_bytes", says: "Memory that Redis uses, over all masters.",
    read: async () => {
      const infos = await Promise.all(mastersOf(parts.redis).map((node) => askNode(node.info("memory"))))
      return [{ value: infos.reduce((sum, info) => sum + Number(/used_memory:(\d+)/.exec(info)?.[1] ?? 0), 0) }]
    },
  })
  metrics.gauge({
    name: "scrip_redis_bytes_per_coupon", says: "Memory of wallets per coupon in them, from a sample of wallets.",
    read: async () => {
      const { bytes, coupons } = await weighWallets(parts)
      return coupons === 0 ? [] : [{ value: bytes / coupons }]
    },
  })
  metrics.gauge({
    name: "scrip_lost_acts", says: "Acts that were answered with a yes and were lost with a master; npm run lost names them.",
    read: async () => [{ value: (await parts.postgres.sql<{ acts: number }[]>`select count(*)::integer as acts from lost_acts`)[0]?.acts ?? 0 }],
  })
  metrics.gauge({
    name: "scrip_cell_full", says: "1 while a cell refuses what spends because too much of its journal is not flushed.",
    read: async () => Promise.all(cellsOf(parts).map(async (cell) => {
      const raw = await ask(parts.redis, quotaKey(cell), (node) => node.hgetBuffer(quotaKey(cell), "cell"))
      return { labels: { cell: String(cell) }, value: raw ? unpack("cell", raw).full : 0 }
    })),
  })
}

/** How long a request would wait now, how many were not let in for it, and for how long nobody counted them. */
export const showWait = (metrics: Metrics, shedder: Shedder, shut_ms: (now_ms: number) => number): void => {
  metrics.gauge({ name: "scrip_wait_seconds", says: "How long an act would wait for its turn now.", read: () => [{ value: shedder.wait_ms(performance.now()) / 1_000 }] })
  metrics.gauge({
    name: "scrip_shed_total", says: "Requests refused because others waited too long already: of those that take, and of those that give back. Who takes and comes while the door is shut is refused too, and counted by nobody.", type: "counter",
    read: () => Object.entries(shedder.refused()).map(([kind, value]) => ({ labels: { kind }, value })),
  })
  metrics.gauge({
    name: "scrip_shut_seconds_total", says: "How long the door was shut to all that takes: such requests are refused before anything counts them.", type: "counter",
    read: () => [{ value: shut_ms(performance.now()) / 1_000 }],
  })
}
