
-- The newest certificate of deletion of each job. Written by the projector.
CREATE TABLE ebbtide.certificates (
    org text NOT NULL,
    request_id text NOT NULL,
    version integer NOT NULL,
    issued_at bigint NOT NULL,
    body text NOT NULL,
    PRIMARY KEY (org, request_id)
);
COMMENT ON COLUMN ebbtide.certificates.issued_at IS 'Milliseconds since the epoch, UTC.';
