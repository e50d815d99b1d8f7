/**
 * The commands beside the engine: `npm run rebuild`, `npm run verify`, `npm run quarantine` and `npm run rotate`. They work on the servers of an engine that runs, or on
 * servers that are named, and need nobody to stop; only another number of cells (`rebuild --cells 64`) does.
 *
 * What must stay true: they flush the journals themselves while they work, so that they do not depend on a worker, and change
 * nothing but what they are named after. What they find goes to standard output, how far they are to standard error.
 */
import { runCodes } from "./codes_command.ts"
import { type Config, readConfig } from "./config.ts"
import type { Difference } from "./journal/differences.ts"
import { readLost } from "./journal/acknowledged.ts"
import { idOf, textOf } from "./journal/entry.ts"
import { flushForever, newCellFlush, PACE } from "./journal/flusher.ts"
import { listQuarantined, settleQuarantined, SETTLINGS, type SettleAsk } from "./journal/quarantine.ts"
import { type Discarded, rebuildCell } from "./journal/rebuild.ts"
import { reshard } from "./journal/reshard.ts"
import { verifyAll } from "./journal/verify.ts"
import { quietLog } from "./log.ts"
import { KEY_REST_MS, rotateKeys } from "./operate/signer.ts"
import { AGE_MS, REMEMBER_MS } from "./parts.ts"
import { openClock } from "./store/clock.ts"
import { openPostgres, type Sql } from "./store/postgres.ts"
import { StartFault } from "./private/folder.ts"
import { type PrivateServers, rememberedServers, startPrivate } from "./private/start.ts"
import { connectServers, redisReady } from "./store/redis.ts"

const COMMANDS = ["rebuild", "verify", "quarantine", "rotate", "lost"] as const
type Command = (typeof COMMANDS)[number]
const FLAGS: Readonly<Record<Command, readonly string[]>> = { rebuild: ["--discard-unflushed", "--cells <number>"], verify: [], quarantine: ["settle <cell> <entry> --as skip --by <who> --why <reason>"], rotate: [], lost: [] }

/** As many as SCRIP_CELLS may say. */
const CELLS_MAX = 16_384
const SERVER_WAIT_MS = 5_000
/** How long a journal is given to be flushed before a rebuild refuses. */
const FLUSH_WAIT_MS = 30_000
/** Lost acts that are listed. */
const LOST_MAX = 10_000
/** Progress is shown so often, and where no terminal can write a line over again, so often as one more. */
const SHOW_EVERY_MS = 100, LINE_EVERY_MS = 10_000
const BAR_CHARS = 24

/** Exit codes: all is well; something differs or was refused; it was not asked rightly or could not be done. */
const WELL = 0, NOT_WELL = 1, MISTAKEN = 2

export interface Out {
  readonly say: (line: string) => void
  /** A piece of text where progress is shown. */
  readonly show: (text: string) => void
  /** Whether a line that is shown can be written over again. */
  readonly isTerminal: boolean
}

/** How far it is: a bar where the end is known, and a count. One line that is written over again, or in a log a line now and then. */
const progressLine = ({ show, isTerminal }: Out) => {
  let shown_at = isTerminal ? 0 : performance.now()
  return {
    at: (label: string, done: number, counted_before?: number): void => {
      const now = performance.now()
      if (isTerminal ? now - shown_at < SHOW_EVERY_MS && done !== counted_before : now - shown_at < LINE_EVERY_MS) return
      // Beside an engine at work there may be more by now than were counted.
      const total = counted_before && Math.max(counted_before, done)
      shown_at = now
      const filled = total ? Math.min(BAR_CHARS, Math.round((done / total) * BAR_CHARS)) : 0
      const bar = total ? ` [${"=".repeat(filled)}${" ".repeat(BAR_CHARS - filled)}]` : ""
      const line = `${label}${bar} ${done.toLocaleString("en")}${total ? ` of ${total.toLocaleString("en")}` : ""}`
      show(isTerminal ? `\r\x1b[K${line}` : `${line}\n`)
    },
    end: (): void => { if (isTerminal) show("\r\x1b[K") },
  }
}

interface Stores { readonly sql: Sql; readonly redis: ReturnType<typeof connectServers>; readonly cells: number; readonly now_ms: () => number; readonly close: () => Promise<void> }

