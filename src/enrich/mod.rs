//! City and network of each address, from files that are read into memory and re-read when they change.
//!
//! Everything works without the files and says so: a file that is missing or damaged is a [`Problem`]
//! with what to do about it, never a failure. An answer depends on nothing but the address and the
//! files, whose names, sizes and ages stand in [`Places::version`]. Which version is used from which record on is
//! part of the recorded order; [`Kept`] has those that may be needed again.
//!
//! Addresses that are not public (loopback, private, link-local, carriers' shared 100.64.0.0/10 and so
//! on, by IANA's special-purpose registries) have no place and no network; their class is unknown
//! unless a list of the user's has them. Deliberately absent: reverse DNS, look-ups over the network,
//! and the addresses inside 6to4, Teredo and NAT64.

mod cache;
mod city;
pub(crate) mod classes;
mod config;
mod files;
mod kept;
mod networks;
mod ranges;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs, reason = "tests")]
pub(crate) mod test_mmdb;

pub use cache::AddressCache;
pub use city::{CITY_ACCURACY_KM, COUNTRY_ACCURACY_KM, REGION_ACCURACY_KM, has_coordinates};
pub use config::{ClassList, Folders, PlacesConfig};
pub use files::Problem;
pub use kept::Kept;

use arc_swap::ArcSwap;
use bartizan_core::{EventBatch, NetworkClass};
use cache::Known;
use city::CityFile;
use classes::{ClassLists, ClassListsBuilder};
use files::{CORRECT, FETCH, Seen};
use networks::{NetworkFile, NetworkTable};
use parking_lot::Mutex;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The place files as they were read at one time.
pub struct Places {
    /// Differs for any two loads in a process, so that caches notice.
    generation: u64,
    city: Vec<CityFile>,
    networks: Vec<NetworkFile>,
    lists: ClassLists,
    version: Arc<str>,
    seen: Vec<Seen>,
    /// Names of the configured files that could be read.
    read: Vec<String>,
    damaged: AtomicU64,
}

impl Places {
    /// Reads all files. Takes a good part of a second and blocks.
    #[must_use]
    pub fn load(config: &PlacesConfig, folders: &Folders) -> (Self, Vec<Problem>) {
        static GENERATION: AtomicU64 = AtomicU64::new(1);
        let mut loading = Loading { config, folders, places: Self::empty(), version: String::new(), problems: Vec::new() };
        loading.places.generation = GENERATION.fetch_add(1, Ordering::Relaxed);
        for name in &config.city {
            loading.city(name);
        }
        for name in &config.networks {
            loading.networks(name);
        }
        let mut lists = ClassListsBuilder::new(config.class_ranges_max);
        for list in &config.classes {
            loading.list(list, &mut lists);
        }
        loading.places.lists = lists.build();
        loading.places.version = loading.version.into();
        (loading.places, loading.problems)
    }

    fn empty() -> Self {
        Self {
            generation: 0,
            city: Vec::new(),
            networks: Vec::new(),
            lists: ClassLists::default(),
            version: Arc::from(""),
            seen: Vec::new(),
            read: Vec::new(),
            damaged: AtomicU64::new(0),
        }
    }

    /// Which files these are: name, size and age or checksum of each, the same on every machine.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The same, to be held.
    #[must_use]
    pub fn version_shared(&self) -> &Arc<str> {
        &self.version
    }

    /// Files that were read.
    #[must_use]
    pub fn files(&self) -> usize {
        self.read.len()
    }

    /// Look-ups that met a damaged part of a file, since it was read.
    #[must_use]
    pub fn damaged_lookups(&self) -> u64 {
        self.damaged.load(Ordering::Relaxed)
    }

    /// Fills place, network and class of each event of the batch.
    pub fn enrich(&self, batch: &mut EventBatch, cache: &mut AddressCache) {
        let number = cache.begin(self.generation);
        for index in 0..batch.len() {
            let Some(ip) = batch.records_mut().get(index).and_then(|record| record.ip) else { continue };
            cache.get(ip, self).write(number, batch, index);
        }
    }

