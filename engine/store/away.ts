/**
 * Postgres may be away while checkouts go on: a use case that needs it says so instead of failing.
 */

/** Postgres could not answer; what needs it is a 503, nothing was decided. */
export class PostgresAway extends Error { override readonly name = "PostgresAway" }

const AWAY = /^(CONNECT_TIMEOUT|CONNECTION_|ECONN|ENOENT|EPIPE|57P0[123]|08|53300)/

const isAway = (error: unknown): boolean =>
  typeof error === "object" && error !== null && "code" in error && typeof error.code === "string" && AWAY.test(error.code)

/** Run statements; a lost or refused connection is thrown as PostgresAway, anything else as it is. */
export const answeringPostgres = async <T>(statements: () => Promise<T>): Promise<T> => {
  try { return await statements() } catch (error) {
    const cause = error instanceof Error && error.cause !== undefined ? error.cause : error
    throw isAway(error) || isAway(cause) ? new PostgresAway("Postgres is away", { cause: error }) : error
  }
}
