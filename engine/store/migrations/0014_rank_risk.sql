CREATE TABLE "risk_rows" (
	"run_id" text collate "C" NOT NULL,
	"dimension" text NOT NULL,
	"key" text collate "C" NOT NULL,
	"user_no" integer,
	"amount_minor" bigint NOT NULL,
	"count" bigint NOT NULL,
	"users" bigint NOT NULL,
	"refund_rate_bp" bigint NOT NULL,
	"first_day_users_bp" bigint,
	"velocity_max" bigint NOT NULL,
	"depth_bp" bigint NOT NULL,
	"z" json NOT NULL,
	"support" json NOT NULL,
	CONSTRAINT "risk_rows_run_id_dimension_key_pk" PRIMARY KEY("run_id","dimension","key")
);
--> statement-breakpoint
CREATE TABLE "risk_totals" (
	"run_id" text collate "C" NOT NULL,
	"dimension" text NOT NULL,
	"share_top1_bp" bigint NOT NULL,
	"share_top10_bp" bigint NOT NULL,
	"hhi_bp" bigint NOT NULL,
	CONSTRAINT "risk_totals_run_id_dimension_pk" PRIMARY KEY("run_id","dimension")
);
