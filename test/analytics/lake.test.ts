// The lake: bytes that follow from the rows alone, manifests that are whole or not there, and faults that are named.

import { describe, expect, test } from "bun:test"
import { readdirSync, readFileSync, truncateSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { openDuck } from "../../analytics/duck.ts"
import { type Lake, LakeFault, openLake } from "../../analytics/lake.ts"
import { scratchFolder } from "../support/scratch.ts"
import { putNumbers } from "./house.ts"

const write = async (lake: Lake, threads: number, select: string) => {
  const duck = await openDuck({ memory_mb: 256, threads, temp_dir: lake.temp() })
  try {
    return await lake.write(duck, { select, order: "id", folder: "f", name: "f", range: "id", sums: ["v"] })
  } finally {
    duck.close()
  }
}

test("a file's bytes follow from its rows: one thread, two or four", async () => {
  const lake = openLake(scratchFolder())
  const select = "select (i * 7919) % 400009 as id, i % 97 as v, 'user ' || (i % 1000) as u from range(400009) r(i)"
  const files = [await write(lake, 1, select), await write(lake, 2, select), await write(lake, 4, select)]
  expect(new Set(files.map(({ sha256 }) => sha256)).size).toBe(1)
  expect(files[0]).toMatchObject({ rows: 400009, range: ["0", "400008"], sums: { v: String(Array.from({ length: 400009 }, (_, i) => i % 97).reduce((a, b) => a + b)) } })
})

describe("a part", () => {
  test("a repeat overwrites itself, and what it no longer names is gone", async () => {
    const lake = openLake(scratchFolder())
    await putNumbers(lake, "2026-10", 100)
    const first = lake.part("numbers", "2026-10")!
    await putNumbers(lake, "2026-10", 100)
    expect(lake.part("numbers", "2026-10")).toEqual(first)
    await putNumbers(lake, "2026-10", 200)
    const second = lake.part("numbers", "2026-10")!
    expect(second.sha256).not.toBe(first.sha256)
    expect(readdirSync(join(lake.root, "numbers/2026-10")).length).toBe(2)
    expect(lake.parts("numbers")).toEqual([second])
    expect(lake.parts("nothing")).toEqual([])
  })
  test("a fault that is named: a file cut short, a file gone, a manifest that was changed", async () => {
    const lake = openLake(scratchFolder())
    await putNumbers(lake, "2026-10", 100)
    const manifest = join(lake.root, "numbers/2026-10/manifest.json"), whole = readFileSync(manifest, "utf8")
    const file = lake.place(lake.part("numbers", "2026-10")!.files[0]!)
    writeFileSync(manifest, whole.replace('"rows":100', '"rows":101'))
    expect(() => lake.part("numbers", "2026-10")).toThrow(LakeFault)
    writeFileSync(manifest, whole.slice(0, 50))
    expect(() => lake.part("numbers", "2026-10")).toThrow("is not JSON")
    writeFileSync(manifest, whole)
    truncateSync(file, 100)
    expect(() => lake.part("numbers", "2026-10")).toThrow("has 100 bytes")
  })
  test("no name leaves the lake", () => {
    const lake = openLake(scratchFolder())
    for (const name of ["../x", "/x", "a/../../x", "", ".x", "a\0b"]) expect(() => lake.part("numbers", name)).toThrow("is no name for a folder")
  })
})
