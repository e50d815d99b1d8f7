/**
 * What the clients asked and heard: the only witness that is not Scrip.
 *
 * What must stay true: nothing is written down that was not said. An act whose end nobody heard is `unknown`, and stays it until a repeat
 * has told; a 503 that says that nothing was begun leaves no trace. A no says what became of its own attempt, not of one that was given up.
 */

export type ActKind = "issue" | "claim" | "reserve" | "confirm" | "cancel" | "refund" | "fund"

/** An answer as it came: the body is kept as text, because a repeat must give it again to the letter. */
export interface Heard { readonly status: number; readonly text: string }

export interface Act {
  readonly kind: ActKind
  readonly path: string
  readonly body: Readonly<Record<string, unknown>>
  /** The arena in whose history it counts, and what it did there if it happened. */
  readonly arena?: number
  /** When it was sent first, and last; and when its end was heard. Milliseconds of one monotonic clock. */
  first_ms: number
  last_ms: number
  heard_ms: number
  heard: "unknown" | Heard
  /** One of its attempts was given up without an answer. It may still be on its way when a later attempt hears a no, and happen then. */
  isLeftBehind: boolean
}

/** A yes as JSON. */
export const yesOf = ({ heard }: Act): Record<string, any> | undefined =>
  heard !== "unknown" && heard.status < 300 ? JSON.parse(heard.text) as Record<string, unknown> : undefined

/** The word of a no, also of one that says that the engine failed; nothing for a 503, which says that it is not known or not begun. */
export const wordOf = (heard: Heard | undefined): string | undefined =>
  tells(heard) === "end" && heard!.status >= 300 ? (JSON.parse(heard!.text) as { code: string }).code : undefined

/** The word of an act's no. */
export const noOf = ({ heard }: Act): string | undefined =>
  heard !== "unknown" && heard.status >= 300 ? (JSON.parse(heard.text) as { code: string }).code : undefined

/** An act that may have happened although nobody heard a yes. */
export const isUncertain = (act: Act): boolean => act.heard === "unknown" || act.isLeftBehind && act.heard.status >= 300

/** A 503 that says that nothing was begun. */
const NOT_BEGUN = ["overloaded", "journal_full", "quota_busy"]

/** What one answer tells of its act: its end, that nothing was begun, or nothing. */
export const tells = (heard: Heard | undefined): "end" | "not_begun" | "nothing" => {
  if (heard === undefined) return "nothing"
  if (heard.status !== 503) return "end"
  return NOT_BEGUN.includes((JSON.parse(heard.text) as { code: string }).code) ? "not_begun" : "nothing"
}
