/**
 * The real data: the parquet files of Complete Journey, read once into plain arrays and maps.
 *
 * What must stay true: a coupon is known by its campaign and its UPC together, because 151 UPCs stand in several campaigns; the
 * 4,872 exact duplicates among the coupon rows are dropped before anything is joined with them; redemptions keep the order of
 * the file within a day, since the set has days and not times. Money is whole cents from here on.
 */
import { existsSync } from "node:fs"
import { join } from "node:path"
import { DuckDBInstance } from "@duckdb/node-api"

export const FILES = ["campaign_descriptions", "campaigns", "coupons", "coupon_redemptions", "products", "transactions_sample"] as const

/** A mailing: a type, its first and last day, and the households that got it. */
export interface Mailing {
  readonly campaign: number
  readonly type: string
  readonly first_day: string
  readonly last_day: string
  readonly households: readonly number[]
}

/** A coupon of a mailing, with the products it is for. */
export interface PrintedCoupon { readonly campaign: number; readonly upc: string; readonly products: readonly number[] }

/** One household used one coupon on one day. */
export interface Use { readonly household: number; readonly campaign: number; readonly upc: string; readonly day: string }

/** A sampled line of a basket that was bought on a day on which its household used a coupon. */
export interface SampledLine {
  readonly household: number
  readonly day: string
  readonly second: number
  readonly store: number
  readonly basket: string
  readonly product: number
  readonly quantity: number
  /** What the shelf took before any coupon: what the store received and what it matched. */
  readonly amount_minor: number
}

export interface Product { readonly category: string; readonly manufacturer: number }

/** Prices of one unit, medians of the sample. */
export interface Prices {
  readonly of_product: ReadonlyMap<number, number>
  readonly of_category: ReadonlyMap<string, number>
  readonly of_all: number
}

/** What the sample says about coupon money; the rules that use it are in rules.ts. */
export interface Values {
  /** By value code: the commonest amount that a manufacturer paid on a line that such a coupon can have been used for. */
  readonly of_code: ReadonlyMap<string, number>
  /** By type of mailing: the median of the same. */
  readonly of_type: ReadonlyMap<string, number>
  /** Over all lines with coupon money: what was paid in all for the shelf's price, and by whom. */
  readonly shelf_minor: number
  readonly manufacturer_minor: number
  readonly retailer_minor: number
  /** 19 of 20 such lines got no more than this. */
  readonly line_max_minor: number
}

export interface Data {
  readonly mailings: readonly Mailing[]
  readonly coupons: readonly PrintedCoupon[]
  readonly uses: readonly Use[]
  readonly lines: readonly SampledLine[]
  readonly products: ReadonlyMap<number, Product>
  readonly prices: Prices
  readonly values: Values
}

/** The data's files that are not in a folder; none when all are there. */
export const missingFiles = (folder: string): string[] =>
  FILES.map((name) => `${name}.parquet`).filter((file) => !existsSync(join(folder, file)))

/** Lines that a coupon can have been used for: bought by the household that used it, that day, of its products, with coupon money. */
const PAID_LINES = `
  create temp table paid_lines as
  select distinct u.campaign_id, u.coupon_upc, t.* from uses u
  join coupons c using (campaign_id, coupon_upc)
  join lines t on t.household_id = u.household_id and t.product_id = c.product_id and t.day = u.day
  where t.coupon_minor > 0`

const cents = (column: string) => `cast(round((${column}) * 100) as integer)`

const views = (file: (name: (typeof FILES)[number]) => string): string => `
  create temp view coupons as select distinct campaign_id, coupon_upc, product_id from ${file("coupons")};
  create temp table uses as
    select household_id, campaign_id, coupon_upc, redemption_date as day, file_row_number as place
    from read_parquet(${file("coupon_redemptions")}, file_row_number = true);
  create temp table products as
    select product_id, coalesce(product_category, department, 'NONE') as category, manufacturer_id from ${file("products")};
  create temp table lines as
    select household_id, store_id, basket_id, product_id, quantity, cast(transaction_timestamp as date) as day, transaction_timestamp as bought,
      ${cents("sales_value + coupon_match_disc")} as amount_minor, ${cents("coupon_disc")} as coupon_minor, ${cents("coupon_match_disc")} as match_minor
    from ${file("transactions_sample")} where quantity > 0 and sales_value > 0;
  ${PAID_LINES};`

