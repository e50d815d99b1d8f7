/**
 * The pages of pricing, made from what the code says of itself: kinds from their schemas, profiles from the policy, the
 * worked examples from their table.
 *
 *   npm run docs:pricing     writes docs/kinds/*.md and docs/pricing/*.md anew
 *
 * What must stay true: a page says no number that a test does not hold; a test compares the pages with what this makes.
 */
import { mkdirSync, writeFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { draftCoupon } from "../engine/pricing/drafts.ts"
import { KINDS } from "../engine/pricing/kinds/index.ts"
import { policyOf, PROFILES, type Policy } from "../engine/pricing/policy.ts"
import { price } from "../engine/pricing/price.ts"
import { REASONS, RULE_NAMES } from "../engine/pricing/types.ts"
import { differences, ELSEWHERE, EXAMPLES, needsNoBudget, SOURCES, type Example } from "../test/pricing/examples.ts"
import { NOON } from "../test/pricing/shop.ts"
import { KIND_WORDS } from "./kinds.ts"
import { PRICING_WORDS } from "./pricing.ts"

/** The part of a JSON schema that a page speaks of. */
export interface Schema {
  readonly type?: string
  readonly enum?: readonly unknown[]
  readonly minimum?: number
  readonly maximum?: number
  readonly maxItems?: number
  readonly maxLength?: number
  readonly properties?: Readonly<Record<string, Schema>>
  readonly required?: readonly string[]
  readonly items?: Schema
}

/** Every term of a kind by its path, with its schema and whether it must be there. Lists of names are told once, not by name. */
export const termsOf = (schema: Schema, root = ""): { path: string; schema: Schema; needed: boolean }[] =>
  Object.entries(schema.properties ?? {}).flatMap(([name, inner]) => {
    const path = root + name
    const parts = name === "applies_to" ? [] : termsOf(inner.items ?? inner, `${path}.`)
    return [{ path, schema: inner, needed: schema.required?.includes(name) === true }, ...parts]
  })

const typeWords = (schema: Schema): string => {
  if (schema.enum) return schema.enum.map((word) => `\`${String(word)}\``).join(", ")
  if (schema.type === "integer") {
    const most = schema.maximum === undefined || schema.maximum === Number.MAX_SAFE_INTEGER ? "2^53-1" : String(schema.maximum)
    return `integer, ${schema.minimum ?? 0} to ${most}`
  }
  if (schema.type === "array") return `list of 1 to ${schema.maxItems}`
  if (schema.type === "string") return `text, at most ${schema.maxLength} characters`
  if (schema.type === "boolean") return "true or false"
  return "object"
}

const json = (value: unknown): string => `\`\`\`json\n${JSON.stringify(value)}\n\`\`\``
const table = (titles: readonly string[], rows: readonly (readonly string[])[]): string =>
  [titles, titles.map(() => "---"), ...rows].map((cells) => `| ${cells.join(" | ")} |`).join("\n")
const MADE = "<!-- Made by docs/write.ts: npm run docs:pricing writes it anew. -->"

const kindPage = (name: string): string => {
  const { promise, terms, example, edges } = KIND_WORDS[name]!
  const kind = KINDS.find((one) => one.name === name)!
  const rows = termsOf(kind.terms as unknown as Schema).map(({ path, schema, needed }) => [`\`${path}\``, typeWords(schema), needed ? "yes" : "", terms[path] ?? ""])
  const { discount_minor, total_minor, benefit_minor, lines } = example
  return `# ${name}

${MADE}

${promise}

## Terms

${table(["term", "type and limits", "needed", "meaning"], rows)}

\`applies_to\` is \`{skus, categories, merchants, brands, not_skus, not_categories, not_merchants, not_brands}\`; see [conditions](../pricing/conditions.md).

## Example

${example.says}:

${json({ ...example.campaign, order: example.order })}

\`discount_minor\` ${discount_minor}, by line ${lines.join(", ")}${benefit_minor === undefined ? "" : `; \`benefit_minor\` ${benefit_minor}`}; \`total_minor\` ${total_minor}.

## At the edges

${edges.map((edge) => `- ${edge}`).join("\n")}
`
}

const AXES = Object.keys(PROFILES.scrip) as (keyof Policy)[]

