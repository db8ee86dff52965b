//! What a seed stands for: the shape of the daemon, its troubles, and how its lives end.

use crate::log::sequencer::Limits;
use crate::simulate::dice::Dice;

/// Virtual time for which traffic comes in.
pub(super) const LIVE_MS: i64 = 40_000;
/// Longest life of a daemon that is to end badly.
const LIFE_MS_MAX: i64 = 30_000;

/// So little that a slow store holds the log up, and enough for it to keep quiet.
const SMALL: Limits = Limits { batch_records_max: 64, batch_bytes_max: 1_200, buffer_bytes_max: 2_000 };
const LARGE: Limits = Limits { batch_records_max: 64, batch_bytes_max: 8_000, buffer_bytes_max: 30_000 };

/// How a life ends.
#[derive(Clone, Copy, Debug)]
pub(super) enum Ending {
    /// The process dies in the middle of this step, counted over everything that leaves it.
    Dies(u32),
    /// It dies at this time of its life, between steps.
    DiesAt(i64),
    /// It is told to stop at this time of its life.
    Stops(i64),
    /// It drains everything in peace, and is told to stop then. The last one.
    Drains,
}

/// The edges of the daemon at which something can go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Edge {
    Log,
    Store,
    Topics,
    Channels,
    Database,
}

/// Everything that is fixed beforehand.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub seed: u64,
    /// A Kafka with this many partitions; 0: the local journal.
    pub partitions: i32,
    pub stories: u32,
    pub checkpoint_interval_ms: u64,
    /// How each life ends.
    pub endings: Vec<Ending>,
    /// Does the machine lose power when the process dies, and with it what was not synced?
    pub power_cuts: bool,
    /// Probability that one step fails.
    pub trouble: f64,
    /// Probability that a look at the log loses partitions.
    pub rebalances: f64,
    /// Probability that the newest checkpoint is damaged between two lives.
    pub damage: f64,
    /// An edge is away from the first to the second virtual time.
    pub outages: Vec<(Edge, i64, i64)>,
    /// The wall clock jumps at a virtual time by so much.
    pub jumps: Vec<(i64, i64)>,
    /// Records that one look at a partition brings.
    pub chunk_max: i64,
    pub journal_bytes_max: u64,
    /// What the daemon may hold.
    pub limits: Limits,
}

impl Plan {
    pub(super) fn new(seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let lives = dice.of(&[0, 1, 1, 2, 3, 5]);
        let mut endings: Vec<_> = (0..lives).map(|_| ending(&mut dice)).collect();
        endings.push(Ending::Drains);
        let calm = dice.chance(0.2);
        let edge = |dice: &mut Dice| dice.of(&[Edge::Log, Edge::Store, Edge::Topics, Edge::Channels, Edge::Database]);
        let outage = |dice: &mut Dice| {
            let from = dice.between(0, 60_000);
            (edge(dice), from, from + dice.between(1_000, 25_000))
        };
        let outages = if calm { 0 } else { dice.between(0, 4) };
        let jumps = if dice.chance(0.3) { dice.between(1, 3) } else { 0 };
        Self {
            seed,
            partitions: if dice.chance(0.25) { 0 } else { dice.between(1, 4) as i32 },
            stories: dice.between(4, 12) as u32,
            checkpoint_interval_ms: dice.between(200, 6_000) as u64,
            endings,
            power_cuts: dice.chance(0.5),
            trouble: if calm { 0.0 } else { dice.between(0, 100) as f64 / 1_000.0 },
            rebalances: if calm || dice.chance(0.5) { 0.0 } else { 0.01 },
            damage: dice.of(&[0.0, 1.0]),
            outages: (0..outages).map(|_| outage(&mut dice)).collect(),
            jumps: (0..jumps).map(|_| (dice.between(0, 60_000), dice.between(-600_000, 600_000))).collect(),
            chunk_max: dice.of(&[3, 20, 200]),
            journal_bytes_max: dice.of(&[2_000, 6_000, 50_000]),
            limits: if dice.chance(0.25) { SMALL } else { LARGE },
        }
    }
}

fn ending(dice: &mut Dice) -> Ending {
    match dice.index(5) {
        0 => Ending::Stops(dice.between(0, LIFE_MS_MAX)),
        1 => Ending::DiesAt(dice.between(0, LIFE_MS_MAX)),
        // Early steps are as interesting as late ones.
        _ => {
            let most = dice.of(&[10, 60, 300]);
            Ending::Dies(dice.between(0, most) as u32)
        }
    }
}
