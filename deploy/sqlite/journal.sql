-- The local journal: the log when there is no Kafka. One row is one group of records made durable together.
CREATE TABLE IF NOT EXISTS groups (
    topic      TEXT NOT NULL,
    first      INTEGER NOT NULL,   -- offset of the first record
    records    INTEGER NOT NULL,
    arrival_ms INTEGER NOT NULL,   -- recorded arrival: the journal is the recorded order
    payload    BLOB NOT NULL,      -- the records, encoded with postcard, compressed with zstd
    PRIMARY KEY (topic, first)
) STRICT;
