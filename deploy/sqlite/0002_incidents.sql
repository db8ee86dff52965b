-- Incidents: alerts that belong to one cause. Written in the transaction of each version of an alert.

CREATE TABLE incidents (
    id             TEXT PRIMARY KEY,
    tenant         TEXT NOT NULL,
    severity       INTEGER NOT NULL,             -- 0 info … 4 critical
    status         TEXT NOT NULL,                -- open, acknowledged, resolved
    version        INTEGER NOT NULL,
    first_event_ms INTEGER NOT NULL,
    last_event_ms  INTEGER NOT NULL,
    opened_ms      INTEGER NOT NULL,
    updated_ms     INTEGER NOT NULL,             -- arrival of the newest alert version, or the last step of a person
    hit_count      INTEGER NOT NULL,
    follows        TEXT,                         -- whose word its alerts still have to follow
    body           TEXT NOT NULL                 -- the incident as JSON
) STRICT;
CREATE INDEX incidents_by_time ON incidents (tenant, updated_ms DESC, id DESC);
CREATE INDEX incidents_by_update ON incidents (updated_ms DESC, id DESC);
CREATE INDEX incidents_followed ON incidents (id) WHERE follows IS NOT NULL;
CREATE INDEX incidents_silent ON incidents (updated_ms) WHERE (status = 'acknowledged' OR (status = 'open' AND hit_count = 0));  -- what silence may end

-- Whom and what an incident is about. By these further alerts find it.
CREATE TABLE incident_entities (
    incident_id TEXT NOT NULL REFERENCES incidents (id) ON DELETE CASCADE,
    tenant      TEXT NOT NULL,
    kind        TEXT NOT NULL,
    value       TEXT NOT NULL,
    role        TEXT NOT NULL,                   -- attacker, victim, shared
    hit         INTEGER NOT NULL,
    last_ms     INTEGER NOT NULL,                -- event time at which it last took part
    PRIMARY KEY (incident_id, kind, value)
) STRICT, WITHOUT ROWID;
CREATE INDEX incident_entities_by_value ON incident_entities (tenant, kind, value, last_ms DESC);

-- What happened to an incident: alerts that came to it, what people did.
CREATE TABLE incident_history (
    incident_id TEXT NOT NULL REFERENCES incidents (id) ON DELETE CASCADE,
    version     INTEGER NOT NULL,
    at_ms       INTEGER NOT NULL,
    actor       TEXT NOT NULL,                   -- "detection", "silence", or the name of a token
    change      TEXT NOT NULL,                   -- JSON
    PRIMARY KEY (incident_id, version)
) STRICT, WITHOUT ROWID;

ALTER TABLE alerts ADD COLUMN incident_id TEXT REFERENCES incidents (id) ON DELETE SET NULL;
CREATE INDEX alerts_by_incident ON alerts (incident_id, status);
CREATE INDEX outbox_about ON outbox (about) WHERE kind <> 'alert';  -- what was told and done, for the timeline
CREATE INDEX outbox_opened ON outbox (channel, created_ms) WHERE kind = 'incident.opened';  -- how many an hour

-- Times in which people hear of no incident of a tenant.
CREATE TABLE maintenance (
    tenant   TEXT PRIMARY KEY,
    from_ms  INTEGER NOT NULL,
    until_ms INTEGER NOT NULL,
    owner    TEXT NOT NULL,                      -- name of the token that made it
    reason   TEXT NOT NULL
) STRICT, WITHOUT ROWID;
