/**
 * No operation documents a no that it cannot give: each word stands in the source that its use case comes to, call by call, or among the
 * outcomes of a script that it runs.
 *
 * What is followed are names: a declaration at the top of a file reaches those of its file and of its imports that its text names. So more
 * is reached than is called, and a word that is not reached cannot be answered.
 */
import { expect, test } from "bun:test"
import { readdirSync, readFileSync } from "node:fs"
import { dirname, join, normalize } from "node:path"
import type { Operation } from "../../engine/contract/operation.ts"
import { OPERATIONS } from "../../engine/contract/operations.ts"

const HOUSE = join(import.meta.dir, "../..")
const filesIn = (folder: string): string[] =>
  readdirSync(join(HOUSE, folder), { recursive: true, encoding: "utf8" }).filter((name) => name.endsWith(".ts")).map((name) => join(folder, name))

interface Source { readonly declared: ReadonlyMap<string, string>; readonly imported: ReadonlyMap<string, readonly [file: string, name: string]> }

const sourceOf = (file: string): Source => {
  // What a comment names is not called.
  const text = readFileSync(join(HOUSE, file), "utf8").replaceAll(/\/\*[^]*?\*\//g, "").replaceAll(/^\s*\/\/.*$/gm, "")
  const imported = new Map([...text.matchAll(/^import \{([^}]+)\} from "(\.[^"]+)"/gm)].flatMap(([, names, from]) =>
    names!.split(",").map((name): [string, readonly [string, string]] => {
      const [exported, local = exported] = name.trim().replace(/^type /, "").split(" as ")
      return [local!, [normalize(join(dirname(file), from!)), exported!]]
    })))
  const declared = new Map(text.split(/^(?=(?:export )?(?:const|async function|function|class) \w)/m).flatMap((part): [string, string][] => {
    const name = /^(?:export )?(?:const|async function|function|class) (\w+)/.exec(part)?.[1]
    return name === undefined ? [] : [[name, part]]
  }))
  return { declared, imported }
}

/** But for the contract, where what is held against them stands, and the list of all scripts, of which an act runs one. */
const SOURCES = new Map([...filesIn("engine"), ...filesIn("lua")].filter((file) => !file.startsWith("engine/contract/") && file !== "lua/index.ts").map((file) => [file, sourceOf(file)]))

/** The text of everything that a declaration comes to. */
const reached = (file: string, name: string, seen = new Map<string, string>()): Map<string, string> => {
  const source = SOURCES.get(file), text = source?.declared.get(name)
  if (!source || text === undefined || seen.has(`${file} ${name}`)) return seen
  seen.set(`${file} ${name}`, text)
  for (const [word] of text.matchAll(/\b[A-Za-z]\w+\b/g)) {
    if (source.declared.has(word)) reached(file, word, seen)
    else if (source.imported.has(word)) reached(...source.imported.get(word)!, seen)
  }
  return seen
}

/** Each family's use cases, as the wiring names them. */
const WIRED = new Map([...SOURCES.get("engine/wire.ts")!.declared.get("usesOf")!.matchAll(/(\w+): \{([^}]+)\}/g)].flatMap(([, family, members]) =>
  [...members!.matchAll(/(\w+): (\w+With)\(parts\)/g)].map(([, member, use]): [string, string] => [`${family}.${member}`, use!])))

/** Operations whose routes are streams have no line of their own in a file of routes. */
const STREAMS: readonly (readonly [declared: string, file: string, use: string])[] = [
  ["issueCoupons", "engine/contract/coupons.ts", "coupons.issue"], ["generateCodes", "engine/contract/codes.ts", "codes.generate"], ["importCodes", "engine/contract/codes.ts", "codes.import"],
]
const ROUTED = filesIn("engine/http/routes").flatMap((file) => [...SOURCES.get(file)!.declared.values()].flatMap((text) =>
  [...text.matchAll(/serve\(app, http, (\w+), (\w+\.\w+)\)/g)].map(([, declared, use]) => [declared!, SOURCES.get(file)!.imported.get(declared!)![0], use!] as const)))

/** What the contract fixes and no coupon here comes to: it is issued once its campaign has started, and ends with it at the latest, which is told of the coupon. */
const FIXED: Readonly<Record<string, readonly string[]>> = { reserve: ["campaign_not_started", "campaign_ended"] }

const isReached = (word: string, text: string): boolean =>
  text.includes(`"${word}"`) || new RegExp(`\\b${word}: \\{`).test(text) || [...text.matchAll(/`([a-z]+_)\$\{/g)].some(([, prefix]) => word.startsWith(prefix!))

test("each no of each operation is in the source that its use case comes to", async () => {
  const seen: string[] = [], unreached: string[] = []
  for (const [declared, file, use] of [...ROUTED, ...STREAMS]) {
    const { name, no } = (await import(join(HOUSE, file)) as Record<string, Operation>)[declared]!
    seen.push(name)
    const text = [...reached(...SOURCES.get("engine/wire.ts")!.imported.get(WIRED.get(use)!)!).values()].join("\n")
    unreached.push(...no.filter((word) => !FIXED[name]?.includes(word) && !isReached(word, text)).map((word) => `${name}: ${word}`))
  }
  expect(unreached).toEqual([])
  expect(seen.toSorted()).toEqual(OPERATIONS.map(({ name }) => name).toSorted())
})
