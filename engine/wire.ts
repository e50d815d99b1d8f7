/**
 * The wiring: how the rooms are put together into one engine. Nothing here decides anything; main.ts says when each piece starts.
 */
import { randomBytes } from "node:crypto"
import type { Hono } from "hono"
import { Redis } from "ioredis"
import { TICKET_HASH_BYTES } from "../lua/keys.ts"
import { cancelWith } from "./checkout/cancel.ts"
import { confirmWith } from "./checkout/confirm.ts"
import { extendWith } from "./checkout/extend.ts"
import { checkoutDiscountsWith } from "./checkout/discounts.ts"
import { quoteWith } from "./checkout/quote.ts"
import { getRedemptionWith, listRedemptionsWith } from "./checkout/read.ts"
import { refundWith } from "./checkout/refund.ts"
import { reserveWith } from "./checkout/reserve.ts"
import { claimBadgeWith, listUserBadgesWith } from "./coupons/claim.ts"
import { claimWith } from "./codes/claim.ts"
import { listCodesWith } from "./codes/list.ts"
import { generateWith, importWith, putPublicWith, revokeCodesWith } from "./codes/batches.ts"
import { MISS_LIMITS, type MissLimits } from "./codes/misses.ts"
import { issueWith } from "./coupons/issue.ts"
import { listCouponsWith } from "./coupons/list.ts"
import { revokeWith } from "./coupons/revoke.ts"
import { openGenerations } from "./levels/generations.ts"
import { closeReconciliationWith, getReconciliationWith, listReconciliationKeysWith } from "./insights/reconciliation.ts"
import { createRunWith, diffRunWith, getRunWith, listRunsWith, publishRunWith, rollbackRunWith } from "./insights/runs.ts"
import { activateBadgeWith, getBadgeWith, putBadgeWith } from "./operate/badges.ts"
import { addToBudgetWith, closeBudgetWith, getBudgetWith, listBudgetEntriesWith, putBudgetWith } from "./operate/budgets.ts"
import { activateCampaignWith, getCampaignWith, pauseCampaignWith, putCampaignWith, stopCampaignWith } from "./operate/campaigns.ts"
import { listEventsWith } from "./operate/events.ts"
import { getReportWith, listReportsWith } from "./operate/reports.ts"
import { showGauges, showWait } from "./gauges.ts"
import { topRiskWith } from "./operate/risk.ts"
import { createApp } from "./http/app.ts"
import type { Readiness } from "./http/routes/house.ts"
import { makeMetrics, type Metrics } from "./http/metrics.ts"
import type { HttpConfig } from "./http/serve.ts"
import { makeShedder, shedding, watchWait } from "./http/shed.ts"
import type { Log } from "./log.ts"
import { openCatalogue } from "./operate/catalogue.ts"
import { bootstrapKey, createKeyWith, hasKeys, openKeys, revokeKeyWith } from "./operate/keys.ts"
import { openSigner } from "./operate/signer.ts"
import { AGE_MS, REMEMBER_MS, type Parts } from "./parts.ts"
import type { Ground, Link, Wiring } from "./process/ground.ts"
import { isOpen } from "./ready.ts"
import { addTally, newLeaseTally, takeTally, type LeaseTally } from "./quota/tally.ts"
import { openClock, replayClock, type Clock } from "./store/clock.ts"
import type { Postgres, Sql } from "./store/postgres.ts"
import type { Servers } from "./store/redis.ts"
import { LEDGER_PACE, paceOf } from "./journal/flusher.ts"
import { checkCells, type CellsCheck } from "./journal/gate.ts"
import { openLedger } from "./journal/ledger.ts"
import { rememberAcknowledged } from "./journal/acknowledged.ts"
import type { DurabilityPromise, Ledger, Witness } from "./store/masters.ts"
import { StartFault } from "./private/folder.ts"
import { makeDemo, type Shown, welcome } from "./welcome.ts"
import type { Use, Uses } from "./uses.ts"
import { openCells, startWorker } from "./worker.ts"

/** Bytes of the key under which ids of devices, payments and addresses are hashed. */
const HMAC_KEY_BYTES = 32
const HASHED_ID_CHARS = 22

