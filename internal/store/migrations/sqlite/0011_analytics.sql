-- +goose Up
-- What is measured: a name on a server, '' if it is of none. The rest is what was said last.
CREATE TABLE metric_series (
    id         INTEGER PRIMARY KEY,
    name       TEXT NOT NULL,
    server     TEXT NOT NULL,
    unit       TEXT NOT NULL,
    metadata   TEXT NOT NULL,
    value      REAL NOT NULL,
    updated_at BIGINT NOT NULL
);
CREATE UNIQUE INDEX metric_series_name ON metric_series (name, server);
CREATE INDEX metric_series_updated ON metric_series (updated_at);

-- The values between at and at + step, in milliseconds; a step of 0 is one value as it came.
CREATE TABLE metric_points (
    series_id BIGINT NOT NULL,
    step      BIGINT NOT NULL,
    at        BIGINT NOT NULL,
    n         BIGINT NOT NULL,
    total     REAL NOT NULL,
    least     REAL NOT NULL,
    greatest  REAL NOT NULL,
    last      REAL NOT NULL,
    last_at   BIGINT NOT NULL,
    PRIMARY KEY (series_id, step, at)
) WITHOUT ROWID;
CREATE INDEX metric_points_age ON metric_points (step, at);

-- The points that are to be computed from finer ones, because those have changed.
CREATE TABLE metric_changes (
    series_id BIGINT NOT NULL,
    step      BIGINT NOT NULL,
    at        BIGINT NOT NULL,
    PRIMARY KEY (series_id, step, at)
) WITHOUT ROWID;
CREATE INDEX metric_changes_due ON metric_changes (step, at);

-- A report is made by the job of its id. content is the file, once it is completed.
CREATE TABLE reports (
    id           TEXT PRIMARY KEY,
    type         TEXT NOT NULL,
    format       TEXT NOT NULL,
    from_at      BIGINT NOT NULL,
    to_at        BIGINT NOT NULL,
    requested_by TEXT NOT NULL,
    status       TEXT NOT NULL,
    content      TEXT NOT NULL DEFAULT '',
    created_at   BIGINT NOT NULL,
    completed_at BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX reports_created ON reports (created_at, id);
CREATE INDEX reports_pending ON reports (id) WHERE status = 'pending';
CREATE INDEX reports_requested ON reports (requested_by);

-- Whoever asks twice asks for one job, but for reports: each is another.
DROP INDEX jobs_live;
CREATE UNIQUE INDEX jobs_live ON jobs (user_id, kind) WHERE state IN ('waiting', 'running') AND kind <> 'report';