/** The latest instant that a replay's servers were told: their time is the data's. */
const latestInstant = async (sql: Sql): Promise<number> => (await sql<{ at_ms: number | null }[]>`select max(at_ms) as at_ms from cells`)[0]?.at_ms ?? 0

/** Servers of our own for as long as the command runs, where no engine has them; a StartFault says that one has. */
const openPrivate = async ({ dataDir, redisUrl, databaseUrl, privateRedis }: Config): Promise<PrivateServers | undefined> =>
  redisUrl !== undefined && databaseUrl !== undefined ? undefined
    : startPrivate({ dataDir, log: quietLog, redis: redisUrl === undefined, topology: privateRedis, postgres: databaseUrl === undefined })

const openStores = async (config: Config, remembered: Partial<Pick<PrivateServers, "redisUrl" | "databaseUrl">> | undefined): Promise<Stores | string> => {
  const redisUrl = config.redisUrl ?? remembered?.redisUrl, databaseUrl = config.databaseUrl ?? remembered?.databaseUrl
  if (redisUrl === undefined || databaseUrl === undefined) return `There are no servers: ${config.dataDir} has never had an engine, and REDIS_URL and DATABASE_URL name none.`
  const redis = connectServers(redisUrl, () => undefined)
  const postgres = openPostgres(databaseUrl, 3)
  const close = async () => { redis.disconnect(); await postgres.close() }
  try {
    await redisReady(redis, SERVER_WAIT_MS)
    const [row] = await postgres.sql<{ value: string }[]>`select value from settings where key = 'cells'`
    const clock = await openClock(redis)
    const replay_ms = config.clock === "replay" ? await latestInstant(postgres.sql) : undefined
    return {
      sql: postgres.sql, redis, cells: row ? Number(row.value) : config.cells, now_ms: replay_ms === undefined ? clock.now_ms : () => replay_ms,
      close: async () => { clock.stop(); await close() },
    }
  } catch (fault) {
    await close()
    return `The servers do not answer (${fault instanceof Error ? fault.message : String(fault)}). The private ones live while \`npm start\` runs.`
  }
}

/** The stores of the settings, or of the engine that has the data folder. */
const openRemembered = (config: Config): Promise<Stores | string> | string => {
  try {
    return openStores(config, rememberedServers(config.dataDir))
  } catch (fault) {
    if (!(fault instanceof StartFault)) throw fault
    return fault.message
  }
}

/** Run the flusher while something else is done. */
const whileFlushing = async <T>({ redis, sql, cells }: Stores, work: () => Promise<T>): Promise<T> => {
  const stopping = new AbortController()
  const states = Array.from({ length: cells }, (_, cell) => newCellFlush(cell))
  const flushing = flushForever({ redis, sql, log: quietLog, cells, known: new Map(), states, pace: PACE, signal: stopping.signal })
  try {
    return await work()
  } finally {
    stopping.abort()
    await flushing
  }
}

/** Other connections of an engine to this Postgres. Ours are the pool of this process. */
const enginesAt = async (sql: Sql): Promise<number> => {
  const [row] = await sql<{ others: number }[]>`
    select count(*)::integer as others from pg_stat_activity
    where datname = current_database() and application_name = 'scrip' and pid <> pg_backend_pid()`
  return row?.others ?? 0
}

/** Give the installation another number of cells. Nobody else may be at work. */
const reshape = async (stores: Stores, cells: number, out: Out): Promise<number> => {
  const { sql, redis, now_ms } = stores
  const line = progressLine(out)
  const began = performance.now()
  const resharded = await reshard({
    redis, sql, log: quietLog, ages: { now_ms: now_ms(), age_ms: AGE_MS, remember_ms: REMEMBER_MS }, wait_ms: FLUSH_WAIT_MS,
    onProgress: ({ cell, step, rows }) => line.at(`cell ${cell} of ${cells}: ${step}`, rows),
  }, cells)
  line.end()
  switch (resharded.outcome) {
    case "resharded":
      out.say(`${counted(resharded.cells_then, "cell")} became ${cells} in ${((performance.now() - began) / 1_000).toFixed(1)} s, with ${counted(resharded.coupons, "coupon")} and ${counted(resharded.redemptions, "redemption")}. Start the engines with SCRIP_CELLS=${cells}.`)
      return WELL
    case "unchanged": out.say(`The installation has ${counted(cells, "cell")} already.`); return WELL
    case "quarantined": out.say(`Nothing was changed: ${counted(resharded.entries, "entry lies", "entries lie")} in quarantine. List what is there with npm run quarantine, and settle each first.`); return NOT_WELL
    case "unflushed": out.say(`Nothing was changed: the journal of cell ${resharded.cell} is flushed up to ${resharded.cursor} and not to ${resharded.tail}.`); return NOT_WELL
  }
}

