CREATE TABLE "run_periods" (
	"job" text NOT NULL,
	"period" text collate "C" NOT NULL,
	"set_name" text NOT NULL,
	"run_id" text,
	"lease_owner" text,
	"lease_until_ms" bigint,
	"closed_ms" bigint,
	CONSTRAINT "run_periods_job_period_set_name_pk" PRIMARY KEY("job","period","set_name")
);
--> statement-breakpoint
CREATE TABLE "runs" (
	"run_id" text collate "C" PRIMARY KEY NOT NULL,
	"job" text NOT NULL,
	"period" text collate "C" NOT NULL,
	"set_name" text DEFAULT '' NOT NULL,
	"state" text NOT NULL,
	"is_dry" boolean DEFAULT false NOT NULL,
	"is_first" boolean DEFAULT false NOT NULL,
	"options" json DEFAULT '{}'::json NOT NULL,
	"reason" text,
	"detail" text,
	"revision" integer,
	"identity" text,
	"code_sha256" text,
	"rules_sha256" text,
	"inputs_sha256" text,
	"inputs" json,
	"rules" json,
	"outputs" json,
	"checks" json,
	"answer" json,
	"report" text,
	"diff" json,
	"same_as" text,
	"replaced" text,
	"requested_by" text,
	"requested_ms" bigint NOT NULL,
	"started_ms" bigint,
	"finished_ms" bigint,
	"published_ms" bigint,
	"after_ms" bigint
);
--> statement-breakpoint
CREATE INDEX "runs_job_period" ON "runs" USING btree ("job","period","set_name");--> statement-breakpoint
CREATE INDEX "runs_open" ON "runs" USING btree ("state") WHERE "runs"."state" in ('requested', 'running');--> statement-breakpoint
CREATE INDEX "runs_owed" ON "runs" USING btree ("run_id") WHERE "runs"."state" = 'published' and "runs"."after_ms" is null;--> statement-breakpoint
CREATE INDEX "events_ticks" ON "events" USING btree ("cell","at_ms") WHERE "events"."act" = 'tick';