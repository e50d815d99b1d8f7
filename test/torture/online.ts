/**
 * What must be true at every instant, looked at while everything breaks: of each quota in each cell, and of each bank, nothing below zero.
 *
 * What must stay true: what is compared was read by one command, so it was there at one instant. A cell that cannot be read, or is being
 * written anew, is passed over and looked at again a moment later.
 */
import { freeOf, leftOf, sideOf } from "../../engine/quota/post.ts"
import { ask, type Servers } from "../../engine/store/redis.ts"
import { quotaKey } from "../../lua/keys.ts"
import { unpack } from "../../lua/records.ts"

const LOOK_MS = 500
/** More faults than a person reads. */
const FAULTS_MAX = 20

export interface Watched { looked_at: number; readonly faults: string[] }

/** Look at every quota of a cell at one instant. Throws when it cannot be read now. */
export const lookAtCell = async (servers: Servers, cell: number, watched: Watched): Promise<void> => {
  const fields = Object.entries(await ask(servers, quotaKey(cell), (node) => node.hgetallBuffer(quotaKey(cell))))
  const own = fields.find(([field]) => field === "cell")?.[1]
  if (!own || unpack("cell", own).rebuilding === 1) return
  const broken = (fault: string) => { if (watched.faults.length < FAULTS_MAX) watched.faults.push(fault) }
  for (const [field, bytes] of fields) {
    if (/^[bk]\d+$/.test(field)) {
      const side = sideOf(field, bytes), parts = field[0] === "b" ? unpack("budget", bytes) : unpack("campaign", bytes)
      if (leftOf(side) < 0 || side.used < 0 || Object.values(parts).some((n) => n < 0)) broken(`I2: ${field} in cell ${cell}: ${JSON.stringify(parts)}`)
    } else if (/^v[bk]\d+$/.test(field)) {
      const bank = unpack("bank", bytes)
      if (freeOf(bank) < 0) broken(`I1: the bank of ${field.slice(1)} in cell ${cell} is lent out beyond its total: ${JSON.stringify(bank)}`)
    } else continue
    watched.looked_at += 1
  }
}

/** Look at every cell, again and again. */
export const watch = async (servers: Servers, cells: number, watched: Watched, isOver: () => boolean): Promise<void> => {
  while (!isOver()) {
    for (let cell = 0; cell < cells && !isOver(); cell++) await lookAtCell(servers, cell, watched).catch(() => undefined)
    await Bun.sleep(LOOK_MS)
  }
}
