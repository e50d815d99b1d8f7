/**
 * What the command line may say. Pure; every mistake is named at once.
 */

export interface Options {
  readonly folder: string
  /** A stack that runs already, with its key; nothing: one of our own. */
  readonly url: string | undefined
  readonly key: string | undefined
  /** Where a stack that runs already keeps its data, so that its Redis and its Postgres can be asked too. */
  readonly dataDir: string | undefined
  readonly limit: number | undefined
  readonly twice: boolean
  readonly cells: number
  readonly concurrency: number
}

const CONCURRENCY = 32
const CONCURRENCY_MAX = 512

export const USAGE = `npm run replay -- <folder of completejourney> [options]

  --limit N          only the first N real redemptions, their households and their mailings
  --twice            play everything again after a restart: each act must be an Idempotency-Hit, and nothing may change
  --cells N          of the stack that is started (1)
  --concurrency N    calls at a time (${CONCURRENCY}); the acts of one household stay in their order
  --data-dir DIR     keep the data of the stack there (default: a temporary folder that is removed)
  --url URL --key K  a stack that runs already, with SCRIP_CLOCK=replay and SCRIP_TIME_ZONE=America/New_York;
                     --data-dir then names its data folder, for the proof from its Redis and its Postgres`

const VALUED = ["--url", "--key", "--data-dir", "--limit", "--cells", "--concurrency"] as const

export const readOptions = (words: readonly string[]): { options: Options } | { mistakes: string[] } => {
  const mistakes: string[] = []
  const values = new Map<string, string>()
  const folders: string[] = []
  let twice = false
  for (let i = 0; i < words.length; i++) {
    const [name, glued] = splitWord(words[i]!)
    if (name === "--twice") twice = true
    else if ((VALUED as readonly string[]).includes(name)) {
      const value = glued ?? words[++i]
      if (value === undefined) mistakes.push(`${name} needs a value.`)
      else values.set(name, value)
    } else if (name.startsWith("--")) mistakes.push(`${name} is not an option.`)
    else folders.push(words[i]!)
  }
  const whole = (name: string, max: number): number | undefined => {
    const value = values.get(name)
    if (value === undefined) return undefined
    if (/^\d{1,9}$/.test(value) && Number(value) >= 1 && Number(value) <= max) return Number(value)
    mistakes.push(`${name} is "${value}" and must be a whole number of 1 to ${max}.`)
    return undefined
  }
  const limit = whole("--limit", 1_000_000)
  const cells = whole("--cells", 16_384) ?? 1
  const concurrency = whole("--concurrency", CONCURRENCY_MAX) ?? CONCURRENCY
  const [url, key] = [values.get("--url"), values.get("--key")]
  if (folders.length !== 1) mistakes.push("Name one folder, that of the completejourney files.")
  if ((url === undefined) !== (key === undefined)) mistakes.push("--url and --key go together.")
  if (url !== undefined && !URL.canParse(url)) mistakes.push(`--url is "${url}" and must be an address.`)
  if (mistakes.length > 0) return { mistakes }
  return { options: { folder: folders[0]!, url: url?.replace(/\/$/, ""), key, dataDir: values.get("--data-dir"), limit, twice, cells, concurrency } }
}

const splitWord = (word: string): [name: string, value: string | undefined] => {
  const at = word.startsWith("--") ? word.indexOf("=") : -1
  return at === -1 ? [word, undefined] : [word.slice(0, at), word.slice(at + 1)]
}
