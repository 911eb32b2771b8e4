-- +goose Up
-- Times are milliseconds since 1970. last_seq numbers messages, last_event_seq the
-- changes of the chat's stream.
CREATE TABLE chats (
    id               INTEGER PRIMARY KEY,
    kind             TEXT NOT NULL,
    direct_key       TEXT UNIQUE,
    title            TEXT NOT NULL DEFAULT '',
    about            TEXT NOT NULL DEFAULT '',
    avatar_file_id   TEXT NOT NULL DEFAULT '',
    owner_id         BIGINT NOT NULL DEFAULT 0,
    last_seq         BIGINT NOT NULL DEFAULT 0,
    last_event_seq   BIGINT NOT NULL DEFAULT 0,
    last_message_at  BIGINT NOT NULL DEFAULT 0,
    last_activity_at BIGINT NOT NULL,
    member_count     BIGINT NOT NULL DEFAULT 0,
    settings         TEXT NOT NULL DEFAULT '{}',
    retention_days   BIGINT NOT NULL DEFAULT 0,
    purged_below_seq BIGINT NOT NULL DEFAULT 0,
    legal_hold       BOOLEAN NOT NULL DEFAULT FALSE,
    state            TEXT NOT NULL DEFAULT 'active',
    created_by       BIGINT NOT NULL,
    created_at       BIGINT NOT NULL,
    updated_at       BIGINT NOT NULL
);

CREATE TABLE members (
    chat_id           BIGINT NOT NULL,
    user_id           BIGINT NOT NULL,
    role              TEXT NOT NULL DEFAULT 'member',
    state             TEXT NOT NULL DEFAULT 'active',
    joined_at         BIGINT NOT NULL,
    joined_seq        BIGINT NOT NULL DEFAULT 0,
    visible_from_seq  BIGINT NOT NULL DEFAULT 0,
    read_seq          BIGINT NOT NULL DEFAULT 0,
    read_at           BIGINT NOT NULL DEFAULT 0,
    delivered_seq     BIGINT NOT NULL DEFAULT 0,
    delivered_at      BIGINT NOT NULL DEFAULT 0,
    manual_unread_seq BIGINT NOT NULL DEFAULT 0,
    muted_until       BIGINT NOT NULL DEFAULT 0,
    pin_order         BIGINT NOT NULL DEFAULT 0,
    archived          BOOLEAN NOT NULL DEFAULT FALSE,
    hidden            BOOLEAN NOT NULL DEFAULT FALSE,
    draft             TEXT NOT NULL DEFAULT '',
    last_sent_at      BIGINT NOT NULL DEFAULT 0,
    event_seq         BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (chat_id, user_id)
) WITHOUT ROWID;
CREATE INDEX members_user ON members (user_id, state);
CREATE INDEX members_read ON members (chat_id, read_seq);
CREATE INDEX members_event ON members (chat_id, event_seq);

-- sender_id is 0 for system messages.
CREATE TABLE messages (
    id           INTEGER PRIMARY KEY,
    chat_id      BIGINT NOT NULL,
    seq          BIGINT NOT NULL,
    sender_id    BIGINT NOT NULL,
    message_type TEXT NOT NULL,
    text         TEXT NOT NULL,
    entities     TEXT NOT NULL DEFAULT '',
    client_id    TEXT,
    client_hash  TEXT NOT NULL DEFAULT '',
    reply_to_id  BIGINT NOT NULL DEFAULT 0,
    forward      TEXT NOT NULL DEFAULT '',
    system       TEXT NOT NULL DEFAULT '',
    metadata     TEXT NOT NULL DEFAULT '',
    attachments  TEXT NOT NULL DEFAULT '',
    mentions     TEXT NOT NULL DEFAULT '',
    silent       BOOLEAN NOT NULL DEFAULT FALSE,
    pinned_at    BIGINT NOT NULL DEFAULT 0,
    created_at   BIGINT NOT NULL,
    edited_at    BIGINT NOT NULL DEFAULT 0,
    version      BIGINT NOT NULL DEFAULT 1,
    deleted_at   BIGINT NOT NULL DEFAULT 0,
    deleted_by   BIGINT NOT NULL DEFAULT 0,
    event_seq    BIGINT NOT NULL
);
CREATE UNIQUE INDEX messages_seq ON messages (chat_id, seq);
CREATE UNIQUE INDEX messages_client ON messages (chat_id, sender_id, client_id) WHERE client_id IS NOT NULL;
CREATE INDEX messages_event ON messages (chat_id, event_seq);
CREATE INDEX messages_sender ON messages (sender_id, created_at);
CREATE INDEX messages_reply ON messages (reply_to_id) WHERE reply_to_id > 0;
CREATE INDEX messages_pinned ON messages (chat_id, pinned_at) WHERE pinned_at > 0;
-- What does not count as unread: so that counting reads exceptions, not messages.
CREATE INDEX messages_uncounted ON messages (chat_id, seq, deleted_at) WHERE deleted_at > 0 OR message_type = 'system';

