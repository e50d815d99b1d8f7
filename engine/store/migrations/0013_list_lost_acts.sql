CREATE TABLE "api_processes" (
	"process_id" text PRIMARY KEY NOT NULL,
	"pid" integer NOT NULL,
	"started_ms" bigint NOT NULL,
	"seen_ms" bigint NOT NULL,
	"left_ms" bigint,
	"forgotten" bigint DEFAULT 0 NOT NULL
);
--> statement-breakpoint
CREATE TABLE "lost_acts" (
	"cell" integer NOT NULL,
	"epoch" integer NOT NULL,
	"n" bigint NOT NULL,
	"act" text NOT NULL,
	"names" jsonb NOT NULL,
	"process_id" text NOT NULL,
	"found_ms" bigint NOT NULL,
	CONSTRAINT "lost_acts_cell_epoch_n_pk" PRIMARY KEY("cell","epoch","n")
);
