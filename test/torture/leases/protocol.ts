/**
 * The lease protocol as a plain machine, and every state that it can come to: a bank, two cells, and messages that are never lost for good.
 *
 * The machine is written from the design's words, not from the Lua: two sides that owe each other absolute, growing numbers. A message that
 * was sent may arrive at any later time, any number of times, or never, and either side may be restarted or lose what it knew. So one search
 * over all states stands for every loss, repetition, reordering and crash. That the Lua does the same is held by test/lua/leases.test.ts.
 */

/** The steps that keep it safe, each of which can be left out. */
export const STEPS = [
  "giver_first", "absolute_grants", "absolute_returns", "all_told_first", "refuse_older_grants", "refuse_other_returns", "refuse_other_tellings", "refuse_before_telling", "refuse_older_cells",
  "returns_all", "granted_what_it_uses",
] as const
export type Step = (typeof STEPS)[number]

/** What may happen in one search, and how often. */
export interface Bounds {
  readonly total: number
  /** A counter grows to this at most. */
  readonly counter_max: number
  /** The bank is restarted so often, with all it had. */
  readonly restarts: number
  /** The bank is written anew, with its total alone. */
  readonly banks_lost: number
  /** A cell is written anew: it has what it uses and what the bank says. */
  readonly cells_lost: number
  /** A cell is shut and opened with all it had. */
  readonly reopened: number
  /** The server of the bank and of cell 0 comes back with anything older. */
  readonly rolled_back: number
}

/** A world in which nothing happens but messages. */
export const CALM: Bounds = { total: 1, counter_max: 2, restarts: 0, banks_lost: 0, cells_lost: 0, reopened: 0, rolled_back: 0 }

export interface State {
  /** The bank: granted and taken back by cell, its epoch, which cells have told it what they have (a bit each), and the epoch of each as it was told. */
  readonly lent: readonly number[]; readonly back: readonly number[]; readonly epoch: number; readonly told: number; readonly met: readonly number[]
  /** The cells: granted, returned and used, the epoch of each, and the bank's as each knows it. */
  readonly granted: readonly number[]; readonly returned: readonly number[]; readonly used: readonly number[]; readonly opened: readonly number[]; readonly knows: readonly number[]
  /** Every message that was ever sent, in order of their names. */
  readonly sent: readonly string[]
  readonly left: Omit<Bounds, "total" | "counter_max">
}

export const CELLS: readonly number[] = [0, 1]
const at = <T>(list: readonly T[], place: number, value: T): T[] => list.map((each, i) => i === place ? value : each)
const post = (state: State, message: string): readonly string[] => state.sent.includes(message) ? state.sent : [...state.sent, message].sort()
const unusedOf = ({ granted, returned, used }: State, cell: number): number => granted[cell]! - returned[cell]! - used[cell]!
export const freeOf = ({ lent, back }: State, total: number): number => CELLS.reduce((free, cell) => free - lent[cell]! + back[cell]!, total)
const EVERYBODY = 3

export const beginning = ({ restarts, banks_lost, cells_lost, reopened, rolled_back }: Bounds): State => ({
  lent: [0, 0], back: [0, 0], epoch: 1, told: EVERYBODY, met: [1, 1], granted: [0, 0], returned: [0, 0], used: [0, 0], opened: [1, 1], knows: [1, 1], sent: [],
  left: { restarts, banks_lost, cells_lost, reopened, rolled_back },
})

/**
 * A cell opens: a bank that is open refuses what it sent before, then says what it knows of the cell, which has what it uses and not more. A bank that is shut
 * will open in another epoch.
 */
