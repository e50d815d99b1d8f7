/**
 * The whole suite: types, every test, and the behaviour tests over seven cells on one Redis and on a cluster. The last line is `N passed, N failed`.
 *
 * What must stay true: the numbers are those of the runners' own closing lines, and a runner that crashes, runs nothing or
 * does not close counts as a failure, whatever it printed before. (Its JUnit report leaves out files that do not load.)
 *
 * Two lanes run beside each other, each with servers of its own: most tests wait for a disk, another process or a clock, and one lane
 * alone used 0.9 of two processors (737 s for all, 2026-11-22; 350 s in two). What a file says appears in one piece once the file has ended.
 */
import { spawn } from "node:child_process"
import { readdirSync } from "node:fs"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"
import { BEHAVIOUR, BEHAVIOUR_RUNS } from "./behaviour.mjs"

const ROOT = join(dirname(fileURLToPath(import.meta.url)), "..", "..")
/** A test that waits for two servers may take as long as the slower one on a busy machine: ten times as long as alone, with a load of 20 on two processors. */
const TEST_MS_MAX = 120_000
/** Folders of the second lane: with the types and the behaviour tests on a cluster they take about as long as all the others with those over seven cells. */
const SECOND_LANE = ["story", "torture"]
/** The closing lines are far shorter; what came before them is not kept. */
const TAIL_CHARS_MAX = 4_000
/** A file that says more than this is heard before it has ended. */
const WAITING_CHARS_MAX = 1_000_000
/** Where a file's words begin in what the runner says. */
const NEXT_FILE = /\n(?=test\/\S+\.test\.ts:\n)/g
/** What the runner said since the test before, and the line that calls a test failed: said again at the end, where a reader of a long log looks. */
const FAILED = /^\(fail\) .*$/gm, ENDED = /^\((?:pass|fail|skip)\) .*\n/gm
/** So many failures are said again, and so much of each: its end. */
const FAILURES_MAX = 20, FAILURE_CHARS_MAX = 2_000
const failures = []

/** Show what a runner said of whole files, and keep what failed in it. */
const show = (text) => {
  process.stderr.write(text)
  for (const { 0: line, index } of text.matchAll(FAILED)) {
    const before = [...text.slice(0, index).matchAll(ENDED)].at(-1)
    const said = text.slice(before ? before.index + before[0].length : 0, index)
    if (failures.length < FAILURES_MAX) failures.push(`${said.slice(-FAILURE_CHARS_MAX)}${line}`)
  }
}

/** Run a program of ours and give back how it ended and the end of what it said; its words appear file by file. */
const run = (name, args, env = {}) =>
  new Promise((settle) => {
    let tail = "", waiting = ""
    const child = spawn(join(ROOT, "node_modules", ".bin", name), args, { cwd: ROOT, env: { ...process.env, ...env }, stdio: ["ignore", "pipe", "pipe"] })
    const hear = (bytes) => {
      waiting += bytes
      const begin = waiting.length > WAITING_CHARS_MAX ? waiting.length : [...waiting.matchAll(NEXT_FILE)].at(-1)?.index
      if (begin === undefined) return
      show(waiting.slice(0, begin + 1))
      waiting = waiting.slice(begin + 1)
    }
    child.stdout.setEncoding("utf8").on("data", hear)
    child.stderr.setEncoding("utf8").on("data", (text) => { tail = (tail + text).slice(-TAIL_CHARS_MAX); hear(text) })
    const end = (ending) => { show(waiting); waiting = ""; settle({ ending, tail }) }
    child.on("error", (fault) => end(String(fault)))
    child.on("close", (code, signal) => end(signal ?? code))
  })

/** What the runner counted, from its last closing lines; nothing when it has not closed. */
const countsIn = (tail) => {
  const plain = tail.replace(/\u001b\[[0-9;]*m/g, "")
  const closing = [...plain.matchAll(/^ *(\d+) pass\n(?:.*\n)*? *(\d+) fail\n(?:.*\n)*?Ran \d+ tests? across/gm)].at(-1)
  return closing ? { passed: Number(closing[1]), failed: Number(closing[2]) } : undefined
}

let passed = 0, failed = 0
const fail = (why) => {
  failed += 1
  console.error(`scrip: ${why}`)
}
const runTests = async (args, env) => {
  const { ending, tail } = await run("bun", ["test", "--timeout", String(TEST_MS_MAX), ...args], env)
  const counted = countsIn(tail) ?? { passed: 0, failed: 0 }
  passed += counted.passed
  failed += counted.failed
  if (counted.passed + counted.failed === 0) fail(`no test has run; the runner has ended with ${ending}`)
  else if (ending !== 0 && counted.failed === 0) fail(`the runner has ended with ${ending}`)
}
const holdTypes = async () => {
  const { ending } = await run("tsc", ["--noEmit"])
  if (ending !== 0) fail("the types do not hold")
}

/** Every test file by the lane it runs in. `./` makes it a path: a bare word would run whatever has it in its name. */
const files = readdirSync(join(ROOT, "test"), { recursive: true }).map(String).filter((name) => name.endsWith(".test.ts") && !name.includes("node_modules")).sort()
const isSecond = (name) => SECOND_LANE.includes(name.split(/[\\/]/)[0])
const [OVER_CELLS, ON_CLUSTER] = BEHAVIOUR_RUNS
const pathsOf = (names) => names.map((name) => `./${join("test", name)}`)

const asked = process.argv.slice(2)
if (asked.length > 0) {
  await holdTypes()
  await runTests(asked)
} else {
  await Promise.all([
    (async () => {
      await runTests(pathsOf(files.filter((name) => !isSecond(name))))
      await runTests(pathsOf(BEHAVIOUR), OVER_CELLS)
    })(),
    (async () => {
      await holdTypes()
      await runTests(pathsOf(files.filter(isSecond)))
      await runTests(pathsOf(BEHAVIOUR), ON_CLUSTER)
    })(),
  ])
}
if (failures.length > 0) console.error(`\nWhat failed, again:\n\n${failures.join("\n\n")}\n`)
process.exitCode = failed > 0 ? 1 : 0
console.log(`${passed} passed, ${failed} failed`)
