/**
 * Does a value keep the contract, and if not, which field breaks it and how?
 *
 * What must stay true: the yes is fast (compiled once, no allocation), the no is a sentence about one field, and no value makes this
 * throw. The schema comes first, then the rule: what a schema cannot say, such as a sum.
 */
import type { Static, TSchema } from "typebox"
import { Compile } from "typebox/compile"
import { MEANINGS } from "./basics.ts"

/** What is wrong with a request: one field, and why. */
export interface RequestFault {
  /** As in `order.lines[3].quantity`; empty when it is the body as a whole. */
  readonly field: string
  readonly detail: string
}

/** What a schema cannot say. It sees only values that its schema has passed. */
export type Rule<T> = (value: T) => RequestFault | undefined

/** A compiled contract of one value: nothing when it is kept. */
export type Check = (value: unknown) => RequestFault | undefined

/** The field that a path of keys leads to in this value: names with dots, places in brackets. */
export const fieldName = (root: unknown, keys: readonly string[]): string => {
  let name = ""
  let at = root
  for (const key of keys) {
    name += Array.isArray(at) && /^[0-9]+$/.test(key) ? `[${key}]` : name === "" ? key : `.${key}`
    at = typeof at === "object" && at !== null && Object.hasOwn(at, key) ? (at as Record<string, unknown>)[key] : undefined
  }
  // A name that a caller made up is repeated, but never at any length or with what a terminal would obey.
  const printable = name.replace(/[\p{Cc}\p{Cs}]/gu, "?")
  return printable.length > FIELD_CHARS_MAX ? `${printable.slice(0, FIELD_CHARS_MAX)}…` : printable
}
const FIELD_CHARS_MAX = 200

const pointerKeys = (pointer: string): string[] =>
  pointer === "" ? [] : pointer.slice(1).split("/").map((key) => key.replaceAll("~1", "/").replaceAll("~0", "~"))

/** The part of a schema that an error's schemaPath points at, to read its description. */
const schemaAt = (schema: TSchema, pointer: string): Record<string, unknown> => {
  let at: unknown = schema
  for (const key of pointerKeys(pointer.replace(/^#/, ""))) at = typeof at === "object" && at !== null ? (at as Record<string, unknown>)[key] : undefined
  return typeof at === "object" && at !== null ? at as Record<string, unknown> : {}
}

const TYPES: Readonly<Record<string, string>> = {
  object: "an object", array: "a list", string: "text", integer: "a whole number", number: "a number", boolean: "true or false", null: "null",
}

interface SchemaError { readonly keyword: string; readonly schemaPath: string; readonly instancePath: string; readonly params: object; readonly message: string }

/** Why a value is refused, as a sentence goes on after the field's name. `choice` says what a choice between several shapes is. */
const says = (error: SchemaError, choice: string | undefined): string => {
  const params = error.params as Record<string, unknown>
  switch (error.keyword) {
    case "type": return `must be ${[params["type"]].flat().map((type) => TYPES[String(type)] ?? String(type)).join(" or ")}`
    case "minimum": return `must be at least ${params["limit"]}`
    case "maximum": return `must be at most ${params["limit"]}`
    case "minLength": return params["limit"] === 1 ? "must not be empty" : `must have at least ${params["limit"]} characters`
    case "maxLength": return `must have at most ${params["limit"]} characters`
    case "minItems": return `must have at least ${params["limit"]} ${params["limit"] === 1 ? "item" : "items"}`
    case "maxItems": return `must have at most ${params["limit"]} items`
    case "uniqueItems": return "must not have an item twice"
    case "enum": return `must be one of ${(params["allowedValues"] as unknown[]).join(", ")}`
    case "const": return `must be ${JSON.stringify(params["allowedValue"])}`
    case "pattern":
    case "format":
    case "~refine": {
      const meaning = MEANINGS.get(String(params["pattern"] ?? params["format"] ?? "date-time"))
      return meaning ? `must ${meaning}` : error.message
    }
    case "anyOf": return choice ? `must be ${choice}` : "must have one of the shapes that are allowed"
    default: return error.message
  }
}

/** The error that says most: one inside a choice before the choice itself, and the deepest of them. */
const tellingError = (errors: readonly SchemaError[]): SchemaError | undefined => {
  const [first] = errors
  if (!first) return undefined
  const choice = errors.find(({ keyword }) => keyword === "anyOf")
  if (!choice || !first.schemaPath.startsWith(`${choice.schemaPath}/anyOf/`)) return first
  const branches = errors.filter(({ schemaPath }) => schemaPath.startsWith(`${choice.schemaPath}/`))
  const inside = branches.filter(({ instancePath }) => instancePath.length > choice.instancePath.length)
  // A field too many says that its object was meant.
  return inside[0] ?? branches.find(({ keyword }) => keyword === "additionalProperties") ?? choice
}

const faultOf = (schema: TSchema, value: unknown, all: readonly SchemaError[]): RequestFault => {
  // A field that is not known is reported twice, once as the schema `false`.
  const error = tellingError(all.filter(({ keyword }) => keyword !== "boolean")) ?? all[0]
  if (!error) return { field: "", detail: "The request is not what the contract asks for." }
  const keys = pointerKeys(error.instancePath)
  const params = error.params as Record<string, string[] | undefined>
  if (error.keyword === "required") {
    const field = fieldName(value, [...keys, params["requiredProperties"]?.[0] ?? ""])
    return { field, detail: `${field} is missing.` }
  }
  if (error.keyword === "additionalProperties") {
    const field = fieldName(value, [...keys, params["additionalProperties"]?.[0] ?? ""])
    return { field, detail: `${field} is not a field of this request.` }
  }
  const field = fieldName(value, keys)
  const { description } = schemaAt(schema, error.schemaPath)
  return { field, detail: `${field || "The body"} ${says(error, typeof description === "string" ? description : undefined)}.` }
}

/** Compile the contract of one value. */
export const check = <S extends TSchema>(schema: S, rule?: Rule<Static<S>>): Check => {
  const compiled = Compile(schema)
  return (value) => compiled.Check(value) ? rule?.(value as Static<S>) : faultOf(schema, value, compiled.Errors(value))
}
