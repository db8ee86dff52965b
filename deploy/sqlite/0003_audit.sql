-- The audit trail becomes a chain: each record holds the hash of the one before. What stands in the trail by now is
-- taken in by the program, which knows how to hash.

ALTER TABLE audit RENAME TO audit_before;
CREATE TABLE audit (
    id       INTEGER PRIMARY KEY,     -- without gaps
    at_ms    INTEGER NOT NULL,
    actor    TEXT NOT NULL,
    action   TEXT NOT NULL,
    subject  TEXT NOT NULL,
    detail   TEXT NOT NULL,           -- JSON object
    previous TEXT NOT NULL,           -- hash of the record before
    hash     TEXT NOT NULL,           -- SHA-256 of the record with it
    tenant   TEXT GENERATED ALWAYS AS (detail ->> 'tenant') VIRTUAL  -- null: of the installation
) STRICT;