    /// Asks the files about an address.
    fn look_up(&self, ip: IpAddr) -> Known {
        let ip = ip.to_canonical();
        let listed = self.lists.get(ip);
        if !is_public(ip) {
            return Known::new(None, 0, listed.unwrap_or(NetworkClass::Unknown), [""; 3]);
        }
        let city = self.first(&self.city, |file| file.get(ip)).unwrap_or_default();
        let network = self.first(&self.networks, |file| file.get(ip));
        let (number, name, class) = match &network {
            Some(network) => (network.number, network.name.as_ref(), network.class),
            None => (0, "", NetworkClass::Unknown),
        };
        Known::new(city.place, number, listed.unwrap_or(class), [&city.region, &city.city, name])
    }

    /// The first file's answer; a damaged part counts and answers nothing.
    fn first<'a, F, T, E>(&self, files: &'a [F], ask: impl Fn(&'a F) -> Result<Option<T>, E>) -> Option<T> {
        files.iter().find_map(|file| {
            ask(file).unwrap_or_else(|_| {
                self.damaged.fetch_add(1, Ordering::Relaxed);
                None
            })
        })
    }
}

/// Is the address one that the Internet routes? By IANA's special-purpose address registries.
/// Documentation ranges count as public: no file has them, and examples and tests use them.
fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => {
            let [a, b, c, _] = ip.octets();
            let shared = a == 100 && b & 0xc0 == 64;
            let protocol = (a, b, c) == (192, 0, 0);
            let benchmark = a == 198 && b & 0xfe == 18;
            !(ip.is_private() || ip.is_loopback() || ip.is_link_local() || a == 0 || a >= 224 || shared || protocol || benchmark)
        }
        IpAddr::V6(ip) => {
            !(ip.is_loopback() || ip.is_unspecified() || ip.is_unique_local() || ip.is_unicast_link_local() || ip.is_multicast())
        }
    }
}

/// Reads files one after the other and collects what is wrong with them.
struct Loading<'a> {
    config: &'a PlacesConfig,
    folders: &'a Folders,
    places: Places,
    version: String,
    problems: Vec<Problem>,
}

impl Loading<'_> {
    fn city(&mut self, name: &str) {
        let seen = Seen::look(self.folders, name);
        let opened = seen.read(self.config.mmdb_bytes_max).and_then(|content| {
            let size = content.len();
            CityFile::open(content).map(|file| (size, file))
        });
        match opened {
            Ok((size, file)) => {
                self.stamp(&seen, size, file.build_epoch());
                self.places.city.push(file);
            }
            Err(what) => self.problem(&seen, what, FETCH),
        }
        self.places.seen.push(seen);
    }

    fn networks(&mut self, name: &str) {
        let seen = Seen::look(self.folders, name);
        let opened = match name.ends_with(".mmdb") {
            true => seen.read(self.config.mmdb_bytes_max).and_then(|content| {
                let (size, sum) = (content.len(), files::crc32(&content));
                NetworkFile::open_mmdb(content).map(|file| (size, sum, file))
            }),
            false => self.table(&seen),
        };
        match opened {
            Ok((size, sum, file)) => {
                self.stamp(&seen, size, u64::from(sum));
                self.places.networks.push(file);
            }
            Err(what) => self.problem(&seen, what, FETCH),
        }
        self.places.seen.push(seen);
    }

    fn table(&mut self, seen: &Seen) -> Result<(usize, u32, NetworkFile), String> {
        let content = seen.read(self.config.text_bytes_max)?;
        let (table, bad) = NetworkTable::parse(&content, self.config.network_ranges_max);
        if table.len() == 0 {
            return Err("holds no line of the form start,end,number,name".into());
        }
        if let Some(what) = bad.describe(table.len()) {
            self.problem(seen, what, FETCH);
        }
        Ok((content.len(), files::crc32(&content), NetworkFile::Table(table)))
    }

    fn list(&mut self, list: &ClassList, lists: &mut ClassListsBuilder) {
        let seen = Seen::look(self.folders, &list.path);
        match seen.read(self.config.text_bytes_max) {
            Ok(content) => {
                let (used, bad) = lists.add(&content, list.class);
                self.stamp(&seen, content.len(), u64::from(files::crc32(&content)));
                if let Some(what) = bad.describe(used) {
                    self.problem(&seen, what, CORRECT);
                }
            }
            Err(what) => self.problem(&seen, what, CORRECT),
        }
        self.places.seen.push(seen);
    }

    /// Notes a file that was read: name, size, and build time or checksum.
    fn stamp(&mut self, seen: &Seen, size: usize, mark: u64) {
        let separator = if self.version.is_empty() { "" } else { " " };
        self.version.push_str(&format!("{separator}{}:{size}:{mark:x}", seen.base_name()));
        self.places.read.push(seen.name.clone());
    }

    fn problem(&mut self, seen: &Seen, what: String, advice: &'static str) {
        self.problems.push(Problem { file: seen.shown(), what, advice });
    }
}

