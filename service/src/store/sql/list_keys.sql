SELECT account.id, account.name, key.id, key.scopes, key.created_at, key.revoked_at
FROM payments.accounts AS account
JOIN payments.api_keys AS key ON key.account_id = account.id
ORDER BY account.name, key.id
