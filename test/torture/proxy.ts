/**
 * A TCP proxy on the loopback that loses what it is told to lose.
 *
 * What must stay true: a connection that has lost bytes is never healed, because what follows would be read as something else. It is
 * cut when the fault ends, as a network would have cut it.
 */
import { connect, createServer, type AddressInfo, type Socket } from "node:net"

/** What is lost: nothing; what the engine asks; what it is answered; or every connection, also new ones. */
export type Loss = "nothing" | "requests" | "replies" | "connections"

export interface Proxy {
  readonly port: number
  /** From now on this is lost. Ending a loss cuts the connections that have lost something. */
  lose(loss: Loss): void
  /** Cut every connection there is, once. */
  cut(): void
  close(): Promise<void>
}

interface Pair { readonly near: Socket; readonly far: Socket; hasLost: boolean }

/** Open a proxy before a server of the loopback. */
export const openProxy = async (port: number): Promise<Proxy> => {
  const pairs = new Set<Pair>()
  let loss: Loss = "nothing"
  const drop = (pair: Pair): void => {
    pairs.delete(pair)
    pair.near.destroy()
    pair.far.destroy()
  }
  /** Bytes go on as fast as the other side takes them. */
  const carry = (pair: Pair, from: Socket, to: Socket, lostAs: Loss): void => {
    from.on("data", (bytes) => {
      if (loss === lostAs) { pair.hasLost = true; return }
      if (!to.write(bytes)) from.pause()
    })
    to.on("drain", () => from.resume())
    for (const event of ["error", "close", "end"] as const) from.on(event, () => drop(pair))
  }
  const server = createServer((near) => {
    if (loss === "connections") { near.destroy(); return }
    const far = connect({ host: "127.0.0.1", port, noDelay: true })
    near.setNoDelay(true)
    const pair: Pair = { near, far, hasLost: false }
    pairs.add(pair)
    carry(pair, near, far, "requests")
    carry(pair, far, near, "replies")
  })
  await new Promise<void>((settle, fail) => { server.once("error", fail); server.listen({ port: 0, host: "127.0.0.1" }, settle) })
  const cut = () => { for (const pair of pairs) drop(pair) }
  return {
    port: (server.address() as AddressInfo).port,
    cut,
    lose: (next) => {
      loss = next
      if (next === "connections") cut()
      else for (const pair of pairs) if (pair.hasLost) drop(pair)
    },
    close: () => new Promise((settle) => { cut(); server.close(() => settle()) }),
  }
}