const open = (state: State, cell: number, isBankOpen: boolean, has: (step: Step) => boolean): State => {
  let granted = Math.max(state.granted[cell]!, state.lent[cell]!), returned = Math.max(state.returned[cell]!, state.back[cell]!)
  const used = state.used[cell]!
  if (has("returns_all")) returned = Math.max(returned, granted - used)
  if (has("granted_what_it_uses")) granted = Math.max(granted, returned + used)
  return { ...state, granted: at(state.granted, cell, granted), returned: at(state.returned, cell, returned), opened: at(state.opened, cell, state.opened[cell]! + 1),
    met: has("refuse_older_cells") && isBankOpen ? at(state.met, cell, state.opened[cell]! + 1) : state.met, knows: at(state.knows, cell, Math.max(state.knows[cell]!, state.epoch)) }
}

/** A message that changes nothing now, nor ever will: it is refused, or says less than is known and cannot be forgotten. */
const isSpent = (message: string, state: State, has: (step: Step) => boolean): boolean => {
  const [kind, cell_text, epoch_text, opened_text, first_text, second_text] = message.split(" ")
  const cell = Number(cell_text), epoch = Number(epoch_text), first = Number(first_text)
  if (kind !== "grant" && Number(opened_text) < state.met[cell]!) return true
  if (kind === "grant") {
    if (has("refuse_older_grants") && epoch < state.knows[cell]!) return true
    return has("absolute_grants") && first <= state.granted[cell]! && epoch <= state.knows[cell]! && state.left.cells_lost + state.left.rolled_back === 0
  }
  if (kind === "return") return has("refuse_other_returns") && (epoch < state.epoch || has("absolute_returns") && epoch === state.epoch && first <= state.back[cell]!)
  return has("refuse_other_tellings") && (epoch < state.epoch || first <= state.lent[cell]! && Number(second_text) <= state.back[cell]! && (state.told >> cell & 1) === 1)
}

const upTo = (most: number): number[] => Array.from({ length: most + 1 }, (_, i) => i)

