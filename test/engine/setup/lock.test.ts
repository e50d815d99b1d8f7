/** The lock file: complete for every platform, so that `npm ci` takes it on any machine and not only on the one that wrote it. */
import { expect, test } from "bun:test"
import lock from "../../../package-lock.json"
import own from "../../../package.json"

interface Locked {
  readonly version?: string
  readonly dependencies?: Readonly<Record<string, string>>
  readonly optionalDependencies?: Readonly<Record<string, string>>
  readonly hasInstallScript?: boolean
}
const packages: Readonly<Record<string, Locked>> = lock.packages

test("every package that another asks for is there, of whatever platform", () => {
  const missing = Object.entries(packages).flatMap(([place, { dependencies, optionalDependencies }]) =>
    Object.keys({ ...dependencies, ...optionalDependencies }).filter((name) => {
      // Looked for where Node would: in the package's own folder, then in each folder above it.
      for (let above = place; ; above = above.slice(0, Math.max(above.lastIndexOf("/node_modules/"), 0))) {
        if (packages[`${above}${above === "" ? "" : "/"}node_modules/${name}`]) return false
        if (above === "") return true
      }
    }).map((name) => `${place} -> ${name}`))
  expect(missing).toEqual([])
})
test("own libraries are pinned to one version, and it is the locked one", () => {
  for (const [name, version] of Object.entries({ ...own.dependencies, ...own.devDependencies, ...own.optionalDependencies })) {
    expect(packages[`node_modules/${name}`]?.version).toBe(version)
  }
})
test("every install script is allowed or refused by name", () => {
  const names = Object.entries(packages).filter(([, { hasInstallScript }]) => hasInstallScript).map(([place]) => place.slice(place.lastIndexOf("node_modules/") + "node_modules/".length))
  expect(names.filter((name) => !(name in own.allowScripts))).toEqual([])
})
