CREATE TABLE "reports" (
	"run_id" text collate "C" NOT NULL,
	"job" text NOT NULL,
	"period" text collate "C" NOT NULL,
	"set_name" text NOT NULL,
	"title" text NOT NULL,
	"sentence" text NOT NULL,
	"html" text NOT NULL,
	CONSTRAINT "reports_run_id_job_pk" PRIMARY KEY("run_id","job")
);
