-- Of two processes that seal at the same time, one comes too late.
WITH added AS (
    INSERT INTO payments.event_seals (number, through, entries, hash)
    VALUES ($1::bigint, $2::bigint, $3::bytea, $4::bytea)
    ON CONFLICT DO NOTHING
    RETURNING 1
)
SELECT EXISTS (SELECT FROM added)
