//! What a second thread gains: the hand-written loop's gain, and `replay`'s beside it.
//!
//! On two threads the loop's lines are taken in pieces. Whoever decodes a piece sorts its accesses by the
//! thread that owns the key, so that no state is shared and no map is locked; what belongs to the other one goes
//! to it in one message for each piece.
//!
//! Here time is the clock's, since that is what threads are for: the figures are those of a quiet machine.

use crate::reference::{self, Finder, Keys, Places, Seen, Touch};
use hmac::Hmac;
use parking_lot::Mutex;
use sha2::Sha256;
use std::error::Error;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Instant;

/// Bytes of one piece: about as many as `replay` takes.
const PIECE_BYTES: u64 = 512 * 1024;

/// What one thread has for another: identities and accesses whose keys are that one's.
#[derive(Default)]
struct Share {
    identities: Vec<u64>,
    touches: Vec<Touch>,
}

/// One owner of keys.
struct Owner {
    keys: Keys,
    seen: Seen,
    inbox: Receiver<Share>,
}

impl Owner {
    fn take(&mut self, share: &Share) {
        share.identities.iter().for_each(|identity| _ = self.seen.is_first(*identity));
        share.touches.iter().for_each(|touch| self.keys.touch(touch));
    }
}

/// Seconds that the hand-written loop takes on this many threads, by the clock.
///
/// # Errors
/// The file cannot be read.
pub fn hand_written(path: &Path, places: &Places, hasher: &Hmac<Sha256>, threads: usize) -> io::Result<f64> {
    let start = Instant::now();
    let input = Mutex::new(BufReader::with_capacity(PIECE_BYTES as usize, File::open(path)?));
    let finder = Finder::default();
    let (senders, inboxes): (Vec<_>, Vec<_>) = (0..threads).map(|_| channel()).unzip();
    std::thread::scope(|scope| {
        let workers = inboxes.into_iter().enumerate().map(|(own, inbox)| {
            let (finder, senders, input) = (finder.another(), senders.clone(), &input);
            let owner = Owner { keys: Keys::default(), seen: Seen::default(), inbox };
            scope.spawn(move || work(own, owner, finder, senders, input, places, hasher))
        });
        let workers: Vec<_> = workers.collect();
        drop(senders);
        workers.into_iter().try_for_each(|worker| worker.join().map_err(|_| io::Error::other("a thread failed"))?)
    })?;
    Ok(start.elapsed().as_secs_f64())
}

fn work(
    own: usize,
    mut owner: Owner,
    mut finder: Finder,
    senders: Vec<Sender<Share>>,
    input: &Mutex<BufReader<File>>,
    places: &Places,
    hasher: &Hmac<Sha256>,
) -> io::Result<()> {
    let mut piece = Vec::new();
    loop {
        read_piece(&mut input.lock(), &mut piece)?;
        if piece.is_empty() {
            break;
        }
        let mut shares: Vec<Share> = senders.iter().map(|_| Share::default()).collect();
        for line in piece.split_inclusive(|byte| *byte == b'\n') {
            let Ok(event) = reference::decode(line) else { continue };
            reference::consume(&event);
            let identity = finder.identity(&event);
            shares[(identity >> 32) as usize % senders.len()].identities.push(identity);
            let parts = senders.len();
            finder.event(&event, places, hasher, |_| true, |touch| shares[touch.owner(parts)].touches.push(touch));
        }
        for (to, share) in shares.into_iter().enumerate() {
            if to == own {
                owner.take(&share);
            } else {
                senders[to].send(share).ok();
            }
        }
        while let Ok(share) = owner.inbox.try_recv() {
            owner.take(&share);
        }
    }
    drop(senders);
    while let Ok(share) = owner.inbox.recv() {
        owner.take(&share);
    }
    Ok(())
}

/// The next whole lines; none at the end.
fn read_piece(input: &mut BufReader<File>, piece: &mut Vec<u8>) -> io::Result<()> {
    piece.clear();
    input.by_ref().take(PIECE_BYTES).read_to_end(piece)?;
    if piece.last().is_some_and(|last| *last != b'\n') {
        input.read_until(b'\n', piece)?;
    }
    Ok(())
}

/// Seconds that `replay` takes on this many threads, by the clock.
///
/// # Errors
/// It cannot be started, or fails.
pub fn replay(input: &Path, threads: usize) -> io::Result<f64> {
    let start = Instant::now();
    let mut command = Command::new(crate::BARTIZAN);
    command.args(["replay", "--format", "bartizan", "--alerts", "/dev/null"]).arg(input);
    let command = command.env("BARTIZAN__DETECT__THREADS", threads.to_string()).stdin(Stdio::null()).stdout(Stdio::null());
    let status = command.stderr(Stdio::null()).status()?;
    if !status.success() {
        return Err(io::Error::other(format!("replay on {threads} threads: {status}")));
    }
    Ok(start.elapsed().as_secs_f64())
}

/// Prints what the second thread gains, medians of `rounds`.
///
/// # Errors
/// A file cannot be read, or `replay` fails.
pub fn print(path: &Path, empty: &Path, rounds: u64) -> Result<(), Box<dyn Error>> {
    let places = Places::open(&bartizan::enrich::Folders::usual(None));
    let hasher = reference::token_hasher();
    let mut taken = [const { Vec::new() }; 4];
    for _ in 0..rounds {
        for threads in [1, 2] {
            taken[threads - 1].push(hand_written(path, &places, &hasher, threads)?);
            taken[threads + 1].push(replay(path, threads)? - replay(empty, threads)?);
        }
    }
    let [loop_one, loop_two, replay_one, replay_two] = taken.map(|values| crate::clock::median(&values));
    let (by_hand, replay) = (loop_one / loop_two, replay_one / replay_two);
    println!("\na second thread, by the clock");
    println!("{:<46} {by_hand:>9.2}", "hand-written loop gains");
    println!("{:<46} {replay:>9.2}", "replay gains");
    println!("{:<46} {:>9.2}", "replay's gain : the loop's", replay / by_hand);
    Ok(())
}
