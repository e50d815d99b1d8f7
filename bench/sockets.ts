/**
 * Sockets of the kernel, without a runtime between: what a driver that shares the processors with its server can have for the least.
 *
 * What must stay true: nothing here waits. A connection opens by itself, and what is sent on it before that leaves when it has. Linux alone, as all of the bench.
 */
import { dlopen, FFIType, ptr } from "bun:ffi"

const { i32, u32, u64, ptr: pointer } = FFIType
/** Linux' own numbers. */
const AF_INET = 2, SOCK_STREAM = 1, SOCK_NONBLOCK = 0o4000, SOCK_CLOEXEC = 0o2000000, IPPROTO_TCP = 6, TCP_NODELAY = 1, MSG_NOSIGNAL = 0x4000
const EPOLL_CTL_ADD = 1, EPOLL_CTL_MOD = 3, EPOLLIN = 1, EPOLLOUT = 4
/** An event is packed on x64 alone: what happened, then eight bytes of ours. */
const EVENT_BYTES = process.arch === "x64" ? 12 : 16, OURS_AT = EVENT_BYTES - 8
/** Events that are heard of at a time, and bytes that are read at a time. */
const EVENTS_MAX = 4_096, READ_BYTES_MAX = 65_536

/** Sockets to one address of this machine. */
export const makeSockets = ({ hostname, port }: Pick<URL, "hostname" | "port">) => {
  const { symbols: libc, close: forget } = dlopen("libc.so.6", {
    socket: { args: [i32, i32, i32], returns: i32 }, connect: { args: [i32, pointer, u32], returns: i32 }, setsockopt: { args: [i32, i32, i32, pointer, u32], returns: i32 },
    send: { args: [i32, pointer, u64, i32], returns: i32 }, recv: { args: [i32, pointer, u64, i32], returns: i32 }, close: { args: [i32], returns: i32 },
    epoll_create1: { args: [i32], returns: i32 }, epoll_ctl: { args: [i32, i32, i32, pointer], returns: i32 }, epoll_wait: { args: [i32, pointer, i32, i32], returns: i32 },
  })
  const address = Buffer.alloc(16), one = Buffer.alloc(4), asked = Buffer.alloc(EVENT_BYTES), events = new Uint8Array(EVENTS_MAX * EVENT_BYTES), read = Buffer.alloc(READ_BYTES_MAX)
  const event = new DataView(events.buffer), events_at = ptr(events), read_at = ptr(read)
  address.writeUInt16LE(AF_INET, 0)
  address.writeUInt16BE(Number(port), 2)
  address.set((hostname === "localhost" ? "127.0.0.1" : hostname).split(".").map(Number), 4)
  one.writeInt32LE(1, 0)
  const epoll = libc.epoll_create1(SOCK_CLOEXEC)
  const all = new Set<number>()
  /** What is to be sent as soon as its connection is open. */
  const early = new Map<number, Buffer>()

  const watch = (how: number, socket: number, for_what: number): void => {
    asked.writeUInt32LE(for_what, 0)
    asked.writeInt32LE(socket, OURS_AT)
    libc.epoll_ctl(epoll, how, socket, ptr(asked))
  }
  const sendNow = (socket: number, bytes: Buffer): void => {
    // One request of some hundred bytes at a time always finds room; on a broken connection the next event says so.
    libc.send(socket, ptr(bytes), bytes.length, MSG_NOSIGNAL)
  }
  const receive = (socket: number): string | undefined => {
    const bytes = libc.recv(socket, read_at, READ_BYTES_MAX, 0)
    return bytes > 0 ? read.toString("latin1", 0, bytes) : undefined
  }
  return {
    /** Begin to open a connection. */
    open: (): number => {
      const socket = libc.socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)
      if (socket < 0) throw new Error(`no more than ${all.size} sockets: raise ulimit -n`)
      libc.setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, ptr(one), one.length)
      libc.connect(socket, ptr(address), address.length)
      all.add(socket)
      early.set(socket, Buffer.alloc(0))
      watch(EPOLL_CTL_ADD, socket, EPOLLIN | EPOLLOUT)
      return socket
    },
    /** How many are not open yet. */
    opening: (): number => early.size,
    send: (socket: number, bytes: Buffer): void => {
      if (early.has(socket)) early.set(socket, bytes)
      else sendNow(socket, bytes)
    },
    /** Hear what has come since the last time; no text where a connection is closed or broken. */
    ready: (hear: (socket: number, text: string | undefined) => void): void => {
      const count = libc.epoll_wait(epoll, events_at, EVENTS_MAX, 0)
      for (let at = 0; at < count * EVENT_BYTES; at += EVENT_BYTES) {
        const socket = event.getInt32(at + OURS_AT, true), bytes = early.get(socket)
        if (bytes && (event.getUint32(at, true) & ~EPOLLOUT) === 0) {
          early.delete(socket)
          watch(EPOLL_CTL_MOD, socket, EPOLLIN)
          if (bytes.length > 0) sendNow(socket, bytes)
        } else hear(socket, receive(socket))
      }
    },
    close: (socket: number): void => {
      early.delete(socket)
      all.delete(socket)
      libc.close(socket)
    },
    end: (): void => {
      for (const socket of all) libc.close(socket)
      libc.close(epoll)
      forget()
    },
  }
}
