CREATE TABLE "code_batches" (
	"batch_no" integer PRIMARY KEY GENERATED ALWAYS AS IDENTITY (sequence name "code_batches_batch_no_seq" INCREMENT BY 1 MINVALUE 1 MAXVALUE 2147483647 START WITH 1 CACHE 1),
	"campaign_no" integer NOT NULL,
	"batch_id" text collate "C" NOT NULL,
	"kind" text NOT NULL,
	"asked" bigint,
	"limit" bigint NOT NULL,
	"secret" "bytea",
	"created_ms" bigint NOT NULL,
	"revoked_ms" bigint,
	"is_told" boolean DEFAULT true NOT NULL
);
--> statement-breakpoint
CREATE TABLE "code_claims" (
	"claim_hash" text collate "C" PRIMARY KEY NOT NULL,
	"code_hash" text collate "C" NOT NULL,
	"batch_no" integer NOT NULL,
	"state" smallint NOT NULL,
	"nonce" text NOT NULL,
	"user_no" integer,
	"coupon" text,
	"fingerprint" text,
	"claimed_ms" bigint,
	"since_ms" bigint NOT NULL
);
--> statement-breakpoint
CREATE TABLE "codes" (
	"code_hash" text collate "C" PRIMARY KEY NOT NULL,
	"batch_no" integer NOT NULL,
	"state" smallint NOT NULL
);
--> statement-breakpoint
CREATE TABLE "refused_grants" (
	"user_no" integer NOT NULL,
	"nonce" text NOT NULL,
	"at_ms" bigint NOT NULL,
	CONSTRAINT "refused_grants_user_no_nonce_pk" PRIMARY KEY("user_no","nonce")
);
--> statement-breakpoint
ALTER TABLE "code_batches" ADD CONSTRAINT "code_batches_campaign_no_campaigns_campaign_no_fk" FOREIGN KEY ("campaign_no") REFERENCES "public"."campaigns"("campaign_no") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
CREATE UNIQUE INDEX "code_batches_id" ON "code_batches" USING btree ("campaign_no","batch_id");--> statement-breakpoint
CREATE INDEX "code_batches_untold" ON "code_batches" USING btree ("batch_no") WHERE not "code_batches"."is_told";