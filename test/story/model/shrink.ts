/**
 * Shrink a failing list of commands: leave out ever smaller pieces of it while it still fails.
 *
 * Commands name things by number and mean something in every world, so any of them may go. fast-check shrinks an array from its
 * ends and each element by itself, which took minutes where this takes seconds.
 */

/** The shortest list found that still fails, within so many tries. `fails` plays a list in a world of its own. */
export const shrink = async <T>(failing: readonly T[], fails: (list: readonly T[]) => Promise<boolean>, tries_max: number): Promise<readonly T[]> => {
  let list = failing
  let tries = 0
  for (let piece = Math.ceil(list.length / 2); piece >= 1; piece = piece === 1 ? 0 : Math.ceil(piece / 2)) {
    for (let at = list.length - piece; at > -piece; at -= piece) {
      if (tries++ >= tries_max) return list
      const shorter = list.toSpliced(Math.max(at, 0), piece + Math.min(at, 0))
      if (shorter.length < list.length && await fails(shorter)) list = shorter
    }
  }
  return list
}
