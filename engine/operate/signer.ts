/**
 * Who signs prices: keys that lie in Postgres, so that every API process knows each other's signatures, and no log or answer ever has one.
 *
 * What must stay true: the last two keys are valid, and a new one signs only when every process has had the time to read it, so a rotation
 * refuses nothing that was signed before it. Two rotations end what was signed before both.
 */
import { createHmac, randomBytes, timingSafeEqual } from "node:crypto"
import { answeringPostgres, PostgresAway } from "../store/away.ts"
import type { Sql } from "../store/postgres.ts"

interface SigningKey { readonly key_no: number; readonly secret: string; readonly made_ms: number }

export interface Signer {
  /** The text with its signature, as a token of URL-safe characters. */
  sign(text: Buffer, now_ms: number): Promise<string>
  /** The text of a token; nothing where no valid key has signed it. */
  read(token: string, now_ms: number): Promise<Buffer | undefined>
}

const SETTING = "signing_keys"
const KEYS_VALID = 2
const SECRET_BYTES = 32
/** Keys are read again when they are this old. */
const KEYS_AGE_MS_MAX = 5_000
/** A new key is first used when every process has read it. */
export const KEY_REST_MS = 2 * KEYS_AGE_MS_MAX
/** Between two rotations, so that a key that was never used is not the one that is left. */
export const ROTATION_PAUSE_MS = 60_000

const newKey = (key_no: number, made_ms: number): SigningKey => ({ key_no, secret: randomBytes(SECRET_BYTES).toString("base64url"), made_ms })

/** The keys, the newest first; the first process to ask makes the first. It is as old as can be, so it signs at once. */
const readKeys = async (sql: Sql): Promise<readonly SigningKey[]> => {
  await sql`insert into settings (key, value) values (${SETTING}, ${JSON.stringify([newKey(1, 0)])}) on conflict (key) do nothing`
  const [row] = await sql<{ value: string }[]>`select value from settings where key = ${SETTING}`
  if (!row) throw new Error("the signing keys have gone")
  return JSON.parse(row.value) as SigningKey[]
}

const macOf = ({ secret }: SigningKey, signed: string): string => createHmac("sha256", secret).update(signed).digest("base64url")
/** Compared as texts: four last characters stand for the same 32 bytes, and only the one that was given is a signature. */
const isSame = (said: string, mac: string): boolean => said.length === mac.length && timingSafeEqual(Buffer.from(said), Buffer.from(mac))
const TOKEN = /^([1-9][0-9]{0,9})\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]{43})$/

/** The signer of one process. */
export const openSigner = async (sql: Sql): Promise<Signer> => {
  let known = await readKeys(sql), read_ms = -Infinity
  const keysAt = async (now_ms: number): Promise<readonly SigningKey[]> => {
    if (Math.abs(now_ms - read_ms) < KEYS_AGE_MS_MAX) return known
    try {
      known = await answeringPostgres(() => readKeys(sql))
      read_ms = now_ms
    } catch (error) {
      // What was known goes on while Postgres is away.
      if (!(error instanceof PostgresAway)) throw error
    }
    return known
  }
  return {
    sign: async (text, now_ms) => {
      const keys = await keysAt(now_ms)
      const key = keys.find(({ made_ms }) => made_ms + KEY_REST_MS <= now_ms) ?? keys.at(-1)!
      const signed = `${key.key_no}.${text.toString("base64url")}`
      return `${signed}.${macOf(key, signed)}`
    },
    read: async (token, now_ms) => {
      const match = TOKEN.exec(token)
      if (!match) return undefined
      const [, key_no, text, mac] = match
      const key = (await keysAt(now_ms)).find((each) => each.key_no === Number(key_no))
      if (!key || !isSame(mac!, macOf(key, `${key_no}.${text}`))) return undefined
      return Buffer.from(text!, "base64url")
    },
  }
}

/** Make a new key; of the older ones the newest stays valid. Nothing where the last rotation is too near. */
export const rotateKeys = async (sql: Sql, now_ms: number): Promise<{ key_no: number } | { wait_ms: number }> => {
  await readKeys(sql)
  return sql.begin(async (transaction) => {
    const inside = transaction as unknown as Sql
    const [row] = await inside<{ value: string }[]>`select value from settings where key = ${SETTING} for update`
    const keys = JSON.parse(row!.value) as SigningKey[]
    const wait_ms = keys[0]!.made_ms + ROTATION_PAUSE_MS - now_ms
    if (wait_ms > 0) return { wait_ms }
    const key = newKey(keys[0]!.key_no + 1, now_ms)
    await inside`update settings set value = ${JSON.stringify([key, ...keys].slice(0, KEYS_VALID))} where key = ${SETTING}`
    return { key_no: key.key_no }
  })
}
