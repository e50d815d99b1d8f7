CREATE TABLE "lake_parts" (
	"dataset" text collate "C" NOT NULL,
	"part" text collate "C" NOT NULL,
	"sha256" text NOT NULL,
	"days" text[] NOT NULL,
	"landed_ms" bigint NOT NULL,
	CONSTRAINT "lake_parts_dataset_part_pk" PRIMARY KEY("dataset","part")
);
--> statement-breakpoint
ALTER TABLE "budgets" ADD COLUMN "carry_to" text collate "C";
--> statement-breakpoint
ALTER TABLE "reconciliation_keys" ADD COLUMN "of_period" text DEFAULT '' NOT NULL;
--> statement-breakpoint
ALTER TABLE "reconciliation_keys" ADD COLUMN "resolved_minor" bigint DEFAULT 0 NOT NULL;
--> statement-breakpoint
ALTER TABLE "run_periods" ADD COLUMN "looked_ms" bigint;
--> statement-breakpoint
DROP INDEX "reconciliation_keys_class";
--> statement-breakpoint
ALTER TABLE "reconciliation_keys" DROP CONSTRAINT "reconciliation_keys_run_id_order_id_coupon_id_budget_id_pk";
--> statement-breakpoint
ALTER TABLE "reconciliation_keys" ADD CONSTRAINT "reconciliation_keys_pk" PRIMARY KEY("run_id","order_id","coupon_id","budget_id","of_period");
--> statement-breakpoint
CREATE INDEX "reconciliation_keys_class" ON "reconciliation_keys" USING btree ("run_id","class","order_id","coupon_id","budget_id","of_period");