/** So many of something, as a sentence says it. */
const counted = (count: number, one: string, many = `${one}s`): string => `${count} ${count === 1 ? one : many}`

const discardedLine = ({ entry_id, act, user_hash, payload }: Discarded): string => `DISCARDED  ${entry_id} ${act} ${user_hash} ${payload}`

const rebuild = async (stores: Stores, words: readonly string[], out: Out): Promise<number> => {
  const { sql, redis, cells, now_ms } = stores
  const line = progressLine(out)
  const [rows] = await sql<{ coupons: number; redemptions: number; counts: number }[]>`
    select (select count(*) from coupons)::integer as coupons, (select count(*) from redemptions)::integer as redemptions, (select count(*) from wallet_counts)::integer as counts`
  const totals: Partial<Record<string, number>> = { ...rows }
  let worst = WELL
  for (let cell = 0; cell < cells; cell += 1) {
    const began = performance.now()
    const rebuilt = await rebuildCell({
      redis, sql, log: quietLog, cells, ages: { now_ms: now_ms(), age_ms: AGE_MS, remember_ms: REMEMBER_MS }, wait_ms: FLUSH_WAIT_MS,
      discard_unflushed: words.includes("--discard-unflushed"),
      onProgress: ({ step, rows }) => line.at(`cell ${cell} of ${cells}: ${step}`, rows, cells === 1 ? totals[step] : undefined),
    }, cell)
    line.end()
    switch (rebuilt.outcome) {
      case "rebuilt":
        for (const each of rebuilt.discarded) out.say(discardedLine(each))
        out.say(`cell ${cell}: rebuilt in ${((performance.now() - began) / 1_000).toFixed(1)} s, ${counted(rebuilt.coupons, "coupon")} and ${counted(rebuilt.redemptions, "redemption")}; the engine opens it`)
        break
      case "overtaken": out.say(`cell ${cell}: another rebuild was faster`); break
      case "quarantined":
        worst = NOT_WELL
        out.say(`cell ${cell}: not rebuilt, ${counted(rebuilt.entries, "entry", "entries")} of it in quarantine. List what is there with npm run quarantine, and settle each first.`)
        break
      case "unflushed":
        worst = NOT_WELL
        out.say(`cell ${cell}: not rebuilt, its journal is flushed up to ${rebuilt.cursor} and not to ${rebuilt.tail}. Add --discard-unflushed to throw away what lies between; it is listed then.`)
    }
  }
  return worst
}

const differenceLine = ({ what, key, field, redis, postgres }: Difference): string => `DIFFERENT  ${what} ${key} ${field}: Redis ${redis}, Postgres ${postgres}`

const verify = async (stores: Stores, out: Out): Promise<number> => {
  const { sql, redis, cells, now_ms } = stores
  const line = progressLine(out)
  const began = performance.now()
  const { checked, differences, is_cut } = await verifyAll({
    redis, sql, cells, ages: () => ({ now_ms: now_ms(), age_ms: AGE_MS, remember_ms: REMEMBER_MS }),
    // Nearly all of the time is the users', and only they are counted beforehand.
    onProgress: ({ step, checked, differences, users_done, users }) =>
      line.at(`${step}: ${checked.toLocaleString("en")} values, ${counted(differences, "difference")}; users`, users_done, users),
  })
  line.end()
  for (const difference of differences) out.say(differenceLine(difference))
  const found = differences.length === 0 ? "no difference" : `${is_cut ? "at least " : ""}${counted(differences.length, "difference")}`
  out.say(`${checked.toLocaleString("en")} ${checked === 1 ? "value" : "values"} compared in ${((performance.now() - began) / 1_000).toFixed(1)} s: ${found}`)
  return differences.length === 0 ? WELL : NOT_WELL
}

const SETTLE_USAGE = `npm run quarantine -- ${FLAGS.quarantine[0]}`
/** Who and why are kept for ever: so long at most. */
const SETTLE_TEXT_CHARS_MAX = 500

