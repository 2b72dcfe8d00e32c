SELECT number, through, hash, entries FROM payments.event_seals WHERE number > $1::bigint ORDER BY number LIMIT 1
