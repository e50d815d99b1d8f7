// What a kind is: a name, terms that a schema can check, and a pure function from a cart to what is taken off it.
//
// What must stay true: terms are parsed once, when a campaign is compiled; after that nothing can fail. A kind sees
// the cart and returns an effect: it writes nothing, reads no clock, and knows no other coupon.

import type { Static, TSchema } from "typebox"
import type { Policy } from "./policy.ts"
import type { Act, Claim, Lacks, Most, Outline, Rate } from "./types.ts"

/** What is wrong with terms, by field. */
export type TermsFault = { readonly field: string; readonly says: string }

type Definition<Schema extends TSchema> = {
  readonly name: string
  readonly terms: Schema
  /** What the schema cannot say; fields are named from the terms on, as in `tiers.0.from`. */
  readonly faults?: (terms: Static<Schema>) => TermsFault[]
  /** The most that one coupon can cost; undefined where nothing in the terms bounds it. */
  readonly boundMinor: (terms: Static<Schema>) => number | undefined
  /** Terms to a function of the cart; what can be prepared once is prepared here. */
  readonly act: (terms: Static<Schema>) => Act
  /** What the shopper could add to an untouched order in which the kind finds nothing to do. */
  readonly lacks?: (terms: Static<Schema>) => Lacks
  /** What it takes off in a few numbers, where lines and units change nothing about it; undefined where they do. */
  readonly outline?: (terms: Static<Schema>) => ((policy: Policy) => Outline) | undefined
  /** Percentages come first where the policy says `percent_first`. */
  readonly percent?: true
  /** `shipping`: takes from the shipping, whatever the campaign's target, and comes last of all. */
  readonly takes?: "shipping"
  /** It chooses among the units bought, so no other `target` makes sense. */
  readonly items_only?: true
  /** It gives a benefit and takes nothing off, so `max_minor` does not bound it. */
  readonly takes_nothing?: true
  /** How many times as long a turn takes as one that looks at each line once; 1 unless said. */
  readonly weight?: number
  /** `finance`: judged on what the lines cost after all discounts, and takes nothing off them. */
  readonly phase?: "finance"
  /** It may give more beside other coupons than alone: the most that it gives on whatever they leave of an untouched order. */
  readonly most?: (terms: Static<Schema>) => Most | undefined
  /** `finance`: the most that it gives of what is left at the end, and by how much rounding may exceed that. */
  readonly rate?: (terms: Static<Schema>) => Rate
  /** It may give something on a cart that is worth less, even where it gives nothing alone. */
  readonly rises?: (terms: Static<Schema>) => boolean
  /** It takes so much off each line, or each unit of it, as far as they have it, and off the units of a line alike. */
  readonly each?: (terms: Static<Schema>) => "line" | "unit" | undefined
  /** It chooses among units: which, and what it gives of them. */
  readonly claim?: (terms: Static<Schema>) => Claim | undefined
}

/** A kind as the house lists it: its schema's type is closed in, so that all kinds fit one list. */
export type Kind = Omit<Definition<TSchema>, "faults" | "boundMinor" | "act" | "lacks" | "outline" | "most" | "rate" | "rises" | "each" | "claim"> & {
  readonly faults: (terms: unknown) => TermsFault[]
  readonly boundMinor: (terms: unknown) => number | undefined
  readonly act: (terms: unknown) => Act
  readonly lacks: (terms: unknown) => Lacks
  readonly outline: (terms: unknown) => ((policy: Policy) => Outline) | undefined
  readonly most: (terms: unknown) => Most | undefined
  readonly rate: (terms: unknown) => Rate | undefined
  readonly rises: (terms: unknown) => boolean
  readonly each: (terms: unknown) => "line" | "unit" | undefined
  readonly claim: (terms: unknown) => Claim | undefined
}

const NO_LACKS: Lacks = () => undefined

/** Makes a kind. Its functions see terms that its schema has passed; compileTerms and termsFaults keep to that. */
export function kind<Schema extends TSchema>(definition: Definition<Schema>): Kind {
  return {
    ...definition,
    faults: (terms) => definition.faults?.(terms as Static<Schema>) ?? [],
    boundMinor: (terms) => definition.boundMinor(terms as Static<Schema>),
    act: (terms) => definition.act(terms as Static<Schema>),
    lacks: (terms) => definition.lacks?.(terms as Static<Schema>) ?? NO_LACKS,
    outline: (terms) => definition.outline?.(terms as Static<Schema>),
    most: (terms) => definition.most?.(terms as Static<Schema>),
    rate: (terms) => definition.rate?.(terms as Static<Schema>),
    rises: (terms) => definition.rises?.(terms as Static<Schema>) ?? false,
    each: (terms) => definition.each?.(terms as Static<Schema>),
    claim: (terms) => definition.claim?.(terms as Static<Schema>),
  }
}
