/**
 * `npm run torture`: break the parts of a whole Scrip under load, one after the other, and prove that nothing was lost, doubled or
 * spent twice. With `--break` a guard is taken out of a copy first, and the run is good only if it finds that.
 *
 * Ends with 0 when all is as it must be; the last line is JSON.
 */
import { mkdirSync, writeFileSync } from "node:fs"
import { arch, cpus, platform } from "node:os"
import { join, resolve } from "node:path"
import { removeScratch } from "../support/scratch.ts"
import { GUARDS, withoutGuard } from "./guards.ts"
import { readOptions, USAGE, type Options, type Part } from "./options.ts"
import { againOf, countsOf, pageOf, sentenceOf } from "./report.ts"
import { isClean, runOnce, type RunOptions, type RunResult } from "./run.ts"

const TREE = resolve(import.meta.dir, "..", "..")
const MACHINE = `${platform()} ${arch()}, ${cpus().length} cores, Bun ${Bun.version}`

const say = (text: string): void => void process.stderr.write(`${text}\n`)

/** What one part of a run is told. */
const runOf = ({ seed, minutes, kills, histories, only }: Options, { layout, cells, durability, share }: Part, tree: string): RunOptions => ({
  seed, layout, cells, durability, tree, minutes: minutes * share, kills: Math.ceil(kills * share), histories: Math.ceil(histories * share), ...(only ? { only } : {}),
  onStrike: ({ at_ms, name, what }) => say(`${String(at_ms).padStart(8)} ms  ${name}: ${what}`),
})

/** Run as told, part after part, and write the page. */
const ordinary = async (options: Options, again: string): Promise<boolean> => {
  const { seed, folder } = options
  say(`torture: --seed ${seed}`)
  const results: RunResult[] = []
  mkdirSync(folder, { recursive: true })
  const page = join(folder, `${seed}.html`)
  for (const part of options.parts) {
    say(`-- ${part.layout}, ${part.cells} cells, ${part.durability}`)
    const result = await runOnce(runOf(options, part, TREE))
    results.push(result)
    // Page by page, so that a part that does not end leaves what the others have found.
    writeFileSync(page, pageOf(results, again, MACHINE))
    for (const { name, counted, faults } of result.checked) say(`${faults.length === 0 ? "holds " : "BROKEN"}  ${name}  ${JSON.stringify(counted)}`)
    for (const finding of result.findings) say(`FOUND   ${finding}`)
    say(sentenceOf([result]))
    if (!isClean(result)) say(`again: ${againOf(result)}`)
  }
  const isGood = results.every(isClean)
  say(`${sentenceOf(results)}\n${page}${isGood ? "" : `\nagain: ${again}`}`)
  console.log(JSON.stringify({ seed, clean: isGood, ...countsOf(results), page }))
  return isGood
}

/** Which checks have found something in a run without a guard, or what was found while it ran; nothing when it was blind. */
const foundBy = ({ checked, findings }: RunResult): string | undefined => {
  const red = checked.filter(({ faults }) => faults.length > 0).map(({ name }) => name)
  return red.length > 0 ? red.join("; ") : findings[0]?.slice(0, 80)
}

/** Take out each guard, and be content only with a harness that sees it. */
const broken = async (options: Options): Promise<boolean> => {
  const { seed, guards, parts } = options
  const rows: { guard: string; found: string | undefined }[] = []
  for (const name of guards) {
    const guard = GUARDS.find((each) => each.name === name)!
    let found: string | undefined
    try {
      const tree = withoutGuard(TREE, guard)
      for (const part of guard.on ? [guard.on] : parts) found ??= foundBy(await runOnce(runOf({ ...options, only: guard.only ?? options.only }, part, tree)))
    } catch (fault) {
      // A machine that is too busy looks the same: it proves nothing.
      say(`unjudged without ${name}: ${fault instanceof Error ? fault.message : String(fault)}`)
    }
    say(`${found === undefined ? "BLIND" : "seen "}  without ${name} (${guard.says}): ${found ?? "nothing was found"}`)
    rows.push({ guard: name, found })
  }
  console.log(JSON.stringify({ seed, guards: rows }))
  return rows.every(({ found }) => found !== undefined)
}

const words = process.argv.slice(2)
if (words.includes("--help")) {
  say(USAGE)
  process.exit(0)
}
const read = readOptions(words, Math.floor(Math.random() * 2 ** 31))
if ("mistakes" in read) {
  say(`${read.mistakes.join("\n")}\n\n${USAGE}`)
  process.exit(2)
}
const again = `npm run torture -- ${words.some((word) => word.startsWith("--seed")) ? "" : `--seed ${read.options.seed} `}${words.join(" ")}`
let isGood = false
try {
  isGood = await (read.options.guards.length > 0 ? broken(read.options) : ordinary(read.options, again))
} catch (fault) {
  say(`torture: ${fault instanceof Error ? fault.stack : String(fault)}\nagain: ${again}`)
} finally {
  removeScratch()
}
process.exit(isGood ? 0 : 1)
