/** `npm run quarantine`, beside an engine's stores. */
import { expect, test } from "bun:test"
import { runCommand } from "../../engine/command.ts"
import { listQuarantined } from "../../engine/journal/quarantine.ts"
import { openPostgres } from "../../engine/store/postgres.ts"
import { stack } from "../support/stack.ts"

test("quarantine: what waits is listed, one is settled once with who and why, and a slip changes nothing", async () => {
  const { redisUrl, freshDatabase } = await stack()
  const databaseUrl = await freshDatabase()
  const { sql, close } = openPostgres(databaseUrl, 1)
  let told: string[] = []
  const run = async (...words: string[]) => {
    told = []
    const code = await runCommand({ REDIS_URL: redisUrl, DATABASE_URL: databaseUrl }, ["quarantine", ...words], { say: (line) => told.push(line), show: () => undefined, isTerminal: false })
    return [code, told.join("\n")]
  }
  expect(await run()).toEqual([0, "Nothing lies in quarantine."])
  for (const n of [55, 56]) await sql`insert into quarantine (cell, epoch, n, raw, reason, at_ms) values (0, 1, ${n}, ${Buffer.from("xyz")}, 'the act is unknown', 1000)`
  expect(await run()).toEqual([1, expect.stringMatching(/^QUARANTINED  cell 0 entry 1-55: the act is unknown \(3 bytes, after 1970-01-01T00:00:01.000Z\)\nQUARANTINED  cell 0 entry 1-56: .*\n2 entries wait\. /)])

  const skip = ["--as", "skip", "--by", "ann", "--why", "the till was told"]
  for (const [words, about] of [
    [["drop"], "Unknown: drop"], [["settle", "x", "1-55", ...skip], "The cell"], [["settle", "0", "55", ...skip], "The entry"],
    [["settle", "0", "1-55", "--as", "read", ...skip.slice(2)], "--as"], [["settle", "0", "1-55", ...skip.slice(0, 2)], "--by"],
    [["settle", "0", "1-55", ...skip.slice(0, 4), "--why", " "], "--why"], [["settle", "0", "1-55", ...skip, "--now"], "Unknown: --now"],
  ] as const) expect(await run(...words)).toEqual([2, expect.stringContaining(about)])
  expect((await listQuarantined(sql)).total).toBe(2)

  expect(await run("settle", "0", "1-57", ...skip)).toEqual([1, expect.stringContaining("no entry 1-57")])
  expect(await run("settle", "0", "1-55", ...skip)).toEqual([0, expect.stringContaining("1 of its entries still waits.")])
  expect(await run("settle", "0", "1-55", "--as", "skip", "--by", "bob", "--why", "so be it")).toEqual([1, expect.stringContaining("ann settled it")])
  expect(await run("settle", "0", "1-56", ...skip)).toEqual([0, expect.stringContaining("npm run rebuild")])
  expect(await run()).toEqual([0, "Nothing lies in quarantine."])
  const rows = await sql<{ by: string; why: string; raw: Uint8Array }[]>`select settled_by as by, settled_why as why, raw from quarantine order by n`
  expect(rows.map(({ by, why, raw }) => [by, why, Buffer.from(raw).toString()])).toEqual([["ann", "the till was told", "xyz"], ["ann", "the till was told", "xyz"]])
  await close()
})
