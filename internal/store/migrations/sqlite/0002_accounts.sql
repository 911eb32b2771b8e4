-- +goose Up
-- People and bots. The number of an account is never given again.
CREATE TABLE users (
    id                INTEGER PRIMARY KEY AUTOINCREMENT,
    external_id       TEXT UNIQUE,
    username          TEXT UNIQUE,
    email             TEXT UNIQUE,
    email_verified_at BIGINT,
    name              TEXT NOT NULL,
    about             TEXT NOT NULL DEFAULT '',
    avatar_file_id    TEXT,
    picture           TEXT,
    password_hash     TEXT,
    role              TEXT NOT NULL CHECK (role IN ('user', 'admin')),
    kind              TEXT NOT NULL CHECK (kind IN ('human', 'bot')),
    state             TEXT NOT NULL CHECK (state IN ('active', 'suspended', 'deleted')),
    lang              TEXT NOT NULL DEFAULT '',
    tz                TEXT NOT NULL DEFAULT '',
    privacy           TEXT NOT NULL,
    last_seen_at      BIGINT,
    user_seq          BIGINT NOT NULL DEFAULT 0, -- of the stream user:{id}
    search_name       TEXT NOT NULL,             -- name and username in lower case, ё as е
    created_at        BIGINT NOT NULL,
    updated_at        BIGINT NOT NULL
);
CREATE INDEX users_admins ON users (id) WHERE role = 'admin';

-- Logins. Secrets are kept as SHA-256 in hex: family that of the part of a refresh token
-- that stays, refresh_hash that of the part that changes; replaced is a JSON list of the
-- hashes that were current before, with the time of their replacement.
CREATE TABLE sessions (
    id            TEXT PRIMARY KEY,
    user_id       BIGINT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    family        TEXT NOT NULL UNIQUE,
    refresh_hash  TEXT NOT NULL,
    replaced      TEXT NOT NULL,
    device        TEXT NOT NULL,
    platform      TEXT NOT NULL,
    ip            TEXT NOT NULL,
    user_agent    TEXT NOT NULL,
    created_at    BIGINT NOT NULL,
    last_used_at  BIGINT NOT NULL,
    expires_at    BIGINT NOT NULL,
    revoked_at    BIGINT,
    revoke_reason TEXT
);
CREATE INDEX sessions_user ON sessions (user_id, last_used_at);
CREATE INDEX sessions_expiry ON sessions (expires_at);

-- Tokens sent or handed to people, good for max_uses uses; hash is SHA-256 in hex.
CREATE TABLE account_tokens (
    hash       TEXT PRIMARY KEY,
    purpose    TEXT NOT NULL,
    user_id    BIGINT REFERENCES users (id) ON DELETE CASCADE,
    email      TEXT,
    max_uses   INTEGER NOT NULL,
    uses       INTEGER NOT NULL DEFAULT 0,
    created_by BIGINT,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);
CREATE INDEX account_tokens_user ON account_tokens (user_id, purpose);
CREATE INDEX account_tokens_expiry ON account_tokens (expires_at);

-- Keys of services. The key itself is kept as SHA-256 in hex.
CREATE TABLE api_keys (
    id           TEXT PRIMARY KEY,
    hash         TEXT NOT NULL UNIQUE,
    name         TEXT NOT NULL,
    hint         TEXT NOT NULL,
    scopes       TEXT NOT NULL,
    created_by   BIGINT,
    created_at   BIGINT NOT NULL,
    expires_at   BIGINT,
    last_used_at BIGINT,
    revoked_at   BIGINT
);
