//! Brings the database to the schema that this program knows.
//!
//! The files under `deploy/clickhouse` are the only DDL; they are compiled in. Numbered files run
//! once, in order, and are recorded in `schema_migrations`; each is one statement that may be
//! repeated (`IF NOT EXISTS`), because a crash may come between running and recording it. A database
//! that has seen a newer program is left alone.

use super::config::StoreConfig;
use super::error::{ErrorClass, StoreError};
use clickhouse::Client;

/// One numbered file.
struct Migration {
    version: u32,
    name: &'static str,
    sql: &'static str,
}

const MIGRATIONS: [Migration; 2] = [
    Migration { version: 1, name: "events", sql: include_str!("../../deploy/clickhouse/0001_events.sql") },
    Migration { version: 2, name: "alerts", sql: include_str!("../../deploy/clickhouse/0002_alerts.sql") },
];
const CREATE_DATABASE: &str = include_str!("../../deploy/clickhouse/database.sql");
const CREATE_MIGRATIONS: &str = include_str!("../../deploy/clickhouse/schema_migrations.sql");
const RETENTION: [(&str, &str); 2] = [
    ("events", include_str!("../../deploy/clickhouse/retention_events.sql")),
    ("alerts", include_str!("../../deploy/clickhouse/retention_alerts.sql")),
];

/// Makes database and tables, or brings them up to date, and applies the retention.
///
/// # Errors
/// The store is away, the user may not, or a newer program has been here.
pub(super) async fn migrate(client: &Client, database: &str, config: &StoreConfig) -> Result<(), StoreError> {
    // The database cannot be the current one while it does not exist.
    let outside = client.clone().with_database("default");
    let exists = "SELECT count() FROM system.databases WHERE name = {name:String}";
    let exists: u64 = outside.query(exists).param("name", database).fetch_one().await.map_err(StoreError::of("look for the database"))?;
    if exists == 0 {
        outside.query_raw(CREATE_DATABASE).param("name", database).execute().await.map_err(StoreError::of("create the database"))?;
    }
    client.query_raw(CREATE_MIGRATIONS).execute().await.map_err(StoreError::of("create schema_migrations"))?;
    let applied: Vec<u32> = client
        .query("SELECT DISTINCT version FROM schema_migrations ORDER BY version")
        .fetch_all()
        .await
        .map_err(StoreError::of("read schema_migrations"))?;
    let newest = MIGRATIONS.last().map_or(0, |migration| migration.version);
    if let Some(version) = applied.iter().find(|version| **version > newest) {
        let reason = format!("the database has schema version {version}, this program knows {newest}: use the newer program");
        return Err(StoreError::new(ErrorClass::Fatal, "migrate", reason));
    }
    for migration in MIGRATIONS.iter().filter(|migration| !applied.contains(&migration.version)) {
        client.query_raw(migration.sql).execute().await.map_err(StoreError::of("apply a migration"))?;
        client
            .query("INSERT INTO schema_migrations SELECT {version:UInt32}, {name:String}, now64(3)")
            .param("version", migration.version)
            .param("name", migration.name)
            .execute()
            .await
            .map_err(StoreError::of("record a migration"))?;
        tracing::info!(version = migration.version, name = migration.name, "schema migration applied");
    }
    for (table, sql) in RETENTION {
        let days = if table == "events" { config.retention_days } else { config.alert_retention_days };
        retain(client, table, sql, days).await?;
    }
    Ok(())
}

/// Sets a table's time to live where it is another one: the change rewrites old parts. The number
/// goes into the text, because a parameter would be stored as a cast.
async fn retain(client: &Client, table: &str, sql: &str, days: u32) -> Result<(), StoreError> {
    let engine: String = client
        .query("SELECT engine_full FROM system.tables WHERE database = currentDatabase() AND name = {table:String}")
        .param("table", table)
        .fetch_one()
        .await
        .map_err(StoreError::of("read the retention"))?;
    if engine.contains(&format!("toIntervalDay({days})")) {
        return Ok(());
    }
    let sql = sql.replace("{days}", &days.to_string());
    client.query_raw(&sql).execute().await.map_err(StoreError::of("set the retention"))?;
    tracing::info!(table, days, "retention set");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn migrations_count_up_from_one() {
        for (index, migration) in MIGRATIONS.iter().enumerate() {
            assert_eq!(migration.version as usize, index + 1, "{}", migration.name);
        }
    }
}
