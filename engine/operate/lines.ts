/** Which business lines a key may touch. */
import type { Caller } from "../answers.ts"
import { EVERY_LINE } from "../contract/keys.ts"

export const mayTouch = ({ lines }: Pick<Caller, "lines">, line: string): boolean => lines.includes(EVERY_LINE) || lines.includes(line)
