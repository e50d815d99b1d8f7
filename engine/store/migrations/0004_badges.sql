CREATE TABLE "badge_versions" (
	"badge_no" integer NOT NULL,
	"version" integer NOT NULL,
	"line" text NOT NULL,
	"effective_month" text NOT NULL,
	"body" jsonb NOT NULL,
	"fingerprint" text NOT NULL,
	"created_ms" bigint NOT NULL,
	"activated_ms" bigint,
	CONSTRAINT "badge_versions_badge_no_version_pk" PRIMARY KEY("badge_no","version")
);
--> statement-breakpoint
CREATE TABLE "badges" (
	"badge_no" integer PRIMARY KEY GENERATED ALWAYS AS IDENTITY (sequence name "badges_badge_no_seq" INCREMENT BY 1 MINVALUE 1 MAXVALUE 2147483647 START WITH 1 CACHE 1),
	"badge_id" text collate "C" NOT NULL,
	"created_ms" bigint NOT NULL,
	CONSTRAINT "badges_badge_id_unique" UNIQUE("badge_id")
);
--> statement-breakpoint
CREATE TABLE "level_blocks" (
	"generation" integer NOT NULL,
	"block" integer NOT NULL,
	"users" integer NOT NULL,
	"body" "bytea" NOT NULL,
	CONSTRAINT "level_blocks_generation_block_pk" PRIMARY KEY("generation","block")
);
--> statement-breakpoint
CREATE TABLE "level_generations" (
	"generation" integer PRIMARY KEY GENERATED ALWAYS AS IDENTITY (sequence name "level_generations_generation_seq" INCREMENT BY 1 MINVALUE 1 MAXVALUE 2147483647 START WITH 1 CACHE 1),
	"run_id" text NOT NULL,
	"period" text NOT NULL,
	"rules" json NOT NULL,
	"users" bigint NOT NULL,
	"blocks" integer NOT NULL,
	"created_ms" bigint NOT NULL
);
--> statement-breakpoint
ALTER TABLE "badge_versions" ADD CONSTRAINT "badge_versions_badge_no_badges_badge_no_fk" FOREIGN KEY ("badge_no") REFERENCES "public"."badges"("badge_no") ON DELETE no action ON UPDATE no action;