/// The place files in use, which can be exchanged while workers read them.
pub struct Enricher {
    config: PlacesConfig,
    folders: Folders,
    current: ArcSwap<Places>,
    /// The files as they were at the last attempt to read them, good or not.
    tried: Mutex<Vec<Seen>>,
    kept: Option<Kept>,
}

impl Enricher {
    /// Reads the files for the first time; blocks.
    #[must_use]
    pub fn open(config: PlacesConfig, folders: Folders) -> (Self, Vec<Problem>) {
        let (places, problems) = Places::load(&config, &folders);
        let tried = Mutex::new(places.seen.clone());
        (Self { config, folders, current: ArcSwap::from_pointee(places), tried, kept: None }, problems)
    }

    /// Keeps copies of the files in use, and finds earlier ones again.
    #[must_use]
    pub fn keeping(self, kept: Kept) -> Self {
        if let Err(error) = kept.keep(&self.current.load(), &self.folders) {
            tracing::warn!(%error, "place files cannot be kept: a restart after they changed may judge its last records with other ones");
        }
        self.with_kept(kept)
    }

    /// Finds earlier files again, and keeps none.
    #[must_use]
    pub fn with_kept(self, kept: Kept) -> Self {
        Self { kept: Some(kept), ..self }
    }

    /// The files of a version; where they are not to be had any more, those in use now. Reads files if
    /// the version is an earlier one.
    #[must_use]
    pub fn of_version(&self, version: &str) -> Arc<Places> {
        let current = self.places();
        if current.version() == version {
            return current;
        }
        let loaded = self.kept.as_ref().and_then(|kept| kept.load(version, &self.config));
        loaded.map_or_else(
            || {
                tracing::warn!(version, "earlier place files are not kept: what was judged with them is judged again with those of now");
                current
            },
            Arc::new,
        )
    }

    /// A cache for one worker, of the configured size.
    #[must_use]
    pub fn cache(&self) -> AddressCache {
        AddressCache::new(self.config.cache_addresses_max)
    }

    /// How often [`Self::changed`] should be asked.
    #[must_use]
    pub fn check_interval(&self) -> std::time::Duration {
        std::time::Duration::from_millis(self.config.check_interval_ms.max(1_000))
    }

    /// The files in use now.
    #[must_use]
    pub fn places(&self) -> Arc<Places> {
        self.current.load_full()
    }

    /// Fills place, network and class of each event of the batch.
    pub fn enrich(&self, batch: &mut EventBatch, cache: &mut AddressCache) {
        self.current.load().enrich(batch, cache);
    }

    /// Has a file come, gone or changed since the last attempt to read them? Looks at sizes and times only.
    #[must_use]
    pub fn changed(&self) -> bool {
        self.tried.lock().iter().any(|seen| *seen != Seen::look(&self.folders, &seen.name))
    }

    /// Reads all files again; blocks. If a file that is in use can no longer be read (it may be half
    /// written) or none can be kept, all files in use stay in use. Returns what is wrong now.
    pub fn reload(&self) -> Vec<Problem> {
        let (places, problems) = Places::load(&self.config, &self.folders);
        let seen = places.seen.clone();
        let kept = self.kept.as_ref().map_or(Ok(()), |kept| kept.keep(&places, &self.folders));
        match kept {
            Ok(()) if self.current.load().read.iter().all(|name| places.read.contains(name)) => self.current.store(Arc::new(places)),
            Ok(()) => {}
            Err(error) => {
                // They are tried again at the next look.
                tracing::warn!(%error, "new place files cannot be kept, so they are not used yet");
                return problems;
            }
        }
        *self.tried.lock() = seen;
        problems
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
