// Whole minor units, exactly: products, roundings and shares that always sum.
//
// Why it exists: a double holds integers only up to 2^53, and two amounts multiplied leave that range at once.
// What must stay true: every function here is exact for amounts up to MONEY_MAX; parts of a share are never
// negative, never above their cap, and sum to the total unless the caps leave no room for it.

/** The largest amount that Scrip holds: every integer up to here has a double of its own. */
export const MONEY_MAX = Number.MAX_SAFE_INTEGER

/** Below this a product and its quotient times the divisor stay exact doubles; above it BigInt computes. */
const PRODUCT_MAX = 2 ** 52

/** How one amount that falls between two integers is rounded. */
export type Rounding = "half_up" | "half_even" | "half_down" | "down"

/** Who gets the units that a proportional share leaves over (pricing.md, axis `remainder`). */
export type Remainder = "largest" | "first" | "first_rounded" | "last"

/** a × b / c, exact, rounded as told. c is above 0, nothing is negative, and the result must fit in MONEY_MAX. */
export function mulDiv(a: number, b: number, c: number, rounding: Rounding): number {
  const product = a * b
  if (product > PRODUCT_MAX) return mulDivBig(a, b, c, rounding)
  let quotient = Math.floor(product / c)
  let rest = product - quotient * c
  // The division itself rounds, so the floor can be one too high or too low; the rest tells.
  if (rest < 0) {
    quotient -= 1
    rest += c
  } else if (rest >= c) {
    quotient += 1
    rest -= c
  }
  return quotient + (roundsUp(quotient, rest, c, rounding) ? 1 : 0)
}

/** a × b / c rounded half up, the rounding of the house. */
export const mulDivHalfUp = (a: number, b: number, c: number): number => mulDiv(a, b, c, "half_up")

function mulDivBig(a: number, b: number, c: number, rounding: Rounding): number {
  const product = BigInt(a) * BigInt(b)
  const divisor = BigInt(c)
  const quotient = Number(product / divisor)
  return quotient + (roundsUp(quotient, Number(product % divisor), c, rounding) ? 1 : 0)
}

// The rest is compared with what is missing to the next integer, so nothing is doubled past 2^53.
function roundsUp(quotient: number, rest: number, divisor: number, rounding: Rounding): boolean {
  const missing = divisor - rest
  if (rounding === "half_up") return rest >= missing
  if (rounding === "half_down") return rest > missing
  return rounding === "half_even" && (rest > missing || (rest === missing && quotient % 2 === 1))
}

/**
 * Shares total over the weights in proportion, in integers that sum to it.
 *
 * A zero weight gets nothing. With caps a part that would pass its cap stays at it and the rest is shared again over
 * the others until nothing moves; what finds no room is dropped. The weights' sum is at most MONEY_MAX.
 */
export function share(
  total: number,
  weights: readonly number[],
  caps?: readonly number[],
  remainder: Remainder = "largest",
): number[] {
  const parts = proportional(total, weights, remainder)
  if (!caps) return parts
  if (!isAboveAny(parts, caps)) return parts

  let left = total
  let current = parts
  const open = weights.slice()
  const settled = new Array<number>(weights.length).fill(0)
  // Each round settles at least one part, so there are at most as many rounds as parts.
  for (;;) {
    let moved = false
    for (let i = 0; i < open.length; i++) {
      if (open[i] === 0 || current[i]! <= caps[i]!) continue
      settled[i] = caps[i]!
      left -= caps[i]!
      open[i] = 0
      moved = true
    }
    if (!moved) return settled.map((part, i) => (open[i] === 0 ? part : current[i]!))
    current = proportional(left, open, remainder)
  }
}

function isAboveAny(parts: readonly number[], caps: readonly number[]): boolean {
  for (let i = 0; i < parts.length; i++) if (parts[i]! > caps[i]!) return true
  return false
}

