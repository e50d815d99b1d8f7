/** `npm run rotate`, beside an engine's stores. */
import { expect, test } from "bun:test"
import { runCommand } from "../../engine/command.ts"
import { openSigner } from "../../engine/operate/signer.ts"
import { openPostgres } from "../../engine/store/postgres.ts"
import { stack } from "../support/stack.ts"

test("rotated: the command makes a key, says so, and does not make two at once", async () => {
  const { redisUrl, freshDatabase } = await stack()
  const databaseUrl = await freshDatabase()
  const { sql, close } = openPostgres(databaseUrl, 1)
  const signer = await openSigner(sql)
  const now_ms = Date.now()
  const token = await signer.sign(Buffer.from("a price"), now_ms)
  const told: string[] = []
  const run = (...words: string[]) => runCommand({ REDIS_URL: redisUrl, DATABASE_URL: databaseUrl }, words, { say: (line) => told.push(line), show: () => undefined, isTerminal: false })
  expect(await run("rotate")).toBe(0)
  expect(await run("rotate")).toBe(1)
  expect(await run("rotate", "--now")).toBe(2)
  expect(told).toMatchObject([expect.stringContaining("key 2 from 10 s later on"), expect.stringContaining("too near"), expect.stringContaining("Unknown: --now")])
  const later_ms = now_ms + 60_000
  expect((await signer.read(token, later_ms))?.toString()).toBe("a price")
  expect((await signer.sign(Buffer.from("another"), later_ms)).startsWith("2.")).toBe(true)
  const kept = await sql<{ value: string }[]>`select value from settings where key = 'signing_keys'`
  expect(told.join()).not.toContain((JSON.parse(kept[0]!.value) as { secret: string }[])[0]!.secret)
  await close()
})
