-- +goose Up
-- What should be looked at. Of a kind and a subject one is not resolved: what happens
-- again is folded into it.
CREATE TABLE alerts (
    id              INTEGER PRIMARY KEY AUTOINCREMENT,
    kind            TEXT NOT NULL,
    subject         TEXT NOT NULL,
    user_id         BIGINT NOT NULL DEFAULT 0,
    title           TEXT NOT NULL,
    description     TEXT NOT NULL,
    severity        TEXT NOT NULL,
    category        TEXT NOT NULL,
    source          TEXT NOT NULL,
    metadata        TEXT NOT NULL,
    status          TEXT NOT NULL,
    count           BIGINT NOT NULL,
    created_at      BIGINT NOT NULL,
    last_seen_at    BIGINT NOT NULL,
    updated_at      BIGINT NOT NULL,
    updated_by      TEXT NOT NULL DEFAULT '',
    acknowledged_at BIGINT NOT NULL DEFAULT 0,
    acknowledged_by TEXT NOT NULL DEFAULT '',
    resolved_at     BIGINT NOT NULL DEFAULT 0,
    resolved_by     TEXT NOT NULL DEFAULT '',
    -- The count that was announced, and when.
    announced       BIGINT NOT NULL DEFAULT 0,
    announced_at    BIGINT NOT NULL DEFAULT 0
);
CREATE UNIQUE INDEX alerts_open ON alerts (kind, subject) WHERE status <> 'resolved';
CREATE INDEX alerts_status ON alerts (status, id);
CREATE INDEX alerts_user ON alerts (user_id, id) WHERE user_id <> 0;
CREATE INDEX alerts_untold ON alerts (announced_at) WHERE announced < count;
CREATE INDEX alerts_updated ON alerts (updated_at);

-- Looks at the running server, and what they found.
CREATE TABLE scans (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    type         TEXT NOT NULL,
    target       TEXT NOT NULL,
    status       TEXT NOT NULL,
    error        TEXT NOT NULL DEFAULT '',
    findings     TEXT NOT NULL DEFAULT '',
    started_by   TEXT NOT NULL,
    started_at   BIGINT NOT NULL,
    completed_at BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX scans_running ON scans (started_at) WHERE status = 'running';
CREATE INDEX scans_started ON scans (started_at);
