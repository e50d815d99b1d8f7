/**
 * The worker: what runs beside the API. It moves the journals to Postgres, ends what has run out, opens cells that a restart has
 * shut, and pushes campaigns until every cell has them. Any number of workers may run; each act is safe to repeat.
 */
import { tellUntold } from "./codes/batches.ts"
import { flushForever, newCellFlush, PACE, type Pace } from "./journal/flusher.ts"
import { openCell } from "./journal/gate.ts"
import { rebuildCell } from "./journal/rebuild.ts"
import { JOURNAL_BYTES_MAX, newCellSweep, sweepForever } from "./journal/sweeper.ts"
import { loadLevels } from "./levels/load.ts"
import type { Log } from "./log.ts"
import { type Loop, startEvery, startForever } from "./loop.ts"
import { carryBehind } from "./operate/carry.ts"
import { closeBehind } from "./operate/close_behind.ts"
import { pushBehind } from "./operate/push.ts"
import { agesOf, cellsOf, type Parts } from "./parts.ts"
import { makeKeeper } from "./quota/keeper.ts"
import { greet } from "./quota/post.ts"
import { bankReader, takeLeases } from "./quota/restore.ts"
import type { Clock } from "./store/clock.ts"

/** Between two looks for campaigns that not every cell has. */
const PUSH_EVERY_MS = 1_000
/** Between two looks for badge levels that Redis does not have. */
const LEVELS_EVERY_MS = 1_000
/** Between two looks at the leases of all cells, and at what is to be closed and carried over. */
const LEASES_EVERY_MS = 1_000
const CLOSE_EVERY_MS = 10_000
/** How long a cell that has to be rebuilt before it opens waits for its journal to be flushed. */
const REBUILD_WAIT_MS = 30_000

/** So many cells are opened at once. */
const OPENINGS_MAX = 8

/** Compare a shut cell with Postgres and open it, rebuilding it first where Postgres knows more. Its banks grant once every cell has told them. */
const openOne = async (parts: Parts, banks: ReturnType<typeof bankReader>, cell: number, clock: Clock, log: Log): Promise<void> => {
  const { redis, cells, postgres: { sql } } = parts
  const now_ms = clock.now_ms()
  const { outcome, epoch } = await openCell({
    redis, sql, log, cell, now_ms,
    takeLeases: async (of, epoch) => { if (cells > 1) await takeLeases(parts, banks, of, epoch) },
    rebuild: async () => {
      const rebuilt = await rebuildCell({ redis, sql, log, cells, ages: agesOf(parts, now_ms), wait_ms: REBUILD_WAIT_MS, discard_unflushed: false }, cell)
      if (rebuilt.outcome !== "rebuilt") throw new Error(`cell ${cell} cannot be rebuilt: ${rebuilt.outcome}`)
    },
  })
  // What was pushed after the last flush is gone with what was rebuilt over: every campaign is pushed anew, and most are there already.
  if (outcome === "rebuilt") await sql`update campaigns set pushed_version = 0 where state <> 'draft'`
  if (outcome !== "open") log.info("a cell is open", { cell, epoch, outcome })
}

/** Have the banks of some cells told by every cell. Where one is shut now, they are told when somebody needs a grant. */
const greetAll = async (parts: Parts, homes: readonly number[], now_ms: number): Promise<void> => {
  if (parts.cells > 1) await Promise.all(homes.map((home) => greet(parts, home, now_ms)))
}

/** Opens cells that are found shut, and has the banks of all of them told once the last is open: a cell that is shut tells nothing. */
const makeOpener = (parts: Parts, banks: ReturnType<typeof bankReader>, clock: Clock, log: Log) => {
  const opened = new Set<number>()
  let opening = 0
  return async (cell: number): Promise<void> => {
    opening += 1
    try {
      await openOne(parts, banks, cell, clock, log)
      opened.add(cell)
    } finally {
      opening -= 1
      if (opening === 0) {
        const homes = [...opened]
        opened.clear()
        await greetAll(parts, homes, clock.now_ms())
      }
    }
  }
}

/** Open every cell. */
export const openCells = async (parts: Parts, clock: Clock, log: Log): Promise<void> => {
  const banks = bankReader(parts), cells = cellsOf(parts)
  for (let i = 0; i < cells.length; i += OPENINGS_MAX) {
    await Promise.all(cells.slice(i, i + OPENINGS_MAX).map((cell) => openOne(parts, banks, cell, clock, log)))
  }
  await greetAll(parts, cells, clock.now_ms())
}

/** The worker's loops, in the order in which they start: the flusher first, because it stops last. */
export const startWorker = (parts: Parts, clock: Clock, log: Log, pace: Pace = PACE): Loop[] => {
  const { redis, cells, postgres: { sql } } = parts
  const flushes = cellsOf(parts).map(newCellFlush)
  const sweeps = cellsOf(parts).map(newCellSweep)
  const open = makeOpener(parts, bankReader(parts), clock, log)
  const keeper = cells > 1 ? makeKeeper(parts, log, clock.now_ms) : undefined
  return [
    startForever("flusher", (signal) => flushForever({
      redis, sql, log, cells, known: new Map(), states: flushes, pace, signal, onFlushed: ({ used }) => keeper?.hear(used),
    })),
    startForever("sweeper", (signal) => sweepForever({
      states: sweeps, signal, log,
      partsOf: (cell) => ({ redis, sql, log, cells, ages: agesOf(parts, clock.now_ms()), flushed_ms: flushes[cell]!.at_ms, journal_bytes_max: JOURNAL_BYTES_MAX }),
      onShut: open,
    })),
    ...(keeper ? [startEvery("keeper", LEASES_EVERY_MS, log, keeper.look)] : []),
    startEvery("closer", CLOSE_EVERY_MS, log, async () => {
      await closeBehind(parts, clock.now_ms())
      await carryBehind(parts, log, clock.now_ms())
    }),
    startEvery("levels", LEVELS_EVERY_MS, log, async () => { await loadLevels(parts, log, clock.now_ms()) }),
    startEvery("pusher", PUSH_EVERY_MS, log, async () => {
      await pushBehind(parts, clock.now_ms())
      await tellUntold(parts, clock.now_ms())
    }),
  ]
}
