/**
 * Build pricing for browsers: one file of JavaScript that needs nothing of Bun or Node.
 *
 *   npm run build:pricing     writes dist/pricing.js and prints its size
 *
 * What must stay true: the bundle is of build/package.ts alone, and an import of a host's module fails the build.
 */
import { gzipSync } from "node:zlib"
import { join } from "node:path"

const ENTRY = join(import.meta.dir, "package.ts")
const DIST = join(import.meta.dir, "..", "dist")

export interface Bundle { readonly text: string; readonly bytes: number; readonly zipped: number }

/** Bundle it; written to a folder where one is named. */
export const buildPricing = async (folder?: string): Promise<Bundle> => {
  const { outputs } = await Bun.build({ entrypoints: [ENTRY], target: "browser", format: "esm", minify: true, naming: "pricing.js", ...(folder !== undefined && { outdir: folder }) })
  const text = await outputs[0]!.text()
  const host = /\b(?:from|import)\s*\(?\s*["'](?:node:|bun\b|fs|path|crypto)[^"']*["']|\brequire\(|\bBun\.|\bprocess\.(?!env)/.exec(text)
  if (host) throw new Error(`the bundle needs its host: ${host[0]}`)
  const bytes = Buffer.byteLength(text)
  return { text, bytes, zipped: gzipSync(text).byteLength }
}

if (import.meta.main) {
  const { bytes, zipped } = await buildPricing(DIST)
  console.log(`dist/pricing.js: ${(bytes / 1_000).toFixed(1)} kB, ${(zipped / 1_000).toFixed(1)} kB gzipped`)
}
