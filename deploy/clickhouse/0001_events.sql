-- Events, one row each. The same event is the same tenant, id and time: all three stand in the sort
-- key, so what is written twice is one row once merged, and every read removes the rest (LIMIT 1 BY).
-- Nothing here sums behind an insert. Time comes first, because every list is newest first: reading
-- backwards ends as soon as a page is full, for one tenant as for all.
--
-- An empty string means absent; numbers for which 0 is a value of its own are Nullable. `ip` is ::
-- where there is none, IPv4 addresses are mapped (::ffff:a.b.c.d); `ip_text` shows them as people
-- write them. `token_hash` is a keyed hash, zeros if absent.
--
-- Months as partitions: a backfill of years stays under the 100 partitions that an insert may touch.
-- Retention is set at each start (retention_events.sql).
--
-- An insert is acknowledged once its part and the folder that names it are on the disk
-- (fsync_after_insert, fsync_part_directory), and a merge replaces parts only with one that is
-- (min_rows_to_fsync_after_merge): what was acknowledged survives a power cut.
CREATE TABLE IF NOT EXISTS events
(
    time DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    tenant LowCardinality(String),
    id String CODEC(ZSTD(1)),
    kind LowCardinality(String),
    outcome LowCardinality(String),
    reason LowCardinality(String),
    source LowCardinality(String),
    user String CODEC(ZSTD(1)),
    user_kind LowCardinality(String),
    ip IPv6 CODEC(ZSTD(1)),
    user_agent LowCardinality(String),
    device String CODEC(ZSTD(1)),
    ja4 LowCardinality(String),
    app LowCardinality(String),
    grant LowCardinality(String),
    scope LowCardinality(String),
    factor LowCardinality(String),
    attestation LowCardinality(String),
    session String CODEC(ZSTD(1)),
    token_hash FixedString(16) CODEC(ZSTD(1)),
    token_issued_hash FixedString(16) CODEC(ZSTD(1)),
    token_id String CODEC(ZSTD(1)),
    method LowCardinality(String),
    path String CODEC(ZSTD(1)),
    status UInt16 CODEC(ZSTD(1)),
    bytes Nullable(UInt64) CODEC(ZSTD(1)),
    duration_ms Nullable(UInt64) CODEC(ZSTD(1)),
    attrs String CODEC(ZSTD(1)),
    country LowCardinality(String),
    region LowCardinality(String),
    city LowCardinality(String),
    latitude Nullable(Float32) CODEC(ZSTD(1)),
    longitude Nullable(Float32) CODEC(ZSTD(1)),
    accuracy_km UInt16 CODEC(ZSTD(1)),
    asn UInt32 CODEC(ZSTD(1)),
    network_name LowCardinality(String),
    network_class LowCardinality(String),
    topic LowCardinality(String),
    partition Int32 CODEC(ZSTD(1)),
    offset Int64 CODEC(Delta, ZSTD(1)),
    received_time DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    ip_text String ALIAS multiIf(ip = toIPv6('::'), '', startsWith(IPv6NumToString(ip), '::ffff:'), substring(IPv6NumToString(ip), 8), IPv6NumToString(ip)),
    INDEX user_filter user TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX ip_filter ip TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX session_filter session TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX token_filter token_hash TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX id_filter id TYPE bloom_filter(0.01) GRANULARITY 1
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(time)
ORDER BY (time, tenant, id)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1