/** What is asked of the quarantine: the list, or one entry settled; or what is wrong with how it was asked. */
const readQuarantine = (words: readonly string[]): { list: true } | { settle: Omit<SettleAsk, "now_ms"> } | { mistake: string } => {
  if (words.length === 0) return { list: true }
  const [verb, cell = "", entry = "", ...pairs] = words
  const said = new Map(Array.from({ length: Math.ceil(pairs.length / 2) }, (_, i) => [pairs[2 * i]!, pairs[2 * i + 1]?.trim() ?? ""]))
  const { as, by, why } = { as: said.get("--as"), by: said.get("--by") ?? "", why: said.get("--why") ?? "" }
  const unknown = [...said.keys()].find((name) => !["--as", "--by", "--why"].includes(name))
  if (verb !== "settle") return { mistake: `Unknown: ${verb}.` }
  if (!/^\d{1,5}$/.test(cell)) return { mistake: `The cell is "${cell}" and must be a number, as the list says it.` }
  if (!/^\d{1,10}-\d{1,16}$/.test(entry)) return { mistake: `The entry is "${entry}" and must be one like 1-55, as the list says it.` }
  if (unknown !== undefined) return { mistake: `Unknown: ${unknown}.` }
  const settling = SETTLINGS.find((each) => each === as)
  if (settling === undefined) return { mistake: `--as must be one of ${SETTLINGS.join(", ")}: skip goes on without what the entry says.` }
  for (const [name, text] of [["--by", by], ["--why", why]] as const) {
    if (text === "" || text.length > SETTLE_TEXT_CHARS_MAX || /[\p{Cc}]/u.test(text)) return { mistake: `${name} must be 1 to ${SETTLE_TEXT_CHARS_MAX} printable characters: it is kept with the entry.` }
  }
  return { settle: { cell: Number(cell), id: idOf(entry), as: settling, by, why } }
}

/** Show what lies in quarantine, or settle one entry of it. */
const quarantine = async ({ sql, now_ms }: Stores, words: readonly string[], out: Out): Promise<number> => {
  const asked = readQuarantine(words)
  if ("mistake" in asked) {
    out.say(`${asked.mistake} ${SETTLE_USAGE}`)
    return MISTAKEN
  }
  if ("list" in asked) {
    const { entries, total } = await listQuarantined(sql)
    for (const { cell, entry, at_ms, bytes, reason } of entries) out.say(`QUARANTINED  cell ${cell} entry ${entry}: ${reason} (${bytes} bytes, after ${new Date(at_ms).toISOString()})`)
    out.say(total === 0 ? "Nothing lies in quarantine." : `${counted(total, "entry waits", "entries wait")}${total > entries.length ? `, the first ${entries.length} are listed` : ""}. To settle one: ${SETTLE_USAGE}`)
    return total === 0 ? WELL : NOT_WELL
  }
  const { cell, id } = asked.settle
  const settled = await settleQuarantined(sql, { ...asked.settle, now_ms: now_ms() })
  switch (settled.outcome) {
    case "not_there": out.say(`Nothing was changed: cell ${cell} has no entry ${textOf(id)} in quarantine.`); return NOT_WELL
    case "settled_before": out.say(`Nothing was changed: ${settled.by || "somebody"} settled it at ${new Date(settled.at_ms).toISOString()}.`); return NOT_WELL
    case "settled":
      out.say(`Cell ${cell} goes on without entry ${textOf(id)}. ${settled.left > 0 ? `${settled.left} of its entries still ${settled.left === 1 ? "waits" : "wait"}.` : "npm run rebuild now takes from Redis what the entry did."}`)
      return WELL
  }
}

/** Give the installation a new key to sign quotes with. */
const rotate = async ({ sql, now_ms }: Stores, out: Out): Promise<number> => {
  const rotated = await rotateKeys(sql, now_ms())
  if ("wait_ms" in rotated) {
    out.say(`Nothing was changed: the last rotation is too near. Ask again in ${Math.ceil(rotated.wait_ms / 1_000)} s.`)
    return NOT_WELL
  }
  out.say(`Quotes are signed with key ${rotated.key_no} from ${KEY_REST_MS / 1_000} s later on; what the key before it has signed stays valid.`)
  return WELL
}

