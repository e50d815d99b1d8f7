/**
 * The whole suite: types, then every test, then the behaviour tests over seven cells on one Redis and on a cluster. The last line is `N passed, N failed`.
 *
 * What must stay true: the numbers are those of the runner's own closing lines, and a runner that crashes, runs nothing or
 * does not close counts as a failure, whatever it printed before. (Its JUnit report leaves out files that do not load.)
 */
import { spawn } from "node:child_process"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"

const ROOT = join(dirname(fileURLToPath(import.meta.url)), "..", "..")
/** A test that waits for two servers may take as long as the slower one on a busy machine. */
const TEST_MS_MAX = 60_000
/** Tests that say how Scrip behaves, however many cells it has. */
const BEHAVIOUR = ["test/story/api.test.ts", "test/http/contract.test.ts", "test/checkout"]
/** What they are run over besides one cell. */
const BEHAVIOUR_RUNS = [{ SCRIP_TEST_CELLS: "7" }, { SCRIP_TEST_CELLS: "7", SCRIP_TEST_TOPOLOGY: "cluster" }]
/** The closing lines are far shorter; what came before them is not kept. */
const TAIL_CHARS_MAX = 4_000

/** Run a program of ours and give back how it ended and the end of what it said; its words appear as they come. */
const run = (name, args, env = {}) =>
  new Promise((settle) => {
    let tail = ""
    const child = spawn(join(ROOT, "node_modules", ".bin", name), args, { cwd: ROOT, env: { ...process.env, ...env }, stdio: ["ignore", "inherit", "pipe"] })
    child.stderr.on("data", (bytes) => {
      process.stderr.write(bytes)
      tail = (tail + bytes).slice(-TAIL_CHARS_MAX)
    })
    child.on("error", (fault) => settle({ ending: String(fault), tail }))
    child.on("close", (code, signal) => settle({ ending: signal ?? code, tail }))
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

const asked = process.argv.slice(2)
const types = await run("tsc", ["--noEmit"])
if (types.ending !== 0) fail("the types do not hold")
await runTests(asked)
// Whoever named what to run wants no more than that.
if (asked.length === 0) for (const env of BEHAVIOUR_RUNS) await runTests(BEHAVIOUR, env)
process.exitCode = failed > 0 ? 1 : 0
console.log(`${passed} passed, ${failed} failed`)
