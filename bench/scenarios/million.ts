/**
 * A million live coupons in wallets of ten: how they get in, how much memory each takes, and how long a rebuild takes.
 *
 * What must stay true: memory is all that Redis uses more than before, wallets, deadlines, quotas and tables alike. Only the journal is
 * told apart, because it is bounded: what is flushed is trimmed down to a fixed number of bytes, however many coupons there are. For
 * an exact number it is emptied, once everything is flushed, at both looks.
 */
import { join } from "node:path"
import { journalKey } from "../../lua/keys.ts"
import { CAMPAIGN_ID, makeBudget, makeCampaign } from "../contestants.ts"
import { type Figure, type Result } from "../result.ts"
import { startStack, type Stack } from "../stack.ts"

const WALLET = 10
const BYTES_MOST = 90
const CALL_LINES = 100_000
const SETTLE_MS = 1_500
const ROOT = join(import.meta.dir, "..", "..")

interface Memory { readonly used: number; readonly without_journal: number }

const usedMemory = async ({ redis }: Stack): Promise<number> => Number(/^used_memory:(\d+)/m.exec(await redis.info("memory"))?.[1])

/** What Redis uses, and what it uses once the flushed journal is emptied. */
const memoryOf = async (stack: Stack): Promise<Memory> => {
  await stack.flushed()
  await Bun.sleep(SETTLE_MS)
  const used = await usedMemory(stack)
  await stack.redis.xtrim(journalKey(0), "MAXLEN", 0)
  await Bun.sleep(SETTLE_MS)
  return { used, without_journal: await usedMemory(stack) }
}

/** One bulk call: NDJSON in and out; how many lines were answered 201. */
const issueBulk = async (stack: Stack, from: number, to: number): Promise<number> => {
  const lines: string[] = []
  for (let i = from; i < to; i++) lines.push(JSON.stringify({ request_id: `gift-${i % WALLET}`, campaign_id: CAMPAIGN_ID, user_id: `holder-${Math.floor(i / WALLET)}` }))
  const response = await fetch(`${stack.url}/v1/coupons/bulk`, {
    method: "POST", headers: { authorization: `Bearer ${stack.key}`, "content-type": "application/x-ndjson" }, body: `${lines.join("\n")}\n`,
  })
  let issued = 0
  for (const line of (await response.text()).split("\n")) if (line !== "" && (JSON.parse(line) as { status: number }).status === 201) issued++
  return issued
}

/** Run `npm run rebuild` against the live stack; how many seconds it took. */
const rebuild = async ({ env }: Stack): Promise<number> => {
  const began = performance.now()
  const child = Bun.spawn([process.execPath, "run", "rebuild"], { cwd: ROOT, env: { ...env, SCRIP_BOOTSTRAP_KEY: "" }, stdin: "ignore", stdout: "pipe", stderr: "pipe" })
  const [said, complained, exit_code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited])
  if (exit_code !== 0) throw new Error(`the rebuild ended with ${exit_code}:\n${said.slice(-2_000)}${complained.slice(-2_000)}`)
  return (performance.now() - began) / 1_000
}

/** Play it on a stack of its own. */
export const playMillion = async (coupons: number, say: (text: string) => void): Promise<Result> => {
  const stack = await startStack("million", "engine/main.ts")
  await makeBudget(stack)
  await makeCampaign(stack, CAMPAIGN_ID, { stock: coupons + WALLET, per_user: WALLET })
  const before = await memoryOf(stack)
  const began = performance.now()
  let issued = 0
  for (let from = 0; from < coupons; from += CALL_LINES) {
    issued += await issueBulk(stack, from, Math.min(from + CALL_LINES, coupons))
    say(`${issued} of ${coupons} coupons issued`)
  }
  const issued_s = (performance.now() - began) / 1_000
  const backlog = await stack.lag()
  const drained_s = await stack.flushed() / 1_000
  const after = await memoryOf(stack)
  const grown = after.used - before.used, held = after.without_journal - before.without_journal
  const figures: Figure[] = [
    { name: "coupons issued in bulk", value: issued / issued_s, unit: "/s" },
    { name: "flusher, entries per second while it was behind or fed", value: coupons / (issued_s + drained_s), unit: "/s" },
    { name: "entries not yet flushed when the last was issued", value: backlog, unit: "entries" },
    { name: "memory that Redis uses more", value: grown, unit: "bytes" },
    { name: "of it the journal, which is bounded", value: grown - held, unit: "bytes" },
    { name: `bytes of Redis per live coupon, wallets of ${WALLET}`, value: held / issued, unit: "bytes", wanted: { at: "most", value: BYTES_MOST } },
  ]
  say(`${issued} coupons are rebuilt from Postgres`)
  const rebuilt_s = await rebuild(stack)
  const rebuilt = await memoryOf(stack)
  figures.push({ name: `rebuild of ${issued} coupons`, value: rebuilt_s, unit: "s" })
  const [kept] = await stack.sql<{ coupons: number }[]>`select count(*)::int as coupons from coupons where campaign_no = (select campaign_no from campaigns where campaign_id = ${CAMPAIGN_ID})`
  await stack.stop()
  return {
    scenario: "million", rows: [], figures: [...figures, { name: "bytes per live coupon after the rebuild", value: (rebuilt.without_journal - before.without_journal) / issued, unit: "bytes" }],
    proofs: [{ name: "coupons answered 201 in bulk", wanted: coupons, found: issued }, { name: "coupons in Postgres", wanted: coupons + 1, found: kept!.coupons }],
  }
}
