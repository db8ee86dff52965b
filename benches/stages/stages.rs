//! The daemon's own stages over the same events, each timed alone within one pass.

use crate::clock::seconds;
use crate::encode::Encoder;
use bartizan::detect::engine::Engine;
use bartizan::detect::{DetectConfig, Enabled};
use bartizan::enrich::{Enricher, Folders};
use bartizan::flow::EventFlow;
use bartizan::ingest::files::{Limits, LineReader};
use bartizan::normalise::{Context, Format, NormaliseConfig, Normaliser, TokenKey};
use bartizan_core::{EventBatch, KeyHasher, Spec};
use std::collections::BTreeMap;
use std::error::Error;
use std::hint::black_box;
use std::path::Path;

/// Events of one batch, as in `replay`.
pub const BATCH_EVENTS: usize = 1_024;

/// What the first stage is called.
pub const DECODE: &str = "decode into a batch";

/// Seconds by stage, in the order in which they are printed.
pub type Seconds = Vec<(String, f64)>;

/// Reads a file into lines with the daemon's reader.
///
/// # Errors
/// The file cannot be read.
pub fn lines(path: &Path) -> Result<f64, Box<dyn Error>> {
    let (taken, result) = seconds(|| {
        let mut reader = LineReader::open(path, Limits::default())?;
        while let Some(line) = reader.next_line()? {
            black_box(line.bytes);
        }
        std::io::Result::Ok(())
    });
    result?;
    Ok(taken)
}

/// A normaliser as in `replay`.
///
/// # Errors
/// The defaults are wrong.
pub fn normaliser() -> Result<Normaliser, Box<dyn Error>> {
    Ok(Normaliser::new(&NormaliseConfig::default(), &TokenKey([0; 32]))?)
}

fn context() -> Context<'static> {
    Context { default_id: &"1:1", tenant: None, window: None, reference_ms: 0 }
}

/// One engine for each detector, one without any, one with all.
struct Engines(Vec<(&'static str, Engine, f64)>);

impl Engines {
    fn new() -> Result<Self, Box<dyn Error>> {
        let all = Enabled::new(bartizan_catalogue::all(), &BTreeMap::new()).map_err(|errors| errors.join("; "))?;
        let none = Enabled { detectors: Vec::new() };
        let mut engines = vec![("keys, watermark, repetitions", engine(&none), 0.0)];
        for (spec, parameters) in &all.detectors {
            engines.push((spec.id, engine(&Enabled { detectors: vec![(*spec, parameters.clone())] }), 0.0));
        }
        engines.push(("all detectors", engine(&all), 0.0));
        Ok(Self(engines))
    }

    fn process(&mut self, flow: &mut EventFlow) {
        for (_, engine, taken) in &mut self.0 {
            *taken += seconds(|| black_box(engine.process(flow))).0;
        }
    }

    /// What each detector takes beyond the engine without detectors.
    fn finish(self) -> Seconds {
        let base = self.0.first().map_or(0.0, |(_, _, taken)| *taken);
        let beyond = |(index, (name, _, taken)): (usize, (&str, Engine, f64))| {
            let own = if index == 0 { taken } else { taken - base };
            (name.to_owned(), own)
        };
        self.0.into_iter().enumerate().map(beyond).collect()
    }
}

/// An engine with defaults.
pub fn engine(enabled: &Enabled) -> Engine {
    Engine::new(&DetectConfig::default(), enabled, KeyHasher::new([0; 16]))
}

/// One detector with its defaults.
///
/// # Errors
/// There is no such detector.
pub fn only(id: &str) -> Result<Enabled, Box<dyn Error>> {
    let spec: &'static Spec = bartizan_catalogue::find(id).ok_or("no such detector")?;
    Enabled::new(std::iter::once(spec), &BTreeMap::new()).map_err(|errors| errors.join("; ").into())
}

/// All stages after reading, batch by batch.
///
/// # Errors
/// A stage fails.
pub fn pass(normaliser: &Normaliser, format: Format, text: &str) -> Result<Seconds, Box<dyn Error>> {
    let (enricher, _) = Enricher::open(Default::default(), Folders::usual(None));
    let (mut cache, mut engines, mut encoder) = (enricher.cache(), Engines::new()?, Encoder::new()?);
    let (mut decoded, mut enriched, mut encoded) = (0.0, 0.0, 0.0);
    let mut lines = text.lines().peekable();
    let (mut seq, mut events) = (0, EventBatch::default());
    while lines.peek().is_some() {
        let (taken, ()) = seconds(|| {
            events.clear();
            for line in lines.by_ref().take(BATCH_EVENTS) {
                black_box(normaliser.normalise_into(format, line.as_bytes(), &context(), &mut events)).ok();
            }
        });
        decoded += taken;
        enriched += seconds(|| enricher.enrich(&mut events, &mut cache)).0;
        let mut flow = EventFlow::replayed(events, seq);
        seq += flow.order.records();
        engines.process(&mut flow);
        let (taken, sent) = seconds(|| encoder.send(&flow.events));
        encoded += taken;
        sent?;
        events = flow.events;
    }
    let (taken, ended) = seconds(|| encoder.finish());
    ended?;
    let mut stages = vec![(DECODE.to_owned(), decoded), ("enrich".to_owned(), enriched)];
    stages.extend(engines.finish());
    stages.push(("encode for ClickHouse (RowBinary, LZ4, HTTP)".to_owned(), encoded + taken));
    Ok(stages)
}