/** A setting of the installation: as whoever asked first has set it. */
const settingOf = async (sql: Sql, key: string, first: string): Promise<string> => {
  await sql`insert into settings (key, value) values (${key}, ${first}) on conflict (key) do nothing`
  const [row] = await sql<{ value: string }[]>`select value from settings where key = ${key}`
  if (!row) throw new Error(`the setting ${key} has gone`)
  return row.value
}

/** What the use cases are given, with the catalogue filled. */
export const openParts = async (
  redis: Servers, postgres: Postgres, { cells, zone, misses = MISS_LIMITS }: { cells: number; zone: string; misses?: MissLimits },
): Promise<Parts> => {
  // A keyed hash that has taken in its key is copied for each id: 0.6 µs, where making it anew takes 1.5.
  const keyed = new Bun.CryptoHasher("sha256", Buffer.from(await settingOf(postgres.sql, "hmac_key", randomBytes(HMAC_KEY_BYTES).toString("base64")), "base64"))
  const keyedCode = new Bun.CryptoHasher("sha256", Buffer.from(await settingOf(postgres.sql, "code_key", randomBytes(HMAC_KEY_BYTES).toString("base64")), "base64"))
  const catalogue = openCatalogue(postgres.sql, zone)
  await catalogue.refresh()
  const signer = await openSigner(postgres.sql)
  return {
    redis, postgres, catalogue, signer, generations: openGenerations(postgres.sql), leases: newLeaseTally(), cells, zone, misses, age_ms: AGE_MS, remember_ms: REMEMBER_MS,
    codeHash: (code) => Buffer.from(keyedCode.copy().update(code).digest().subarray(0, TICKET_HASH_BYTES)).toString("base64url"),
    hashId: (kind, id) => keyed.copy().update(`${kind}\0${id}`).digest("base64url").slice(0, HASHED_ID_CHARS),
  }
}

/** Each use case as its caller prefers it: with `ledger` it waits for Postgres. */
const asPreferred = (uses: Uses, ledgered: Uses): Uses => {
  type Families = Record<string, Record<string, Use<unknown>>>
  const plain = uses as unknown as Families, waits = ledgered as unknown as Families
  const choose = (family: string, name: string): Use<unknown> => {
    const now = plain[family]![name]!, then = waits[family]![name]!
    return (ask, caller) => (caller.durability === "ledger" ? then : now)(ask, caller)
  }
  return Object.fromEntries(Object.entries(plain).map(([family, acts]) => [family, Object.fromEntries(Object.keys(acts).map((name) => [name, choose(family, name)]))])) as unknown as Uses
}

/** Parts whose acts keep a promise before they are heard of. One connection alone can promise nothing more. */
export const promising = (parts: Parts, promise: DurabilityPromise): Parts =>
  parts.redis instanceof Redis ? parts : { ...parts, redis: { ...parts.redis, promise } }

/** Parts whose acts are witnessed before they are heard of. */
export const witnessed = (parts: Parts, witness: Witness): Parts => parts.redis instanceof Redis ? parts : { ...parts, redis: { ...parts.redis, witness } }

