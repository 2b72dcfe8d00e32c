-- The events after the last seal, up to one that is a minute old. A transaction ends within seconds, so no event with a
-- smaller position can still appear. None before the first one is half a minute older, so that a seal covers more than
-- what happened since the last look.
SELECT position, payment_id, seq, hash
FROM payments.payment_events
WHERE position > $1::bigint
    AND position <= (
        SELECT max(position) FROM payments.payment_events
        WHERE position > $1::bigint AND recorded_at < now() - $3::integer * interval '1 second')
    AND EXISTS (
        SELECT FROM payments.payment_events
        WHERE position > $1::bigint AND recorded_at < now() - ($3::integer + 30) * interval '1 second')
ORDER BY position
LIMIT $2::bigint
