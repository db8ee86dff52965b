-- The daemon's working database (SQLite, WAL): what changes by single rows. Times are milliseconds since 1970.
-- Every version of an alert also goes to ClickHouse; here stands the newest one, with its triage.

CREATE TABLE alerts (
    id                TEXT PRIMARY KEY,
    tenant            TEXT NOT NULL,
    detector          TEXT NOT NULL,
    severity          INTEGER NOT NULL,            -- 0 info … 4 critical
    status            TEXT NOT NULL,               -- open, acknowledged, resolved
    detection_version INTEGER NOT NULL,            -- newest version that detection wrote: an older one is a repetition
    triage_version    INTEGER NOT NULL DEFAULT 0,  -- the version shown is the sum of both
    first_event_ms    INTEGER NOT NULL,
    last_event_ms     INTEGER NOT NULL,
    detected_ms       INTEGER NOT NULL,            -- of the first version
    updated_ms        INTEGER NOT NULL,            -- detected time of detection's newest version
    told_ms           INTEGER NOT NULL DEFAULT 0,  -- detected time of the version last told to channels
    told_severity     INTEGER NOT NULL DEFAULT -1,
    told_hits         INTEGER NOT NULL DEFAULT 0,
    body              TEXT NOT NULL                -- the alert as JSON, triage included
) STRICT;
CREATE INDEX alerts_by_time ON alerts (tenant, updated_ms DESC, id DESC);
CREATE INDEX alerts_by_update ON alerts (updated_ms DESC, id DESC);
CREATE INDEX alerts_by_detector ON alerts (tenant, detector, detected_ms);  -- how many a minute

