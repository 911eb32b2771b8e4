-- +goose Up
-- What people ask the operator. 0 is nobody and never.
CREATE TABLE tickets (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    user_id       BIGINT NOT NULL,
    title         TEXT NOT NULL,
    status        TEXT NOT NULL,
    priority      TEXT NOT NULL,
    assignee_id   BIGINT NOT NULL DEFAULT 0,
    blocked_until BIGINT NOT NULL DEFAULT 0,
    messages      BIGINT NOT NULL,
    created_at    BIGINT NOT NULL,
    updated_at    BIGINT NOT NULL,
    closed_at     BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX tickets_user ON tickets (user_id, id);
CREATE INDEX tickets_opened ON tickets (user_id, created_at);
CREATE INDEX tickets_status ON tickets (status, id);
CREATE INDEX tickets_assignee ON tickets (assignee_id, id) WHERE assignee_id <> 0;

-- author_id is 0 for a service.
CREATE TABLE ticket_messages (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    ticket_id     BIGINT NOT NULL,
    author_id     BIGINT NOT NULL,
    from_operator BOOLEAN NOT NULL,
    text          TEXT NOT NULL,
    created_at    BIGINT NOT NULL
);
CREATE INDEX ticket_messages_ticket ON ticket_messages (ticket_id, id);
CREATE INDEX ticket_messages_author ON ticket_messages (author_id, created_at);

CREATE TABLE ticket_files (
    message_id BIGINT NOT NULL,
    file_id    TEXT NOT NULL REFERENCES files (id),
    position   BIGINT NOT NULL,
    caption    TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (message_id, file_id)
) WITHOUT ROWID;
CREATE INDEX ticket_files_file ON ticket_files (file_id);
