/** The keys that one user's checkout acts touch, all in his cell. */
import { cellOf, dueKey, hourOf, journalKey, openKey, quotaKey, settledKey, walletKey } from "../../lua/keys.ts"

/** The keys of a user's cell; `settled` is the hash of the hour in which something would be settled now. */
export const placesOf = (user: string, cells: number, now_ms: number) => {
  const cell = cellOf(user, cells)
  const hour = hourOf(now_ms)
  return {
    cell, hour: String(hour),
    keys: {
      quota: quotaKey(cell), journal: journalKey(cell), open: openKey(cell), due: dueKey(cell),
      wallet: walletKey(cell, user), settled: settledKey(cell, hour),
    },
  }
}

export type Places = ReturnType<typeof placesOf>
