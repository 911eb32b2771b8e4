-- +goose Up
-- A job is in the hands of its holder until its lease ends; then it is anybody's.
ALTER TABLE jobs ADD COLUMN holder TEXT NOT NULL DEFAULT '';
ALTER TABLE jobs ADD COLUMN lease_until BIGINT NOT NULL DEFAULT 0;
ALTER TABLE jobs ADD COLUMN attempts BIGINT NOT NULL DEFAULT 0;
-- Whoever asks twice asks for one job.
CREATE UNIQUE INDEX jobs_live ON jobs (user_id, kind) WHERE state IN ('waiting', 'running');
CREATE INDEX jobs_ended ON jobs (ended_at) WHERE ended_at > 0;

-- Nothing of a person under legal hold is erased, nor purged from chats they are or were in.
ALTER TABLE users ADD COLUMN legal_hold BOOLEAN NOT NULL DEFAULT FALSE;
CREATE INDEX users_held ON users (id) WHERE legal_hold;

-- What names a person or a file of theirs where no other index finds it.
CREATE INDEX messages_forwarded ON messages (id) WHERE forward <> '';
CREATE INDEX chats_avatar ON chats (avatar_file_id) WHERE avatar_file_id <> '';
-- Purging finds what hangs on a message by the message.
CREATE INDEX message_hidden_place ON message_hidden (chat_id, seq);
CREATE INDEX chats_held ON chats (id) WHERE legal_hold;
