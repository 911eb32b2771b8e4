-- +goose Up
-- Money in minor units. effect is what the transaction does to the balance once it is
-- completed: 1 adds, -1 takes, 0 neither. completed_at is 0 as long as it is pending;
-- began_pending tells a repeated request from another one.
CREATE TABLE transactions (
    id            INTEGER PRIMARY KEY,
    user_id       BIGINT NOT NULL REFERENCES users (id),
    type          TEXT NOT NULL,
    effect        SMALLINT NOT NULL CHECK (effect IN (-1, 0, 1)),
    amount        BIGINT NOT NULL CHECK (amount >= 0),
    method        TEXT NOT NULL,
    external_id   TEXT NOT NULL,
    description   TEXT NOT NULL,
    began_pending BOOLEAN NOT NULL,
    created_at    BIGINT NOT NULL,
    completed_at  BIGINT NOT NULL
);
CREATE UNIQUE INDEX transactions_external ON transactions (method, external_id) WHERE external_id <> '';
CREATE INDEX transactions_user ON transactions (user_id, id);

-- The sum of the completed transactions of a person. Whoever changes it holds its row.
CREATE TABLE balances (
    user_id BIGINT PRIMARY KEY REFERENCES users (id),
    amount  BIGINT NOT NULL CHECK (amount >= 0)
);
