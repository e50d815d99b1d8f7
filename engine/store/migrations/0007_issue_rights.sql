CREATE TABLE "badge_refusals" (
	"period" text NOT NULL,
	"badge_id" text collate "C" NOT NULL,
	"level" integer NOT NULL,
	"campaign_id" text collate "C" NOT NULL,
	"user_id" text collate "C" NOT NULL,
	"run_id" text NOT NULL,
	"code" text NOT NULL,
	"tries" integer NOT NULL,
	"settled" boolean NOT NULL,
	CONSTRAINT "badge_refusals_period_badge_id_level_campaign_id_user_id_pk" PRIMARY KEY("period","badge_id","level","campaign_id","user_id")
);
--> statement-breakpoint
CREATE TABLE "badge_rights" (
	"run_id" text NOT NULL,
	"output" text NOT NULL,
	"done" bigint NOT NULL,
	"issued" bigint NOT NULL,
	"repeated" bigint NOT NULL,
	"refused" bigint NOT NULL,
	CONSTRAINT "badge_rights_run_id_output_pk" PRIMARY KEY("run_id","output")
);
--> statement-breakpoint
ALTER TABLE "level_generations" DROP COLUMN "created_ms";--> statement-breakpoint
ALTER TABLE "level_generations" ADD CONSTRAINT "level_generations_run_id_unique" UNIQUE("run_id");