/**
 * The language in which an atomic act is declared.
 *
 * A script is a pair of files: the declaration (`reserve.ts`) names every key, typed argument and
 * outcome; the body (`reserve.lua`) uses those names and nothing else. From the declaration come the
 * Lua locals, the runtime guards, the TypeScript call and reply types, and the page of docs. A reply is
 * the outcome word and then its fields in the order declared, always as strings, because Redis cuts
 * number replies to integers and arrays at the first nil. Where an entry was written its id stands last, undeclared.
 */

/**
 * What an argument may be: text as it is, a whole number of 0 to 2^53-1, a JSON list decoded in Lua, or a JSON list whose text the body
 * reads by patterns, for the one act that is called most.
 */
export type ArgType = "text" | "int" | "json" | "rows"

/** What a reply's field is turned into: a string, a number, or the raw bytes of a packed record. */
export type FieldType = "text" | "int" | "bytes"

type Args = Readonly<Record<string, ArgType>>
type Fields = Readonly<Record<string, FieldType>>
type Outcomes = Readonly<Record<string, Fields>>

/**
 * `take` spends something and is refused while the journal or Redis is full; `give` only gives back or
 * keeps house and runs even then (`allow-oom`); `read` writes nothing.
 */
export type Nature = "take" | "give" | "read"

export interface Script<N extends string = string, K extends readonly string[] = readonly string[], A extends Args = Args, O extends Outcomes = Outcomes> {
  readonly name: N
  readonly says: string
  readonly nature: Nature
  /** It writes no entry and yet tells what became of an act: where a yes waits for Postgres, so does its answer. */
  readonly tells?: true
  readonly keys: K
  readonly args: A
  readonly outcomes: O
}

/** Declare one atomic act. The order of `outcomes` is their precedence: the first that holds is the answer. */
export const script = <const N extends string, const K extends readonly string[], const A extends Args, const O extends Outcomes>(
  name: N,
  body: Omit<Script<N, K, A, O>, "name">,
): Script<N, K, A, O> => ({ name, ...body })

type ArgValue<T extends ArgType> = T extends "text" ? string : T extends "int" ? number : readonly unknown[]
type FieldValue<T extends FieldType> = T extends "text" ? string : T extends "int" ? number : Buffer

/** The keys a call must name. */
export type KeysOf<S extends Script> = Readonly<Record<S["keys"][number], string>>

/** The arguments a call must name, typed as declared. */
export type ArgsOf<S extends Script> = { readonly [P in keyof S["args"]]: ArgValue<S["args"][P]> }

/** The reply as a union on `outcome`. */
export type ReplyOf<S extends Script> = {
  [W in keyof S["outcomes"] & string]: { readonly outcome: W } & {
    readonly [F in keyof S["outcomes"][W]]: FieldValue<S["outcomes"][W][F]>
  }
}[keyof S["outcomes"] & string]
