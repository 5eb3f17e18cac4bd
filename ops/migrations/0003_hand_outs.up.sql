-- Which file of which export was handed out to whom, and when. Written by the API, before each redirect.
CREATE TABLE ebbtide.hand_outs (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    org text NOT NULL,
    request_id text NOT NULL,
    file integer NOT NULL,
    name text NOT NULL,
    principal text NOT NULL,
    at bigint NOT NULL
);
COMMENT ON COLUMN ebbtide.hand_outs.principal IS 'A keyed hash of issuer and subject.';
COMMENT ON COLUMN ebbtide.hand_outs.at IS 'Milliseconds since the epoch, UTC.';
CREATE INDEX hand_outs_of ON ebbtide.hand_outs (org, request_id, id);
