/**
 * The tests that say how Scrip behaves, however many cells it has and whatever its Redis is. `npm test` runs them over one cell with all the
 * others, and again over what stands here.
 *
 * What must stay true: every test that opens a whole shop is repeated, or stands below with the reason why not; the house test holds it.
 */

/** What they are run over besides one cell. The long ones are shorter there: how long they are changes nothing of where keys lie. */
export const BEHAVIOUR_RUNS = [
  { SCRIP_TEST_CELLS: "7", SCRIP_MODEL_COMMANDS: "5000" },
  { SCRIP_TEST_CELLS: "7", SCRIP_TEST_TOPOLOGY: "cluster", SCRIP_MODEL_COMMANDS: "5000" },
]

/** Files and folders of test. */
export const BEHAVIOUR = [
  "checkout", "engine/codes_command.test.ts", "http/contract.test.ts", "levels", "operate/catalogue.test.ts", "quota/over_cells.test.ts",
  "story/api.test.ts", "story/codes.test.ts", "story/discounts.test.ts", "story/full.test.ts", "story/kinds.test.ts", "story/lives.test.ts", "story/model", "story/race.test.ts",
  "story/rebuilt.test.ts",
]

/** Those that open a shop and are run once. */
export const ONCE = {
  analytics: "jobs read Postgres and the lake, where the cells are one column",
  "operate/reports.test.ts": "reads what jobs have published, as the first to publish anything",
  "store/cluster.test.ts": "makes its own cluster, and breaks it",
  "store/durability.test.ts": "makes one server and a cluster of its own, and breaks them",
  torture: "makes one server, many cells and a cluster of its own, and breaks them",
}
