-- +goose Up
-- Times of webhooks are in microseconds since 1970, 0 if there is no such time.

-- Webhooks. What must not be read by who has the database is in sealed; settings is the rest
-- of what their owners decide, health and circuit how they do.
CREATE TABLE webhooks (
    id                INTEGER PRIMARY KEY AUTOINCREMENT,
    name              TEXT NOT NULL,
    url               TEXT NOT NULL,
    event_types       TEXT NOT NULL,
    ordering          TEXT NOT NULL,
    is_active         BIGINT NOT NULL,
    settings          TEXT NOT NULL,
    sealed            TEXT NOT NULL,
    previous_until    BIGINT NOT NULL DEFAULT 0,
    created_at        BIGINT NOT NULL,
    updated_at        BIGINT NOT NULL,
    last_triggered_at BIGINT NOT NULL DEFAULT 0,
    success_count     BIGINT NOT NULL DEFAULT 0,
    failure_count     BIGINT NOT NULL DEFAULT 0,
    held_until        BIGINT NOT NULL DEFAULT 0,
    health            TEXT NOT NULL,
    circuit           TEXT NOT NULL
);
CREATE INDEX webhooks_created ON webhooks (created_at, id);

-- Rises whenever a webhook is made, changed by its owner, or removed.
CREATE TABLE webhook_version (version BIGINT NOT NULL);
INSERT INTO webhook_version (version) VALUES (1);

-- Webhooks whose deliveries have to be removed.
CREATE TABLE webhook_removed (webhook_id BIGINT PRIMARY KEY);

-- What is kept of events for the deliveries of them; payload is null once it has expired or
-- was erased. copied_from, if not null, is the event that this one repeats under another id.
CREATE TABLE webhook_events (
    event_id     TEXT PRIMARY KEY,
    type         TEXT NOT NULL,
    pos          BIGINT NOT NULL,
    payload      TEXT,
    ordering_key TEXT NOT NULL,
    ref          BIGINT,
    copied_from  TEXT,
    occurred_at  BIGINT NOT NULL,
    created_at   BIGINT NOT NULL
);
CREATE INDEX webhook_events_ref ON webhook_events (ref) WHERE ref IS NOT NULL;
CREATE INDEX webhook_events_copied ON webhook_events (copied_from) WHERE copied_from IS NOT NULL;
CREATE INDEX webhook_events_created ON webhook_events (created_at, event_id);

-- One event for one webhook. phase is the state as sending asks for it: 0 due, 1 being sent,
-- 2 paused, 3 final. lane, if not null, is what the delivery is in order with; then phase is
-- -1 while another one has its turn there.
CREATE TABLE webhook_deliveries (
    id              INTEGER PRIMARY KEY AUTOINCREMENT,
    webhook_id      BIGINT NOT NULL,
    event_id        TEXT NOT NULL,
    event_type      TEXT NOT NULL,
    lane            TEXT,
    caused_by       TEXT NOT NULL,
    state           TEXT NOT NULL,
    phase           BIGINT NOT NULL,
    attempts        BIGINT NOT NULL DEFAULT 0,
    failed          BIGINT NOT NULL DEFAULT 0,
    cycle           BIGINT NOT NULL DEFAULT 0,
    cycle_start     BIGINT NOT NULL,
    created_at      BIGINT NOT NULL,
    last_attempt_at BIGINT NOT NULL DEFAULT 0,
    delivered_at    BIGINT NOT NULL DEFAULT 0,
    next_at         BIGINT NOT NULL DEFAULT 0,
    response_status BIGINT NOT NULL DEFAULT 0,
    response_body   TEXT NOT NULL DEFAULT '',
    error_code      TEXT NOT NULL DEFAULT '',
    error_message   TEXT NOT NULL DEFAULT '',
    duration        BIGINT NOT NULL DEFAULT 0,
    lease_until     BIGINT NOT NULL DEFAULT 0,
    by_hand         BIGINT NOT NULL DEFAULT 0,
    job             TEXT
);
CREATE UNIQUE INDEX webhook_deliveries_once ON webhook_deliveries (event_id, webhook_id);
CREATE INDEX webhook_deliveries_listed ON webhook_deliveries (webhook_id, created_at, id);
CREATE INDEX webhook_deliveries_waiting ON webhook_deliveries (webhook_id, phase, next_at, id) WHERE phase < 3;
CREATE INDEX webhook_deliveries_lanes ON webhook_deliveries (webhook_id, lane, phase, id) WHERE lane IS NOT NULL AND phase < 3;
CREATE INDEX webhook_deliveries_by_hand ON webhook_deliveries (id) WHERE by_hand > 0;
CREATE INDEX webhook_deliveries_job ON webhook_deliveries (job, state) WHERE job IS NOT NULL;

-- Attempts; id is 10,000 times that of the delivery, and the attempt's number there. detail is
-- JSON, which erasing leaves only how it went.
CREATE TABLE webhook_attempts (
    id         INTEGER PRIMARY KEY,
    webhook_id BIGINT NOT NULL,
    started_at BIGINT NOT NULL,
    duration   BIGINT NOT NULL,
    error_code TEXT NOT NULL,
    detail     TEXT NOT NULL
);
CREATE INDEX webhook_attempts_webhook ON webhook_attempts (webhook_id, started_at);

CREATE TABLE webhook_jobs (
    id          TEXT PRIMARY KEY,
    webhook_id  BIGINT NOT NULL,
    kind        TEXT NOT NULL,
    state       TEXT NOT NULL,
    error       TEXT NOT NULL DEFAULT '',
    detail      TEXT NOT NULL,
    at          BIGINT NOT NULL DEFAULT 0,
    matched     BIGINT NOT NULL DEFAULT 0,
    queued      BIGINT NOT NULL DEFAULT 0,
    created_at  BIGINT NOT NULL,
    updated_at  BIGINT NOT NULL
);
CREATE INDEX webhook_jobs_running ON webhook_jobs (created_at) WHERE state = 'running';
