-- +goose Up
-- What the database says of itself: its epoch and who numbers.
CREATE TABLE meta (
    key   TEXT PRIMARY KEY,
    value TEXT NOT NULL
);

-- The log. pos is given at insert here: the one writer knows the order of commits.
CREATE TABLE events (
    id          INTEGER PRIMARY KEY,
    pos         BIGINT,
    event_id    TEXT NOT NULL,
    type        TEXT NOT NULL,
    stream      TEXT,
    stream_seq  BIGINT,
    ref         BIGINT,
    actor       TEXT NOT NULL,
    payload     TEXT NOT NULL,
    occurred_at BIGINT NOT NULL
);
CREATE UNIQUE INDEX events_pos ON events (pos);
CREATE UNIQUE INDEX events_event_id ON events (event_id);
CREATE UNIQUE INDEX events_stream ON events (stream, stream_seq) WHERE stream IS NOT NULL;
CREATE INDEX events_ref ON events (ref) WHERE ref IS NOT NULL;

-- Numbers of streams that no row of another table counts.
CREATE TABLE streams (
    name TEXT PRIMARY KEY,
    seq  BIGINT NOT NULL
);

CREATE TABLE cursors (
    sink       TEXT PRIMARY KEY,
    pos        BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);

-- Events that a sink refused for good.
CREATE TABLE refused_events (
    sink       TEXT NOT NULL,
    event_id   TEXT NOT NULL,
    type       TEXT NOT NULL,
    pos        BIGINT NOT NULL,
    error      TEXT NOT NULL,
    refused_at BIGINT NOT NULL,
    PRIMARY KEY (sink, event_id)
);