/** Read everything that the replay needs. Throws when a file is not there or is not what it should be. */
export const readData = async (folder: string): Promise<Data> => {
  const missing = missingFiles(folder)
  if (missing.length > 0) throw new Error(`${folder} has no ${missing.join(", no ")}`)
  const database = await DuckDBInstance.create(":memory:")
  const duck = await database.connect()
  const rows = async <Row>(sql: string): Promise<Row[]> => (await duck.runAndReadAll(sql)).getRowObjectsJS() as Row[]
  try {
    await duck.run(views((name) => `'${join(folder, `${name}.parquet`).replaceAll("'", "''")}'`))

    const mailings = await rows<{ campaign: number; type: string; first_day: string; last_day: string }>(`
      select campaign_id as campaign, campaign_type as type, strftime(start_date, '%Y-%m-%d') as first_day, strftime(end_date, '%Y-%m-%d') as last_day
      from '${join(folder, "campaign_descriptions.parquet")}' order by start_date, campaign_id`)
    const got = await rows<{ campaign: number; household: number }>(`
      select distinct campaign_id as campaign, household_id as household from '${join(folder, "campaigns.parquet")}' order by 1, 2`)
    const coupons = await rows<{ campaign: number; upc: string; products: string }>(`
      select campaign_id as campaign, cast(coupon_upc as text) as upc, string_agg(product_id, ' ' order by product_id) as products
      from coupons group by 1, 2 order by 1, 2`)
    const uses = await rows<Use>(`
      select household_id as household, campaign_id as campaign, cast(coupon_upc as text) as upc, strftime(day, '%Y-%m-%d') as day
      from uses order by uses.day, place`)
    const lines = await rows<SampledLine>(`
      select household_id as household, strftime(day, '%Y-%m-%d') as day, cast(date_part('hour', bought) * 3600 + date_part('minute', bought) * 60 + date_part('second', bought) as integer) as second,
        store_id as store, cast(basket_id as text) as basket, cast(product_id as integer) as product, quantity, amount_minor
      from lines semi join uses using (household_id, day) where amount_minor > 0 order by lines.day, bought, basket_id, product_id, quantity, amount_minor`)
    const products = await rows<{ product: number; category: string; manufacturer: number }>(`
      select cast(product_id as integer) as product, category, manufacturer_id as manufacturer from products`)

    const unit = "cast(round(amount_minor / quantity) as integer)"
    const price = `quantile_disc(${unit}, 0.5) as price_minor from lines where ${unit} > 0`
    const ofProduct = await rows<{ product: number; price_minor: number }>(`select cast(product_id as integer) as product, ${price} group by 1`)
    const ofCategory = await rows<{ category: string; price_minor: number }>(`
      select category, quantile_disc(${unit}, 0.5) as price_minor from lines join products using (product_id) where ${unit} > 0 group by 1`)
    const [ofAll] = await rows<{ price_minor: number }>(`select ${price}`)

    const ofCode = await rows<{ code: string; value_minor: number }>(`
      select right(cast(coupon_upc as text), 2) as code, coupon_minor as value_minor from paid_lines where coupon_upc >= 50000000000
      group by 1, 2 qualify row_number() over (partition by code order by count(*) desc, value_minor) = 1`)
    const ofType = await rows<{ type: string; value_minor: number }>(`
      select campaign_type as type, quantile_disc(coupon_minor, 0.5) as value_minor
      from paid_lines join '${join(folder, "campaign_descriptions.parquet")}' using (campaign_id) group by 1`)
    const [sums] = await rows<{ shelf: number; manufacturer: number; retailer: number; line_max: number }>(`
      select cast(sum(amount_minor) as integer) as shelf, cast(sum(coupon_minor) as integer) as manufacturer, cast(sum(match_minor) as integer) as retailer,
        quantile_disc(coupon_minor + match_minor, 0.95) as line_max from lines where coupon_minor > 0`)
    if (!ofAll || !sums) throw new Error(`${folder} has an empty sample of baskets`)

    const households = Map.groupBy(got, ({ campaign }) => campaign)
    return {
      mailings: mailings.map((mailing) => ({ ...mailing, households: (households.get(mailing.campaign) ?? []).map(({ household }) => household) })),
      coupons: coupons.map(({ campaign, upc, products: list }) => ({ campaign, upc, products: list.split(" ").map(Number) })),
      uses, lines,
      products: new Map(products.map(({ product, ...rest }) => [product, rest])),
      prices: {
        of_product: new Map(ofProduct.map(({ product, price_minor }) => [product, price_minor])),
        of_category: new Map(ofCategory.map(({ category, price_minor }) => [category, price_minor])),
        of_all: ofAll.price_minor,
      },
      values: {
        of_code: new Map(ofCode.map(({ code, value_minor }) => [code, value_minor])),
        of_type: new Map(ofType.map(({ type, value_minor }) => [type, value_minor])),
        shelf_minor: sums.shelf, manufacturer_minor: sums.manufacturer, retailer_minor: sums.retailer, line_max_minor: sums.line_max,
      },
    }
  } finally {
    duck.closeSync()
    database.closeSync()
  }
}