/** Everything that may happen next. */
export const nextOf = (state: State, { total, counter_max }: Bounds, without: Step | undefined): { readonly what: string; readonly state: State }[] => {
  const has = (step: Step): boolean => step !== without
  const next: { what: string; state: State }[] = []
  const may = (what: string, then: State): void => {
    next.push({ what, state: then.sent.length === 0 ? then : { ...then, sent: then.sent.filter((message) => !isSpent(message, then, has)) } })
  }
  const free = freeOf(state, total)
  for (const cell of CELLS) {
    const unused = unusedOf(state, cell)
    // The bank lends.
    if ((state.told === EVERYBODY || !has("all_told_first")) && free > 0) {
      for (const more of new Set([1, free])) {
        const lent = state.lent[cell]! + more
        if (lent > counter_max) continue
        const sent = post(state, `grant ${cell} ${state.epoch} - ${has("absolute_grants") ? lent : more}`)
        may(`lend ${more} to ${cell}`, { ...state, lent: at(state.lent, cell, lent), sent })
        // It dies between the two, having told before it had written.
        if (!has("giver_first")) may(`tell ${cell} of ${more} that is not lent`, { ...state, sent })
      }
    }
    // The cell uses, gives up a use, and gives back what it does not use.
    if (unused > 0) may(`use in ${cell}`, { ...state, used: at(state.used, cell, state.used[cell]! + 1) })
    if (state.used[cell]! > 0) may(`give up in ${cell}`, { ...state, used: at(state.used, cell, state.used[cell]! - 1) })
    if (unused > 0) {
      const returned = state.returned[cell]! + unused
      const sent = post(state, `return ${cell} ${state.knows[cell]} ${state.opened[cell]} ${has("absolute_returns") ? returned : unused}`)
      may(`give back ${unused} of ${cell}`, { ...state, returned: at(state.returned, cell, returned), sent })
      if (!has("giver_first")) may(`tell of ${unused} that ${cell} has not given back`, { ...state, sent })
    }
    // A bank that was opened anew asks: first the cell refuses what it sent before, then it tells.
    if (state.knows[cell]! < state.epoch) may(`${cell} meets epoch ${state.epoch}`, { ...state, knows: at(state.knows, cell, state.epoch) })
    if ((state.told & 1 << cell) === 0 && (state.knows[cell] === state.epoch || !has("refuse_before_telling"))) {
      may(`${cell} tells`, { ...state, sent: post(state, `tell ${cell} ${state.epoch} ${state.opened[cell]} ${state.granted[cell]} ${state.returned[cell]}`) })
    }
    if (state.left.cells_lost > 0) {
      const lost = { ...state, granted: at(state.granted, cell, 0), returned: at(state.returned, cell, 0), left: { ...state.left, cells_lost: state.left.cells_lost - 1 } }
      may(`${cell} is written anew`, open(lost, cell, true, has))
    }
    if (state.left.reopened > 0) may(`${cell} is opened again`, open({ ...state, left: { ...state.left, reopened: state.left.reopened - 1 } }, cell, true, has))
  }
  // Whatever was ever sent arrives, once more.
  for (const message of state.sent) {
    const [kind, cell_text, epoch_text, opened_text, first_text, second_text] = message.split(" ")
    const cell = Number(cell_text), epoch = Number(epoch_text), first = Number(first_text)
    if (kind !== "grant" && Number(opened_text) < state.met[cell]!) continue
    if (kind === "grant") {
      if (has("refuse_older_grants") && epoch < state.knows[cell]!) continue
      const granted = has("absolute_grants") ? Math.max(state.granted[cell]!, first) : state.granted[cell]! + first
      if (granted <= counter_max) may(message, { ...state, granted: at(state.granted, cell, granted), knows: at(state.knows, cell, Math.max(state.knows[cell]!, epoch)) })
    } else if (kind === "return") {
      if (has("refuse_other_returns") && epoch !== state.epoch) continue
      const back = has("absolute_returns") ? Math.max(state.back[cell]!, first) : state.back[cell]! + first
      if (back <= counter_max) may(message, { ...state, back: at(state.back, cell, back) })
    } else if (!has("refuse_other_tellings") || epoch === state.epoch) {
      may(message, { ...state, lent: at(state.lent, cell, Math.max(state.lent[cell]!, first)), back: at(state.back, cell, Math.max(state.back[cell]!, Number(second_text))), told: state.told | 1 << cell })
    }
  }
  const reborn = { epoch: state.epoch + 1, told: 0 }
  if (state.left.restarts > 0) may("the bank is restarted", { ...state, ...reborn, left: { ...state.left, restarts: state.left.restarts - 1 } })
  if (state.left.banks_lost > 0) may("the bank is written anew", { ...state, ...reborn, lent: [0, 0], back: [0, 0], met: [0, 0], left: { ...state.left, banks_lost: state.left.banks_lost - 1 } })
  if (state.left.rolled_back > 0) {
    // Any older numbers, one independent of the other: more than any loss of a tail can be.
    for (const lent of upTo(state.lent[1]!)) for (const back of upTo(Math.min(lent, state.back[1]!))) for (const granted of upTo(state.granted[0]!)) for (const returned of upTo(Math.min(granted, state.returned[0]!))) {
      const older = {
        ...state, ...reborn, lent: [granted, lent], back: [Math.min(returned, state.back[0]!), back], met: [0, 0], granted: at(state.granted, 0, granted), returned: at(state.returned, 0, returned),
        left: { ...state.left, rolled_back: state.left.rolled_back - 1 },
      }
      may(`the server of the bank and cell 0 comes back with ${older.lent} ${older.back} and ${granted} ${returned}`, open(older, 0, false, has))
    }
  }
  return next
}

