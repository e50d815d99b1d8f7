/** How far a command is: on a terminal one line that is written over again, in a log none that is not worth its place. */
import { expect, test } from "bun:test"
import { runCommand } from "../../engine/command.ts"
import { stack } from "../support/stack.ts"

test("verify shows a bar on a terminal, and a short one leaves nothing in a log", async () => {
  const { freshDatabase, ownRedis } = await stack()
  const { redisUrl } = await ownRedis(), databaseUrl = await freshDatabase()
  const verify = async (isTerminal: boolean): Promise<string[]> => {
    const shown: string[] = [], told: string[] = []
    await runCommand({ REDIS_URL: redisUrl, DATABASE_URL: databaseUrl }, ["verify"], { say: (line) => told.push(line), show: (text) => shown.push(text), isTerminal })
    expect(told.length).toBeGreaterThan(0)
    return shown
  }
  expect(await verify(false)).toEqual([])
  const shown = await verify(true)
  expect(shown.length).toBeGreaterThan(0)
  expect(shown.every((text) => text.startsWith("\r\x1b[K"))).toBe(true)
})
