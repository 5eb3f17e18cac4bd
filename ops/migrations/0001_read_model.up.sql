-- What the topics say, as tables (docs/api.md). Times are ms since the epoch, UTC, as the records have them.
CREATE TABLE ebbtide.read_from (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    cluster text NOT NULL,
    prefix text NOT NULL
);
COMMENT ON TABLE ebbtide.read_from IS 'The cluster and topic prefix that this read model is made from.';

CREATE TABLE ebbtide.positions (
    topic text NOT NULL,
    partition integer NOT NULL,
    next_offset bigint NOT NULL,
    PRIMARY KEY (topic, partition)
);
COMMENT ON TABLE ebbtide.positions IS 'All records below next_offset are in the tables.';

CREATE TABLE ebbtide.orgs (
    org text PRIMARY KEY,
    name text NOT NULL,
    region text NOT NULL,
    status text NOT NULL,
    contract_start bigint NOT NULL,
    contract_end bigint NOT NULL,
    shards integer NOT NULL,
    set_at bigint NOT NULL
);

CREATE TABLE ebbtide.org_retention (
    org text PRIMARY KEY,
    version integer NOT NULL,
    settings jsonb NOT NULL,
    template text NOT NULL,
    locked_until integer NOT NULL,
    request_id text NOT NULL,
    requested_by text NOT NULL,
    set_at bigint NOT NULL
);

CREATE TABLE ebbtide.policy_history (
    org text NOT NULL,
    version integer NOT NULL,
    settings jsonb NOT NULL,
    template text NOT NULL,
    locked_until integer NOT NULL,
    request_id text NOT NULL,
    requested_by text NOT NULL,
    set_at bigint NOT NULL,
    PRIMARY KEY (org, version)
);
COMMENT ON TABLE ebbtide.policy_history IS 'Every version that there ever was.';
COMMENT ON COLUMN ebbtide.policy_history.locked_until IS 'A day since the epoch up to which settings may only be extended; 0: none.';

CREATE TABLE ebbtide.privacy_jobs (
    org text NOT NULL,
    request_id text NOT NULL,
    kind text NOT NULL,
    state text NOT NULL,
    reason text NOT NULL,
    text text NOT NULL,
    version integer NOT NULL,
    requested_by text NOT NULL,
    requested_at bigint NOT NULL,
    updated_at bigint NOT NULL,
    deadline bigint NOT NULL,
    detail jsonb NOT NULL,
    PRIMARY KEY (org, request_id)
);
CREATE INDEX privacy_jobs_newest ON ebbtide.privacy_jobs (org, requested_at DESC, request_id DESC);

CREATE TABLE ebbtide.job_parts (
    org text NOT NULL,
    request_id text NOT NULL,
    partition integer NOT NULL,
    target text NOT NULL,
    due bigint NOT NULL,
    done bigint NOT NULL,
    changed bigint NOT NULL,
    withheld bigint NOT NULL,
    failed bigint NOT NULL,
    PRIMARY KEY (org, request_id, partition, target)
);

CREATE TABLE ebbtide.holds (
    org text NOT NULL,
    hold_id text NOT NULL,
    state text NOT NULL,
    categories text[] NOT NULL,
    subjects integer NOT NULL,
    records text[] NOT NULL,
    grace_days integer NOT NULL,
    request_id text NOT NULL,
    placed_at bigint NOT NULL,
    released_at bigint NOT NULL,
    updated_at bigint NOT NULL,
    PRIMARY KEY (org, hold_id)
);
COMMENT ON COLUMN ebbtide.holds.subjects IS 'How many people it names; who they are is not kept here.';

CREATE TABLE ebbtide.target_progress (
    work text NOT NULL,
    target text NOT NULL,
    partition integer NOT NULL,
    as_of_day integer NOT NULL,
    batches_sent bigint NOT NULL,
    batches_acked bigint NOT NULL,
    records_sent bigint NOT NULL,
    records_acked bigint NOT NULL,
    records_changed bigint NOT NULL,
    pending integer NOT NULL,
    blocked boolean NOT NULL,
    oldest_due_day integer NOT NULL,
    closed_records bigint NOT NULL,
    PRIMARY KEY (work, target, partition)
);
