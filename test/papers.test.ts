// The papers say what the code says: README, ARCHITECTURE and CHANGELOG against the tables and lists that they repeat.

import { expect, test } from "bun:test"
import { createHash } from "node:crypto"
import { existsSync, readFileSync } from "node:fs"
import { dirname, join, normalize } from "node:path"
import { ANSWERS, type Answer } from "../engine/answers.ts"
import { readConfig, type Config } from "../engine/config.ts"
import { KINDS } from "../engine/pricing/kinds/index.ts"
import { welcome } from "../engine/welcome.ts"
import { isHeldOut } from "../lua/keys.ts"
import { RECORDS } from "../lua/records.ts"

const HOUSE = join(import.meta.dir, "..")
const read = (path: string): string => readFileSync(join(HOUSE, path), "utf8")

const PAPERS = ["README.md", "ARCHITECTURE.md", "CHANGELOG.md"]
const readme = read("README.md")

/** What stands between a pair of marks. */
const between = (text: string, mark: string): string => text.split(`<!-- ${mark} -->\n`)[1]?.split(`\n<!-- /${mark} -->`)[0] ?? ""

/** The rows of a table, as it is written: the cells of each line between its bars. */
const rowsOf = (table: string): string[][] => table.split("\n").slice(2).map((line) => line.slice(1, -1).split("|").map((cell) => cell.trim()))

test("README: the table of outcomes is ANSWERS, word by word and in its order", () => {
  const answers = Object.entries(ANSWERS as Record<string, Answer>)
  expect(rowsOf(between(readme, "outcomes"))).toEqual(answers.map(([word, { status, retry, say }]) => [`\`${word}\``, String(status), retry ? "yes" : "", say]))
})