/** Every use case over the same parts. */
export const usesOf = (parts: Parts): Uses => ({
  coupons: { issue: issueWith(parts), revoke: revokeWith(parts), list: listCouponsWith(parts) },
  codes: {
    claim: claimWith(parts), generate: generateWith(parts), import: importWith(parts), putPublic: putPublicWith(parts), list: listCodesWith(parts),
    revoke: revokeCodesWith(parts),
  },
  checkout: {
    quote: quoteWith(parts), discounts: checkoutDiscountsWith(parts), reserve: reserveWith(parts), confirm: confirmWith(parts), extend: extendWith(parts), cancel: cancelWith(parts),
    refund: refundWith(parts), get: getRedemptionWith(parts), list: listRedemptionsWith(parts),
  },
  budgets: { put: putBudgetWith(parts), add: addToBudgetWith(parts), close: closeBudgetWith(parts), get: getBudgetWith(parts), entries: listBudgetEntriesWith(parts) },
  campaigns: {
    put: putCampaignWith(parts), activate: activateCampaignWith(parts), pause: pauseCampaignWith(parts), stop: stopCampaignWith(parts), get: getCampaignWith(parts),
  },
  events: { list: listEventsWith(parts) },
  reports: { list: listReportsWith(parts), get: getReportWith(parts) },
  badges: {
    put: putBadgeWith(parts), activate: activateBadgeWith(parts), get: getBadgeWith(parts), list: listUserBadgesWith(parts), claim: claimBadgeWith(parts),
  },
  insights: {
    create_run: createRunWith(parts), get_run: getRunWith(parts), list_runs: listRunsWith(parts), publish_run: publishRunWith(parts), rollback_run: rollbackRunWith(parts),
    diff_run: diffRunWith(parts), reconciliation: getReconciliationWith(parts), reconciliation_keys: listReconciliationKeysWith(parts),
    close_reconciliation: closeReconciliationWith(parts),
  },
  risk: { top: topRiskWith(parts) },
  keys: { create: createKeyWith(parts), revoke: revokeKeyWith(parts) },
})

/** The API; once `end` was called its streams end early. */
export interface Api { readonly app: Hono; readonly metrics: Metrics; end(): void }

/** The API over these parts, and over the same with `ledger` in their promise. */
export const apiOf = (parts: Parts, ledger: Ledger, clock: Clock, ready: () => Promise<Readiness>, log: Log, config: HttpConfig, acts_under_way = (): number => 0): Api => {
  const metrics = makeMetrics()
  const ending = new AbortController()
  const ledgered = usesOf(promising(parts, { is_replicated: false, ledger }))
  const uses = config.durability === "ledger" ? ledgered : asPreferred(usesOf(parts), ledgered)
  const app = createApp({ uses, findKey: openKeys(parts.postgres.sql), ready, metrics, log, clock, config, ending: ending.signal, acts_under_way })
  return { app, metrics, end: () => ending.abort() }
}

const missesOf = ({ codeMissesKey, codeMissesUser, codeMissesAddress, codeMissesWindowS }: Ground["config"]): MissLimits =>
  ({ key: codeMissesKey, user: codeMissesUser, address: codeMissesAddress, window_s: codeMissesWindowS })

/** An installation keeps the clock it was born with: a replay's instants lie anywhere, and a cell's time never falls. */
const checkClock = async (sql: Sql, clock: string): Promise<void> => {
  const kept = await settingOf(sql, "clock", clock)
  if (kept !== clock) throw new StartFault(`SCRIP_CLOCK is ${clock} and these data were written with ${kept}. Name another SCRIP_DATA_DIR.`)
}

/** Why these servers are not for this start. */
const sayCells = (checked: Exclude<CellsCheck, { outcome: "agreed" }>): string => {
  switch (checked.outcome) {
    case "cells_mismatch": return `SCRIP_CELLS is ${checked.asked} and ${checked.store} has ${checked.stored}. Their number changes only by npm run rebuild -- --cells ${checked.asked}, with every engine stopped.`
    case "installation_mismatch": return "this Redis has served another Postgres. Name the Postgres that belongs to it, or an empty Redis to rebuild it into."
    case "newer_format": return `Postgres has format ${checked.format}, which only a newer Scrip reads.`
  }
}

/** Between two looks of a process at what changed in the catalogue. */
const CATALOGUE_EVERY_MS = 1_000

/** What the worker tells the API of its start: what leases have cost there since it told it last. And back: what time a replay's request says. */
interface Told { readonly leases?: LeaseTally; readonly now_ms?: number }
const TALLY_EVERY_MS = 1_000

/** The worker's end of the link. */
const tellApi = ({ tell, hear }: Link, { leases, cells }: Parts, clock: Clock): void => {
  hear((message) => {
    const { now_ms } = message as Told
    if (now_ms !== undefined) clock.told(now_ms)
  })
  // One cell lends nothing. The timer lives as long as the process and holds nothing open.
  if (cells > 1) setInterval(() => tell({ leases: takeTally(leases) } satisfies Told), TALLY_EVERY_MS).unref()
}

