-- +goose Up
-- Every index costs sending. The messages of somebody are found chat by chat in the index of
-- client ids, which has those without one too now: they differ from each other.
DROP INDEX messages_sender;
DROP INDEX messages_client;
CREATE UNIQUE INDEX messages_client ON messages (chat_id, sender_id, client_id);
