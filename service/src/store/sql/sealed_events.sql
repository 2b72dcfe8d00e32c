SELECT payment_id, seq, hash FROM payments.payment_events WHERE position > $1::bigint AND position <= $2::bigint
