-- +goose Up
-- Every index costs sending. A message that was only sent needs no place in the order of
-- changes: it is found by its seq. first_event_seq is the number of the change that sent it
-- (0: not known; it counts as changed).
ALTER TABLE messages ADD COLUMN first_event_seq BIGINT NOT NULL DEFAULT 0;
DROP INDEX messages_event;
CREATE INDEX messages_changed ON messages (chat_id, event_seq) WHERE first_event_seq <> event_seq;

-- How far the member has read who has read furthest, who that is, and how far the others have.
ALTER TABLE chats ADD COLUMN top_reader BIGINT NOT NULL DEFAULT 0;
ALTER TABLE chats ADD COLUMN top_read BIGINT NOT NULL DEFAULT 0;
ALTER TABLE chats ADD COLUMN next_read BIGINT NOT NULL DEFAULT 0;
UPDATE chats SET
    top_reader = coalesce((SELECT user_id FROM members WHERE chat_id = chats.id AND state = 'active' ORDER BY read_seq DESC, user_id LIMIT 1), 0),
    top_read = coalesce((SELECT read_seq FROM members WHERE chat_id = chats.id AND state = 'active' ORDER BY read_seq DESC, user_id LIMIT 1), 0),
    next_read = coalesce((SELECT read_seq FROM members WHERE chat_id = chats.id AND state = 'active' ORDER BY read_seq DESC, user_id LIMIT 1 OFFSET 1), 0);
DROP INDEX members_read;
