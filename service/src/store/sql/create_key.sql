-- Adds a key to an account, which is created with its first one. False if the account has two valid keys.
WITH account AS (
    INSERT INTO payments.accounts (id, name) VALUES ($1::uuid, $2::text)
    ON CONFLICT (name) DO UPDATE SET name = excluded.name
    RETURNING id
), free AS (
    SELECT account.id AS account_id, min(slot) AS slot
    FROM account CROSS JOIN (VALUES (1), (2)) AS slots (slot)
    WHERE NOT EXISTS (
        SELECT FROM payments.api_keys AS key
        WHERE key.account_id = account.id AND key.slot = slots.slot AND key.revoked_at IS NULL)
    GROUP BY account.id
), created AS (
    INSERT INTO payments.api_keys (id, account_id, digest, scopes, slot)
    SELECT $3::uuid, account_id, $4::bytea, $5::text[], slot FROM free
    ON CONFLICT DO NOTHING
    RETURNING 1
)
SELECT EXISTS (SELECT FROM created) OR EXISTS (SELECT FROM payments.api_keys WHERE id = $3::uuid)
