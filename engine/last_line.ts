/**
 * The last line of a sidecar's command that could not begin, or broke outside of its own work.
 *
 * What must stay true: whoever reads the last line of `npm run job` or `npm run import` finds the JSON that the contract states, also where
 * Postgres was away, the settings were wrong, or the process had to end in the middle.
 */

/** What follows `job` and is no job. */
const HOUSE_WORDS = ["status", "diff", "explain", "run", "publish", "rollback"]

/** The line, by the words of the command; nothing for a command of which none is stated. */
export const lastLineOf = ([command, first, ...rest]: readonly string[], reason: string, detail: string): string | undefined => {
  const name = first === undefined || first.startsWith("--") ? null : first
  if (command === "import") return JSON.stringify({ import_id: null, feed: name, rows: 0, accepted: 0, rejected: 0, rejects_file: null })
  if (command !== "job") return undefined
  const at = rest.findIndex((word) => word === "--period" || word.startsWith("--period="))
  const period = at < 0 ? null : rest[at] === "--period" ? rest[at + 1] ?? null : rest[at]!.slice("--period=".length)
  return JSON.stringify({ run_id: null, job: name !== null && HOUSE_WORDS.includes(name) ? null : name, period, revision: null, state: "failed", outputs: [], reason, detail })
}
