ALTER TABLE `streams` ADD `part_target` real DEFAULT 0.5 NOT NULL;--> statement-breakpoint
ALTER TABLE `streams` ADD `dvr_window_seconds` integer DEFAULT 60 NOT NULL;--> statement-breakpoint
ALTER TABLE `streams` ADD `record` integer DEFAULT false NOT NULL;