ALTER TABLE ebbtide.job_parts
    DROP COLUMN gone,
    DROP COLUMN verified,
    DROP COLUMN exempt,
    DROP COLUMN residual,
    DROP COLUMN blocked_by;
