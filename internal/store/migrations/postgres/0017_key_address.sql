-- +goose Up
-- Whoever looks at a key that may have leaked asks from where it was used (webhooks.md §1.1).
ALTER TABLE api_keys ADD COLUMN last_used_ip TEXT NOT NULL DEFAULT '';
