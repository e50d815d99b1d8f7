/**
 * The lease keeper: it looks after leases beside the acts, so that hardly any act has to.
 *
 * It hears from the flusher what each cell has used, whoever sold it, and has leases refilled. Each second it looks at every bank and cell:
 * what one side has debited and the other has not got is told again, what nobody uses goes back, a cut that somebody left is finished,
 * and a counter that comes near to what a number can say is cried out. It only proposes: every message is judged where it arrives, so
 * keepers may be late, repeated or several.
 */
import { decode } from "@msgpack/msgpack"
import { CELLS_PER_FIELD, homeOf, quotaKey } from "../../lua/keys.ts"
import { SHARES_PER_CELL } from "../../lua/grant.ts"
import { unpack, type BankRecord } from "../../lua/records.ts"
import type { Log } from "../log.ts"
import { cellsOf, type QuotaParts } from "../parts.ts"
import { ask } from "../store/redis.ts"
import { changeLimit, readCut } from "./cut.ts"
import { freeOf, giveBack, greet, isAway, leftOf, NOTHING, sideOf, tellGrant, tellReturn, type Side } from "./post.ts"
import { makeRefills, type Used } from "./refill.ts"

/** Leases that were not used for so long go back but for what would be granted now, and after the longer time altogether. */
const IDLE_MS = 1_000
const IDLE_ALL_MS = 10 * 60_000
/** Looks take at most a twentieth of the time, however many quotas there are. */
const REST_PER_LOOK = 20
/** Cells that are read at once. */
const READS_MAX = 16
/** A cut that stands so long has been left by whoever began it. */
const CUT_LEFT_MS = 5_000
/** What in a cell's hash is a quota or its bank; beside them lie additions, epochs and batches of codes. */
const QUOTA = /^v?[bk]\d/
/** Half of what a counter may come to: it is time to rebuild with counters anew. */
export const COUNTER_ALARM = 2 ** 52

/** The epochs of other cells that a cell was told. */
const homesIn = (field: string, bytes: Buffer): [home: number, epoch: number][] =>
  (decode(bytes) as number[]).map((epoch, i) => [Number(field.slice(1)) * CELLS_PER_FIELD + i, epoch])

interface Seen<T> { readonly bytes: Buffer; readonly value: T; readonly since: number }

export interface Keeper {
  /** Hear what cells have used; what runs low is refilled beside. */
  hear(used: readonly Used[]): void
  /** Look at every bank and cell, unless the last look was too long for another so soon. */
  look(): Promise<void>
  /** The highest counter of the last look. */
  counterMax(): number
}

