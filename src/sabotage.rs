//! Deliberate faults in the daemon's own code, each behind a switch, for the simulation to catch.
//!
//! A place that can be sabotaged asks `sabotaged!(Fault)`. In the build of the tests that looks at the
//! switch of the running thread; in any other build it is the constant `false`, and neither the switch
//! nor the list of faults exists. To add one: a line in the list below, and the question where the
//! fault would be; the test of the list (`app/simulation`) then demands that some seed notices it.

/// Is this fault switched on? `false` in every build but that of the tests.
#[cfg(not(test))]
macro_rules! sabotaged {
    ($fault:ident) => {
        false
    };
}

/// Is this fault switched on?
#[cfg(test)]
macro_rules! sabotaged {
    ($fault:ident) => {
        $crate::sabotage::is_on($crate::sabotage::Fault::$fault)
    };
}

#[cfg(test)]
pub(crate) use switches::{Fault, SwitchedOn, is_on};

#[cfg(test)]
mod switches {
    use std::cell::Cell;

    macro_rules! faults {
        ($($(#[$doc:meta])* $name:ident,)+) => {
            /// What can be broken on purpose.
            #[derive(Clone, Copy, Debug, PartialEq, Eq)]
            pub(crate) enum Fault { $($(#[$doc])* $name,)+ }

            impl Fault {
                /// All of them.
                pub(crate) const ALL: &'static [Self] = &[$(Self::$name,)+];
            }
        };
    }

    faults! {
        // The order.
        /// A partition counts as read to its end although records of it wait.
        IdleWithRecords,
        /// A restart merges anew what was recorded.
        RecordedOrderIgnored,
        /// A repeated batch gets the time of its repetition.
        ArrivalOfTheRepetition,
        /// A recorded batch is repeated before all its records are there.
        RepeatedTooEarly,
        /// The order of a batch is not recorded.
        OrderNotRecorded,
        /// The order of a batch is recorded with the next batch that alerts.
        OrderRecordedLate,
        /// The record of a batch does not say which partitions were found idle.
        IdleNotRecorded,
        /// The next offset is one too far.
        PositionsOffByOne,
        /// After a loss of partitions, reading begins where it began at the start.
        ResumedAtTheStart,
        /// A full pipeline does not hold the source.
        HoldIgnored,
        // Store and database.
        /// A group counts as stored before it is.
        AcknowledgedBeforeStored,
        /// A failed insert counts as done.
        FailedInsertIgnored,
        /// Rejected records are not buried.
        DeadLettersForgotten,
        /// Rows name the partition of the run before.
        RowsOfTheWrongPartition,
        /// The id of a record without one depends on its batch.
        IdOfTheBatch,
        /// A batch counts as committed before it is.
        AcknowledgedBeforeCommitted,
        /// A transaction that failed counts as done.
        FailedCommitIgnored,
        /// What is to be told of alerts is written after their transaction.
        OutboxAfterTransaction,
        // Deliveries.
        /// Each try of a delivery has an id of its own.
        DeliveryIdOfTheTry,
        /// A try that failed counts as delivered.
        FailureTakenForDelivery,
        /// A message counts as delivered when its try begins.
        DeliveredWhenClaimed,
        /// Versions of one alert overtake each other.
        VersionsOvertake,
        // Detection.
        /// An event as old as the watermark counts as late.
        LatenessOffByOne,
        /// Repetitions are forgotten a bucket early.
        DedupOneBucketShort,
        /// Repetitions are not recognised.
        DedupForgotten,
        /// A restart does not load what was seen.
        DedupNotRestored,
        /// A restart does not load the open episodes.
        EpisodesNotRestored,
        /// A restart does not load the watermarks.
        WatermarksNotRestored,
        /// An alert's id depends on the arrival of its batch.
        AlertIdOfTheArrival,
        /// An alert is told again under the version before.
        VersionNotCounted,
        // Checkpoints.
        /// A checkpoint lacks a detector.
        DetectorNotSaved,
        /// Offsets are committed before the checkpoint is written.
        CommittedTooEarly,
        /// A checkpoint does not wait for store and database.
        CheckpointUnacknowledged,
        /// The recorded order is cut behind the newest checkpoint.
        OrderCutTooFar,
        /// The log is cut behind the newest checkpoint.
        LogCutTooFar,
        /// A checkpoint's bytes are not synced.
        CheckpointNotSynced,
        /// A checkpoint's name is not synced.
        CheckpointNameNotSynced,
        /// Only the newest checkpoint is kept.
        OneGeneration,
        // The journal.
        /// An append is answered before it is durable.
        AnsweredBeforeDurable,
        /// The journal takes more than its limit.
        JournalLimitIgnored,
        /// The journal drops the group that holds the oldest position.
        JournalCutOneGroupTooFar,
    }

    thread_local! {
        static ON: Cell<Option<Fault>> = const { Cell::new(None) };
    }

    /// Is this fault switched on in this thread?
    pub(crate) fn is_on(fault: Fault) -> bool {
        ON.get() == Some(fault)
    }

    /// A fault is on in this thread while this lives.
    pub(crate) struct SwitchedOn(());

    impl SwitchedOn {
        pub(crate) fn new(fault: Option<Fault>) -> Self {
            ON.set(fault);
            Self(())
        }
    }

    impl Drop for SwitchedOn {
        fn drop(&mut self) {
            ON.set(None);
        }
    }
}
