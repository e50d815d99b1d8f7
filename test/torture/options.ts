/**
 * What the command line of the harness may say. Pure; every mistake is named at once.
 */
import { DURABILITIES, type Durability } from "../../engine/config.ts"
import { ACTS_MIN } from "./arena.ts"
import { GUARDS } from "./guards.ts"
import { NEMESES } from "./nemeses.ts"
import { LAYOUTS, type Layout } from "./stand.ts"

/** One part of what is played: its share of the minutes, kills and histories. */
export interface Part { readonly layout: Layout; readonly cells: number; readonly durability: Durability; readonly share: number }

export interface Options {
  readonly seed: number
  /** What is played, one after the other: one layout, or for `both` one Redis and then the cluster at each level that it has. */
  readonly parts: readonly Part[]
  readonly minutes: number
  readonly kills: number
  readonly histories: number
  readonly only: readonly string[] | undefined
  /** The guards that are taken out, one run each; none for an ordinary run. */
  readonly guards: readonly string[]
  readonly folder: string
}

const SEED_MAX = 2 ** 31
const MINUTES_MAX = 24 * 60
const KILLS_MAX = 1_000_000
const HISTORIES_MAX = 1_000_000
const CELLS_MAX = 1_024
const CLUSTER_CELLS = 64
const MINUTES = 5
const BREAK_MINUTES = 1

export const USAGE = `npm run torture -- [options]

  --layout L       split: two APIs and two workers, Redis and Postgres, with proxies between (the default); cluster: the same on three masters
                   with a replica each; whole: what npm start starts; both: one Redis at local, then the cluster at replicated and at ledger, which
                   take a half and two quarters of the minutes, kills and histories
  --seed N         what is chosen (a random one, printed)
  --minutes M      how long (${MINUTES}; ${BREAK_MINUTES} for each guard of --break)
  --kills K        end after so many kills, if that is earlier
  --histories H    end after so many histories of ${ACTS_MIN} acts and more (and the kills, if both are named), if that is earlier;
                   without kills nearly all acts are of histories
  --cells C        of the engine (1; 64 on a cluster)
  --durability D   what a 2xx is to mean: ${DURABILITIES.join(", ")} (local; replicated on a cluster)
  --only A,B       only these: ${NEMESES.map(({ name }) => name).join(", ")}
  --break GUARD    take one guard out of a copy of the engine, and be green only if that is found; \`all\` takes out one after the other:
                   ${GUARDS.map(({ name }) => name).join(", ")}
  --folder DIR     where the report is written (.scrip/torture)`

const NAMES = ["--layout", "--seed", "--minutes", "--kills", "--histories", "--cells", "--durability", "--only", "--break", "--folder"] as const

/** The options, or every mistake in them. `random` is the seed where none is named. */
export const readOptions = (words: readonly string[], random: number): { options: Options } | { mistakes: string[] } => {
  const mistakes: string[] = []
  const values = new Map<string, string>()
  for (let i = 0; i < words.length; i++) {
    const [name, glued] = words[i]!.split(/=(.*)/s) as [string, string | undefined]
    if (!(NAMES as readonly string[]).includes(name)) { mistakes.push(`${name} is not an option.`); continue }
    const value = glued ?? words[++i]
    if (value === undefined) mistakes.push(`${name} needs a value.`)
    else values.set(name, value)
  }
  const number = (name: string, fallback: number, min: number, max: number, pattern = /^\d{1,10}$/): number => {
    const value = values.get(name)
    if (value === undefined) return fallback
    if (pattern.test(value) && Number(value) >= min && Number(value) <= max) return Number(value)
    mistakes.push(`${name} is "${value}" and must be a number of ${min} to ${max}.`)
    return fallback
  }
  const named = (name: string, known: readonly { readonly name: string }[]): readonly string[] | undefined => {
    const found = values.get(name)?.split(",").map((each) => each.trim())
    for (const each of found ?? []) if (each !== "all" && !known.some((one) => one.name === each)) mistakes.push(`${name} does not know "${each}".`)
    return found?.includes("all") ? known.map((each) => each.name) : found
  }
  const word = <W extends string>(name: string, known: readonly W[]): W | undefined => {
    const value = values.get(name)
    if (value !== undefined && !(known as readonly string[]).includes(value)) mistakes.push(`${name} is "${value}" and must be one of ${known.join(", ")}.`)
    return known.find((each) => each === value)
  }
  const layout = word("--layout", [...LAYOUTS, "both"]) ?? "split"
  const durability = word("--durability", DURABILITIES)
  if (layout === "both" && durability) mistakes.push("--durability goes with one layout: both has each level.")
  const cells = values.has("--cells") ? number("--cells", 1, 1, CELLS_MAX) : undefined
  const part = (of: Layout, level: Durability, share: number): Part => ({ layout: of, durability: level, share, cells: cells ?? (of === "cluster" ? CLUSTER_CELLS : 1) })
  const guards = named("--break", GUARDS) ?? []
  const options: Options = {
    parts: layout === "both" ? [part("split", "local", 0.5), part("cluster", "replicated", 0.25), part("cluster", "ledger", 0.25)]
      : [part(layout, durability ?? (layout === "cluster" ? "replicated" : "local"), 1)],
    guards, only: named("--only", NEMESES), seed: number("--seed", random, 0, SEED_MAX),
    minutes: number("--minutes", guards.length > 0 ? BREAK_MINUTES : MINUTES, 0.1, MINUTES_MAX, /^\d{1,4}(\.\d{1,2})?$/),
    kills: number("--kills", values.has("--histories") ? 0 : KILLS_MAX, 0, KILLS_MAX), histories: number("--histories", 0, 0, HISTORIES_MAX),
    folder: values.get("--folder") ?? ".scrip/torture",
  }
  return mistakes.length > 0 ? { mistakes } : { options }
}
