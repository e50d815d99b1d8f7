/**
 * Choices that look random and are the same in every run: a number made of text.
 *
 * FNV-1a over the text's characters, then mixed, because FNV alone leaves the last characters almost bare in the low bits.
 */

/** A whole number below `below`, made of this text. */
export const chance = (text: string, below: number): number => {
  let hash = 0x811c9dc5
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193)
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35)
  return ((hash ^ (hash >>> 16)) >>> 0) % below
}
