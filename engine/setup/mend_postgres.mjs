/**
 * Mend the Postgres client that npm has brought: a write that was put off until after its connection had closed threw outside
 * every promise and ended the process (porsager/postgres issues 1066, 1154 and 1208, open in 3.4.9), and what it had not
 * written stood at the head of the next connection's first words.
 *
 * What must stay true: it does nothing when it is done, and nothing to a version that it does not know: then it says so and fails,
 * because a Postgres that is killed under load would end the engine again. Found by killing Postgres in test/story/crash.test.ts.
 */
import { existsSync, readFileSync, writeFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"

const FILE = join(dirname(fileURLToPath(import.meta.url)), "..", "..", "node_modules", "postgres", "src", "connection.js")

/** Each place as it is and as it must be. */
const MENDS = [
  [
    "  function nextWrite(fn) {\n    const x = socket.write(chunk, fn)\n",
    "  function nextWrite(fn) {\n    if (socket === null) {\n      chunk = nextWriteTimer = null\n      error(Errors.connection('CONNECTION_CLOSED', options, socket))\n      return false\n    }\n    const x = socket.write(chunk, fn)\n",
  ],
  [
    "    clearImmediate(nextWriteTimer)\n    socket.removeListener('data', data)\n",
    "    clearImmediate(nextWriteTimer)\n    chunk = nextWriteTimer = null\n    socket.removeListener('data', data)\n",
  ],
]

if (existsSync(FILE)) {
  let text = readFileSync(FILE, "utf8")
  const before = text
  for (const [wrong, right] of MENDS) {
    if (text.includes(right)) continue
    if (text.split(wrong).length !== 2) {
      console.error(`scrip: ${FILE} is not the version that is mended here; see engine/setup/mend_postgres.mjs`)
      process.exit(1)
    }
    text = text.replace(wrong, () => right)
  }
  if (text !== before) writeFileSync(FILE, text)
}
