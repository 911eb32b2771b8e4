-- +goose Up
-- Durable readers of the gateway: up to where each has acknowledged (-1: nothing yet), and
-- the connection that reads for it.
CREATE TABLE consumers (
    subject TEXT NOT NULL,
    name    TEXT NOT NULL,
    holder  TEXT NOT NULL,
    pos     BIGINT NOT NULL,
    used_at BIGINT NOT NULL,
    PRIMARY KEY (subject, name)
);
CREATE INDEX consumers_used ON consumers (used_at);
