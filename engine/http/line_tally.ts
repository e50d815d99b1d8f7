/**
 * What became of the lines of one stream: one line in the log, however many they were.
 *
 * What must stay true: a stream whose lines all meet the same trouble says so once, with how many had each outcome; 72,704 lines that were
 * answered `overloaded` while a process stopped had been 56 MB of log. Only a `fault`, which is ours to mend, is logged for itself.
 */
import type { Outcome } from "../answers.ts"
import { faultFields, type Log, type LogFields } from "../log.ts"
import { outcomeOfFault } from "./problems.ts"

/** Faults of one stream that are logged for themselves; the others are counted. */
export const FAULTS_LOGGED_MAX = 20

/** How a stream has ended: by its own end, cut by its caller or on the way, or at the stop of this process. */
export type StreamEnd = "whole" | "cut" | "stopped"

const SAYS: Readonly<Record<StreamEnd, string>> = {
  whole: "lines of a stream could not be served",
  cut: "a stream of lines was cut off",
  stopped: "a stream of lines was ended by the stop",
}

/** Counts for one stream. With `is_all` it is logged also when all of it went well. */
export const makeLineTally = (log: Log, fields: LogFields, is_all: boolean) => {
  const began_ms = performance.now()
  const counts = new Map<Outcome, number>()
  let lines = 0
  let faults = 0
  /** Of what broke, the first says the most. */
  let first: LogFields | undefined

  return {
    note: (outcome: Outcome): void => {
      lines += 1
      counts.set(outcome, (counts.get(outcome) ?? 0) + 1)
    },
    /** What a line that broke is answered as. */
    broke: (fault: unknown): Outcome => {
      const outcome = outcomeOfFault(fault)
      first ??= faultFields(fault)
      if (outcome === "fault" && (faults += 1) <= FAULTS_LOGGED_MAX) log.error("a line of a stream has failed", { ...fields, ...faultFields(fault) })
      return outcome
    },
    /** The stream is over; `cut` is what cut it. */
    say: (end: StreamEnd, cut?: unknown): void => {
      const broken = cut === undefined ? first : faultFields(cut)
      const said: LogFields = {
        ...fields, rows: lines, outcomes: [...counts].map(([outcome, count]) => `${outcome} ${count}`), duration_ms: Math.round(performance.now() - began_ms), ...broken,
      }
      if (end !== "whole" || broken !== undefined) log.warn(SAYS[end], said)
      else if (is_all) log.info("lines of a stream were served", said)
    },
  }
}