/** List the acts that were answered with a yes and lost with a master, and say whether the list may be short. */
const lost = async ({ sql, now_ms }: Stores, out: Out): Promise<number> => {
  const { acts, silent } = await readLost(sql, now_ms(), LOST_MAX)
  for (const { cell, epoch, n, act, names } of acts) out.say(`LOST  cell ${cell} entry ${epoch}-${n} ${act} ${Object.entries(names).map(([name, id]) => `${name}=${id}`).join(" ")}`)
  for (const { process_id, pid, seen_ms, forgotten } of silent) {
    const why = forgotten > 0 ? `had to forget ${counted(forgotten, "act")}` : "died without saying what it had answered last"
    out.say(`SHORT  process ${process_id} (pid ${pid}), last seen ${new Date(seen_ms).toISOString()}, ${why}: the list may be short of acts it answered before a master was lost`)
  }
  out.say(`${acts.length === LOST_MAX ? "At least " : ""}${counted(acts.length, "act is", "acts are")} known as lost${silent.length > 0 ? "; the list may be short" : ""}`)
  return acts.length === 0 ? WELL : NOT_WELL
}

const isCommand = (word: string | undefined): word is Command => COMMANDS.some((command) => command === word)

/** Run one command; answers the exit code. */
export const runCommand = async (env: Readonly<Record<string, string | undefined>>, [command, ...words]: readonly string[], out: Out): Promise<number> => {
  if (command === "codes") return runCodes(words, { say: out.say, tell: (line) => out.show(`${line}\n`), ...progressLine(out) })
  const at = words.indexOf("--cells")
  const cells = at >= 0 ? Number(words[at + 1]) : undefined
  if (command === "rebuild" && cells !== undefined && !(Number.isSafeInteger(cells) && cells >= 1 && cells <= CELLS_MAX)) {
    out.say(`--cells ${words[at + 1] === undefined ? "lacks its number" : `is ${words[at + 1]}`} and must be a whole number of 1 to ${CELLS_MAX}.`)
    return MISTAKEN
  }
  const flags = at >= 0 ? words.toSpliced(at, 2) : words
  const wrong = !isCommand(command) ? [String(command)] : command === "quarantine" ? [] : cells !== undefined && command !== "rebuild" ? [`--cells ${words[at + 1]}`]
    : flags.filter((word) => word.includes(" ") || !FLAGS[command].includes(word))
  if (!isCommand(command) || wrong.length > 0) {
    out.say(`Unknown: ${wrong.join(" ")}. There are: ${COMMANDS.map((each) => [each, ...FLAGS[each]].join(" ")).join(", ")}, codes.`)
    return MISTAKEN
  }
  const read = readConfig(env)
  if ("mistakes" in read) {
    for (const mistake of read.mistakes) out.say(mistake)
    return MISTAKEN
  }
  if (cells !== undefined) return moveCells(read.config, cells, out)
  const stores = await openRemembered(read.config)
  if (typeof stores === "string") {
    out.say(stores)
    return MISTAKEN
  }
  try {
    if (command === "rotate") return await rotate(stores, out)
    if (command === "quarantine") return await quarantine(stores, words, out)
    if (command === "lost") return await lost(stores, out)
    return await whileFlushing(stores, () => command === "rebuild" ? rebuild(stores, words, out) : verify(stores, out))
  } catch (fault) {
    out.say(`The ${command} has broken off: ${fault instanceof Error ? fault.message : String(fault)}`)
    return MISTAKEN
  } finally {
    await stores.close()
  }
}

/** `rebuild --cells`: on servers that no engine uses, the private ones started for it. */
const moveCells = async (config: Config, cells: number, out: Out): Promise<number> => {
  let own: PrivateServers | undefined
  try {
    own = await openPrivate(config)
    const stores = await openStores(config, own)
    if (typeof stores === "string") {
      out.say(stores)
      return MISTAKEN
    }
    try {
      const engines = own === undefined ? await enginesAt(stores.sql) : 0
      if (engines > 0) {
        out.say(`Nothing was changed: ${counted(engines, "connection of an engine is", "connections of engines are")} open. Stop every engine first.`)
        return NOT_WELL
      }
      return await whileFlushing(stores, () => reshape(stores, cells, out))
    } finally {
      await stores.close()
    }
  } catch (fault) {
    out.say(`The cells are as they were, or this has to be run again: ${fault instanceof Error ? fault.message : String(fault)}`)
    return MISTAKEN
  } finally {
    await own?.stop()
  }
}
