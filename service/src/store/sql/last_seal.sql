SELECT number, through, entries, hash FROM payments.event_seals ORDER BY number DESC LIMIT 1
