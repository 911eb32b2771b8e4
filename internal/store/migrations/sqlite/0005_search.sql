-- +goose Up
-- The full-text index of messages: rowid is the message's id, tokens what package search
-- made of its text, facts its chat and what else is asked for of all messages of a chat.
-- It keeps what it indexed, so that an entry can be taken out when the analyzer would
-- make other tokens of the text; and takes it out of its pages at once, not when they
-- are merged some time.
CREATE VIRTUAL TABLE message_index USING fts5(tokens, facts, columnsize=0, tokenize='ascii', prefix='2 3');
INSERT INTO message_index (message_index, rank) VALUES ('secure-delete', 1);

-- Messages with files, for who asks for nothing else.
CREATE INDEX messages_files ON messages (chat_id, id) WHERE attachments <> '';
