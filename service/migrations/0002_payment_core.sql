-- phase: expand
-- What /v1 writes and reads. Nothing here refers to `accounts` with a foreign key from a payment: each payment would
-- lock its account's row, and accounts are never deleted.

-- One row: the region whose payments this database may hold.
CREATE TABLE payments.residency (
    is_only boolean PRIMARY KEY DEFAULT true CHECK (is_only),
    region  text    NOT NULL CHECK (region <> '')
);

CREATE TABLE payments.accounts (
    id         uuid        PRIMARY KEY,
    name       text        NOT NULL UNIQUE CHECK (length(name) BETWEEN 1 AND 100),
    created_at timestamptz NOT NULL DEFAULT now()
);

-- Keys are long and random, so that their digests need no salt and no slow hash. Revoked keys are kept, so that the
-- events that name them can be understood.
CREATE TABLE payments.api_keys (
    id         uuid        PRIMARY KEY,
    account_id uuid        NOT NULL REFERENCES payments.accounts,
    digest     bytea       NOT NULL UNIQUE CHECK (length(digest) = 32),
    scopes     text[]      NOT NULL CHECK (cardinality(scopes) > 0),
    slot       smallint    NOT NULL CHECK (slot IN (1, 2)),
    created_at timestamptz NOT NULL DEFAULT now(),
    revoked_at timestamptz
);
-- At most two keys of an account are valid at a time: an old one and its successor.
CREATE UNIQUE INDEX api_keys_valid ON payments.api_keys (account_id, slot) WHERE revoked_at IS NULL;

-- Amounts are in minor units of the currency. `refunding` is what refunds under way ask for.
CREATE TABLE payments.payments (
    id                 uuid        PRIMARY KEY,
    account_id         uuid        NOT NULL,
    region             text        NOT NULL,
    status             text        NOT NULL CHECK (status IN (
        'created', 'authorized', 'capturing', 'voiding', 'captured', 'partially_refunded', 'refunded', 'failed',
        'voided', 'expired', 'unknown')),
    amount             bigint      NOT NULL CHECK (amount > 0),
    captured           bigint      NOT NULL CHECK (captured BETWEEN 0 AND amount),
    refunded           bigint      NOT NULL CHECK (refunded >= 0),
    refunding          bigint      NOT NULL CHECK (refunding >= 0),
    currency           text        NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    capture_method     text        NOT NULL CHECK (capture_method IN ('automatic', 'manual')),
    payment_method     text        NOT NULL,
    customer           text,
    description        text,
    metadata           jsonb       NOT NULL,
    failure            text,
    authorized_until   timestamptz,
    provider_reference text,
    version            integer     NOT NULL CHECK (version > 0),
    head               bytea       NOT NULL CHECK (length(head) = 32),
    created_at         timestamptz NOT NULL,
    updated_at         timestamptz NOT NULL,
    CHECK (refunded + refunding <= captured)
);
-- Ids are ordered by time, so lists need no other order.
CREATE INDEX payments_by_account ON payments.payments (account_id, id);
CREATE INDEX payments_by_customer ON payments.payments (account_id, customer, id) WHERE customer IS NOT NULL;
CREATE INDEX payments_by_status ON payments.payments (account_id, status, id);
CREATE INDEX payments_to_expire ON payments.payments (authorized_until) WHERE status = 'authorized';

-- Requests to the payment provider. `check_at` is when an operation without an answer is looked up.
CREATE TABLE payments.operations (
    id              uuid        PRIMARY KEY,
    payment_id      uuid        NOT NULL REFERENCES payments.payments,
    account_id      uuid        NOT NULL,
    kind            text        NOT NULL CHECK (kind IN ('authorize', 'charge', 'capture', 'void', 'refund')),
    amount          bigint      NOT NULL CHECK (amount > 0),
    state           text        NOT NULL CHECK (state IN ('pending', 'unknown', 'succeeded', 'failed')),
    failure         text,
    idempotency_key text        NOT NULL,
    check_at        timestamptz NOT NULL,
    checks          integer     NOT NULL DEFAULT 0,
    created_at      timestamptz NOT NULL,
    settled_at      timestamptz
);
CREATE INDEX operations_by_payment ON payments.operations (payment_id, id);
CREATE INDEX operations_to_check ON payments.operations (check_at) WHERE state IN ('pending', 'unknown');

-- What happened to a payment, and nothing personal. `position` is the order of insertion over all payments, and
-- `recorded_at` the database's own clock beside the service's `at`.
CREATE TABLE payments.payment_events (
    payment_id  uuid        NOT NULL REFERENCES payments.payments,
    seq         integer     NOT NULL CHECK (seq > 0),
    position    bigint      NOT NULL GENERATED ALWAYS AS IDENTITY UNIQUE CHECK (position > 0),
    type        text        NOT NULL,
    data        text        NOT NULL,
    at          timestamptz NOT NULL,
    hash        bytea       NOT NULL CHECK (length(hash) = 32),
    recorded_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (payment_id, seq)
);

-- The ledger. One row has both sides, so it adds up to zero; one row per operation, so none is booked twice.
CREATE TABLE payments.transfers (
    operation_id   uuid        PRIMARY KEY REFERENCES payments.operations,
    payment_id     uuid        NOT NULL REFERENCES payments.payments,
    debit_account  text        NOT NULL,
    credit_account text        NOT NULL CHECK (credit_account <> debit_account),
    amount         bigint      NOT NULL CHECK (amount > 0),
    currency       text        NOT NULL,
    at             timestamptz NOT NULL
);

-- What a client's repeated request is answered with. `status` and `body` are missing while the first one is under way.
CREATE TABLE payments.idempotency_keys (
    account_id  uuid        NOT NULL,
    key         text        NOT NULL CHECK (length(key) BETWEEN 1 AND 255),
    fingerprint bytea       NOT NULL CHECK (length(fingerprint) = 32),
    resource_id uuid        NOT NULL,
    status      smallint,
    body        text,
    created_at  timestamptz NOT NULL,
    PRIMARY KEY (account_id, key)
);
CREATE INDEX idempotency_keys_by_age ON payments.idempotency_keys (created_at);

-- Events that have not been passed on yet.
CREATE TABLE payments.outbox (
    id         bigint  PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    account_id uuid    NOT NULL,
    payment_id uuid    NOT NULL,
    seq        integer NOT NULL,
    UNIQUE (payment_id, seq)
);
