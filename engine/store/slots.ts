/**
 * The slot of a key, as Redis Cluster counts it: CRC16 (XMODEM) of the hash tag, mod 16384. Every key of ours has a tag.
 */

export const SLOTS = 16_384
const POLYNOMIAL = 0x1021
/** Tags that are remembered: one a cell, and a few more. All are forgotten when there are more. */
const TAGS_MAX = 65_536

const TABLE = Uint16Array.from({ length: 256 }, (_, byte) => {
  let crc = byte << 8
  for (let bit = 0; bit < 8; bit += 1) crc = crc & 0x8000 ? (crc << 1) ^ POLYNOMIAL : crc << 1
  return crc & 0xffff
})

const crc16 = (bytes: Uint8Array): number => {
  let crc = 0
  for (const byte of bytes) crc = ((crc << 8) ^ TABLE[((crc >> 8) ^ byte) & 0xff]!) & 0xffff
  return crc
}

/** The part of a key that decides its slot: between the first `{` and the next `}`, where something stands there. */
const tagOf = (key: string): string => {
  const from = key.indexOf("{")
  const to = from < 0 ? -1 : key.indexOf("}", from + 1)
  return to > from + 1 ? key.slice(from + 1, to) : key
}

const known = new Map<string, number>()

/** The slot of a key. */
export const slotOf = (key: string): number => {
  const tag = tagOf(key)
  let slot = known.get(tag)
  if (slot === undefined) {
    if (known.size >= TAGS_MAX) known.clear()
    known.set(tag, slot = crc16(Buffer.from(tag)) % SLOTS)
  }
  return slot
}
