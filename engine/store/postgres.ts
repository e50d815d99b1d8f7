/**
 * The connection to Postgres, and the tables' migrations.
 *
 * What must stay true: a whole number comes back as a number or not at all (money never exceeds 2^53-1, and a value that
 * does is a fault, not a rounding); migrations run once however many processes start; code older than the tables does not serve;
 * a pool that is watched does not stay full of connections whose other end is gone without a word.
 */
import { existsSync, readFileSync } from "node:fs"
import { Socket } from "node:net"
import { join } from "node:path"
import { drizzle, type PostgresJsDatabase } from "drizzle-orm/postgres-js"
import { migrate as drizzleMigrate } from "drizzle-orm/postgres-js/migrator"
import postgres from "postgres"

const MIGRATIONS = join(import.meta.dir, "migrations")
/** The lock under which migrations run: any number that nobody else takes. */
const MIGRATION_LOCK = 7_370_197
const CONNECT_S_MAX = 5
/** A lost server is tried again after this long, doubled at each failure. */
const RECONNECT_S_MIN = 0.1
const RECONNECT_S_MAX = 2
const BIGINT_OID = 20
/**
 * A connection that owes an answer and says nothing for so long is ended: callers wait 5 s, and the system itself tells after a quarter of an hour that
 * the other end is gone. No statement of an engine takes as long; migrations do, whose connection is not watched.
 */
export const SILENT_MS_MAX = 60_000
/** A silence is looked for so many times within its limit. */
const LOOKS_PER_SILENCE = 4
/** How a server says that it owes nothing any more, but for the last byte of it. */
const READY_FOR_QUERY = Buffer.from([0x5a, 0, 0, 0, 5])

/** A whole number from the wire. */
const wholeNumber = (text: string): number => {
  const value = Number(text)
  if (!Number.isSafeInteger(value)) throw new RangeError(`${text} is beyond 2^53-1`)
  return value
}

const options = (connections_max: number) => ({
  max: connections_max,
  connect_timeout: CONNECT_S_MAX,
  backoff: (failures: number) => Math.min(RECONNECT_S_MIN * 2 ** failures, RECONNECT_S_MAX),
  onnotice: () => {},
  connection: { application_name: "scrip" },
  types: {
    bigint: { to: BIGINT_OID, from: [BIGINT_OID], serialize: (value: number | bigint) => String(value), parse: wholeNumber },
  },
})

export type Sql = ReturnType<typeof openSql>
export type Database = PostgresJsDatabase

const openSql = (url: string, connections_max: number) => postgres(url, options(connections_max))

/** A pool of connections: `sql` for statements written by hand, `database` for the same pool through drizzle. */
export interface Postgres {
  readonly sql: Sql
  readonly database: Database
  close(): Promise<void>
}

/** Who hears of a connection that was ended because it was silent, and after how long it is; `SILENT_MS_MAX` where that is not said. */
export interface Watch { readonly onSilent: (silent_ms: number) => void; readonly silent_ms?: number }

const isReady = (bytes: Buffer): boolean => bytes.length > READY_FOR_QUERY.length && bytes.subarray(-READY_FOR_QUERY.length - 1, -1).equals(READY_FOR_QUERY)

/**
 * Ends a connection that owes an answer and is silent. Of statements sent behind one another it may miss that the last was lost where the first was
 * answered: then the next one sent shows it.
 */
const watchSilence = (socket: Socket, { onSilent, silent_ms = SILENT_MS_MAX }: Watch): void => {
  let heard_at = performance.now(), answered_bytes = 0
  socket.on("data", (bytes: Buffer) => {
    heard_at = performance.now()
    if (isReady(bytes)) answered_bytes = socket.bytesWritten
  })
  const looking = setInterval(() => {
    const now = performance.now()
    if (socket.bytesWritten === answered_bytes) heard_at = now
    else if (now - heard_at > silent_ms) {
      onSilent(silent_ms)
      // Without a fault: postgres.js leaves a statement for good that it sends between a socket's fault and its close.
      socket.destroy()
    }
  }, silent_ms / LOOKS_PER_SILENCE)
  looking.unref()
  socket.on("close", () => clearInterval(looking))
}

/** What of a pool's options says where its server is; postgres.js takes the socket from them each time that it connects. */
interface Reach { readonly host: readonly string[]; readonly port: readonly number[]; readonly path: string | undefined; readonly ssl: unknown; socket?: () => Socket }

/**
 * Watch every connection of a pool. Only a socket that is ours can be watched, so two kinds of pool are not, and wait for the system's word: one
 * that is encrypted, whose bytes we do not see, and one of several servers, of which postgres.js chooses.
 */
const watchAll = (sql: Sql, watch: Watch): void => {
  const reach = sql.options as unknown as Reach
  if (reach.ssl || reach.host.length > 1) return
  reach.socket = () => {
    const socket = new Socket()
    watchSilence(socket, watch)
    return reach.path ? socket.connect(reach.path) : socket.connect(reach.port[0]!, reach.host[0]!)
  }
}

/**
 * Open a pool, and watch its connections where somebody wants to hear of them. Nothing is sent until the first statement. Drizzle takes over times
 * and JSON on the pool it is given, so in `sql` too a timestamp comes back as text, and a JSON parameter is passed as text.
 */
export const openPostgres = (url: string, connections_max: number, watch?: Watch): Postgres => {
  const sql = openSql(url, connections_max)
  if (watch) watchAll(sql, watch)
  return { sql, database: drizzle(sql), close: () => sql.end({ timeout: CONNECT_S_MAX }) }
}

const READY_POLL_MS = 100

/** Wait until a server answers, at most `wait_ms`: one that is starting says so and means it. Throws its last fault. */
export const postgresReady = async ({ sql }: Postgres, wait_ms: number): Promise<void> => {
  const until = performance.now() + wait_ms
  for (;;) {
    try {
      await sql`select 1`
      return
    } catch (fault) {
      if (performance.now() >= until) throw fault
      await Bun.sleep(READY_POLL_MS)
    }
  }
}

/** The tables are newer than this code: it must not write them. */
export class SchemaNewer extends Error {
  override readonly name = "SchemaNewer"
}

/** When each migration of this code was made: drizzle's mark of the last one it ran. */
const madeHere = (folder: string): number[] => {
  const journal = JSON.parse(readFileSync(join(folder, "meta", "_journal.json"), "utf8")) as { entries: { when: number }[] }
  return journal.entries.map(({ when }) => when)
}

/** Bring the tables of a database up to this code, or refuse when they are ahead of it. */
export const migrate = async (url: string, folder: string = MIGRATIONS): Promise<void> => {
  if (!existsSync(join(folder, "meta", "_journal.json"))) return
  const { sql, database, close } = openPostgres(url, 1)
  try {
    // One connection, so the lock and the migrations are one session; it is given back when the session ends.
    await sql`select pg_advisory_lock(${MIGRATION_LOCK})`
    await drizzleMigrate(database, { migrationsFolder: folder })
    const [ran] = await sql<{ last: number | null }[]>`select max(created_at) as last from drizzle.__drizzle_migrations`
    const known = Math.max(0, ...madeHere(folder))
    if ((ran?.last ?? 0) > known) {
      throw new SchemaNewer("The tables were made by a newer Scrip. Start that one, or restore a copy from before it.")
    }
  } finally {
    await close()
  }
}
