-- phase: expand
-- Each seal covers the events that were inserted since the one before: per event 16 bytes of the payment's id, 4 of the
-- sequence number, 32 of the hash, in the order of `position`. `through` is the last position that it covers.
CREATE TABLE payments.event_seals (
    number    bigint      PRIMARY KEY CHECK (number > 0),
    through   bigint      NOT NULL CHECK (through > 0),
    entries   bytea       NOT NULL CHECK (length(entries) > 0 AND length(entries) % 52 = 0),
    hash      bytea       NOT NULL CHECK (length(hash) = 32),
    sealed_at timestamptz NOT NULL DEFAULT now()
);
