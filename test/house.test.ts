/**
 * The rules of the house, as tests. Reading this file is reading the architecture: which room may know which, where the
 * world comes in, and where a new thing belongs. Every rule names the files that break it.
 */
import { describe, expect, test } from "bun:test"
import { existsSync, readdirSync, readFileSync } from "node:fs"
import { basename, dirname, join, normalize } from "node:path"
import { ANSWERS } from "../engine/answers.ts"
import { BEHAVIOUR, ONCE } from "../engine/setup/behaviour.mjs"
import { KINDS } from "../engine/pricing/kinds/index.ts"
import { SCRIPTS } from "../lua/index.ts"
import { PRELUDE } from "../lua/library.ts"

const HOUSE = join(import.meta.dir, "..")

// --- the rooms

interface Room {
  readonly says: string
  /** The rooms and files that it may run code of, besides its own. */
  readonly may: readonly string[]
  /** The packages it may use; any where this is missing. */
  readonly packages?: readonly string[]
  /** True: it may not even know the types of other rooms. */
  readonly alone?: true
}

/** What stands on nothing but the stores, and everything stands on. */
const GROUND = ["lua", "engine/answers.ts", "engine/log.ts", "engine/loop.ts", "engine/months.ts", "engine/parts.ts", "engine/store", "engine/turn.ts"]

/** Every room, from the foundation to the roof. What is not under `may` is not imported. */
const ROOMS: Readonly<Record<string, Room>> = {
  "lua": { says: "what Redis does, atomically; imports nothing of ours", may: [], packages: ["@msgpack/msgpack", "node:crypto", "node:fs"], alone: true },
  "engine/pricing": { says: "pure: order, coupons and terms in, a price out", may: [], packages: ["typebox", "typebox/value"], alone: true },
  "engine/badges": { says: "pure: the rules of badges, the grammar of their numbers, packed levels", may: [], packages: [], alone: true },
  "engine/contract": { says: "the schemas of every body, answer and query", may: ["engine/answers.ts", "engine/badges", "engine/pricing"], packages: ["typebox", "typebox/compile", "typebox/value", "typebox/format"] },
  "engine/store": { says: "Redis, Postgres, the clock", may: ["lua", "engine/log.ts", "engine/loop.ts"] },
  "engine/private": { says: "private servers: a Redis and a Postgres of our own", may: ["engine/child.ts", "engine/log.ts", "engine/loop.ts", "engine/store"] },
  "engine/quota": { says: "banks and leases", may: [...GROUND] },
  "engine/tickets": { says: "where codes and their claims live, and how a claim ends", may: [...GROUND] },
  "engine/journal": { says: "what was decided goes to Postgres, and comes back", may: [...GROUND, "engine/quota", "engine/tickets"] },
  "engine/levels": { says: "the badge levels of users: into Redis, and read", may: [...GROUND, "engine/badges"] },
  "engine/operate": { says: "what operators do", may: [...GROUND, "engine/badges", "engine/contract", "engine/journal", "engine/pricing", "engine/quota"] },
  "engine/coupons": { says: "issue, revoke, list, claim", may: [...GROUND, "engine/contract", "engine/levels", "engine/journal", "engine/operate", "engine/pricing", "engine/quota"] },
  "engine/insights": { says: "what jobs came to: runs and the month's books", may: [...GROUND, "engine/contract"] },
  "engine/codes": { says: "codes: made, imported, claimed, revoked", may: [...GROUND, "engine/contract", "engine/coupons", "engine/journal", "engine/operate", "engine/tickets"] },
  "engine/checkout": { says: "quote, reserve, confirm, cancel, extend, refund, find", may: [...GROUND, "engine/codes", "engine/contract", "engine/levels", "engine/journal", "engine/operate", "engine/pricing", "engine/quota"] },
  "engine/http": { says: "HTTP; is handed the use cases and imports none", may: ["engine/answers.ts", "engine/contract", "engine/log.ts", "engine/loop.ts", "engine/store"] },
  "engine/process": { says: "one process: its ground and pieces, its servers, its door, its children", may: [...GROUND, "engine/child.ts", "engine/http", "engine/private", "engine/sidecar.ts"] },
  "analytics": { says: "the sidecar: knows the tables, the rules of badges and how a process is lowered, how a command ends, and nothing else of the engine", may: ["engine/badges", "engine/last_line.ts", "engine/priority.ts", "engine/store/schema.ts"], alone: true },
}

interface Source { readonly path: string; readonly text: string; readonly code: string }
interface Import { readonly from: string; readonly to: string; readonly isType: boolean }

