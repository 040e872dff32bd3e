CREATE TABLE `aggregates` (
	`id` text PRIMARY KEY NOT NULL,
	`issued` integer DEFAULT 0 NOT NULL,
	`recorded` integer DEFAULT 0 NOT NULL
);
--> statement-breakpoint
CREATE TABLE `archive_objects` (
	`number` integer PRIMARY KEY NOT NULL,
	`key` text NOT NULL,
	`first_position` integer NOT NULL,
	`last_position` integer NOT NULL,
	`hash` text NOT NULL,
	`created_at` integer NOT NULL
);
--> statement-breakpoint
CREATE TABLE `events` (
	`position` integer PRIMARY KEY AUTOINCREMENT NOT NULL,
	`id` text NOT NULL,
	`account_id` text NOT NULL,
	`stream_id` text,
	`aggregate` text NOT NULL,
	`seq` integer NOT NULL,
	`type` text NOT NULL,
	`actor` text NOT NULL,
	`request_id` text,
	`occurred_at` integer NOT NULL,
	`recorded_at` integer NOT NULL,
	`data` text NOT NULL
);
--> statement-breakpoint
CREATE UNIQUE INDEX `events_id` ON `events` (`id`);--> statement-breakpoint
CREATE UNIQUE INDEX `events_aggregate` ON `events` (`aggregate`,`seq`);--> statement-breakpoint
CREATE INDEX `events_account` ON `events` (`account_id`,`position`);--> statement-breakpoint
CREATE INDEX `events_stream` ON `events` (`stream_id`,`position`);--> statement-breakpoint
CREATE INDEX `events_account_type` ON `events` (`account_id`,`type`,`position`);--> statement-breakpoint
CREATE INDEX `events_recorded` ON `events` (`recorded_at`);--> statement-breakpoint
CREATE TABLE `idempotency_keys` (
	`account_id` text NOT NULL,
	`digest` text NOT NULL,
	`request_digest` text NOT NULL,
	`status` integer,
	`answer` text,
	`created_at` integer NOT NULL,
	PRIMARY KEY(`account_id`, `digest`)
);
--> statement-breakpoint
CREATE INDEX `idempotency_keys_created` ON `idempotency_keys` (`created_at`);--> statement-breakpoint
CREATE TABLE `outbox` (
	`position` integer PRIMARY KEY AUTOINCREMENT NOT NULL,
	`event_id` text NOT NULL,
	`event` text NOT NULL,
	`created_at` integer NOT NULL,
	`sent_at` integer DEFAULT 0 NOT NULL
);
--> statement-breakpoint
CREATE UNIQUE INDEX `outbox_event` ON `outbox` (`event_id`);--> statement-breakpoint
CREATE INDEX `outbox_sent` ON `outbox` (`sent_at`,`position`);--> statement-breakpoint
CREATE TABLE `stream_tags` (
	`account_id` text NOT NULL,
	`tag` text NOT NULL,
	`created_at` integer NOT NULL,
	`stream_id` text NOT NULL,
	PRIMARY KEY(`account_id`, `tag`, `created_at`, `stream_id`),
	FOREIGN KEY (`stream_id`) REFERENCES `streams`(`id`) ON UPDATE no action ON DELETE no action
);
--> statement-breakpoint
CREATE INDEX `stream_tags_stream` ON `stream_tags` (`stream_id`);--> statement-breakpoint
CREATE TABLE `webhook_deliveries` (
	`id` text PRIMARY KEY NOT NULL,
	`webhook_id` text NOT NULL,
	`account_id` text NOT NULL,
	`event_id` text NOT NULL,
	`event_type` text NOT NULL,
	`body` text NOT NULL,
	`status` text DEFAULT 'pending' NOT NULL,
	`attempts` integer DEFAULT 0 NOT NULL,
	`next_attempt_at` integer,
	`last_attempt_at` integer,
	`last_status` integer,
	`last_error` text,
	`created_at` integer NOT NULL
);
--> statement-breakpoint
CREATE UNIQUE INDEX `webhook_deliveries_event` ON `webhook_deliveries` (`webhook_id`,`event_id`);--> statement-breakpoint
CREATE INDEX `webhook_deliveries_webhook` ON `webhook_deliveries` (`webhook_id`,`created_at`,`id`);--> statement-breakpoint
CREATE INDEX `webhook_deliveries_status` ON `webhook_deliveries` (`webhook_id`,`status`,`created_at`,`id`);--> statement-breakpoint
CREATE INDEX `webhook_deliveries_due` ON `webhook_deliveries` (`status`,`next_attempt_at`);--> statement-breakpoint
CREATE INDEX `webhook_deliveries_created` ON `webhook_deliveries` (`created_at`);--> statement-breakpoint
CREATE TABLE `webhooks` (
	`id` text PRIMARY KEY NOT NULL,
	`account_id` text NOT NULL,
	`url` text NOT NULL,
	`description` text DEFAULT '' NOT NULL,
	`event_types` text NOT NULL,
	`secret` text NOT NULL,
	`enabled` integer DEFAULT true NOT NULL,
	`revision` integer DEFAULT 1 NOT NULL,
	`created_at` integer NOT NULL,
	`updated_at` integer NOT NULL,
	FOREIGN KEY (`account_id`) REFERENCES `accounts`(`id`) ON UPDATE no action ON DELETE no action
);
--> statement-breakpoint
CREATE INDEX `webhooks_account` ON `webhooks` (`account_id`,`created_at`,`id`);--> statement-breakpoint
ALTER TABLE `api_keys` ADD `prefix` text DEFAULT '' NOT NULL;--> statement-breakpoint
ALTER TABLE `api_keys` ADD `expires_at` integer;--> statement-breakpoint
ALTER TABLE `api_keys` ADD `replaced_by` text;--> statement-breakpoint
ALTER TABLE `stream_keys` ADD `prefix` text DEFAULT '' NOT NULL;--> statement-breakpoint
ALTER TABLE `stream_keys` ADD `expires_at` integer;--> statement-breakpoint
ALTER TABLE `stream_keys` ADD `last_used_origin` text;--> statement-breakpoint
ALTER TABLE `stream_keys` ADD `replaced_by` text;--> statement-breakpoint
ALTER TABLE `streams` ADD `revision` integer DEFAULT 1 NOT NULL;--> statement-breakpoint
ALTER TABLE `streams` ADD `reconciled_at` integer DEFAULT 0 NOT NULL;--> statement-breakpoint
CREATE INDEX `streams_account_viewers` ON `streams` (`account_id`,`viewer_count`,`id`);--> statement-breakpoint
CREATE INDEX `streams_reconciled` ON `streams` (`reconciled_at`);--> statement-breakpoint
CREATE INDEX `streams_status` ON `streams` (`status`,`reconciled_at`);--> statement-breakpoint
INSERT OR IGNORE INTO `stream_tags` (`account_id`, `tag`, `created_at`, `stream_id`) SELECT `streams`.`account_id`, `json_each`.`value`, `streams`.`created_at`, `streams`.`id` FROM `streams`, json_each(`streams`.`tags`) WHERE `streams`.`deleted_at` IS NULL;
