-- How long events are kept; applied at start when the configured number of days changed. Rows past
-- it disappear with the next merge, and such rows in an insert vanish without an error: the daemon
-- rejects events that are older.
ALTER TABLE events MODIFY TTL toDateTime(time) + toIntervalDay({days})
