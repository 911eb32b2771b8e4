-- +goose Up
-- Pieces of the full-text index are merged in small steps by who writes them (backlog.go), not
-- hundreds of pages at once in somebody's commit.
INSERT INTO message_index (message_index, rank) VALUES ('automerge', 0);
