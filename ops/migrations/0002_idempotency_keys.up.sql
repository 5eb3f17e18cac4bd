-- What was asked under an Idempotency-Key: the only table that the API itself writes.
CREATE TABLE ebbtide.idempotency_keys (
    org text NOT NULL,
    request_id text NOT NULL,
    fingerprint bytea NOT NULL,
    requested_at bigint NOT NULL,
    PRIMARY KEY (org, request_id)
);
COMMENT ON COLUMN ebbtide.idempotency_keys.fingerprint IS 'Keyed hash of call and body.';
CREATE INDEX idempotency_keys_age ON ebbtide.idempotency_keys (requested_at);
