-- Keys are only ever added and revoked, so these numbers change with every change.
SELECT count(*), count(revoked_at) FROM payments.api_keys
