-- +goose Up
-- Only SQLite's index needs it; both databases count the same versions.
SELECT 1;
