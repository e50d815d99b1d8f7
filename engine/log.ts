/**
 * The log: one JSON object a line, on standard error.
 *
 * What must stay true: only the fields named here are ever written, so a secret or a person cannot slip in with
 * an object that happened to be at hand. A user's id is written as its hash, the same that stands in keys and ids,
 * unless the operator asked for clear text.
 */
import { userHash } from "../lua/keys.ts"

/** Every field a line may carry besides `at`, `level` and `msg`. One that is not here is left out and counted. */
export const LOG_FIELDS = [
  "accepted", "act", "api_key_id", "attempt", "backlog_bytes", "bytes", "budget_id", "campaign_id", "cell", "cells", "child",
  "coupon_id", "cursor", "database", "durability", "duration_ms", "entries", "epoch", "error", "exit_code", "host", "job",
  "lag_ms", "line", "method", "mistakes", "oldest_ms", "order_id", "outcome", "outcomes", "path", "pid", "port", "reasons", "redemption_id",
  "refund_id", "request_id", "restarts", "role", "route", "rows", "signal", "stack", "status", "step", "tail", "url",
  "user_hash", "user_id", "version", "wait_ms",
] as const

type LogField = (typeof LOG_FIELDS)[number]
type LogValue = string | number | boolean | readonly string[] | undefined
export type LogFields = Partial<Record<LogField, LogValue>>
export type Level = "info" | "warn" | "error"

export interface Log {
  info(msg: string, fields?: LogFields): void
  warn(msg: string, fields?: LogFields): void
  error(msg: string, fields?: LogFields): void
}

/** Longest text of one field: a stack or a server's answer is cut there. */
const FIELD_CHARS_MAX = 4_000
const allowed: ReadonlySet<string> = new Set(LOG_FIELDS)

const cut = (value: LogValue): LogValue =>
  typeof value === "string" && value.length > FIELD_CHARS_MAX ? `${value.slice(0, FIELD_CHARS_MAX)}…` : value

/** One line of the log. `at_ms` is the host's time: it orders lines and decides nothing. */
export const logLine = (at_ms: number, level: Level, msg: string, fields: LogFields, users: "hashed" | "clear"): string => {
  const line: Record<string, LogValue> = { at: new Date(at_ms).toISOString(), level, msg }
  let left_out = 0
  for (const [name, value] of Object.entries(fields)) {
    if (value === undefined) continue
    if (!allowed.has(name)) left_out += 1
    else if (name === "user_id" && users === "hashed") line["user_hash"] = userHash(String(value))
    else line[name] = cut(value)
  }
  if (left_out > 0) line["fields_left_out"] = left_out
  return JSON.stringify(line)
}

/** Where the log goes and how it names users. */
export interface LogParts {
  readonly users: "hashed" | "clear"
  readonly write: (line: string) => void
  readonly now_ms: () => number
}

export const makeLog = ({ users, write, now_ms }: LogParts): Log => {
  const at = (level: Level) => (msg: string, fields: LogFields = {}) => write(logLine(now_ms(), level, msg, fields, users))
  return { info: at("info"), warn: at("warn"), error: at("error") }
}

/** A log that says nothing, for tests and tools. */
export const quietLog: Log = { info: () => {}, warn: () => {}, error: () => {} }

/** What a thrown value says of itself, as fields. */
export const faultFields = (fault: unknown): LogFields =>
  fault instanceof Error ? { error: `${fault.name}: ${fault.message}`, ...(fault.stack ? { stack: fault.stack } : {}) } : { error: String(fault) }