-- Users, addresses and sessions of an alert, for the filters of the API.
CREATE TABLE alert_entities (
    kind     TEXT NOT NULL,
    value    TEXT NOT NULL,
    alert_id TEXT NOT NULL REFERENCES alerts (id) ON DELETE CASCADE,
    PRIMARY KEY (kind, value, alert_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX alert_entities_by_alert ON alert_entities (alert_id);

-- What happened to an alert: detection's versions and people's triage. The audit trail of triage.
CREATE TABLE alert_history (
    alert_id TEXT NOT NULL REFERENCES alerts (id) ON DELETE CASCADE,
    version  INTEGER NOT NULL,
    line     INTEGER NOT NULL,  -- 0: what led to the version; then what came of it, like what was learnt
    at_ms    INTEGER NOT NULL,
    actor    TEXT NOT NULL,     -- "detection", or the name of the token that changed it
    change   TEXT NOT NULL,     -- JSON: what changed
    PRIMARY KEY (alert_id, version, line)
) STRICT, WITHOUT ROWID;

-- What is to be delivered: one row for each message and channel, written in the transaction of its cause.
CREATE TABLE outbox (
    id          INTEGER PRIMARY KEY,
    channel     TEXT NOT NULL,
    message_id  TEXT NOT NULL,        -- webhook-id: stays the same over retries and restarts
    kind        TEXT NOT NULL,        -- alert.opened, alert.updated, alert.resolved, session.revoke, backlog.notice …
    about       TEXT NOT NULL,        -- the alert, incident or action that it tells of; empty: none
    version     INTEGER NOT NULL,
    state       TEXT NOT NULL,        -- pending, delivered, failed, expired, held, cancelled, dry_run
    attempts    INTEGER NOT NULL DEFAULT 0,  -- tries begun
    created_ms  INTEGER NOT NULL,     -- the day of tries counts from here; asked for again, it counts anew
    next_ms     INTEGER NOT NULL,     -- not before
    not_after_ms INTEGER,             -- a revocation is tried until then
    finished_ms INTEGER,
    last_error  TEXT,
    body        TEXT NOT NULL,        -- JSON payload as it is sent; last, so that the rest is read without it
    UNIQUE (channel, message_id)
) STRICT;
CREATE INDEX outbox_due ON outbox (channel, state, next_ms);
CREATE INDEX outbox_order ON outbox (channel, about, state, id);  -- messages about one thing go in their order
CREATE INDEX outbox_delivered ON outbox (channel, finished_ms) WHERE state = 'delivered';
CREATE INDEX outbox_trying ON outbox (channel, next_ms) WHERE state = 'pending' AND attempts > 0;
CREATE INDEX outbox_finished ON outbox (finished_ms) WHERE finished_ms IS NOT NULL;

-- What is known of a channel's other end. It counts only for the address (fingerprint) it was learned of.
CREATE TABLE channels (
    name         TEXT PRIMARY KEY,
    fingerprint  TEXT NOT NULL,
    ended_ms     INTEGER,             -- it answered 410: nothing is sent any more
    ended_reason TEXT,
    tested_ms    INTEGER              -- a revocation target that passed its test call
) STRICT, WITHOUT ROWID;

-- Each session that was asked to be ended, or would have been: what the brakes count.
CREATE TABLE revocations (
    target     TEXT NOT NULL,
    message_id TEXT NOT NULL,
    tenant     TEXT NOT NULL,
    user       TEXT,
    session    TEXT,
    alert_id   TEXT NOT NULL,
    dry_run    INTEGER NOT NULL,      -- dry runs have brakes of their own
    held       TEXT,                  -- the brake that held it
    at_ms      INTEGER NOT NULL,
    PRIMARY KEY (target, message_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX revocations_gone ON revocations (target, tenant, dry_run, at_ms) WHERE held IS NULL;  -- what the brakes count
CREATE INDEX revocations_by_time ON revocations (at_ms);

-- API tokens: only hashes are kept.
CREATE TABLE api_tokens (
    id          TEXT PRIMARY KEY,
    name        TEXT NOT NULL,
    role        TEXT NOT NULL,        -- viewer, analyst, admin, ingest
    tenant      TEXT,                 -- null: all tenants
    hash        BLOB NOT NULL UNIQUE, -- SHA-256 of the secret, which has 256 random bits of its own
    created_ms  INTEGER NOT NULL,
    expires_ms  INTEGER,
    revoked_ms  INTEGER
) STRICT;

-- Who did what: tokens made and revoked, triage, revocations sent.
CREATE TABLE audit (
    id      INTEGER PRIMARY KEY,
    at_ms   INTEGER NOT NULL,
    actor   TEXT NOT NULL,
    action  TEXT NOT NULL,
    subject TEXT NOT NULL,
    detail  TEXT NOT NULL             -- JSON
) STRICT;

-- Small facts of this installation: key secrets, Kafka instance id, format versions.
CREATE TABLE facts (
    name  TEXT PRIMARY KEY,
    value BLOB NOT NULL
) STRICT, WITHOUT ROWID;

-- The recorded order since the oldest checkpoint. Of a log that is its own order (the journal): the entries at which
-- something else than records changed, like the place files.
CREATE TABLE orders (
    first_seq INTEGER PRIMARY KEY,
    entry     BLOB NOT NULL             -- which records came next, encoded with postcard
) STRICT;

-- What people want no alerts about. Entries stay after they ended, for as long as an earlier version of the list may
-- be needed to judge again what was judged with it.
CREATE TABLE suppressions (
    id         TEXT PRIMARY KEY,
    tenant     TEXT NOT NULL,
    detector   TEXT,                    -- null: all
    kind       TEXT,                    -- user, ip, network, device, session, user_agent, app, place
    value      TEXT,
    expression TEXT,                    -- JSON, instead of kind and value: what has to hold
    owner      TEXT NOT NULL,           -- name of the token that made it
    reason     TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    expires_ms INTEGER NOT NULL,
    added      INTEGER NOT NULL,        -- version of the list that has it first
    removed    INTEGER,                 -- version of the list that lacks it again
    CHECK (iif(expression IS NULL, kind IS NOT NULL AND value IS NOT NULL, kind IS NULL AND value IS NULL))
) STRICT, WITHOUT ROWID;

-- The ledger of what they, gates of the detectors themselves or circuit breakers held back: a line for each of them,
-- detector, key and hour of event time.
CREATE TABLE suppressed (
    id             INTEGER PRIMARY KEY,
    tenant         TEXT NOT NULL,
    suppression    TEXT NOT NULL,       -- id; empty: a gate
    gate           TEXT NOT NULL,       -- empty: a suppression
    detector       TEXT NOT NULL,
    key            TEXT NOT NULL,       -- what the alert would have been about
    hour           INTEGER NOT NULL,
    severity       INTEGER NOT NULL,    -- the worst
    findings       INTEGER NOT NULL,
    first_event_ms INTEGER NOT NULL,
    last_event_ms  INTEGER NOT NULL,
    event_id       TEXT NOT NULL,       -- of the worst
    reason         TEXT NOT NULL,
    last_seq       INTEGER NOT NULL,    -- a repetition of the recorded order counts nothing twice
    UNIQUE (tenant, suppression, gate, detector, key, hour)
) STRICT;

-- What people are to learn, or learnt, of alerts that were resolved as harmless: the alert as it was then. Entries
-- stay for as long as a checkpoint may be before them.
CREATE TABLE lessons (
    id         INTEGER PRIMARY KEY,
    tenant     TEXT NOT NULL,
    alert_id   TEXT NOT NULL,
    event_ids  TEXT NOT NULL,           -- JSON: what is to be fetched
    first_ms   INTEGER NOT NULL,        -- event times between which they lie
    last_ms    INTEGER NOT NULL,
    users      TEXT NOT NULL,           -- JSON: whom the alert names
    actor      TEXT NOT NULL,           -- name of the token that resolved it
    created_ms INTEGER NOT NULL,
    events     TEXT,                    -- JSON: what is learnt; null: not fetched yet
    added      INTEGER,                 -- version of the list that has it first; null: none yet
    removed    INTEGER                  -- version of the list that lacks it again
) STRICT;
CREATE INDEX lessons_by_alert ON lessons (alert_id);
CREATE INDEX lessons_by_version ON lessons (added);
-- Circuit breakers that people closed: the newest closing of each.
CREATE TABLE breakers_closed (
    detector TEXT NOT NULL,
    tenant   TEXT NOT NULL,
    number   INTEGER NOT NULL UNIQUE,  -- counts up over all of them: each takes effect once
    PRIMARY KEY (detector, tenant)
) STRICT, WITHOUT ROWID;
