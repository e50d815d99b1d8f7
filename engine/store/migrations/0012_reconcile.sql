CREATE TABLE "reconciliation_keys" (
	"run_id" text collate "C" NOT NULL,
	"order_id" text collate "C" NOT NULL,
	"coupon_id" text collate "C" NOT NULL,
	"budget_id" text collate "C" NOT NULL,
	"class" text NOT NULL,
	"side" text,
	"budget_minor" bigint NOT NULL,
	"redeemed_minor" bigint NOT NULL,
	"ordered_minor" bigint NOT NULL,
	"break_minor" bigint NOT NULL,
	"carried_minor" bigint NOT NULL,
	"age_days" integer NOT NULL,
	"party" text,
	CONSTRAINT "reconciliation_keys_run_id_order_id_coupon_id_budget_id_pk" PRIMARY KEY("run_id","order_id","coupon_id","budget_id")
);
--> statement-breakpoint
CREATE INDEX "reconciliation_keys_class" ON "reconciliation_keys" USING btree ("run_id","class","order_id","coupon_id","budget_id");