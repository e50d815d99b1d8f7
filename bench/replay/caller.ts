/**
 * How the replay calls: JSON over HTTP with a key and the data's time, and a second attempt where the contract says `retry`.
 *
 * What must stay true: an attempt that failed unseen is repeated under the same ids, so the plan is played once whatever the line
 * does; what is not a yes after that is handed back and not thrown.
 */

const ATTEMPTS_MAX = 20
const PAUSE_MS = 100
const PAUSE_MS_MAX = 1_000

export interface Answer {
  readonly status: number
  readonly hit: boolean
  readonly body: Record<string, unknown>
}

export interface Call {
  readonly method: "GET" | "PUT" | "POST"
  readonly path: string
  readonly now_ms: number
  readonly body?: object
}

export interface Caller {
  (call: Call): Promise<Answer>
  /** Lines in, lines out, in the same order. */
  readonly bulk: (path: string, now_ms: number, lines: readonly object[]) => Promise<Answer[]>
}

/** A caller of one stack. `repeats` counts the attempts that had to be made again, by what was answered. */
export const callerOf = (url: string, key: string, repeats: Map<string, number>): Caller => {
  const headersAt = (now_ms: number): Record<string, string> => ({ authorization: `Bearer ${key}`, "scrip-now": new Date(now_ms).toISOString() })
  const pause = async (attempt: number, why: unknown) => {
    const code = typeof why === "string" ? why : "no answer"
    repeats.set(code, (repeats.get(code) ?? 0) + 1)
    await Bun.sleep(Math.min(PAUSE_MS * attempt, PAUSE_MS_MAX))
  }

  const once = async ({ method, path, now_ms, body }: Call): Promise<Answer> => {
    const response = await fetch(url + path, {
      method, headers: { ...headersAt(now_ms), ...(body ? { "content-type": "application/json" } : {}) }, ...(body ? { body: JSON.stringify(body) } : {}),
    })
    return { status: response.status, hit: response.headers.get("idempotency-hit") === "true", body: JSON.parse(await response.text()) as Record<string, unknown> }
  }

  const call = async (asked: Call): Promise<Answer> => {
    for (let attempt = 1; ; attempt++) {
      let why: unknown
      try {
        const answer = await once(asked)
        if (answer.status !== 503 || answer.body["retry"] !== true || attempt === ATTEMPTS_MAX) return answer
        why = answer.body["code"]
      } catch (fault) {
        // The line broke: whether the act happened is what the repeat will tell.
        if (attempt === ATTEMPTS_MAX) throw fault
      }
      await pause(attempt, why)
    }
  }

  const bulk = async (path: string, now_ms: number, lines: readonly object[]): Promise<Answer[]> => {
    for (let attempt = 1; ; attempt++) {
      const response = await fetch(url + path, {
        method: "POST", headers: { ...headersAt(now_ms), "content-type": "application/x-ndjson" }, body: lines.map((line) => JSON.stringify(line)).join("\n"),
      })
      const text = await response.text()
      const said = text.split("\n").filter((line) => line !== "").map((line) => JSON.parse(line) as Record<string, unknown>)
      const isWhole = response.status === 200 && said.length === lines.length && said.every(({ status }) => status !== 503)
      if (!isWhole && attempt < ATTEMPTS_MAX) {
        await pause(attempt, (said.find(({ status }) => status === 503) ?? said[0])?.["code"])
        continue
      }
      if (response.status !== 200) return lines.map(() => ({ status: response.status, hit: false, body: said[0] ?? {} }))
      return lines.map((_, i) => ({ status: Number(said[i]?.["status"] ?? 0), hit: said[i]?.["idempotency_hit"] === true, body: said[i] ?? {} }))
    }
  }
  return Object.assign(call, { bulk })
}
