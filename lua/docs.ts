/**
 * The page of the atomic acts, README.md beside this file, made from their declarations.
 *
 * What must stay true: the page says nothing that a declaration does not, so it cannot grow old; a test compares the two.
 * `npm run docs:lua` writes it anew.
 */
import type { ArgType, FieldType, Nature, Script } from "./declare.ts"
import { SCRIPTS } from "./index.ts"
import { RECORDS } from "./records.ts"

const NATURES: Readonly<Record<Nature, string>> = {
  take: "takes: refused while the journal or Redis is full",
  give: "gives: runs even then",
  read: "reads: writes nothing",
}
const ARGUMENTS: Readonly<Record<ArgType, string>> = {
  text: "text as it is",
  int: "a whole number of 0 to 2^53-1, in digits",
  json: "a JSON list",
  rows: "a JSON list, read by patterns",
}
const FIELDS: Readonly<Record<FieldType, string>> = {
  text: "text",
  int: "a whole number, in digits",
  bytes: "packed records",
}

const code = (word: string): string => `\`${word}\``
const listed = (types: Readonly<Record<string, string>>): string =>
  Object.entries(types).map(([type, says]) => `${code(type)} (${says})`).join(", ")
const named = (types: Readonly<Record<string, string>>): string =>
  Object.entries(types).map(([name, type]) => `${code(name)} ${type}`).join(", ") || "none"

const actPage = ({ name, says, nature, keys, args, outcomes }: Script): string => `## ${name}

${says} It ${NATURES[nature].split(":")[0]}. [Declaration](${name}.ts), [body](${name}.lua).

- keys: ${keys.map(code).join(", ")}
- arguments: ${named(args)}

| outcome | with |
|---|---|
${Object.entries(outcomes).map(([word, fields]) => `| ${code(word)} | ${Object.keys(fields).length === 0 ? "" : named(fields)} |`).join("\n")}
`

const recordRow = ([name, { always, optional }]: [string, { always: readonly string[]; optional: readonly string[] }]): string =>
  `| ${code(name)} | ${always.map(code).join(", ")} | ${optional.map(code).join(", ")} |`

/** The page, as text. Pure: the same declarations give the same page. */
export const docs = (scripts: readonly Script[] = SCRIPTS): string => `# The atomic acts

<!-- Made from the declarations by \`npm run docs:lua\`. Edit those. -->

What Redis does for Scrip, each in one function of one library. An act is a pair of files: the declaration names every key, typed argument
and outcome; the body checks in order of precedence, then writes. The outcomes below stand in that order: the first that holds is the answer.
A refusal writes nothing, but for two that their bodies name (the first \`held_out\` of a user, a deadline whose hold is gone).

The library's name and its functions' names carry the hash of their source, so an old and a new engine run side by side.
[prelude](prelude) is what the bodies share, [keys.ts](keys.ts) says how keys and ids are made, [records.ts](records.ts) how records
are packed.

An act ${Object.values(NATURES).join("; or ")}.
An argument is ${listed(ARGUMENTS)}.
A reply is the outcome and then its fields, all as strings: ${listed(FIELDS)}.

| act | |
|---|---|
${scripts.map(({ name, says }) => `| [${name}](#${name}) | ${says} |`).join("\n")}

${scripts.map(actPage).join("\n")}
## Records

| record | places | and, where they are not empty |
|---|---|---|
${Object.entries(RECORDS).map(recordRow).join("\n")}
`

if (import.meta.main) await Bun.write(new URL("README.md", import.meta.url), docs())