function proportional(total: number, weights: readonly number[], remainder: Remainder): number[] {
  const count = weights.length
  const parts = new Array<number>(count).fill(0)
  let sum = 0
  let heaviest = 0
  for (const weight of weights) {
    sum += weight
    if (weight > heaviest) heaviest = weight
  }
  if (sum === 0 || total === 0) return parts
  if (remainder === "last") return lastTakesTheRest(total, weights, sum, parts)

  const rests = new Array<number>(count).fill(0)
  const exact = total * heaviest <= PRODUCT_MAX
  let left = total
  for (let i = 0; i < count; i++) {
    const weight = weights[i]!
    if (weight === 0) continue
    if (exact) {
      const product = total * weight
      let quotient = Math.floor(product / sum)
      let rest = product - quotient * sum
      if (rest < 0) {
        quotient -= 1
        rest += sum
      } else if (rest >= sum) {
        quotient += 1
        rest -= sum
      }
      parts[i] = quotient
      rests[i] = rest
    } else {
      const product = BigInt(total) * BigInt(weight)
      parts[i] = Number(product / BigInt(sum))
      rests[i] = Number(product % BigInt(sum))
    }
    left -= parts[i]!
  }

  if (remainder === "first_rounded") left -= roundHalfDown(parts, rests, sum)
  if (left === 0) return parts
  if (remainder === "largest") giveToLargest(parts, rests, left)
  else giveFromFirst(parts, weights, left)
  return parts
}

function roundHalfDown(parts: number[], rests: readonly number[], sum: number): number {
  let given = 0
  for (let i = 0; i < parts.length; i++) {
    if (!roundsUp(parts[i]!, rests[i]!, sum, "half_down")) continue
    parts[i]! += 1
    given += 1
  }
  return given
}

/** Up to so many leftovers are given one by one; more are given to all above the last of them. */
const ONE_BY_ONE = 3

/** One more for each of the largest fractions, ties to the earlier. A part without a fraction is never among them. */
function giveToLargest(parts: number[], rests: number[], left: number): void {
  if (left > ONE_BY_ONE) return giveAbove(parts, rests, left)
  for (; left > 0; left--) {
    let largest = 0
    for (let i = 1; i < rests.length; i++) if (rests[i]! > rests[largest]!) largest = i
    parts[largest]! += 1
    rests[largest] = -1
  }
}

/** The same at once: all fractions above the last one that is served, and of its equals the earlier. */
function giveAbove(parts: number[], rests: readonly number[], left: number): void {
  const last = nthLargest(rests.slice(), left)
  let equals = left
  for (let i = 0; i < rests.length; i++) if (rests[i]! > last) equals -= 1
  for (let i = 0; i < rests.length; i++) {
    if (rests[i]! > last) parts[i]! += 1
    else if (rests[i] === last && equals > 0) {
      parts[i]! += 1
      equals -= 1
    }
  }
}

/**
 * The n-th largest of some numbers, which it puts into another order: the half that it lies in is halved again. Of 200 numbers
 * that took 3 to 8 µs where sorting them took 20 (2026-11-22), and every coupon that is spread over lines asks for it.
 */
function nthLargest(values: number[], n: number): number {
  const wanted = n - 1
  let low = 0
  let high = values.length - 1
  // Each round leaves at least one number out.
  while (low < high) {
    const middle = values[(low + high) >> 1]!
    let i = low
    let j = high
    while (i <= j) {
      while (values[i]! > middle) i += 1
      while (values[j]! < middle) j -= 1
      if (i > j) break
      const swapped = values[i]!
      values[i] = values[j]!
      values[j] = swapped
      i += 1
      j -= 1
    }
    if (wanted <= j) high = j
    else if (wanted >= i) low = i
    else break
  }
  return values[wanted]!
}

/** One more (or one less, where rounding gave too much) from the first weighted part on; nothing falls below 0. */
function giveFromFirst(parts: number[], weights: readonly number[], left: number): void {
  const step = left > 0 ? 1 : -1
  for (let i = 0; i < parts.length && left !== 0; i++) {
    if (weights[i] === 0 || parts[i]! + step < 0) continue
    parts[i]! += step
    left -= step
  }
}

/** Each part is rounded half up, the last takes what is left; the roundings before it never give more than there is. */
function lastTakesTheRest(total: number, weights: readonly number[], sum: number, parts: number[]): number[] {
  let last = 0
  for (let i = 0; i < weights.length; i++) if (weights[i]! > 0) last = i
  let left = total
  for (let i = 0; i < last; i++) {
    parts[i] = Math.min(left, mulDivHalfUp(total, weights[i]!, sum))
    left -= parts[i]!
  }
  parts[last] = left
  return parts
}
