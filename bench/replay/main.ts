/**
 * `npm run replay`: a year of a real retailer's coupons through HTTP, and the proof that nothing went missing on the way.
 *
 * The data are 84.51°'s Complete Journey 2.0, as packaged in bradleyboehmke/completejourney 1.1.1 (CC0): 27 campaigns, the households that
 * got them, their coupons, 2,102 redemptions of 2017 and a sample of the baskets. What the set does not say is made by the RULES of
 * rules.ts, which the report prints. The clock is the data's (header Scrip-Now) and so is the zone: America/New_York.
 *
 * It ends with 0 only when every answer was the planned one and Redis, Postgres, the API and the replay's own count agree to the cent.
 */
import { resolve } from "node:path"
import { missingFiles } from "./data.ts"
import { readOptions, USAGE } from "./options.ts"
import { budgetRows, mailingRows, redemptionRows, totalRow } from "./prove.ts"
import { replay, type Replayed } from "./replay.ts"
import { mismatchLines, money, table } from "./report.ts"
import { RULES } from "./rules.ts"
import { temporaryFolder } from "./stack.ts"

const seconds = (ms: number): string => `${(ms / 1_000).toFixed(1)} s`
const whole = (n: number): string => n.toLocaleString("en")

const say = (text = ""): void => console.log(text)

const print = ({ plan, played, again, events, proofs, differences, repeats, verified, ms }: Replayed): void => {
  say("The rules by which the replay makes what the data do not say:")
  RULES.forEach((rule, i) => say(`  ${i + 1}. ${rule}`))
  const { uses, sampled_lines, made_lines, other_lines } = plan.counts
  const ended = (ending: string) => plan.orders.filter((order) => order.ending === ending).length
  say(`\nPlayed ${whole(plan.launches.length)} mailings as ${whole(plan.launches.reduce((n, { campaigns }) => n + campaigns.length, 0))} campaigns, ${whole(plan.budgets.length)} budgets, `
    + `${whole(played.acts["issue"] ?? 0)} coupons issued, ${whole(uses)} real redemptions in ${whole(plan.orders.length)} orders `
    + `(${whole(ended("cancelled"))} cancelled, ${whole(ended("refunded"))} refunded), with ${whole(sampled_lines)} sampled lines that a coupon covers, ${whole(other_lines)} others and ${whole(made_lines)} made ones.`)
  say(`Acts: ${Object.entries(played.acts).map(([act, n]) => `${act} ${whole(n)}`).join(", ")}; ${whole(played.hits)} Idempotency-Hits; ${repeats.size === 0 ? "no" : [...repeats].map(([code, n]) => `${whole(n)} ${code}`).join(" and ")} attempts repeated.`)
  if (again) {
    const acts = Object.values(again.acts).reduce((sum, n) => sum + n, 0)
    say(`Again, after a restart: ${whole(acts)} acts, ${whole(again.hits)} Idempotency-Hits, ${whole(again.forgotten)} of more than 90 days ago refused; `
      + `events before ${whole(events?.before ?? 0)}, after ${whole(events?.after ?? 0)}.`)
  }

  for (const { title, own, mismatches, is_whole, waited_ms, in_redis } of proofs) {
    const all = totalRow(budgetRows(own)).numbers.map(Number)
    say(`\n${mismatches.length === 0 ? "AGREE" : "DISAGREE"}  ${title}: ${is_whole ? "Redis, Postgres, the API and the replay's own count" : "the API and the replay's own count"}, `
      + `${whole(own.budgets.size)} budgets, ${whole(own.campaigns.size)} campaigns, ${whole(own.redemptions.size)} redemptions (${whole(in_redis)} of them still in Redis); `
      + `limit ${money(all[0]!)}, held ${money(all[1]!)}, spent ${money(all[2]!)}, available ${money(all[3]!)}; settled in ${seconds(waited_ms)}.`)
    for (const line of mismatchLines(mismatches)) say(line)
  }
  const last = proofs.at(-1)
  if (last) {
    const budgets = budgetRows(last.own), mailings = mailingRows(plan, last.own), redemptions = redemptionRows(last.own)
    say(`\n${table("budget", [["limit", "money"], ["held", "money"], ["spent", "money"], ["available", "money"]], [...budgets.filter(({ numbers }) => numbers[2] !== 0 || numbers[1] !== 0), totalRow(budgets)])}`)
    say(`\n${table("mailing", [["campaigns", "count"], ["issued", "count"], ["reserved", "count"], ["redeemed", "count"]], [...mailings, totalRow(mailings)])}`)
    say(`\n${table("redemptions", [["orders", "count"], ["discount", "money"], ["given back", "money"]], [...redemptions, totalRow(redemptions)])}`)
  }
  for (const { act, id, detail } of differences) say(`DIFFERENT  ${act} ${id} ${detail}`)
  if (events && events.before !== events.after) say(`DIFFERENT  the second run made ${events.after - events.before} events`)
  if (verified) say(`\nverify: ${verified.said}`)
  say(`\nRead and planned in ${seconds(ms.read)}, stack ready in ${seconds(ms.start)}, played in ${seconds(ms.play)}${again ? `, again in ${seconds(ms.again)}` : ""}, in all ${seconds(ms.all)}.`)
}

/** Whether everything agreed. */
export const isProved = ({ differences, proofs, events, verified }: Replayed): boolean =>
  differences.length === 0 && proofs.length > 0 && proofs.every(({ mismatches }) => mismatches.length === 0)
  && (!events || events.before === events.after) && (verified?.is_clean ?? true)

if (import.meta.main) {
  const read = readOptions(process.argv.slice(2))
  if ("mistakes" in read) {
    console.error(`${read.mistakes.map((mistake) => `- ${mistake}`).join("\n")}\n\n${USAGE}`)
    process.exit(2)
  }
  const { options } = read
  const missing = missingFiles(options.folder)
  if (missing.length > 0) {
    console.error(`${options.folder} has no ${missing.join(", no ")}. They are the tables of Complete Journey 2.0 (bradleyboehmke/completejourney, CC0) as parquet files.`)
    process.exit(2)
  }
  const temporary = options.dataDir === undefined ? temporaryFolder() : undefined
  const dataDir = resolve(options.dataDir ?? `${temporary!.path}/data`)
  const replayed = await replay({ options, dataDir, env: process.env, out: process.stderr })
  print(replayed)
  const proved = isProved(replayed)
  // What disagrees is worth looking at: the folder stays.
  if (proved) temporary?.remove()
  else if (temporary) say(`\nThe stack's data are in ${dataDir}, its log beside them.`)
  process.exit(proved ? 0 : 1)
}
