/**
 * The engine against the model: thousands of acts of every kind, in any order, at any time; each answer must be what the contract
 * says, and at the end every budget, campaign, coupon and redemption must stand as in the model.
 *
 * SCRIP_MODEL_COMMANDS says how many commands (20,000 unless told), SCRIP_SEED which; a failing run is shrunk and told call by call.
 */
import { afterAll, beforeAll, expect, test } from "bun:test"
import fc from "fast-check"
import { SEED } from "../../support/seed.ts"
import { openStory, type Story } from "../story.ts"
import { type AnyCommand, commands, compareAll, play, type Run } from "./commands.ts"
import { shrink } from "./shrink.ts"
import { emptyWorld } from "./world.ts"

const COMMANDS = Number(process.env["SCRIP_MODEL_COMMANDS"] ?? 20_000)
/** The most commands of one run: long enough for stock and budgets to run out, short enough to be shrunk. */
const RUN_COMMANDS_MAX = 400
const SHRINK_TRIES_MAX = 400
const SHRINK_MS_MAX = 45_000
const TOLD_MAX = 40
/** A busy machine plays a few hundred commands a second. */
const COMMAND_MS_MAX = 40
/** Engines that are played beside each other, each with servers and rounds of its own: a command mostly waits for a disk. */
const CELLS = [1, 3, 1, 3]
/** They start on a machine that does other things too. */
const START_MS_MAX = 120_000

const stories: Story[] = []
beforeAll(async () => { stories.push(...await Promise.all(CELLS.map((cells) => openStory({ cells })))) }, START_MS_MAX)
afterAll(async () => { for (const story of stories) await story.close() })

/** How many runs each story has played: their names say it, so that a seed's ids are the same again. */
const runs = new Map<Story, number>()
const heard = new Map<string, number>()

interface Played { readonly played: number; readonly fault: Error | undefined; readonly told: readonly string[] }

/** Play a list of commands in a world of its own. */
const playAll = async (story: Story, list: readonly AnyCommand[]): Promise<Played> => {
  const told: string[] = []
  const engine = {
    setNow: story.setNow,
    sweep: story.sweep,
    call: async (method: string, path: string, body?: unknown) => {
      const answer = await story.call(method, path, body)
      told.push(`${new Date(story.now_ms()).toISOString()} ${method} ${path} ${body === undefined ? "" : JSON.stringify(body)}\n    ${answer.status} ${JSON.stringify(answer.body)}`)
      return answer
    },
  }
  const turn = runs.get(story) ?? 0
  runs.set(story, turn + 1)
  const run: Run = { engine, world: emptyWorld(story.now_ms()), tag: `s${SEED}-${stories.indexOf(story)}-${turn}`, began_ms: story.now_ms(), played: 0, heard }
  try {
    for (const command of list) await play(run, command)
    await compareAll(run)
    return { played: run.played, fault: undefined, told }
  } catch (fault) {
    return { played: run.played, fault: fault instanceof Error ? fault : new Error(String(fault)), told }
  }
}

/** The last line of a difference says what is wrong, without the ids of the run. */
const kindOf = ({ message }: Error): string => message.split("\n").at(-1)!.replaceAll(/[A-Za-z0-9_-]{30,}|s\d+-\d+-\d+|\d+/g, "_").slice(0, 60)

const tell = async (story: Story, list: readonly AnyCommand[], fault: Error, seed: number): Promise<never> => {
  console.error(`model: a difference with seed ${seed}; it is being shrunk.\n${fault.message}`)
  const until = performance.now() + SHRINK_MS_MAX
  const small = await shrink(list, async (shorter) => {
    if (performance.now() > until) return false
    const again = await playAll(story, shorter)
    return again.fault !== undefined && kindOf(again.fault) === kindOf(fault)
  }, SHRINK_TRIES_MAX)
  const { told, fault: smallest } = await playAll(story, small)
  throw new Error(`seed ${seed}, ${story.parts.cells} cells: ${small.length} of ${list.length} commands still differ; the last calls were\n${told.slice(-TOLD_MAX).join("\n")}\n${(smallest ?? fault).stack}`)
}

test(`${COMMANDS} commands: every answer is the model's, and so is what stands at the end`, async () => {
  console.log(`model: SCRIP_SEED=${SEED} SCRIP_MODEL_COMMANDS=${COMMANDS}`)
  let played = 0, isOver = false
  await Promise.all(stories.map(async (story, place) => {
    for (let round = place; played < COMMANDS && !isOver; round += stories.length) {
      const seed = SEED + round
      const [list] = fc.sample(commands(RUN_COMMANDS_MAX), { seed, numRuns: 1 })
      const { played: now, fault } = await playAll(story, list!)
      played += now
      if (!fault) continue
      isOver = true
      await tell(story, list!, fault, seed)
    }
  }))
  for (const story of stories) await story.expectConserved()
  console.log(`model: ${played} commands, ${JSON.stringify(Object.fromEntries([...heard].toSorted()))}`)
  expect(played).toBeGreaterThanOrEqual(COMMANDS)
  // A generator that has stopped reaching the limits would prove nothing.
  if (COMMANDS >= 20_000) {
    for (const word of ["409 budget_exhausted", "409 stock_exhausted", "409 user_limit_reached", "409 coupon_reserved", "409 redemption_expired", "409 refund_exceeds", "422 request_conflict"]) {
      expect([word, heard.get(word) ?? 0]).not.toEqual([word, 0])
    }
  }
}, Math.max(120_000, COMMANDS * COMMAND_MS_MAX))
