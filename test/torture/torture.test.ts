/**
 * The harness in its short form.
 *
 * SCRIP_SEED says which choices, SCRIP_TORTURE_KILLS how many kills.
 */
import { expect, test } from "bun:test"
import { resolve } from "node:path"
import { SEED } from "../support/seed.ts"
import { sentenceOf } from "./report.ts"
import { runOnce } from "./run.ts"

const TREE = resolve(import.meta.dir, "..", "..")
const KILLS = Number(process.env["SCRIP_TORTURE_KILLS"] ?? 3)
/** Several, so that leases are put to the test too; the crash story has one. */
const CELLS = 7
/** A quiet machine takes 45 s; one that does much else is waited for. */
const RUN_MS_MAX = 480_000

test(`${KILLS} kills among other violence: nothing is lost, doubled or spent twice`, async () => {
  console.log(`torture: SCRIP_SEED=${SEED} SCRIP_TORTURE_KILLS=${KILLS}, ${CELLS} cells`)
  const result = await runOnce({ seed: SEED, layout: "split", kills: KILLS, histories: 0, minutes: 0.5, cells: CELLS, durability: "local", tree: TREE })
  console.log(`torture: ${sentenceOf([result])} ${result.strikes.map(({ name }) => name).join(" ")}`)
  expect(result.findings).toEqual([])
  expect(result.checked.filter(({ faults }) => faults.length > 0)).toEqual([])
  expect(result.strikes.length).toBeGreaterThan(0)
  expect(result.yeses).toBeGreaterThan(100)
}, RUN_MS_MAX)
