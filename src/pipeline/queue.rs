//! A queue that is bounded by the events in it, not by the number of its batches.
//!
//! While the daemon keeps up with the log, batches are small and come every few milliseconds; while it
//! catches up, they are as large as they may be. A queue of a few batches would be long enough for the
//! large ones and, for the small ones, fill within one insert: detection, and with it every alert, would
//! wait for the store. Counted in events, the same memory holds seconds of small batches.

use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

/// Room that even an empty batch takes, so that the number of batches is bounded, too.
const ROOM_MIN: usize = 64;

/// Makes a queue for `events_max` events; a batch that has more waits until it is alone.
#[must_use]
pub fn queue<T>(events_max: usize) -> (Sender<T>, Receiver<T>) {
    let room = Arc::new(Semaphore::new(events_max));
    // Every entry holds a part of the room, which bounds them.
    let (entries, received) = mpsc::unbounded_channel();
    (Sender { entries, room: Arc::clone(&room), events_max }, Receiver { entries: received, room })
}

/// The end that is written to.
pub struct Sender<T> {
    entries: mpsc::UnboundedSender<(T, OwnedSemaphorePermit)>,
    room: Arc<Semaphore>,
    events_max: usize,
}

impl<T> Sender<T> {
    /// Waits for room, and queues a batch of so many events; `None` when nobody will receive it.
    pub async fn send(&self, batch: T, events: usize) -> Option<()> {
        let room = u32::try_from(events.max(ROOM_MIN).min(self.events_max)).unwrap_or(u32::MAX);
        let permit = Arc::clone(&self.room).acquire_many_owned(room).await.ok()?;
        self.entries.send((batch, permit)).ok()
    }

    /// Events that may wait.
    #[must_use]
    pub fn events_max(&self) -> usize {
        self.events_max
    }

    /// A look at how many events wait, which does not keep the queue open.
    pub fn depth(&self) -> impl Fn() -> usize + Send + Sync + use<T> {
        let (room, events_max) = (Arc::clone(&self.room), self.events_max);
        move || events_max.saturating_sub(room.available_permits())
    }
}

/// The end that is read from.
pub struct Receiver<T> {
    entries: mpsc::UnboundedReceiver<(T, OwnedSemaphorePermit)>,
    room: Arc<Semaphore>,
}

impl<T> Receiver<T> {
    /// The next batch; `None` when there will be none.
    pub async fn recv(&mut self) -> Option<T> {
        self.entries.recv().await.map(|(batch, _)| batch)
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        // Whoever waits for room learns that there is nobody to make any.
        self.room.close();
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use futures::FutureExt;

    #[tokio::test]
    async fn room_is_counted_in_events() {
        let (sender, mut receiver) = queue(1_000);
        sender.send('a', 900).await.unwrap();
        sender.send('b', 0).await.unwrap();
        assert_eq!(sender.depth()(), 964);
        assert!(sender.send('c', 100).now_or_never().is_none(), "there are 36 left");
        assert_eq!(receiver.recv().await, Some('a'));
        sender.send('c', 100).await.unwrap();
        assert_eq!((receiver.recv().await, receiver.recv().await), (Some('b'), Some('c')));
        assert_eq!(sender.depth()(), 0);
    }

    #[tokio::test]
    async fn a_batch_larger_than_the_queue_waits_until_it_is_alone() {
        let (sender, mut receiver) = queue(1_000);
        sender.send('a', 1).await.unwrap();
        assert!(sender.send('b', 5_000).now_or_never().is_none());
        receiver.recv().await;
        sender.send('b', 5_000).await.unwrap();
        assert_eq!(receiver.recv().await, Some('b'));
    }

    #[tokio::test]
    async fn an_end_is_told_to_either_side() {
        let (sender, receiver) = queue(100);
        sender.send('a', 100).await.unwrap();
        let waiting = sender.send('b', 100);
        drop(receiver);
        assert!(waiting.await.is_none());
        let (sender, mut receiver) = queue(100);
        sender.send('a', 100).await.unwrap();
        drop(sender);
        assert_eq!((receiver.recv().await, receiver.recv().await), (Some('a'), None));
    }
}
