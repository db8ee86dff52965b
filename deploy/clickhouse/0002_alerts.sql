-- Every version of every alert, for questions over history; the working copy lives elsewhere. The
-- columns are what one filters by; `json` is the whole alert as the outside sees it. A version
-- written twice is one row once merged, and every read removes the rest.
-- Durability as for events. Retention is set at each start (retention_alerts.sql).
CREATE TABLE IF NOT EXISTS alerts
(
    tenant LowCardinality(String),
    id String CODEC(ZSTD(1)),
    version UInt32 CODEC(ZSTD(1)),
    detector LowCardinality(String),
    severity LowCardinality(String),
    status LowCardinality(String),
    disposition LowCardinality(String),
    confidence Float32 CODEC(ZSTD(1)),
    first_event_time DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    last_event_time DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    detected_time DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    event_count UInt64 CODEC(ZSTD(1)),
    incident String CODEC(ZSTD(1)),
    users Array(String) CODEC(ZSTD(1)),
    ips Array(String) CODEC(ZSTD(1)),
    sessions Array(String) CODEC(ZSTD(1)),
    json String CODEC(ZSTD(3)),
    written_time DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1))
)
ENGINE = ReplacingMergeTree
ORDER BY (tenant, id, version)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1
