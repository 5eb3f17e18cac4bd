-- How far what a target has deleted is proven to be gone (docs/requests.md, Proven).
ALTER TABLE ebbtide.job_parts
    ADD COLUMN gone bigint NOT NULL DEFAULT 0,
    ADD COLUMN verified bigint NOT NULL DEFAULT 0,
    ADD COLUMN exempt bigint NOT NULL DEFAULT 0,
    ADD COLUMN residual bigint NOT NULL DEFAULT 0,
    ADD COLUMN blocked_by text NOT NULL DEFAULT '';
