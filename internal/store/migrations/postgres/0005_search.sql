-- +goose Up
-- The full-text index of messages: tsv is what package search made of the text, with the
-- message's chat and what else is asked for of all messages of a chat. It is a table of
-- its own because a column of messages would be written twice for every message.
CREATE TABLE message_index (
    rowid BIGINT PRIMARY KEY,
    tsv   tsvector NOT NULL
);
CREATE INDEX message_index_tsv ON message_index USING gin (tsv);

-- Messages with files, for who asks for nothing else.
CREATE INDEX messages_files ON messages (chat_id, id) WHERE attachments <> '';
