//! The recorded order: which records of which partition came next, and when.
//!
//! An order is written in the transaction of the first alert that depends on it, so it is durable
//! before any effect leaves the process; a restart repeats it exactly.

use super::{Db, DbError};
use crate::flow::Order;
use rusqlite::{Transaction, params};

/// Writes orders. A repetition writes the same ones again.
///
/// # Errors
/// SQLite says no.
pub fn append(tx: &Transaction<'_>, orders: &[Order]) -> Result<(), DbError> {
    let mut statement = tx.prepare_cached("INSERT OR REPLACE INTO orders (first_seq, entry) VALUES (?1, ?2)")?;
    for order in orders {
        let without_idle = || Order { idle: Vec::new(), ..order.clone() };
        let order = if sabotaged!(IdleNotRecorded) { &without_idle() } else { order };
        statement.execute(params![order.first_seq as i64, postcard::to_allocvec(order)?])?;
    }
    Ok(())
}

impl Db {
    /// The recorded order from `first_seq` on.
    ///
    /// # Errors
    /// SQLite says no, or an entry does not read.
    pub fn orders_from(&self, first_seq: u64) -> Result<Vec<Order>, DbError> {
        let mut orders: Vec<Order> = Vec::new();
        for order in self.entries_from(first_seq)? {
            // What follows a hole was merged by a run that never made its checkpoint durable.
            if order.first_seq != orders.last().map_or(first_seq, Order::next_seq) {
                break;
            }
            orders.push(order);
        }
        Ok(orders)
    }

    /// The entries that changed something and arrived after `arrival_ms`, by arrival: what is recorded of a log that
    /// is its own order.
    ///
    /// # Errors
    /// SQLite says no, or an entry does not read.
    pub fn changes_after(&self, arrival_ms: i64) -> Result<Vec<Order>, DbError> {
        let mut orders = self.entries_from(0)?;
        orders.retain(|order| order.arrival_ms > arrival_ms && !order.changes.is_empty());
        orders.sort_by_key(|order| order.arrival_ms);
        Ok(orders)
    }

    fn entries_from(&self, first_seq: u64) -> Result<Vec<Order>, DbError> {
        let entries = self.read(|connection| {
            let mut statement = connection.prepare("SELECT entry FROM orders WHERE first_seq >= ?1 ORDER BY first_seq")?;
            let entries = statement.query_map([first_seq as i64], |row| row.get::<_, Vec<u8>>(0))?;
            Ok::<_, DbError>(entries.collect::<Result<Vec<_>, _>>()?)
        })?;
        entries.iter().map(|entry| Ok(postcard::from_bytes(entry)?)).collect()
    }

    /// Forgets what begins at `first_seq` or behind it: what follows a hole stands in the way of what is
    /// merged now.
    ///
    /// # Errors
    /// SQLite says no.
    pub fn forget_orders_from(&self, first_seq: u64) -> Result<(), DbError> {
        self.write(|tx| Ok(tx.execute("DELETE FROM orders WHERE first_seq >= ?1", [first_seq as i64]).map(|_| ())?))
    }

    /// Forgets what arrived at `arrival_ms` or before, of a log that is its own order.
    ///
    /// # Errors
    /// SQLite says no, or an entry does not read.
    pub fn forget_changes_until(&self, arrival_ms: i64) -> Result<(), DbError> {
        let old = self.entries_from(0)?.into_iter().filter(|order| order.arrival_ms <= arrival_ms);
        let seqs: Vec<_> = old.map(|order| order.first_seq as i64).collect();
        self.write(|tx| {
            let mut statement = tx.prepare_cached("DELETE FROM orders WHERE first_seq = ?1")?;
            Ok(seqs.iter().try_for_each(|seq| statement.execute([seq]).map(|_| ()))?)
        })
    }

    /// Forgets what lies before the oldest checkpoint.
    ///
    /// # Errors
    /// SQLite says no.
    pub fn prune_orders(&self, before_seq: u64) -> Result<(), DbError> {
        self.write(|tx| Ok(tx.execute("DELETE FROM orders WHERE first_seq < ?1", [before_seq as i64]).map(|_| ())?))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
    use super::*;
    use crate::flow::{PartitionId, Run};

    #[test]
    fn what_follows_a_hole_does_not_hide_what_is_recorded_after_it() {
        let db = Db::in_memory().unwrap();
        let order = |first_seq: u64, records: u32| {
            let run = Run { partition: PartitionId::new("auth-logs", 0), first: 0, next: i64::from(records), records };
            Order { first_seq, runs: vec![run], ..Order::default() }
        };
        let mut good = vec![order(7, 3)];
        db.write(|tx| append(tx, &[good[0].clone(), order(15, 5)])).unwrap();
        assert_eq!(db.orders_from(7).unwrap(), good);
        db.forget_orders_from(10).unwrap();
        good.extend([order(10, 8), order(18, 1)]);
        db.write(|tx| append(tx, &good)).unwrap();
        assert_eq!(db.orders_from(7).unwrap(), good);
    }

    #[test]
    fn an_entry_without_records_does_not_hide_the_one_behind_it() {
        let folder = tempfile::tempdir().unwrap();
        let db = Db::open(&folder.path().join("test.db")).unwrap();
        let partition = PartitionId::new("auth-logs", 0);
        let run = |first: i64| Run { partition: partition.clone(), first, next: first + 3, records: 3 };
        let mut orders = vec![Order { first_seq: 7, runs: vec![run(0)], ..Order::default() }];
        orders.push(Order { first_seq: orders[0].next_seq(), idle: vec![partition.clone()], ..Order::default() });
        orders.push(Order { first_seq: orders[1].next_seq(), runs: vec![run(3)], ..Order::default() });
        for _ in 0..2 {
            db.write(|tx| append(tx, &orders)).unwrap();
            assert_eq!(db.orders_from(7).unwrap(), orders);
        }
    }
}
