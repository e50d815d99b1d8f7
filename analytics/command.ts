/**
 * The sidecar's commands: `npm run job -- …` and `npm run import -- …`, and each run that the scheduler begins: a process of its own,
 * at the lowest priority, so that what a job needs is taken from nobody.
 *
 * What must stay true: the last line on standard output is JSON, however it ends; how far it is goes to standard error; whoever is told to
 * end does.
 */
import { lastLineOf } from "../engine/last_line.ts"
import { lowerPriority } from "../engine/priority.ts"
import { forget } from "./forget.ts"
import { JOBS } from "./jobs/index.ts"
import { importCommand } from "./import_command.ts"
import { jobCommand, type Out } from "./job_command.ts"
import { openLake } from "./lake.ts"
import { progressOn } from "./progress.ts"
import type { House } from "./runner.ts"
import { dropAged } from "./retention.ts"
import { readSettings, type Settings } from "./settings.ts"
import { openTables } from "./tables.ts"

const STOP_S_MAX = 2
/**
 * Who is to end has so long to give its lease back and to clean up. Then it ends all the same: a statement whose server says nothing more is
 * waited for without an end, and whatever is left undone is what a crash leaves.
 */
const END_MS_MAX = 10_000

/** `npm run forget -- USER`, or `-- --aged`: what is older than the installation keeps. */
const forgetCommand = async (words: readonly string[], house: House, keep_months: number, out: Out): Promise<number> => {
  const [user, ...more] = words
  if (user === undefined || more.length > 0) {
    out.say("npm run forget -- USER\nnpm run forget -- --aged")
    return 1
  }
  if (user === "--aged") {
    out.say(JSON.stringify(await dropAged(house, keep_months)))
    return 0
  }
  const forgotten = await forget(house, user)
  if (forgotten.redemptions_left > 0) out.say(`Redemptions that are open or younger than two days and still name this user: ${forgotten.redemptions_left}. Run it again then.`)
  out.say(JSON.stringify(forgotten))
  return 0
}

const run = async (settings: Settings, out: Out, signal: AbortSignal): Promise<number> => {
  const [command = "", ...words] = settings.words ?? []
  const { database_url, lake_dir, time_zone, memory_mb, threads, timing_days, api, cwd = "." } = settings
  const sql = openTables(database_url)
  try {
    const house: House = { sql, lake: openLake(lake_dir), time_zone, memory_mb, threads, timing_days, api, signal, progress: out.progress }
    if (command === "job") return await jobCommand({ words, house, settings, signal }, JOBS, out)
    if (command === "import") return await importCommand(words, cwd, house, out)
    if (command === "forget") return await forgetCommand(words, house, settings.keep_months, out)
    throw new Error(`there is no command ${command}`)
  } finally {
    await sql.end({ timeout: STOP_S_MAX })
  }
}

if (import.meta.main) {
  lowerPriority()
  const ending = new AbortController()
  const clear = () => { if (process.stderr.isTTY) process.stderr.write("\r\x1b[K") }
  let words: readonly string[] = []
  const broke = (detail: string): never => {
    clear()
    console.error(detail)
    const last = lastLineOf(words, "fault", detail)
    if (last !== undefined) console.log(last)
    process.exit(1)
  }
  const end = () => {
    if (ending.signal.aborted) return
    ending.abort(new Error("whoever started this has ended"))
    setTimeout(() => broke(`It was to end, and what it waits for has not come for ${END_MS_MAX / 1_000} s.`), END_MS_MAX)
  }
  process.on("SIGTERM", end)
  process.on("SIGINT", end)
  const settings = await readSettings(process.stdin, end)
  words = settings.words ?? []
  const progress = progressOn(process.stderr)
  try {
    process.exit(await run(settings, { say: (line) => { clear(); console.log(line) }, progress }, ending.signal))
  } catch (fault) {
    broke(fault instanceof Error ? fault.message : String(fault))
  }
}