/** A keeper of all quotas. */
export const makeKeeper = (parts: QuotaParts, log: Log, now_ms: () => number): Keeper => {
  const { redis, cells } = parts
  const tally = parts.leases
  const refills = makeRefills(parts)
  let seen = new Map<string, Seen<Side | BankRecord>>()
  let behind = new Set<string>()
  const cuts = new Map<string, number>()
  let rest_until = 0, counter_max = 0

  /** Everything that concerns leases, as it stands; what has not changed is not read out again. */
  const readAll = async (at: number) => {
    const next = new Map<string, Seen<Side | BankRecord>>()
    const epochs = new Map<number, number>(), known = new Map<string, number>(), cutFields = new Map<string, string>()
    const months = new Map<string, { opens_ms: number; closes_ms: number }>()
    const readCell = async (cell: number): Promise<void> => {
      const key = quotaKey(cell)
      for (const [field, bytes] of Object.entries(await ask(redis, key, (node) => node.hgetallBuffer(key)))) {
        if (field === "cell") epochs.set(cell, unpack("cell", bytes).epoch)
        else if (field[0] === "h") homesIn(field, bytes).forEach(([home, epoch]) => known.set(`${cell} ${home}`, epoch))
        else if (field[0] === "a") { if (bytes.includes(" cut ")) cutFields.set(field.slice(1), bytes.toString()) }
        else if (QUOTA.test(field)) {
          const id = `${cell} ${field}`, before = seen.get(id)
          next.set(id, before?.bytes.equals(bytes) ? before : { bytes, since: at, value: field[0] === "v" ? unpack("bank", bytes) : sideOf(field, bytes) })
          if (field[0] === "b" && homeOf(field, cells) === cell) months.set(field, unpack("budget", bytes))
        }
      }
    }
    const all = cellsOf(parts)
    for (let i = 0; i < all.length; i += READS_MAX) await Promise.all(all.slice(i, i + READS_MAX).map(readCell))
    return { next, epochs, known, cutFields, months }
  }

  const lookAt = async (): Promise<void> => {
    const at = performance.now()
    const { next, epochs, known, cutFields, months } = await readAll(at)
    seen = next
    const behind_now = new Set<string>(), cuts_now = new Set<string>(), greeted = new Set<number>()
    counter_max = 0
    for (const [id, { value }] of next) {
      const [home_text = "", field = ""] = id.split(" ")
      if (field[0] !== "v") continue
      const home = Number(home_text), name = field.slice(1), bank = value as BankRecord
      const epoch = epochs.get(home) ?? 0, share = Math.floor(Math.max(0, freeOf(bank)) / (SHARES_PER_CELL * cells))
      const { opens_ms, closes_ms } = months.get(name) ?? { opens_ms: 0, closes_ms: 0 }
      const leases = new Map(bank.leases.map((each) => [each[0], each]))
      for (const cell of cellsOf(parts)) {
        const [, granted = 0, returned = 0, , lent = 0] = leases.get(cell) ?? []
        const lease = next.get(`${cell} ${name}`), side = (lease?.value ?? NOTHING) as Side
        const its_epoch = known.get(`${cell} ${home}`) ?? 0
        if (!lease && !leases.has(cell)) continue
        counter_max = Math.max(counter_max, granted, returned)
        refills.see(name, cell, leftOf(side), lent)
        if (granted !== side.granted || side.returned > returned || its_epoch < epoch) {
          const sign = `${id} ${cell} ${granted} ${side.granted} ${side.returned} ${returned} ${its_epoch} ${epoch}`
          behind_now.add(sign)
          if (!behind.has(sign) || greeted.has(home)) continue // most often it is on its way
          tally.told_again += 1
          // A bank that was restored while this cell was shut has not heard of it, and nobody may ever ask that bank for a grant.
          if (its_epoch < epoch || side.granted > granted) {
            greeted.add(home)
            await greet(parts, home, now_ms())
          } else if (granted > side.granted) await tellGrant(parts, name, cell, { epoch, granted_total: granted, opens_ms, closes_ms }, now_ms())
          else await tellReturn(parts, name, { cell, epoch: its_epoch, cell_epoch: epochs.get(cell) ?? 0, ...side }, now_ms())
          continue
        }
        const idle_ms = lease ? at - lease.since : 0
        const keep = idle_ms >= IDLE_ALL_MS ? 0 : Math.min(share, lent)
        if (idle_ms < IDLE_MS || leftOf(side) <= keep) continue
        const given = await giveBack(parts, name, cell, keep, now_ms())
        if (given.returned > returned && await tellReturn(parts, name, given, now_ms())) tally.returns_idle += 1
      }
      if (bank.cut !== undefined) {
        const sign = `${name} ${bank.cut}`
        cuts_now.add(sign)
        if (!cuts.has(sign)) cuts.set(sign, at)
        const change = readCut(bank.cut, cutFields.get(bank.cut) ?? "")
        if (change && at - cuts.get(sign)! >= CUT_LEFT_MS) {
          const { outcome } = await changeLimit(parts, { budget_no: Number(name.slice(1)), opens_ms, closes_ms, ...change }, now_ms())
          log.warn("a cut that was left under way has been taken up", { step: name, outcome })
        }
      }
    }
    for (const sign of cuts.keys()) if (!cuts_now.has(sign)) cuts.delete(sign)
    behind = behind_now
    if (counter_max >= COUNTER_ALARM) log.error("a quota's counter is half of what a number can say", { step: "leases", rows: counter_max })
  }

  return {
    hear: (used) => refills.hear(used, now_ms()),
    look: async () => {
      const began = performance.now()
      if (began < rest_until) return
      try {
        await lookAt()
      } catch (fault) {
        if (!isAway(fault)) throw fault // a cell that is away is looked at the next time
      }
      rest_until = performance.now() + (performance.now() - began) * REST_PER_LOOK
    },
    counterMax: () => counter_max,
  }
}
