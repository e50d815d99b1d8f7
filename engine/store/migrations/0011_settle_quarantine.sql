ALTER TABLE "quarantine" ADD COLUMN "settled_as" text;--> statement-breakpoint
ALTER TABLE "quarantine" ADD COLUMN "settled_by" text;--> statement-breakpoint
ALTER TABLE "quarantine" ADD COLUMN "settled_why" text;