test("README: the table of settings has every variable of config.ts with its default", () => {
  /** Scrip sets it for its own children. */
  const NOT_FOR_OPERATORS = "SCRIP_CHILD_OF"
  const DEFAULTS: Readonly<Record<string, keyof Config>> = {
    PORT: "port", HOST: "host", SCRIP_DATA_DIR: "dataDir", REDIS_URL: "redisUrl", DATABASE_URL: "databaseUrl", SCRIP_ROLE: "role", SCRIP_CELLS: "cells",
    SCRIP_DURABILITY: "durability", SCRIP_BOOTSTRAP_KEY: "bootstrapKey", SCRIP_TIME_ZONE: "timeZone", SCRIP_CLOCK: "clock", SCRIP_PRIVATE_REDIS: "privateRedis",
    SCRIP_ACCEPT_DURABILITY: "acceptDurability", SCRIP_LOG_USERS: "logUsers", SCRIP_LOG_REQUESTS: "logRequests", SCRIP_API_PROCESSES: "apiProcesses",
    SCRIP_LAKE_DIR: "lakeDir", SCRIP_API_URL: "apiUrl", SCRIP_CODE_MISSES_KEY: "codeMissesKey", SCRIP_CODE_MISSES_USER: "codeMissesUser", SCRIP_CODE_MISSES_ADDRESS: "codeMissesAddress",
    SCRIP_CODE_MISSES_WINDOW_S: "codeMissesWindowS", SCRIP_JOB_MEMORY_MB: "jobMemoryMb", SCRIP_JOB_THREADS: "jobThreads", SCRIP_KEEP_MONTHS: "keepMonths", SCRIP_TIMING_DAYS: "timingDays",
  }
  const names = [...read("engine/config.ts").matchAll(/\b(?:text|whole|word|addresses)\("([A-Z_]+)"/g)].map(([, name]) => name!)
  const rows = rowsOf(readme.split("\n## Settings\n")[1]!.split("\n\n")[1]!)
  expect(rows.map(([name]) => name!.slice(1, -1)).sort()).toEqual([...new Set(names)].filter((name) => name !== NOT_FOR_OPERATORS).sort())

  const plain = readConfig({})
  if ("mistakes" in plain) throw new Error(plain.mistakes.join("\n"))
  for (const [name, fallback] of rows) {
    const value = plain.config[DEFAULTS[name!.slice(1, -1)]!]
    expect([name, fallback]).toEqual([name, value === undefined ? "" : `\`${value}\``])
  }
})

test("README: the three lines are those that the first start prints", () => {
  const printed = welcome("http://127.0.0.1:7070", "$KEY", "demo").split("\n").filter((line) => line.startsWith("curl "))
  expect(printed.length).toBe(3)
  expect(printed.filter((line) => !readme.includes(`\n${line}\n`))).toEqual([])
})

test("The three lines leave the place of a campaign open where none was made, and are not there where each request says the time", () => {
  const [issue, ...others] = welcome("http://127.0.0.1:7070", "$KEY", "own").split("\n").filter((line) => line.startsWith("curl "))
  expect([issue!.includes('"campaign_id":"CAMPAIGN"'), issue!.includes("Bearer $KEY"), others.length]).toEqual([true, true, 2])
  expect(welcome("http://127.0.0.1:7070", "$KEY", "none")).not.toContain("curl")
})

test("README: every kind is named, and no other", () => {
  const sentence = /A campaign's kind is one of ([^;]+);/.exec(readme)?.[1] ?? ""
  expect([...sentence.matchAll(/`(\w+)`/g)].map(([, name]) => name)).toEqual(KINDS.map(({ name }) => name))
})

test("README: every gauge and counter that it names is there", () => {
  const source = read("engine/gauges.ts") + read("engine/http/metrics.ts")
  expect([...readme.matchAll(/`(scrip_\w+)`/g)].map(([, name]) => name!).filter((name) => !source.includes(`"${name}"`))).toEqual([])
})

test("README: every script of package.json is named, but for what npm runs by itself before another", () => {
  const { scripts } = JSON.parse(read("package.json")) as { scripts: Record<string, string> }
  const isHook = (name: string): boolean => name === "postinstall" || name.startsWith("pre") && name.slice(3) in scripts
  expect(Object.keys(scripts).filter((name) => !isHook(name) && !readme.includes(`npm run ${name}`) && !readme.includes(`npm ${name}`))).toEqual([])
})

test("README: there is a marked place for the bench's numbers", () => {
  expect(between(readme, "numbers")).not.toBe("")
})

test("ARCHITECTURE: the table of records is RECORDS, place by place", () => {
  const line = (places: readonly string[]) => places.map((place) => `\`${place}\``).join(" ")
  const records = Object.entries(RECORDS as Record<string, { always: readonly string[]; optional: readonly string[] }>)
  expect(rowsOf(between(read("ARCHITECTURE.md"), "records"))).toEqual(
    records.map(([name, { always, optional }]) => [`\`${name}\``, line(always) + (optional.length > 0 ? ` (${line(optional)})` : "")]))
})

for (const paper of PAPERS) {
  const text = read(paper)

  test(`${paper}: every link leads somewhere`, () => {
    const anchors = new Map<string, Set<string>>()
    const anchorsOf = (path: string): Set<string> => {
      const known = anchors.get(path) ?? new Set([...read(path).matchAll(/^#+ (.+)$/gm)].map(([, title]) => title!.toLowerCase().replace(/[^\w\- ]/g, "").replaceAll(" ", "-")))
      anchors.set(path, known)
      return known
    }
    const broken = [...text.matchAll(/\]\(([^)\s]+)\)/g)].map(([, to]) => to!).filter((to) => !to.includes("://")).filter((to) => {
      const [file, anchor] = to.split("#")
      const path = file ? normalize(join(dirname(paper), file)) : paper
      return !existsSync(join(HOUSE, path)) || anchor !== undefined && !anchorsOf(path).has(anchor)
    })
    expect(broken).toEqual([])
  })

  test(`${paper}: every command is one of package.json's`, () => {
    const { scripts } = JSON.parse(read("package.json")) as { scripts: Record<string, string> }
    const named = [...text.matchAll(/npm run ([\w:]+)/g)].map(([, name]) => name!)
    expect(named.filter((name) => !(name in scripts))).toEqual([])
  })

  test(`${paper}: every test that it calls a witness is there under that name`, () => {
    const missing = [...text.matchAll(/\]\(([^)\s]+\.test\.ts)\)((?:,? "[^"]+")+)/g)]
      .flatMap(([, file, names]) => [...names!.matchAll(/"([^"]+)"/g)].map(([, name]) => [file!, name!] as const))
      .filter(([file, name]) => !read(file).includes(name))
    expect(missing).toEqual([])
  })
}

test("README: the rule of the hold-out is the one that is used", () => {
  const [, user_id, place, campaign_id] = /`(\w+)` is (\d+) in\n?\s*`(\w+)`/.exec(readme)!
  const counted = createHash("sha256").update(`${campaign_id}\0${user_id}`, "utf8").digest().readUInt32BE(0) % 10_000
  expect(counted).toBe(Number(place))
  expect([isHeldOut(campaign_id!, user_id!, counted), isHeldOut(campaign_id!, user_id!, counted + 1)]).toEqual([false, true])
})
