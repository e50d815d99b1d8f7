/** Which business lines a key may touch. */
import type { Caller } from "../answers.ts"

/** The word in a key's lines that stands for every line. */
export const EVERY_LINE = "*"

export const mayTouch = ({ lines }: Pick<Caller, "lines">, line: string): boolean => lines.includes(EVERY_LINE) || lines.includes(line)
