/** Folders for the files of one run, which others may walk through and which are gone at its end. */
import { chmodSync, mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"

const folders: string[] = []

/** A new folder for one test's files, removed at the end of the run; others may walk through it, as Postgres must when we are root. */
export const scratchFolder = (): string => {
  const folder = mkdtempSync(join(tmpdir(), "scrip-test-"))
  chmodSync(folder, 0o711)
  folders.push(folder)
  return folder
}

/** Remove every folder that was given out. */
export const removeScratch = (): void => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true })
}
