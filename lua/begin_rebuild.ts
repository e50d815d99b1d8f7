import { script } from "./declare.ts"

export const begin_rebuild = script("begin_rebuild", {
  says: "Shut a cell and mark it as being rebuilt; no gate opens over the mark.",
  nature: "give",
  keys: ["quota"],
  args: {},
  outcomes: { begun: {} },
})
