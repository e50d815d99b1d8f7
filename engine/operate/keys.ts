/**
 * Keys: who may call what. A key is shown once; only its SHA-256 is stored, which is enough for 256 random bits.
 */
import { hash, randomBytes } from "node:crypto"
import { SCOPES, type Answered, type Caller, type Scope } from "../answers.ts"
import { type CreateKeyAsk, EVERY_LINE, type RevokeKeyAsk } from "../contract/keys.ts"
import type { Parts } from "../parts.ts"
import { answeringPostgres, PostgresAway, withinWait } from "../store/away.ts"
import type { Sql } from "../store/postgres.ts"
import { mayTouch } from "./lines.ts"

/** A key is believed for so long without a look into Postgres; a revocation is felt within 5 s. */
const KEY_AGE_MS_MAX = 2_000
/** Who has a known key waits so long for Postgres to say it again, and after a wait in vain it is asked again so often. */
const KNOWN_WAIT_MS = 250, AWAY_AGAIN_MS = 1_000
/** So many keys, also wrong ones, are remembered; beyond it they are forgotten together. */
const KEYS_MAX = 10_000
const SECRET_BYTES = 32
const KEY_ID_BYTES = 9

export interface Key { readonly key_id: string; readonly scopes: readonly Scope[]; readonly lines: readonly string[] }

const hashOf = (key: string): string => hash("sha256", key, "base64url")

/**
 * Find the key of a bearer; nothing when it is unknown or revoked. While Postgres is away, a key that was known goes on, and hardly anybody
 * waits for it: one question for a key is under way at a time, who has a known key waits for it for KNOWN_WAIT_MS at most, and from then on it
 * is asked beside the requests, each AWAY_AGAIN_MS. When each request asked for itself, 32 callers at once waited 5 s each (2026-11-22).
 */
export const openKeys = (sql: Sql) => {
  const known = new Map<string, { key: Key | undefined; at_ms: number }>()
  const asking = new Map<string, Promise<Key | undefined>>()
  let isAway = false, asked_ms = 0
  const askNow = async (hash: string, now_ms: number): Promise<Key | undefined> => {
    const [key] = await answeringPostgres(() => sql<{ key_id: string; scopes: Scope[]; lines: string[] }[]>`
      select key_id, scopes, lines from api_keys where hash = ${hash} and revoked_ms is null`)
    if (known.size >= KEYS_MAX) known.clear()
    known.set(hash, { key, at_ms: now_ms })
    isAway = false
    return key
  }
  const ask = (hash: string, now_ms: number): Promise<Key | undefined> => {
    const before = asking.get(hash)
    if (before) return before
    const asked = askNow(hash, now_ms).finally(() => asking.delete(hash))
    asked.catch(() => undefined) // it is heard by whoever still waits
    asking.set(hash, asked)
    return asked
  }
  return async (bearer: string, now_ms: number): Promise<Key | undefined> => {
    const hash = hashOf(bearer)
    const before = known.get(hash)
    if (before && Math.abs(now_ms - before.at_ms) < KEY_AGE_MS_MAX) return before.key
    if (!before?.key) return ask(hash, now_ms)
    if (isAway) {
      if (performance.now() - asked_ms >= AWAY_AGAIN_MS) { asked_ms = performance.now(); void ask(hash, now_ms).catch(() => undefined) }
      return before.key
    }
    try {
      return await withinWait(ask(hash, now_ms), KNOWN_WAIT_MS)
    } catch (error) {
      if (!(error instanceof PostgresAway)) throw error
      isAway = true
      asked_ms = performance.now()
      return before.key
    }
  }
}

const writeKey = async (sql: Sql, key_id: string, key: string, name: string, scopes: readonly string[], lines: readonly string[], now_ms: number) =>
  answeringPostgres(() => sql`insert into api_keys (key_id, hash, name, scopes, lines, created_ms)
    values (${key_id}, ${hashOf(key)}, ${name}, ${[...scopes]}, ${[...lines]}, ${now_ms}) 
    on conflict (key_id) do update set hash = excluded.hash, revoked_ms = case when api_keys.hash = excluded.hash then api_keys.revoked_ms end`)

const newKey = (key_id: string): string => `scrip_${key_id}_${randomBytes(SECRET_BYTES).toString("base64url")}`

/** Make a key. */
export const createKeyWith = ({ postgres }: Parts) => async ({ name, scopes, lines }: CreateKeyAsk, caller: Caller): Promise<Answered> => {
  const { now_ms } = caller
  // Nobody gives what he does not have.
  const foreign = lines.find((line) => !mayTouch(caller, line))
  if (foreign !== undefined) return { outcome: "scope_missing", line: foreign }
  const key_id = randomBytes(KEY_ID_BYTES).toString("hex")
  const key = newKey(key_id)
  await writeKey(postgres.sql, key_id, key, name, scopes, lines, now_ms)
  return { outcome: "created", body: { key_id, key, name, scopes, lines } }
}

/** Revoke a key. */
export const revokeKeyWith = ({ postgres }: Parts) => async ({ key_id }: RevokeKeyAsk, caller: Caller): Promise<Answered> => {
  const { now_ms } = caller
  const [named] = await answeringPostgres(() => postgres.sql<{ lines: string[] }[]>`select lines from api_keys where key_id = ${key_id}`)
  if (!named?.lines.every((line) => mayTouch(caller, line))) return { outcome: "key_id_unknown", key_id }
  const rows = await answeringPostgres(() => postgres.sql<{ revoked_ms: number; was_ms: number | null }[]>`
    update api_keys k set revoked_ms = coalesce(k.revoked_ms, ${now_ms}) from (select key_id, revoked_ms as was_ms from api_keys where key_id = ${key_id} for update) was
    where k.key_id = was.key_id returning k.revoked_ms, was.was_ms`)
  const row = rows[0]
  if (!row) return { outcome: "key_id_unknown", key_id }
  return { outcome: "changed", hit: row.was_ms !== null, body: { key_id, state: "revoked", revoked_at: new Date(row.revoked_ms).toISOString() } }
}

/** The key_id of the first key. */
const BOOTSTRAP = "bootstrap"

/** The key_id of the jobs' own key. */
const JOBS = "jobs"

/** Whether an installation has any key yet that somebody was shown. */
export const hasKeys = async (sql: Sql): Promise<boolean> => (await sql`select 1 from api_keys where key_id <> ${JOBS} limit 1`).length > 0

/**
 * Make the first key, with every scope and line: the named one, or a new one, which is returned to be shown once. Nothing where an
 * installation has keys already, unless the named one is another than before.
 */
export const bootstrapKey = async (sql: Sql, named: string | undefined, now_ms: number): Promise<string | undefined> => {
  if (named === undefined && await hasKeys(sql)) return undefined
  const key = named ?? newKey(BOOTSTRAP)
  await writeKey(sql, BOOTSTRAP, key, BOOTSTRAP, SCOPES, [EVERY_LINE], now_ms)
  return named === undefined ? key : undefined
}

/** The key with which jobs call the API: one for the installation, with every scope and line. Revoke it and jobs are refused. */
export const jobsKey = async (sql: Sql, now_ms: number): Promise<string> => {
  await sql`insert into settings (key, value) values ('jobs_key', ${newKey(JOBS)}) on conflict (key) do nothing`
  const [row] = await sql<{ value: string }[]>`select value from settings where key = 'jobs_key'`
  if (!row) throw new Error("the jobs' key has gone")
  await writeKey(sql, JOBS, row.value, JOBS, SCOPES, [EVERY_LINE], now_ms)
  return row.value
}
