-- Payments after an id, with all of their events, as they were at one moment.
WITH batch AS (
    SELECT id, version, head FROM payments.payments WHERE $1::uuid IS NULL OR id > $1::uuid ORDER BY id LIMIT $2::bigint
)
SELECT batch.id, batch.version, batch.head, seq, type, data, at, hash
FROM batch LEFT JOIN payments.payment_events AS event ON event.payment_id = batch.id
ORDER BY batch.id, seq