/** What is wrong with a state, if anything is: more used than there is, a cell below zero, or quota that nobody would ever find again. */
export const wrongWith = (state: State, total: number): string | undefined => {
  const used = CELLS.reduce((sum, cell) => sum + state.used[cell]!, 0)
  if (used > total) return `${used} of ${total} are used`
  for (const cell of CELLS) if (unusedOf(state, cell) < 0) return `cell ${cell} is below zero`
  // All is quiet: each cell tells, is told, and gives back what it does not use. Then the bank has what is not used, to the unit.
  const lent = CELLS.map((cell) => Math.max(state.lent[cell]!, state.granted[cell]!))
  const returned = CELLS.map((cell) => Math.max(state.returned[cell]!, lent[cell]! - state.used[cell]!))
  const back = CELLS.map((cell) => Math.max(state.back[cell]!, returned[cell]!))
  const free = CELLS.reduce((sum, cell) => sum - lent[cell]! + back[cell]!, total)
  return free === total - used ? undefined : `${free} are free at last, and ${total - used} are not used`
}

/** Cells are alike unless one shares a server with the bank, so of two states that differ by their names one is looked at. */
const nameOf = (state: State, isAlike: boolean): string => {
  const name = (order: readonly number[]): string => {
    const of = (list: readonly number[]) => order.map((cell) => list[cell])
    const told = order.map((cell) => state.told >> cell & 1)
    const sent = order[0] === 0 ? state.sent : state.sent.map((message) => message.replace(/ \d/, (cell) => ` ${1 - Number(cell)}`)).sort()
    return [of(state.lent), of(state.back), state.epoch, told, of(state.met), of(state.opened), of(state.granted), of(state.returned), of(state.used), of(state.knows), Object.values(state.left), sent].join("|")
  }
  const straight = name([0, 1])
  if (!isAlike) return straight
  const turned = name([1, 0])
  return straight < turned ? straight : turned
}

export interface Searched {
  readonly states: number
  /** How the first wrong state came about, and what is wrong with it. */
  readonly violation: { readonly steps: readonly string[]; readonly wrong: string } | undefined
}
/** More states than a search may have: a bound was set too wide. */
const STATES_MAX = 3_000_000

/** Look at every state there is, the nearest first, until one is wrong. */
export const searchAll = (bounds: Bounds, without?: Step): Searched => {
  const isAlike = bounds.rolled_back === 0
  interface Reached { readonly state: State; readonly from: Reached | undefined; readonly what: string }
  const first: Reached = { state: beginning(bounds), from: undefined, what: "" }
  const seen = new Set([nameOf(first.state, isAlike)])
  let level = [first]
  while (level.length > 0) {
    const following: Reached[] = []
    for (const reached of level) {
      for (const { what, state } of nextOf(reached.state, bounds, without)) {
        const name = nameOf(state, isAlike)
        if (seen.has(name)) continue
        seen.add(name)
        if (seen.size > STATES_MAX) throw new Error(`more than ${STATES_MAX} states: the bounds are too wide`)
        const here: Reached = { state, from: reached, what }
        const wrong = wrongWith(state, bounds.total)
        if (wrong !== undefined) {
          const steps: string[] = []
          for (let back: Reached | undefined = here; back?.from; back = back.from) steps.unshift(back.what)
          return { states: seen.size, violation: { steps, wrong } }
        }
        following.push(here)
      }
    }
    level = following
  }
  return { states: seen.size, violation: undefined }
}

/** The world in which each step is needed. */
const NEEDED: Readonly<Record<Step, Partial<Bounds>>> = {
  giver_first: {}, absolute_grants: {}, absolute_returns: {}, all_told_first: { banks_lost: 1 }, refuse_older_grants: { banks_lost: 1 },
  refuse_other_returns: { rolled_back: 1 }, refuse_other_tellings: { banks_lost: 2 }, refuse_before_telling: { banks_lost: 1 }, refuse_older_cells: { banks_lost: 1, cells_lost: 1 },
  returns_all: { rolled_back: 1 }, granted_what_it_uses: { rolled_back: 1 },
}

/** Look at every state of that world without the step, until one is wrong. */
export const searchWithout = (step: Step): Searched => searchAll({ ...CALM, ...NEEDED[step] }, step)
