-- +goose Up
-- What people publish of themselves. Shares (score, confidence) are in ten-thousandths.
CREATE TABLE trust_identities (
    id           TEXT PRIMARY KEY,
    user_id      BIGINT NOT NULL,
    username     TEXT NOT NULL,
    display_name TEXT NOT NULL,
    public_key   TEXT NOT NULL,
    fingerprint  TEXT NOT NULL,
    level        TEXT NOT NULL,
    score        BIGINT NOT NULL,
    created_at   BIGINT NOT NULL,
    updated_at   BIGINT NOT NULL
);
CREATE UNIQUE INDEX trust_identities_user ON trust_identities (user_id);
CREATE UNIQUE INDEX trust_identities_username ON trust_identities (username);
CREATE INDEX trust_identities_fingerprint ON trust_identities (fingerprint, id);

-- The evidence about them, and attempts at it. challenge and secret are '' when nothing is awaited.
CREATE TABLE trust_verifications (
    id          TEXT PRIMARY KEY,
    identity_id TEXT NOT NULL REFERENCES trust_identities (id),
    type        TEXT NOT NULL,
    status      TEXT NOT NULL,
    confidence  BIGINT NOT NULL,
    verifier    TEXT NOT NULL,
    begun_by    TEXT NOT NULL,
    challenge   TEXT NOT NULL,
    secret      TEXT NOT NULL,
    tries       BIGINT NOT NULL,
    created_at  BIGINT NOT NULL,
    updated_at  BIGINT NOT NULL,
    expires_at  BIGINT NOT NULL
);
CREATE INDEX trust_verifications_identity ON trust_verifications (identity_id, type, status);
CREATE INDEX trust_verifications_begun ON trust_verifications (begun_by, created_at);
CREATE INDEX trust_verifications_status ON trust_verifications (status, id);
CREATE INDEX trust_verifications_due ON trust_verifications (expires_at) WHERE status IN ('pending', 'verified');
CREATE INDEX trust_verifications_ended ON trust_verifications (updated_at) WHERE status IN ('failed', 'expired');
CREATE UNIQUE INDEX trust_verifications_word ON trust_verifications (identity_id, verifier) WHERE type = 'member' AND status = 'verified';
