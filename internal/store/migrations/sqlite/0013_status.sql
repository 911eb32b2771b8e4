-- +goose Up
-- How the components of the service are, as it was last announced.
CREATE TABLE status_components (
    name   TEXT PRIMARY KEY,
    state  TEXT NOT NULL,
    detail TEXT NOT NULL DEFAULT '',
    since  BIGINT NOT NULL
);

-- Times are milliseconds since 1970, 0 is never. affected is a JSON array of names.
CREATE TABLE maintenance (
    id         TEXT PRIMARY KEY,
    title      TEXT NOT NULL,
    affected   TEXT NOT NULL DEFAULT '[]',
    phase      TEXT NOT NULL CHECK (phase IN ('planned', 'running', 'ended')),
    starts_at  BIGINT NOT NULL DEFAULT 0,
    ends_at    BIGINT NOT NULL DEFAULT 0,
    started_at BIGINT NOT NULL DEFAULT 0,
    ended_at   BIGINT NOT NULL DEFAULT 0,
    created_at BIGINT NOT NULL,
    created_by TEXT NOT NULL DEFAULT '',
    started_by TEXT NOT NULL DEFAULT '',
    ended_by   TEXT NOT NULL DEFAULT ''
);
CREATE INDEX maintenance_open ON maintenance (phase, starts_at) WHERE phase <> 'ended';