/** What lies in the folder and is not the house: what .gitignore names. */
const NOT_OURS = /^(node_modules|\.git|\.scrip|\.DS_Store)$|\.log$/
const filesUnder = (folder: string): string[] =>
  readdirSync(join(HOUSE, folder), { withFileTypes: true }).filter(({ name }) => !NOT_OURS.test(name))
    .flatMap((entry) => entry.isDirectory() ? filesUnder(join(folder, entry.name)) : entry.isFile() ? [join(folder, entry.name)] : [])

/** Code without its comments. A comment's start inside a text is rare and costs only what follows it on the line. */
const withoutComments = (text: string): string => text.replace(/\/\*[\s\S]*?\*\//g, "").replace(/(^|[^:"'`\\])\/\/[^\n]*/g, "$1")

const FILES = filesUnder("")
const SOURCES: Source[] = FILES.filter((path) => path.endsWith(".ts")).map((path) => {
  const text = readFileSync(join(HOUSE, path), "utf8")
  return { path, text, code: withoutComments(text) }
})
const IN_TESTS = SOURCES.filter(({ path }) => path.startsWith("test/"))
/** What runs in production. */
const RUNNING = SOURCES.filter(({ path }) => /^(engine|lua|analytics)\//.test(path))

const importsOf = ({ path, code }: Source): Import[] =>
  [...code.matchAll(/(?:^|\n)\s*(import|export)(\s+type)?\b(?:[^"';]*?\bfrom)?\s*"([^"]+)"|\bimport\("([^"]+)"\)/g)].map(([, , type, from, lazy]) => {
    const name = (from ?? lazy)!
    return { from: path, to: name.startsWith(".") ? normalize(join(dirname(path), name)) : name, isType: type !== undefined }
  })
const IMPORTS = SOURCES.flatMap(importsOf)
const isOurs = (path: string): boolean => path.endsWith(".ts")
const roomOf = (path: string): string | undefined => Object.keys(ROOMS).find((room) => path.startsWith(`${room}/`))
const isUnder = (path: string, place: string): boolean => path === place || path.startsWith(`${place}/`)

test("the imports of every file are found", () => {
  expect(IMPORTS.length).toBeGreaterThan(SOURCES.length)
  const missing = IMPORTS.filter(({ to }) => isOurs(to) && !existsSync(join(HOUSE, to))).map(({ from, to }) => `${from} imports ${to}, which is not there`)
  expect(missing).toEqual([])
  expect(Object.keys(ROOMS).filter((room) => !existsSync(join(HOUSE, room)))).toEqual([])
})

describe("the direction of imports", () => {
  for (const [room, { says, may, packages, alone }] of Object.entries(ROOMS)) {
    test(`${room}: ${says}`, () => {
      const wrong = IMPORTS.filter(({ from }) => isUnder(from, room)).filter(({ to, isType }) => {
        if (isOurs(to)) return !isUnder(to, room) && !may.some((place) => isUnder(to, place)) && (!isType || alone === true)
        return packages !== undefined && !packages.includes(to)
      })
      expect(wrong.map(({ from, to }) => `${from} imports ${to}`)).toEqual([])
    })
  }

  test("every room of the engine has its line above; what is not in a room puts the rooms together", () => {
    const rooms = [...new Set(RUNNING.map(({ path }) => dirname(path)).filter((place) => place !== "engine"))]
    expect(rooms.filter((place) => roomOf(`${place}/`) === undefined)).toEqual([])
  })

  test("the engine never imports analytics, and what runs imports neither tests nor benches", () => {
    const wrong = IMPORTS.filter(({ from, to }) => /^(engine|lua|analytics)\//.test(from) && /^(test|bench)\//.test(to) || from.startsWith("engine/") && to.startsWith("analytics/"))
    expect(wrong).toEqual([])
  })

  test("no file imports itself by a detour", () => {
    const runs = new Map<string, string[]>()
    for (const { from, to, isType } of IMPORTS) if (isOurs(to) && !isType) runs.set(from, [...(runs.get(from) ?? []), to])
    const clear = new Set<string>()
    const circleFrom = (path: string, way: readonly string[]): string[] | undefined => {
      if (way.includes(path)) return [...way.slice(way.indexOf(path)), path]
      if (clear.has(path)) return undefined
      for (const next of runs.get(path) ?? []) {
        const circle = circleFrom(next, [...way, path])
        if (circle) return circle
      }
      clear.add(path)
      return undefined
    }
    expect(SOURCES.map(({ path }) => circleFrom(path, [])).find((circle) => circle !== undefined)).toBeUndefined()
  })
})

// --- where the world comes in

describe("time, chance and the environment are arguments", () => {
  /** The only files of what runs that read the environment. */
  const READS_THE_ENVIRONMENT = ["engine/config.ts", "engine/main.ts", "engine/sidecar.ts"]

  test("only main.ts, sidecar.ts and config.ts read the environment; tests, benches and setup are programs of their own", () => {
    const reading = RUNNING.filter(({ code }) => /process\.env|Bun\.env|import\.meta\.env/.test(code)).map(({ path }) => path)
    expect(reading.filter((path) => !READS_THE_ENVIRONMENT.includes(path))).toEqual([])
  })

  test("tests choose by one seed, so that a red one means the change", () => {
    const wrong = IN_TESTS.filter(({ path, code }) => path !== "test/support/seed.ts" && /process\.env\["SCRIP_\w*SEED"\]/.test(code)).map(({ path }) => path)
    expect(wrong).toEqual([])
  })

  const THE_WORLD = /\bBun\.|\bprocess\.|\bDate\.now\b|new Date\(\)|\bperformance\.|\bMath\.random\b|\bcrypto\.|\bfetch\(|\bsetTimeout\b|\bsetInterval\b|\bconsole\.|\basync\b|\bawait\b|\bPromise\b/

  test("pricing is pure: no clock, no chance, no waiting, no host", () => {
    const wrong = SOURCES.filter(({ path, code }) => isUnder(path, "engine/pricing") && THE_WORLD.test(code))
    expect(wrong.map(({ path, code }) => `${path}: ${THE_WORLD.exec(code)?.[0]}`)).toEqual([])
  })

  test("use cases are told what time it is", () => {
    const rooms = ["engine/checkout", "engine/coupons", "engine/operate", "engine/quota", "engine/contract", "lua"]
    const wrong = SOURCES.filter(({ path, code }) => rooms.some((room) => isUnder(path, room)) && /\bDate\.now\b|new Date\(\)|\bMath\.random\b/.test(code))
    expect(wrong.map(({ path }) => path)).toEqual([])
  })
})

// --- how a file looks

describe("a file", () => {
  const named = (pattern: RegExp, among: readonly Source[] = SOURCES) => among.filter(({ code }) => pattern.test(code)).map(({ path }) => path)

  test("begins by saying why it exists; a declaration of an act says it in `says`, a test in the file that it mirrors", () => {
    const declarations = SCRIPTS.map(({ name }) => `lua/${name}.ts`)
    const silent = FILES.filter((path) => /\.(ts|mjs|lua)$/.test(path) && !path.endsWith(".test.ts") && !declarations.includes(path))
      .filter((path) => !/^(#![^\n]*\n)?(\/\*|\/\/|--)/.test(readFileSync(join(HOUSE, path), "utf8")))
    expect(silent).toEqual([])
  })

  test("has no default export, and every name keeps one spelling", () => {
    expect(named(/^export default\b|\bas default\b/m)).toEqual([])
    expect(FILES.filter((path) => /\.(ts|lua|sql)$/.test(path) && !/^[a-z0-9_]+(\.test)?\.[a-z]+$/.test(basename(path)))).toEqual([])
  })

  test("has no `any`: what is not known is `unknown`; only a test may look at whatever was answered", () => {
    const withoutTexts = SOURCES.filter(({ path }) => !path.startsWith("test/")).map((each) => ({ ...each, code: each.code.replace(/"(?:[^"\\\n]|\\.)*"|`(?:[^`\\]|\\.)*`/g, '""') }))
    expect(named(/[:<,|(]\s*any\b(?!\s*[:(])|\bas any\b|\bany\[\]/, withoutTexts)).toEqual([])
  })

  test("has a name that says what is in it", () => {
    expect(FILES.filter((path) => /(^|\/)(utils?|helpers?|common|misc|shared|stuff)(\/|\.[a-z]+$)/i.test(path))).toEqual([])
  })

  test("does something: none only passes on what others export", () => {
    const passing = SOURCES.filter(({ code }) => {
      const rest = code.replace(/export\s+(?:type\s+)?(?:\*(?:\s+as\s+\w+)?|\{[^}]*\})\s+from\s+"[^"]+";?/g, "")
      return rest.trim() === "" && code.trim() !== ""
    })
    expect(passing.map(({ path }) => path)).toEqual([])
  })

  test("has no class with a state; an error's class is one line", () => {
    const classes = RUNNING.flatMap(({ path, code }) => [...code.matchAll(/\bclass\s+(\w+)(\s+extends\s+(\w+))?/g)].map(([, name, , base]) => ({ path, name, base })))
    expect(classes.filter(({ base }) => base === undefined || !/Error$|^(NotExecuted|StartFault)$/.test(base))).toEqual([])
  })

  test("names no place of the machine it was written on", () => {
    const places = ["work", "tmp/scrip"].map((place) => new RegExp(`(^|[\\s"'\`(=])/${place}(/|-plan)`, "m"))
    const wrong = FILES.filter((path) => !path.endsWith("package-lock.json")).filter((path) => {
      const text = readFileSync(join(HOUSE, path), "utf8")
      return places.some((place) => place.test(text))
    })
    expect(wrong).toEqual([])
  })
})

// --- a new thing has one place, and a list that names it

describe("folder and list say the same", () => {
  const filesIn = (folder: string, ending: string): string[] =>
    existsSync(join(HOUSE, folder)) ? readdirSync(join(HOUSE, folder)).filter((name) => name.endsWith(ending)).map((name) => name.slice(0, -ending.length)).sort() : []

  test("a coupon's kind: one file in engine/pricing/kinds, one line in its list, a page in docs/kinds, and the word is the file's name", () => {
    const SHARED = ["index", "terms"]
    expect(KINDS.map(({ name }) => name as string).sort()).toEqual(filesIn("engine/pricing/kinds", ".ts").filter((name) => !SHARED.includes(name)))
    expect(filesIn("docs/kinds", ".md")).toEqual(KINDS.map(({ name }) => name as string).sort())
  })

  test("an atomic act: a declaration and a body in lua, and one line in SCRIPTS", () => {
    const acts = SCRIPTS.map(({ name }) => name).sort()
    expect(new Set(acts).size).toBe(acts.length)
    expect(filesIn("lua", ".lua")).toEqual(acts)
    expect(filesIn("lua/prelude", ".lua")).toEqual([...PRELUDE].sort())
    expect(SOURCES.filter(({ path, code }) => dirname(path) === "lua" && /= script\("/.test(code)).map(({ path }) => basename(path, ".ts")).sort()).toEqual(acts)
  })

  test("a job: one file in analytics/jobs, and one line in its list", () => {
    const list = SOURCES.find(({ path }) => path === "analytics/jobs/index.ts")
    const imported = list ? importsOf(list).map(({ to }) => basename(to, ".ts")) : []
    const jobs = SOURCES.filter(({ path, code }) => dirname(path) === "analytics/jobs" && /: (Portable)?Job = \{/.test(code)).map(({ path }) => basename(path, ".ts"))
    expect(jobs.filter((name) => !imported.includes(name))).toEqual([])
  })

  test("an endpoint: one file in engine/http/routes, mounted in app.ts", () => {
    const app = SOURCES.find(({ path }) => path === "engine/http/app.ts")
    const mounted = app ? importsOf(app).map(({ to }) => to) : []
    expect(filesIn("engine/http/routes", ".ts").map((name) => `engine/http/routes/${name}.ts`).filter((path) => !mounted.includes(path))).toEqual([])
  })
})

test("a test that opens a whole shop is run again over seven cells and on a cluster, or it says why not", () => {
  const files = readdirSync(join(HOUSE, "test"), { recursive: true }).map(String).filter((name) => name.endsWith(".test.ts")).map((name) => name.replaceAll("\\", "/"))
  const isIn = (list: readonly string[], name: string): boolean => list.some((each) => name === each || name.startsWith(`${each}/`))
  const shops = files.filter((name) => /import \{[^}]*\bopen(Shop|Story)\b[^}]*\} from "[./]*(support\/shop|story\/story|story)\.ts"/.test(readFileSync(join(HOUSE, "test", name), "utf8")))
  expect(shops.filter((name) => isIn(BEHAVIOUR, name) === isIn(Object.keys(ONCE), name))).toEqual([])
  expect([...BEHAVIOUR, ...Object.keys(ONCE)].filter((each) => !shops.some((name) => isIn([each], name)))).toEqual([])
})

// --- every word is kept

test("every outcome has a test that is named after it, `word: the guarantee`", () => {
  /** Words without a test of their own yet. None may be added; one that has a test is taken off. */
  const WITHOUT: readonly string[] = [
    "created", "changed", "quoted", "request_too_large", "key_id_unknown", "campaign_live", "campaign_draft", "budget_closed", "redemption_reserved",
    "redemption_cancelled", "redemption_refunded", "redemption_partly_refunded", "outcome_unknown", "not_ready", "fault",
  ]
  const names = new Set(IN_TESTS.filter(({ path }) => path.endsWith(".test.ts")).flatMap(({ text }) => [...text.matchAll(/["'`]([a-z][a-z0-9_]*)(?:, [a-z0-9_, ]+)?: /g)].map(([, word]) => word!)))
  const words = [...new Set([...Object.keys(ANSWERS), ...SCRIPTS.flatMap(({ outcomes }) => Object.keys(outcomes))])]
  expect(words.filter((word) => !names.has(word) && !WITHOUT.includes(word))).toEqual([])
  expect(WITHOUT.filter((word) => !words.includes(word))).toEqual([])
})
