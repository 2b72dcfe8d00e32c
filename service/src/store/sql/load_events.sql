SELECT payment_id, seq, type, data, at, hash
FROM payments.payment_events
WHERE payment_id = $1::uuid AND seq > $2::integer
ORDER BY seq
LIMIT $3::bigint
