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
import { readOptions, USAGE, type Options } from "./options.ts"
import { againOf, pageOf, sentenceOf } from "./report.ts"
import { isClean, runOnce, type RunResult } from "./run.ts"

const TREE = resolve(import.meta.dir, "..", "..")
const MACHINE = `${platform()} ${arch()}, ${cpus().length} cores, Bun ${Bun.version}`

const say = (text: string): void => void process.stderr.write(`${text}\n`)

/** Run as told and write its page. */
const ordinary = async ({ seed, layout, minutes, kills, cells, durability, only, folder }: Options): Promise<boolean> => {
  say(`torture: --seed ${seed}`)
  const result = await runOnce({ seed, layout, minutes, kills, cells, durability, tree: TREE, ...(only ? { only } : {}), onStrike: ({ at_ms, name, what }) => say(`${String(at_ms).padStart(8)} ms  ${name}: ${what}`) })
  mkdirSync(folder, { recursive: true })
  const page = join(folder, `${seed}.html`)
  writeFileSync(page, pageOf(result, MACHINE))
  for (const { name, counted, faults } of result.checked) say(`${faults.length === 0 ? "holds " : "BROKEN"}  ${name}  ${JSON.stringify(counted)}`)
  for (const finding of result.findings) say(`FOUND   ${finding}`)
  say(`${sentenceOf(result)}\n${page}`)
  if (!isClean(result)) say(`again: ${againOf(result)}`)
  console.log(JSON.stringify({ seed, clean: isClean(result), strikes: result.strikes.length, kills: result.strikes.filter(({ isKill }) => isKill).length, acts: result.acts, yeses: result.yeses, unknown: result.unknown, page }))
  return isClean(result)
}

/** What a run without a guard has found; nothing when it was blind. */
const foundBy = (result: RunResult): string | undefined =>
  result.checked.find(({ faults }) => faults.length > 0)?.name ?? result.findings[0]?.slice(0, 80)

/** Take out each guard, and be content only with a harness that sees it. */
const broken = async ({ seed, layout, minutes, kills, cells, durability, guards }: Options): Promise<boolean> => {
  const rows: { guard: string; found: string | undefined }[] = []
  for (const name of guards) {
    const guard = GUARDS.find((each) => each.name === name)!
    let found: string | undefined
    try {
      found = foundBy(await runOnce({ seed, layout, minutes, kills, cells, durability, tree: withoutGuard(TREE, guard), ...(guard.only ? { only: guard.only } : {}) }))
    } catch (fault) {
      found = `it does not go on: ${(fault instanceof Error ? fault.message : String(fault)).split("\n")[0]}`
    }
    say(`${found === undefined ? "BLIND" : "seen "}  without ${name} (${guard.says}): ${found ?? "nothing was found"}`)
    rows.push({ guard: name, found })
  }
  console.log(JSON.stringify({ seed, guards: rows }))
  return rows.every(({ found }) => found !== undefined)
}

const read = readOptions(process.argv.slice(2), Math.floor(Math.random() * 2 ** 31))
if ("mistakes" in read) {
  say(`${read.mistakes.join("\n")}\n\n${USAGE}`)
  process.exit(2)
}
let isGood = false
try {
  isGood = await (read.options.guards.length > 0 ? broken : ordinary)(read.options)
} catch (fault) {
  say(`torture: ${fault instanceof Error ? fault.stack : String(fault)}\nagain: npm run torture -- --seed ${read.options.seed}`)
} finally {
  removeScratch()
}
process.exit(isGood ? 0 : 1)
