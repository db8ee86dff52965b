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
        ($($(#[$doc:meta])* $name:ident = $seed:literal,)+) => {
            /// What can be broken on purpose.
            #[derive(Clone, Copy, Debug, PartialEq, Eq)]
            pub(crate) enum Fault { $($(#[$doc])* $name,)+ }

            impl Fault {
                /// All of them, each with a seed of the simulation that notices it.
                pub(crate) const ALL: &'static [(Self, u64)] = &[$((Self::$name, $seed),)+];
            }
        };
    }

    faults! {
        // The order.
        /// A partition counts as read to its end although records of it wait.
        IdleWithRecords = 1,
        /// A restart merges anew what was recorded.
        RecordedOrderIgnored = 0,
        /// A repeated batch gets the time of its repetition.
        ArrivalOfTheRepetition = 0,
        /// A recorded batch is repeated before all its records are there.
        RepeatedTooEarly = 0,
        /// The order of a batch is not recorded.
        OrderNotRecorded = 0,
        /// The order of a batch is recorded with the next batch that alerts.
        OrderRecordedLate = 0,
        /// The record of a batch does not say which partitions were found idle.
        IdleNotRecorded = 0,
        /// The next offset is one too far.
        PositionsOffByOne = 0,
        /// After a loss of partitions, reading begins where it began at the start.
        ResumedAtTheStart = 32,
        /// A full pipeline does not hold the source.
        HoldIgnored = 28,
        // Store and database.
        /// A group counts as stored before it is.
        AcknowledgedBeforeStored = 57,
        /// A failed insert counts as done.
        FailedInsertIgnored = 13,
        /// Rejected records are not buried.
        DeadLettersForgotten = 0,
        /// Rows name the partition of the run before.
        RowsOfTheWrongPartition = 0,
        /// The id of a record without one depends on its batch.
        IdOfTheBatch = 0,
        /// A transaction that failed counts as done.
        FailedCommitIgnored = 1,
        /// What is to be told of alerts is written after their transaction.
        OutboxAfterTransaction = 0,
        // Deliveries.
        /// Each try of a delivery has an id of its own.
        DeliveryIdOfTheTry = 0,
        /// A try that failed counts as delivered.
        FailureTakenForDelivery = 1,
        /// A message counts as delivered when its try begins.
        DeliveredWhenClaimed = 0,
        /// Versions of one alert overtake each other.
        VersionsOvertake = 0,
        // Detection.
        /// An event as old as the watermark counts as late.
        LatenessOffByOne = 1,
        /// Repetitions are forgotten a bucket early.
        DedupOneBucketShort = 47,
        /// Repetitions are not recognised.
        DedupForgotten = 0,
        /// A restart does not load what was seen.
        DedupNotRestored = 15,
        /// A restart does not load the open episodes.
        EpisodesNotRestored = 1,
        /// A restart does not load the watermarks.
        WatermarksNotRestored = 59,
        /// An alert's id depends on the arrival of its batch.
        AlertIdOfTheArrival = 0,
        /// An alert is told again under the version before.
        VersionNotCounted = 0,
        // Checkpoints.
        /// A checkpoint lacks a detector.
        DetectorNotSaved = 1,
        /// Offsets are committed before the checkpoint is written.
        CommittedTooEarly = 0,
        /// A checkpoint does not wait for store and database.
        CheckpointUnacknowledged = 0,
        /// The recorded order is cut behind the newest checkpoint.
        OrderCutTooFar = 46,
        /// The log is cut behind the newest checkpoint.
        LogCutTooFar = 22,
        /// A checkpoint's bytes are not synced.
        CheckpointNotSynced = 5,
        /// A checkpoint's name is not synced.
        CheckpointNameNotSynced = 5,
        /// Only the newest checkpoint is kept.
        OneGeneration = 2,
        /// A damaged checkpoint counts as a generation.
        DamagedCounts = 134,
        /// A checkpoint does not have the order before it recorded.
        OrderNotRecordedAtCheckpoint = 46,
        // The journal.
        /// An append is answered before it is durable.
        AnsweredBeforeDurable = 14,
        /// The journal takes more than its limit.
        JournalLimitIgnored = 350,
        /// A full journal waits for a batch before its next checkpoint.
        FullJournalWaits = 226,
        /// The journal drops groups behind the oldest position.
        JournalCutTooFar = 22,
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
