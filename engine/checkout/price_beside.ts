/**
 * Prices an order beside all else that this process does: what takes long is done in slices, and between two of them others are served.
 *
 * Nearly every order is priced in its first slice, where it stands. A search that is not done by then waits at a desk, which gives one slice in each
 * turn of the event loop to whoever has waited longest for the next. What must stay true: however many searches are under way and however hard they
 * are, they hold a turn for one slice and the stretch to the next rest (3 ms of 20 coupons on 200 lines, 20 at most of 100 on 500, 2026-11-23), and
 * what comes out is what pricing in one go says.
 */
import { priceWithRests, type HeldCoupon, type Order, type Quote, type Wish } from "../pricing/price.ts"
import type { Setting } from "../pricing/types.ts"
import { NotExecuted } from "../store/redis.ts"

/** Pricing holds a turn of the event loop for so long; of the bench's 1,000 quotes of 20 coupons on 50 lines 980 need no second slice. */
export const SLICE_MS = 5
/** So many searches wait for their next slice; one more is refused, since it would be answered in seconds. */
export const WAITING_MAX = 256

type Pricing = ReturnType<typeof priceWithRests>
type Waiting = { readonly pricing: Pricing; readonly settle: (quote: Quote) => void; readonly fail: (fault: unknown) => void }

/** One slice; undefined where there is more to do. */
const sliceOf = (pricing: Pricing): Quote | undefined => {
  const until = performance.now() + SLICE_MS
  do {
    const { done, value } = pricing.next()
    if (done) return value
  } while (performance.now() < until)
  return undefined
}

/** A desk is of one event loop, so each process has its own. */
export const makeDesk = (waiting_max = WAITING_MAX) => {
  const line: Waiting[] = []
  const serve = (): void => {
    const first = line.shift()!
    try {
      const quote = sliceOf(first.pricing)
      if (quote) first.settle(quote)
      else line.push(first)
    } catch (fault) {
      first.fail(fault)
    }
    if (line.length > 0) setImmediate(serve)
  }
  return {
    waiting: (): number => line.length,
    /** The same quote as `price` of the same arguments. */
    price: async (order: Order, coupons: readonly HeldCoupon[], wish: Wish, setting: Setting): Promise<Quote> => {
      const pricing = priceWithRests(order, coupons, wish, setting)
      const quote = sliceOf(pricing)
      if (quote) return quote
      if (line.length >= waiting_max) throw new NotExecuted("too many searches of the best set are under way")
      return new Promise((settle, fail) => {
        line.push({ pricing, settle, fail })
        if (line.length === 1) setImmediate(serve)
      })
    },
  }
}

export const { price: priceBeside } = makeDesk()