/** The API's end: the clock that its requests tell the time. */
const hearWorker = ({ tell, hear }: Link, { leases }: Parts, clock: Clock): Clock => {
  hear((message) => {
    const { leases: counted } = message as Told
    if (counted !== undefined) addTally(leases, counted)
  })
  return {
    ...clock,
    told: (at_ms) => {
      clock.told(at_ms)
      tell({ now_ms: at_ms } satisfies Told)
    },
  }
}

/** The pieces of one process over the ground that main.ts has made. */
export const wireEngine = (): Wiring => {
  let opening: Promise<{ parts: Parts; clock: Clock }> | undefined
  /** What the first start of an installation has to show. */
  let first: { key: string | undefined; shown: Shown } | undefined
  const open = ({ config, redis, postgres }: Ground) => (opening ??= (async () => {
    const checked = await checkCells({ redis, sql: postgres.sql, cells: config.cells })
    if (checked.outcome !== "agreed") throw new StartFault(sayCells(checked))
    await checkClock(postgres.sql, config.clock)
    const clock = config.clock === "replay" ? replayClock() : await openClock(redis)
    const parts = await openParts(redis, postgres, { cells: config.cells, zone: config.timeZone, misses: missesOf(config) })
    // It lives as long as the process and holds nothing open.
    setInterval(() => void parts.catalogue.refresh().catch(() => undefined), CATALOGUE_EVERY_MS).unref()
    return { clock, parts: config.durability === "replicated" ? promising(parts, { is_replicated: true }) : parts }
  })())

  return {
    prepare: async (ground) => {
      const { parts, clock } = await open(ground)
      const { config, postgres, log } = ground
      const isFirst = !(await hasKeys(postgres.sql))
      const key = await bootstrapKey(postgres.sql, config.bootstrapKey, clock.now_ms())
      await openCells(parts, clock, log)
      const isOnPrivate = config.redisUrl === undefined && config.databaseUrl === undefined
      const shown = config.clock === "replay" ? "none" : isOnPrivate ? "demo" : "own"
      if (isFirst && shown === "demo") await makeDemo(usesOf(parts), clock.now_ms(), config.timeZone)
      if (isFirst) first = { key, shown }
    },
    worker: async (ground) => {
      const { parts, clock } = await open(ground)
      const { config, log, link } = ground
      if (link) tellApi(link, parts, clock)
      return startWorker(parts, clock, log, config.durability === "ledger" ? LEDGER_PACE : paceOf(config.cells))
    },
    app: async (ground) => {
      const { parts, clock } = await open(ground)
      const { config, readiness, log, link } = ground
      const ready = async (): Promise<Readiness> => ({
        missing: [...(readiness.isDraining() ? ["the process is being stopped"] : []), ...await isOpen(parts)],
        durability: readiness.durability, accepted: readiness.accepted, clock: config.clock, cells: config.cells,
      })
      // It looks only while somebody waits for Postgres, and not after the servers are let go.
      const { ledger, loop: looking } = openLedger({ ...parts, log })
      const memory = rememberAcknowledged({ sql: parts.postgres.sql, log, now_ms: clock.now_ms, process_id: crypto.randomUUID(), pid: process.pid })
      const remembering = memory.start()
      const shedder = makeShedder()
      const told = link ? hearWorker(link, parts, clock) : clock
      const { app, metrics, end } = apiOf(witnessed(parts, memory.witness), ledger, told, ready, log, { clock: config.clock, log_requests: config.logRequests, durability: readiness.durability }, shedder.under_way)
      showGauges(metrics, parts, clock)
      const { fetch, porch, shut_ms } = shedding(shedder, (request) => app.fetch(request))
      watchWait(parts.redis, shedder)
      showWait(metrics, shedder, shut_ms)
      return { fetch, porch, drain: end, stop: async () => { await Promise.all([looking.stop(), remembering.stop()]) } }
    },
    scheduler: "analytics/scheduler.ts",
    welcome: (url) => first === undefined ? "" : welcome(url, first.key, first.shown),
  }
}
