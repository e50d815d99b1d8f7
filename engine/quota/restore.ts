/**
 * What banks say of a cell's leases, taken back before the cell opens: g = G and r = max(r, B), and then all that it does not use goes back.
 *
 * What must stay true: before a bank is read it refuses all that the cell sent in an earlier epoch, because a bank that had forgotten the cell
 * would otherwise learn behind its back what the cell has forgotten too. The banks are read after the cell was found shut, so that nothing which it returned before is missed, not even by a bank
 * that has lost what it granted and was told of the return first. And no cell opens with more than it uses: whatever shut it may have lost what
 * the cell had returned, and somebody else may have it by now.
 */
import { TOLD_MAX } from "../../lua/hear.ts"
import { quotaKey } from "../../lua/keys.ts"
import { unpack, type BankRecord } from "../../lua/records.ts"
import { meet } from "../../lua/meet.ts"
import { take_leases } from "../../lua/take_leases.ts"
import { ask, run, type Servers } from "../store/redis.ts"

/** What in a cell's hash is a quota. */
const QUOTA = /^[bk]\d/

interface Banks {
  /** Each bank by its quota's name, with the month where it is money. */
  readonly banks: ReadonlyMap<string, { bank: BankRecord; opens_ms: number; closes_ms: number }>
  /** The epoch of each home cell. */
  readonly homes: readonly [home: number, epoch: number][]
}

/** A cell and the epoch in which it is about to open. */
type Opening = readonly [cell: number, epoch: number]

/** Have every bank refuse what these cells sent before, and read it then. One that is shut refuses it by the epoch in which it opens itself. */
const readBanks = async (redis: Servers, cells: number, openings: readonly Opening[]): Promise<Banks> => {
  const banks = new Map<string, { bank: BankRecord; opens_ms: number; closes_ms: number }>()
  const homes: [number, number][] = []
  await Promise.all(Array.from({ length: cells }, async (_, home) => {
    if (openings.length > 0) await run(redis, meet, { keys: { quota: quotaKey(home) }, args: { now_ms: 0, cells: openings } }) // at no instant: it is no act
    const fields = await ask(redis, quotaKey(home), (node) => node.hgetallBuffer(quotaKey(home)))
    if (fields["cell"]) homes.push([home, unpack("cell", fields["cell"]).epoch])
    for (const [field, bytes] of Object.entries(fields)) {
      if (field[0] !== "v") continue
      const name = field.slice(1), month = name[0] === "b" && fields[name] ? unpack("budget", fields[name]) : { opens_ms: 0, closes_ms: 0 }
      banks.set(name, { bank: unpack("bank", bytes), opens_ms: month.opens_ms, closes_ms: month.closes_ms })
    }
  }))
  return { banks, homes }
}

export interface RestoreParts { readonly redis: Servers; readonly cells: number }

/** Reads every bank, for a cell that is about to open in an epoch. */
export type BankReader = (cell: number, epoch: number) => Promise<Banks>

/**
 * A reader of banks for many cells that open at once: who asks is given a reading that began after he asked, and shares it with
 * all who asked before it began.
 */
export const bankReader = ({ redis, cells }: RestoreParts): BankReader => {
  let running: Promise<Banks> | undefined, next: Promise<Banks> | undefined, openings: Opening[] = []
  const begin = (): Promise<Banks> => {
    const theirs = openings
    next = undefined
    openings = []
    return (running = readBanks(redis, cells, theirs).finally(() => { running = undefined }))
  }
  return (cell, epoch) => {
    openings.push([cell, epoch])
    return next ??= running === undefined ? Promise.resolve().then(begin) : running.then(begin, begin)
  }
}

/** Take the leases of one shut cell, which is about to open in this epoch or a later one, back from every bank. */
export const takeLeases = async ({ redis }: RestoreParts, read: BankReader, cell: number, epoch: number): Promise<void> => {
  const { banks, homes } = await read(cell, epoch)
  const own = (await ask(redis, quotaKey(cell), (node) => node.hkeys(quotaKey(cell)))).filter((name) => QUOTA.test(name))
  const leases = [...banks].flatMap(([name, { bank, opens_ms, closes_ms }]) => {
    const [, granted = 0, returned = 0] = bank.leases.find(([of]) => of === cell) ?? []
    return granted > 0 || returned > 0 ? [[name, granted, returned, opens_ms, closes_ms]] : []
  })
  const lent = new Set(leases.map(([name]) => name))
  leases.push(...own.filter((name) => !lent.has(name)).map((name) => [name, 0, 0, 0, 0]))
  for (let i = 0; i === 0 || i < leases.length; i += TOLD_MAX) {
    await run(redis, take_leases, { keys: { quota: quotaKey(cell) }, args: { leases: leases.slice(i, i + TOLD_MAX), homes: i === 0 ? homes : [] } })
  }
}
