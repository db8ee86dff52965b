-- How long versions of alerts are kept; applied at start when the configured number of days changed.
ALTER TABLE alerts MODIFY TTL toDateTime(written_time) + toIntervalDay({days})
