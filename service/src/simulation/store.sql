INSERT INTO payments.simulated_payments (id, region, status) VALUES ($1, $2, 'approved')
ON CONFLICT (id) DO UPDATE SET status = EXCLUDED.status
RETURNING region, status
