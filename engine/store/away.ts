/**
 * Postgres may be away while checkouts go on: a use case that needs it says so instead of failing.
 */

/** Postgres could not answer; what needs it is a 503, nothing was decided. */
export class PostgresAway extends Error { override readonly name = "PostgresAway" }

const AWAY = /^(CONNECT_TIMEOUT|CONNECTION_|ECONN|ENOENT|EPIPE|57P0[123]|08|53300)/

const isAway = (error: unknown): boolean =>
  typeof error === "object" && error !== null && "code" in error && typeof error.code === "string" && AWAY.test(error.code)

/** A caller waits so long for Postgres; what hangs longer counts as away. */
export const POSTGRES_WAIT_MS = 5_000

/** The result of some statements, or PostgresAway when they have not come within `wait_ms`; what comes later is nobody's. */
export const withinWait = async <T>(statements: Promise<T>, wait_ms: number): Promise<T> => {
  let timer: Timer | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new PostgresAway(`Postgres has not answered within ${wait_ms} ms`)), wait_ms)
  })
  try { return await Promise.race([statements, late]) } finally { clearTimeout(timer) }
}

/** Run statements; a lost, refused or silent connection is thrown as PostgresAway, anything else as it is. */
export const answeringPostgres = async <T>(statements: () => Promise<T>): Promise<T> => {
  try { return await withinWait(Promise.resolve(statements()), POSTGRES_WAIT_MS) } catch (error) {
    if (error instanceof PostgresAway) throw error
    const cause = error instanceof Error && error.cause !== undefined ? error.cause : error
    throw isAway(error) || isAway(cause) ? new PostgresAway("Postgres is away", { cause: error }) : error
  }
}
