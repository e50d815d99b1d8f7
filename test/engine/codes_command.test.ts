/** The command for codes, against a real engine: a batch into a file, a file into an engine, and both once more. */
import { afterAll, beforeAll, expect, test } from "bun:test"
import { join } from "node:path"
import { runCodes } from "../../engine/codes_command.ts"
import { fresh, openCampaign } from "../story/till.ts"
import { openShop, type Shop } from "../support/shop.ts"
import { scratchFolder } from "../support/scratch.ts"

const COUNT = 2_500
let shop: Shop, campaign_id: string, url: string, server: ReturnType<typeof Bun.serve>
beforeAll(async () => {
  shop = await openShop()
  ;({ campaign_id } = await openCampaign((method, path, body) => shop.call(method, path, body), shop.clock.now_ms()))
  server = Bun.serve({ port: 0, fetch: (request) => { request.headers.set("scrip-now", String(shop.clock.now_ms())); return shop.app.fetch(request) } })
  url = `http://127.0.0.1:${server.port}`
}, 120_000)
afterAll(() => server.stop())

const command = async (...words: string[]) => {
  const said: string[] = [], told: string[] = [], shown: [number, number | undefined][] = []
  const code = await runCodes(words, { say: (line) => said.push(line), tell: (line) => told.push(line), at: (_, done, total) => shown.push([done, total]), end: () => undefined })
  return { code, said, told, shown }
}
const to = (batch: string): string[] => ["--campaign", campaign_id, "--batch", batch, "--key", shop.key, "--url", url]

test("generate: every code, its progress, and the same again", async () => {
  const batch = fresh("batch"), first = await command("generate", ...to(batch), "--count", String(COUNT))
  expect([first.code, first.said.length, first.shown.at(-1)]).toEqual([0, COUNT, [COUNT, COUNT]])
  expect((await command("generate", ...to(batch), "--count", String(COUNT))).said).toEqual(first.said)
  expect((await command("check", (JSON.parse(first.said[0]!) as { code: string }).code)).code).toBe(0)
  expect(await command("generate", ...to(batch), "--count", "1")).toMatchObject({ code: 1, said: [], told: [expect.stringContaining("Refused: 422")] })
})

test("import: a file line by line, what is wrong is told, and the second time all is there", async () => {
  const path = join(scratchFolder(), "codes.ndjson"), tag = fresh("P"), batch = fresh("batch")
  await Bun.write(path, [...Array.from({ length: COUNT }, (_, i) => `{"code":"${tag} ${i}"}`), "{}", ""].join("\n"))
  const first = await command("import", ...to(batch), "--file", path)
  expect([first.code, first.said.at(-1), first.shown.at(-1)]).toEqual([1, `${COUNT} imported, 0 were there already, 1 refused`, [COUNT + 1, COUNT + 1]])
  expect((await command("import", ...to(batch), "--file", path)).said.at(-1)).toBe(`0 imported, ${COUNT} were there already, 1 refused`)
})

test("an address where nobody answers, or that breaks off, is told in a sentence", async () => {
  const path = join(scratchFolder(), "codes.ndjson")
  await Bun.write(path, '{"code":"ONE"}\n')
  const gone = Bun.serve({ port: 0, fetch: () => new Response() })
  await gone.stop(true)
  const cut = Bun.serve({ port: 0, fetch: () => new Response(new ReadableStream({ start: (body) => { body.enqueue(new TextEncoder().encode('{"code":"A')); body.error(new Error("cut")) } })) })
  for (const { port } of [gone, cut]) {
    const at = [...to(fresh("batch")).slice(0, -1), `http://127.0.0.1:${port}`]
    for (const words of [["generate", ...at, "--count", "3"], ["import", ...at, "--file", path]]) {
      const { code, said, told } = await command(...words)
      expect([code, said, told]).toEqual([2, [], [expect.stringContaining(`http://127.0.0.1:${port} does not answer, or not to the end`)]])
    }
  }
  await cut.stop(true)
})

test("what is not asked rightly is told how it is asked", async () => {
  for (const words of [[], ["generate"], ["generate", "--count"], ["import", ...to("b")], ["generate", ...to("b"), "--count", "x"], ["check"]]) {
    const { code, said, told } = await command(...words)
    expect([code, said, told.join("\n").includes("npm run codes -- generate")]).toEqual([2, [], true])
  }
  expect((await command("check", "2222-2222-2222-2223")).code).toBe(1)
})