const policyPage = (): string => {
  const rows = Object.keys(PROFILES).map((name) => {
    const policy = policyOf(name as keyof typeof PROFILES, undefined)
    return [`\`${name}\``, ...AXES.map((axis) => policy[axis] === PROFILES.scrip[axis] && name !== "scrip" ? "" : policy[axis])]
  })
  return `# Money policy

${MADE}

${PRICING_WORDS.policy}

## Profiles

An empty cell is what \`scrip\` has.

${table(["profile", ...AXES.map((axis) => `\`${axis}\``)], rows)}
`
}

const conditionsPage = (): string => `# Conditions

${MADE}

${PRICING_WORDS.conditions}

## Reasons

\`terms_not_met\` carries the first that holds, in this order: ${REASONS.map((reason) => `\`${reason}\``).join(", ")}.
`

const stackingPage = (): string => `# Stacking

${MADE}

${PRICING_WORDS.stacking}

The rules are looked at in this order, and \`not_stackable\` names the first in the way with \`other_coupon_id\`: ${RULE_NAMES.map((rule) => `\`${rule}\``).join(", ")}.
`

/** What a row comes to, run as it is written. */
export const verdictOf = (example: Example): string => {
  const { order, drafts, wish, profile, funds } = example
  const answered = price(order, drafts.map(draftCoupon), wish ?? "named", { now_ms: NOON, profile, funds: funds && new Map(Object.entries(funds)) })
  return differences(example, answered).length === 0 ? "holds" : "does not hold"
}

const outcomeOf = ({ expect: { lines, each, discount, shipping, total, benefit, applied, rejected } }: Example): string =>
  [
    lines && `lines ${lines.join(", ")}`, each && `each ${each.map((one) => `[${one.join(", ")}]`).join(" ")}`, discount !== undefined && `off ${discount}`,
    shipping !== undefined && `shipping off ${shipping}`, total !== undefined && `total ${total}`, benefit !== undefined && `benefit ${benefit}`,
    applied && `applied ${applied.join(", ")}`, rejected && `refused ${Object.entries(rejected).map(([id, word]) => `${id} (${word})`).join(", ")}`,
  ].filter(Boolean).join("; ")

const profileName = ({ profile }: Example): string => profile === undefined ? "scrip" : typeof profile === "string" ? profile : Object.entries(profile).map(([axis, value]) => `${axis} ${value}`).join(", ")

const examplesPage = (): string => {
  const verdicts = EXAMPLES.map(verdictOf)
  const holding = verdicts.filter((verdict) => verdict === "holds").length
  return `# Worked examples

${MADE}

What other systems document or test with exact numbers, each under the policy of the system it comes from, in minor units.
${holding} of ${EXAMPLES.length} rows hold. All of them are also asked over HTTP as drafts, and ${EXAMPLES.filter(needsNoBudget).length} of the browser's bundle (the others need budgets of
their own). The table is [test/pricing/examples.ts](../../test/pricing/examples.ts).

${table(["row", "source", "what", "profile", "expected", ""], EXAMPLES.map((example, i) => [example.id, example.source, example.says, profileName(example), outcomeOf(example), verdicts[i]!]))}

## Rows that are not a price, or do not hold

${table(["row", "what", "because"], ELSEWHERE.map(({ id, says, because }) => [id, says, because]))}

Out of scope altogether: tax, currency conversion, stored-value balances (gift cards, wallets), subscriptions, discounts given by
staff, confirming less than was held, and catalogue prices, which reach Scrip as \`list_price_minor\` or as a coupon issued to the user.

## Sources

${table(["", "read at"], Object.entries(SOURCES).map(([key, where]) => [key, where]))}
`
}

/** Every page by its path from the house. */
export const pages = (): ReadonlyMap<string, string> =>
  new Map([
    ...KINDS.map(({ name }): [string, string] => [`docs/kinds/${name}.md`, kindPage(name)]),
    ["docs/pricing/conditions.md", conditionsPage()],
    ["docs/pricing/stacking.md", stackingPage()],
    ["docs/pricing/money-policy.md", policyPage()],
    ["docs/pricing/best.md", `# The best set, why not, and refunds\n\n${MADE}\n\n${PRICING_WORDS.best}\n`],
    ["docs/pricing/package.md", `# Pricing as a package\n\n${MADE}\n\n${PRICING_WORDS.package}\n`],
    ["docs/pricing/worked-examples.md", examplesPage()],
  ])

if (import.meta.main) {
  for (const [path, text] of pages()) {
    const file = join(import.meta.dir, "..", path)
    mkdirSync(dirname(file), { recursive: true })
    writeFileSync(file, text)
  }
}
