-- Actions: what targets are asked to do because of alerts, where each stands, and when it got there. They take the
-- place of the table of revocations, which knew only that something was asked.

CREATE TABLE actions (
    id          TEXT PRIMARY KEY,          -- message id of its order: of target, session and cause
    target      TEXT NOT NULL,
    action      TEXT NOT NULL,             -- revoke_session …
    tenant      TEXT NOT NULL,
    user        TEXT,
    session     TEXT,
    address     TEXT,
    alert_id    TEXT NOT NULL,
    state       TEXT NOT NULL,             -- shadow, held, requested …
    by_machine  INTEGER NOT NULL,          -- it went, or would have, without a person's word
    decided_ms  INTEGER NOT NULL,
    updated_ms  INTEGER NOT NULL,
    due_ms      INTEGER,                   -- when its state changes by time alone
    body        TEXT NOT NULL              -- the action as JSON
) STRICT, WITHOUT ROWID;
CREATE INDEX actions_counted ON actions (target, tenant, action, decided_ms) WHERE by_machine;  -- what the brakes count
CREATE INDEX actions_by_time ON actions (tenant, updated_ms DESC, id DESC);
CREATE INDEX actions_by_update ON actions (updated_ms DESC, id DESC);
CREATE INDEX actions_by_alert ON actions (alert_id);
CREATE INDEX actions_by_session ON actions (session, tenant) WHERE session IS NOT NULL;
CREATE INDEX actions_by_user ON actions (user, tenant) WHERE user IS NOT NULL;
CREATE INDEX actions_by_address ON actions (address, tenant) WHERE address IS NOT NULL;
CREATE INDEX actions_waiting ON actions (tenant) WHERE state IN ('held', 'proposed');
CREATE INDEX actions_blocks ON actions (state, tenant, updated_ms) WHERE action = 'block_address';
CREATE INDEX actions_due ON actions (due_ms) WHERE due_ms IS NOT NULL;

DROP TABLE revocations;

-- Tokens that orders need themselves, sealed by a key that is not here. Each ends with its order, or when its time is over.
CREATE TABLE held_tokens (
    message_id TEXT PRIMARY KEY,           -- of the order
    sealed     BLOB NOT NULL,
    until_ms   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX held_tokens_over ON held_tokens (until_ms);
