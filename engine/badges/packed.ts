/**
 * Levels as they are packed: for Postgres in blocks of users, for Redis in small hashes.
 *
 * A level is three bytes: its badge's place in the generation's list, the level, and how many months ago it was reached. Users are told
 * apart by their hash (lua/keys.ts). Its first 32 bits are a place on a line: a block is an equal range of that line, a bucket of Redis an
 * equal range of a block, so that one block fills whole buckets, whatever the number of cells. The next 64 bits are the field in the bucket.
 *
 * What must stay true: blocks are sorted by hash, so that equal levels are equal bytes; a hash of Redis stays a listpack.
 */

export const HASH_BYTES = 16
const PLACE_BYTES = 4
const FIELD_BYTES = 8
const LEVEL_BYTES = 3
/** Badges of one installation: a place is one byte. */
export const BADGES_MAX = 255
/** An age of so many months or more is that many. */
export const AGE_MAX = 255
/** Users of one block, about: 8,192 of them with four levels are 240 kB. */
export const BLOCK_USERS = 8_192
/**
 * Users of one bucket, about. Redis keeps a hash of up to 128 pairs as a listpack, and users fall into buckets by chance: of buckets of 88
 * some 2 in 100,000 have more than 128.
 */
export const BUCKET_USERS = 88
const LINE = 2 ** 32

/** One level: the badge's place in the generation's list, the level, and the months since it was reached. */
export interface PackedLevel { readonly badge: number; readonly level: number; readonly age: number }

/** How many blocks so many users are. */
export const blocksFor = (users: number): number => Math.max(1, Math.ceil(users / BLOCK_USERS))
/** How many buckets each cell has: a whole number for each block, and rather one more than a bucket that is no listpack. */
export const bucketsFor = (users: number, blocks: number, cells: number): number => blocks * Math.max(1, Math.ceil(users / blocks / cells / BUCKET_USERS))

/** In which of `parts` equal ranges a hash lies. */
export const rangeOf = (hash: Buffer, parts: number): number => Math.floor(hash.readUInt32BE(0) * parts / LINE)
/** The user's field in his bucket. */
export const fieldOf = (hash: Buffer): Buffer => hash.subarray(PLACE_BYTES, PLACE_BYTES + FIELD_BYTES)

export const packLevels = (levels: readonly PackedLevel[]): Buffer => {
  const packed = Buffer.allocUnsafe(levels.length * LEVEL_BYTES)
  levels.forEach(({ badge, level, age }, i) => {
    packed[i * LEVEL_BYTES] = badge
    packed[i * LEVEL_BYTES + 1] = level
    packed[i * LEVEL_BYTES + 2] = Math.min(age, AGE_MAX)
  })
  return packed
}

export const unpackLevels = (packed: Buffer): PackedLevel[] =>
  Array.from({ length: Math.floor(packed.length / LEVEL_BYTES) }, (_, i) => ({ badge: packed[i * LEVEL_BYTES]!, level: packed[i * LEVEL_BYTES + 1]!, age: packed[i * LEVEL_BYTES + 2]! }))

export interface BlockEntry { readonly hash: Buffer; readonly levels: Buffer }

/** A block of entries that are sorted by their hash: hash, how many levels, the levels. */
export const packBlock = (entries: readonly BlockEntry[]): Buffer =>
  Buffer.concat(entries.flatMap(({ hash, levels }) => [hash, Buffer.of(levels.length / LEVEL_BYTES), levels]))

/** The entries of a block, without a copy. */
export const unpackBlock = (body: Buffer): BlockEntry[] => {
  const entries: BlockEntry[] = []
  for (let at = 0; at < body.length;) {
    const from = at + HASH_BYTES + 1
    const to = from + body[from - 1]! * LEVEL_BYTES
    if (to > body.length) throw new Error("a block of levels is cut off")
    entries.push({ hash: body.subarray(at, at + HASH_BYTES), levels: body.subarray(from, to) })
    at = to
  }
  return entries
}

/** A bucket's users as one HSET, as it goes over the wire. */
export interface BucketWrite { readonly key: string; readonly wire: Buffer }

const CRLF = 0x0d0a
const FIELD_HEAD = Buffer.from(`$${FIELD_BYTES}\r\n`)
/** The head of a value of so many levels. */
const LEVEL_HEADS = Array.from({ length: BADGES_MAX + 1 }, (_, levels) => Buffer.from(`$${levels * LEVEL_BYTES}\r\n`))

/**
 * A block's users by their cell and bucket, each bucket as the bytes of one HSET.
 *
 * Every entry is looked at twice and copied once: to the client of Redis a million users are four million arguments of some bytes, which took
 * it three times as long (12,800 users a second where this loads 46,000, both on a machine at load 10, 2026-11-22).
 */
export const bucketWrites = (body: Buffer, { buckets, cells }: { readonly buckets: number; readonly cells: number }, keyOf: (cell: number, bucket: number) => string): BucketWrite[] => {
  // A block is a range of the line, so its buckets are few and stand one after another, cell by cell.
  const places = new Map<number, { starts: number[]; bytes: number }>()
  for (let at = 0; at < body.length;) {
    const levels = body[at + HASH_BYTES]!
    const to = at + HASH_BYTES + 1 + levels * LEVEL_BYTES
    if (to > body.length || at + HASH_BYTES >= body.length) throw new Error("a block of levels is cut off")
    const first = body.readUInt32BE(at)
    const place = Math.floor(first * buckets / LINE) * cells + first % cells
    const bytes = FIELD_HEAD.length + FIELD_BYTES + 2 + LEVEL_HEADS[levels]!.length + levels * LEVEL_BYTES + 2
    const known = places.get(place)
    if (known) {
      known.starts.push(at)
      known.bytes += bytes
    } else places.set(place, { starts: [at], bytes })
    at = to
  }
  return [...places].map(([place, { starts, bytes }]) => {
    const key = keyOf(place % cells, Math.floor(place / cells))
    const head = `*${2 + starts.length * 2}\r\n$4\r\nHSET\r\n$${key.length}\r\n${key}\r\n`
    const wire = Buffer.allocUnsafe(head.length + bytes)
    let to = wire.write(head, "latin1")
    for (const start of starts) {
      const levels = body[start + HASH_BYTES]!, from = start + HASH_BYTES + 1
      wire.set(FIELD_HEAD, to)
      to += FIELD_HEAD.length
      body.copy(wire, to, start + PLACE_BYTES, start + PLACE_BYTES + FIELD_BYTES)
      to = wire.writeUInt16BE(CRLF, to + FIELD_BYTES)
      wire.set(LEVEL_HEADS[levels]!, to)
      to += LEVEL_HEADS[levels]!.length
      body.copy(wire, to, from, from + levels * LEVEL_BYTES)
      to = wire.writeUInt16BE(CRLF, to + levels * LEVEL_BYTES)
    }
    return { key, wire }
  })
}

/** The month that is so many months before another, both YYYY-MM. */
export const monthBefore = (month: string, months: number): string => {
  const at = Number(month.slice(0, 4)) * 12 + Number(month.slice(5)) - 1 - months
  return `${String(Math.floor(at / 12)).padStart(4, "0")}-${String(at % 12 + 1).padStart(2, "0")}`
}
