-- +goose Up
-- What was uploaded. A row is stored after its bytes, under storage_key, are durable.
CREATE TABLE files (
    id          TEXT PRIMARY KEY,
    owner_id    BIGINT NOT NULL,
    kind        TEXT NOT NULL,
    name        TEXT NOT NULL,
    mime        TEXT NOT NULL,
    size        BIGINT NOT NULL,
    sha256      TEXT NOT NULL,
    width       BIGINT NOT NULL DEFAULT 0,
    height      BIGINT NOT NULL DEFAULT 0,
    duration_ms BIGINT NOT NULL DEFAULT 0,
    blurhash    TEXT NOT NULL DEFAULT '',
    storage_key TEXT NOT NULL,
    thumb_key   TEXT NOT NULL DEFAULT '',
    created_at  BIGINT NOT NULL
);
CREATE INDEX files_owner ON files (owner_id);
CREATE INDEX files_created ON files (created_at) WHERE kind <> 'avatar';
CREATE UNIQUE INDEX files_storage ON files (storage_key);
CREATE UNIQUE INDEX files_thumb ON files (thumb_key) WHERE thumb_key <> '';

-- Which messages have which files. A message can only have a file that is there.
CREATE TABLE message_files (
    message_id BIGINT NOT NULL,
    file_id    TEXT NOT NULL REFERENCES files (id),
    position   BIGINT NOT NULL,
    PRIMARY KEY (message_id, file_id)
);
CREATE INDEX message_files_file ON message_files (file_id);

-- Uploads in chunks. file_id is '' until the upload has become a file.
CREATE TABLE uploads (
    id         TEXT PRIMARY KEY,
    owner_id   BIGINT NOT NULL,
    name       TEXT NOT NULL,
    size       BIGINT NOT NULL,
    received   BIGINT NOT NULL DEFAULT 0,
    file_id    TEXT NOT NULL DEFAULT '',
    created_at BIGINT NOT NULL,
    touched_at BIGINT NOT NULL
);
CREATE INDEX uploads_owner ON uploads (owner_id);
CREATE INDEX uploads_touched ON uploads (touched_at);

-- What each user stores, in bytes, unfinished uploads included: the row that concurrent
-- uploads of one user wait for, so that the quota holds exactly.
CREATE TABLE file_usage (
    owner_id BIGINT PRIMARY KEY,
    bytes    BIGINT NOT NULL
);
