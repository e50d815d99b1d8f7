CREATE TABLE "api_keys" (
	"key_id" text collate "C" PRIMARY KEY NOT NULL,
	"hash" text NOT NULL,
	"name" text NOT NULL,
	"scopes" text[] NOT NULL,
	"lines" text[] NOT NULL,
	"created_ms" bigint NOT NULL,
	"revoked_ms" bigint
);
--> statement-breakpoint
CREATE TABLE "budget_entries" (
	"budget_no" integer NOT NULL,
	"at_ms" bigint NOT NULL,
	"cell" integer NOT NULL,
	"epoch" integer NOT NULL,
	"n" bigint NOT NULL,
	"act" text NOT NULL,
	"limit_minor" bigint NOT NULL,
	"held_minor" bigint NOT NULL,
	"spent_minor" bigint NOT NULL,
	"ref" text,
	CONSTRAINT "budget_entries_budget_no_at_ms_cell_epoch_n_pk" PRIMARY KEY("budget_no","at_ms","cell","epoch","n")
);
--> statement-breakpoint
CREATE TABLE "budgets" (
	"budget_no" integer PRIMARY KEY GENERATED ALWAYS AS IDENTITY (sequence name "budgets_budget_no_seq" INCREMENT BY 1 MINVALUE 1 MAXVALUE 2147483647 START WITH 1 CACHE 1),
	"budget_id" text collate "C" NOT NULL,
	"line" text NOT NULL,
	"month" text NOT NULL,
	"currency" text NOT NULL,
	"party" text NOT NULL,
	"opens_ms" bigint NOT NULL,
	"closes_ms" bigint NOT NULL,
	"limit_minor" bigint NOT NULL,
	"fingerprint" text NOT NULL,
	"created_ms" bigint NOT NULL,
	"closed_ms" bigint,
	CONSTRAINT "budgets_budget_id_unique" UNIQUE("budget_id")
);
--> statement-breakpoint
CREATE TABLE "campaign_versions" (
	"campaign_no" integer NOT NULL,
	"version" integer NOT NULL,
	"state" text NOT NULL,
	"body" jsonb NOT NULL,
	"starts_ms" bigint NOT NULL,
	"ends_ms" bigint NOT NULL,
	"per_user" bigint NOT NULL,
	"stock" bigint NOT NULL,
	"at_ms" bigint NOT NULL,
	CONSTRAINT "campaign_versions_campaign_no_version_pk" PRIMARY KEY("campaign_no","version")
);
--> statement-breakpoint
CREATE TABLE "campaigns" (
	"campaign_no" integer PRIMARY KEY GENERATED ALWAYS AS IDENTITY (sequence name "campaigns_campaign_no_seq" INCREMENT BY 1 MINVALUE 1 MAXVALUE 2147483647 START WITH 1 CACHE 1),
	"campaign_id" text collate "C" NOT NULL,
	"line" text NOT NULL,
	"currency" text NOT NULL,
	"state" text NOT NULL,
	"version" integer NOT NULL,
	"body" jsonb NOT NULL,
	"starts_ms" bigint NOT NULL,
	"ends_ms" bigint NOT NULL,
	"per_user" bigint NOT NULL,
	"stock" bigint NOT NULL,
	"fingerprint" text NOT NULL,
	"created_ms" bigint NOT NULL,
	"changed_ms" bigint NOT NULL,
	"pushed_version" integer DEFAULT 0 NOT NULL,
	CONSTRAINT "campaigns_campaign_id_unique" UNIQUE("campaign_id")
);
--> statement-breakpoint
CREATE TABLE "cell_budgets" (
	"cell" integer NOT NULL,
	"budget_no" integer NOT NULL,
	"limit_minor" bigint NOT NULL,
	"held_minor" bigint NOT NULL,
	"spent_minor" bigint NOT NULL,
	"closed_ms" bigint,
	CONSTRAINT "cell_budgets_cell_budget_no_pk" PRIMARY KEY("cell","budget_no")
);
--> statement-breakpoint
CREATE TABLE "cell_campaigns" (
	"cell" integer NOT NULL,
	"campaign_no" integer NOT NULL,
	"version" integer NOT NULL,
	"state" smallint NOT NULL,
	"stock" bigint NOT NULL,
	"issued" bigint NOT NULL,
	"revoked" bigint NOT NULL,
	"reserved" bigint NOT NULL,
	"redeemed" bigint NOT NULL,
	CONSTRAINT "cell_campaigns_cell_campaign_no_pk" PRIMARY KEY("cell","campaign_no")
);
--> statement-breakpoint
CREATE TABLE "cell_idle" (
	"cell" integer NOT NULL,
	"campaign_no" integer NOT NULL,
	"budget_no" integer NOT NULL,
	"held_minor" bigint NOT NULL,
	CONSTRAINT "cell_idle_cell_campaign_no_budget_no_pk" PRIMARY KEY("cell","campaign_no","budget_no")
);
--> statement-breakpoint
CREATE TABLE "cells" (
	"cell" integer PRIMARY KEY NOT NULL,
	"epoch" integer NOT NULL,
	"n" bigint NOT NULL,
	"at_ms" bigint NOT NULL
);
--> statement-breakpoint
CREATE TABLE "coupons" (
	"coupon_id" text collate "C" PRIMARY KEY NOT NULL,
	"user_no" integer NOT NULL,
	"campaign_no" integer NOT NULL,
	"cell" integer NOT NULL,
	"state" smallint NOT NULL,
	"ends_at_ms" bigint NOT NULL,
	"fingerprint" text NOT NULL,
	"redemption" text,
	"since_ms" bigint,
	"holds" json,
	"version" integer,
	"request_id" text,
	"channel" text,
	"device" text,
	"issued_ms" bigint,
	"epoch" integer NOT NULL,
	"n" bigint NOT NULL
);
--> statement-breakpoint
CREATE TABLE "epochs" (
	"cell" integer NOT NULL,
	"epoch" integer NOT NULL,
	"tail" text NOT NULL,
	"at_ms" bigint NOT NULL,
	CONSTRAINT "epochs_cell_epoch_pk" PRIMARY KEY("cell","epoch")
);
--> statement-breakpoint
CREATE TABLE "events" (
	"cell" integer NOT NULL,
	"epoch" integer NOT NULL,
	"n" bigint NOT NULL,
	"act" text NOT NULL,
	"at_ms" bigint NOT NULL,
	"user_no" integer,
	"moves" json,
	"payload" json,
	CONSTRAINT "events_cell_epoch_n_pk" PRIMARY KEY("cell","epoch","n")
);
--> statement-breakpoint
CREATE TABLE "quarantine" (
	"cell" integer NOT NULL,
	"epoch" integer NOT NULL,
	"n" bigint NOT NULL,
	"raw" "bytea" NOT NULL,
	"reason" text NOT NULL,
	"at_ms" bigint NOT NULL,
	"settled_ms" bigint,
	CONSTRAINT "quarantine_cell_epoch_n_pk" PRIMARY KEY("cell","epoch","n")
);
--> statement-breakpoint
CREATE TABLE "redemptions" (
	"redemption_id" text collate "C" PRIMARY KEY NOT NULL,
	"user_no" integer NOT NULL,
	"cell" integer NOT NULL,
	"order_id" text,
	"request_id" text,
	"state" smallint NOT NULL,
	"head" json NOT NULL,
	"body" text NOT NULL,
	"reserved_ms" bigint NOT NULL,
	"since_ms" bigint NOT NULL,
	"epoch" integer NOT NULL,
	"n" bigint NOT NULL
);
--> statement-breakpoint
CREATE TABLE "refunds" (
	"redemption_id" text collate "C" NOT NULL,
	"refund_id" text NOT NULL,
	"at_ms" bigint NOT NULL,
	"discount_minor" bigint NOT NULL,
	"payload" json NOT NULL,
	CONSTRAINT "refunds_redemption_id_refund_id_pk" PRIMARY KEY("redemption_id","refund_id")
);
--> statement-breakpoint
CREATE TABLE "settings" (
	"key" text PRIMARY KEY NOT NULL,
	"value" text NOT NULL
);
--> statement-breakpoint
CREATE TABLE "users" (
	"user_no" integer PRIMARY KEY GENERATED ALWAYS AS IDENTITY (sequence name "users_user_no_seq" INCREMENT BY 1 MINVALUE 1 MAXVALUE 2147483647 START WITH 1 CACHE 1),
	"user_hash" text collate "C" NOT NULL,
	"user_id" text,
	CONSTRAINT "users_user_hash_unique" UNIQUE("user_hash")
);
--> statement-breakpoint
CREATE TABLE "wallet_counts" (
	"user_no" integer NOT NULL,
	"campaign_no" integer NOT NULL,
	"cell" integer NOT NULL,
	"count" text NOT NULL,
	CONSTRAINT "wallet_counts_user_no_campaign_no_pk" PRIMARY KEY("user_no","campaign_no")
);
--> statement-breakpoint
ALTER TABLE "campaign_versions" ADD CONSTRAINT "campaign_versions_campaign_no_campaigns_campaign_no_fk" FOREIGN KEY ("campaign_no") REFERENCES "public"."campaigns"("campaign_no") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
CREATE INDEX "campaigns_changed_ms" ON "campaigns" USING btree ("changed_ms");--> statement-breakpoint
CREATE INDEX "campaigns_unpushed" ON "campaigns" USING btree ("campaign_no") WHERE "campaigns"."pushed_version" < "campaigns"."version" and "campaigns"."state" <> 'draft';--> statement-breakpoint
CREATE INDEX "events_at_ms" ON "events" USING brin ("at_ms");--> statement-breakpoint
-- Room on each page, so that a row which changes stays on it and no index is touched.
ALTER TABLE "coupons" SET (fillfactor = 80);--> statement-breakpoint
ALTER TABLE "redemptions" SET (fillfactor = 80);--> statement-breakpoint
ALTER TABLE "wallet_counts" SET (fillfactor = 90);--> statement-breakpoint
-- A few rows that change at every flush.
ALTER TABLE "cells" SET (fillfactor = 20);--> statement-breakpoint
ALTER TABLE "cell_budgets" SET (fillfactor = 20);--> statement-breakpoint
ALTER TABLE "cell_campaigns" SET (fillfactor = 20);--> statement-breakpoint
ALTER TABLE "cell_idle" SET (fillfactor = 20);