CREATE TABLE message_edits (
    message_id BIGINT NOT NULL,
    version    BIGINT NOT NULL,
    text       TEXT NOT NULL,
    entities   TEXT NOT NULL DEFAULT '',
    edited_at  BIGINT NOT NULL,
    PRIMARY KEY (message_id, version)
);

-- "Delete for me".
CREATE TABLE message_hidden (
    user_id    BIGINT NOT NULL,
    chat_id    BIGINT NOT NULL,
    seq        BIGINT NOT NULL,
    message_id BIGINT NOT NULL,
    PRIMARY KEY (user_id, chat_id, seq)
);

CREATE TABLE reactions (
    message_id BIGINT NOT NULL,
    user_id    BIGINT NOT NULL,
    emoji      TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (message_id, user_id, emoji)
);
CREATE INDEX reactions_user ON reactions (user_id);

CREATE TABLE mentions (
    user_id    BIGINT NOT NULL,
    chat_id    BIGINT NOT NULL,
    seq        BIGINT NOT NULL,
    message_id BIGINT NOT NULL,
    PRIMARY KEY (user_id, chat_id, seq)
);
CREATE INDEX mentions_message ON mentions (message_id);

CREATE TABLE blocks (
    user_id    BIGINT NOT NULL,
    blocked_id BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (user_id, blocked_id)
);
CREATE INDEX blocks_blocked ON blocks (blocked_id);

-- state: outgoing, incoming, accepted.
CREATE TABLE contacts (
    user_id    BIGINT NOT NULL,
    contact_id BIGINT NOT NULL,
    state      TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (user_id, contact_id)
);

CREATE TABLE invites (
    id         TEXT PRIMARY KEY,
    chat_id    BIGINT NOT NULL,
    created_by BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL DEFAULT 0,
    max_uses   BIGINT NOT NULL DEFAULT 0,
    uses       BIGINT NOT NULL DEFAULT 0,
    revoked_at BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX invites_chat ON invites (chat_id);

-- When who had read up to where, in small chats, for seven days.
CREATE TABLE read_log (
    chat_id BIGINT NOT NULL,
    user_id BIGINT NOT NULL,
    seq     BIGINT NOT NULL,
    at      BIGINT NOT NULL,
    PRIMARY KEY (chat_id, user_id, seq)
);
CREATE INDEX read_log_at ON read_log (at);

-- First replies of creating calls, for a day.
CREATE TABLE idempotency (
    principal  TEXT NOT NULL,
    key        TEXT NOT NULL,
    request    TEXT NOT NULL,
    status     BIGINT NOT NULL,
    response   TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (principal, key)
);
CREATE INDEX idempotency_at ON idempotency (created_at);

-- Work that is done later: exports and erasures.
CREATE TABLE jobs (
    id         TEXT PRIMARY KEY,
    kind       TEXT NOT NULL,
    user_id    BIGINT NOT NULL,
    state      TEXT NOT NULL,
    detail     TEXT NOT NULL DEFAULT '',
    due_at     BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    ended_at   BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX jobs_due ON jobs (state, due_at);
CREATE INDEX jobs_user ON jobs (user_id, kind);

CREATE TABLE audit_log (
    id     INTEGER PRIMARY KEY,
    actor  TEXT NOT NULL,
    action TEXT NOT NULL,
    target TEXT NOT NULL,
    data   TEXT NOT NULL DEFAULT '',
    ip     TEXT NOT NULL DEFAULT '',
    at     BIGINT NOT NULL
);
