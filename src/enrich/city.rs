//! City files in MaxMind's format (MaxMind DB File Format Specification 2.0), in two layouts:
//!
//! - **nested**, as GeoIP2, GeoLite2 and DB-IP's own files have it: `country.iso_code`,
//!   `subdivisions[0].names.en`, `city.names.en`, `location.{latitude,longitude,accuracy_radius}`;
//!   the country files are the same with less in them;
//! - **flat**, as the packages of ip-location-db have it: `country_code`, `state1`, `city`,
//!   `latitude`, `longitude`.
//!
//! The layout is seen from the records, not from the file's name. Files are read into memory: mapping
//! them would need unsafe code and would let a file that shrinks end the process.

use super::files::clean;
use bartizan_core::Place;
use maxminddb::{Reader, WithinOptions};
use serde::Deserialize;
use std::borrow::Cow;
use std::net::IpAddr;

/// Radius of a place with a city where the file gives none. Free files lie a median of about 50 km
/// apart from each other.
pub const CITY_ACCURACY_KM: u16 = 50;
/// Radius where only the region is known and the file gives none.
pub const REGION_ACCURACY_KM: u16 = 250;
/// Radius of a place of which only the country is known: half the Earth's circumference, so that its
/// coordinates, which are 0 and 0, never make a distance.
pub const COUNTRY_ACCURACY_KM: u16 = 20_038;

/// Bytes of a city or region name that are kept.
const NAME_BYTES_MAX: usize = 128;
/// Records looked at to recognise the layout.
const PROBE_RECORDS_MAX: usize = 64;

/// Does the place have coordinates, or only a country?
#[must_use]
pub fn has_coordinates(place: &Place) -> bool {
    place.accuracy_km < COUNTRY_ACCURACY_KM
}

/// What a city file says of an address.
#[derive(Debug, Default, PartialEq)]
pub struct CityRecord<'a> {
    /// Country and coordinates.
    pub place: Option<Place>,
    /// First-level subdivision, in English; empty if unknown.
    pub region: Cow<'a, str>,
    /// City, in English; empty if unknown.
    pub city: Cow<'a, str>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Layout {
    Nested,
    Flat,
}

/// An open city file.
pub struct CityFile {
    reader: Reader<Vec<u8>>,
    layout: Layout,
}

impl CityFile {
    /// Opens a file from its bytes.
    ///
    /// # Errors
    /// If it is not a sound MaxMind DB file, or none of its first records is of a known layout.
    pub fn open(content: Vec<u8>) -> Result<Self, String> {
        let reader = open_reader(content)?;
        let layout = recognise(&reader)?;
        let file = Self { reader, layout };
        file.probe().map_err(|error| format!("has records that cannot be read: {error}"))?;
        Ok(file)
    }

    /// Reads the first records, so that a file whose members have unknown types is refused at once
    /// and not at each look-up.
    fn probe(&self) -> Result<(), maxminddb::MaxMindDbError> {
        for found in self.reader.networks(WithinOptions::default())?.take(PROBE_RECORDS_MAX) {
            self.decode(&found?)?;
        }
        Ok(())
    }

    /// When the file was built, in seconds since the Unix epoch, as it says itself.
    #[must_use]
    pub fn build_epoch(&self) -> u64 {
        self.reader.metadata().build_epoch
    }

    /// What the file says of the address; `None` if it does not know it.
    ///
    /// # Errors
    /// If the file is damaged there.
    pub fn get(&self, ip: IpAddr) -> Result<Option<CityRecord<'_>>, maxminddb::MaxMindDbError> {
        look_up(&self.reader, ip)?.map_or(Ok(None), |found| self.decode(&found))
    }

    fn decode<'a>(&self, found: &Found<'a>) -> Result<Option<CityRecord<'a>>, maxminddb::MaxMindDbError> {
        Ok(match self.layout {
            Layout::Nested => found.decode::<Nested<'_>>()?.map(Nested::into_record),
            Layout::Flat => found.decode::<Flat<'_>>()?.map(Flat::into_record),
        })
    }
}

/// What a look-up found, not yet decoded.
type Found<'a> = maxminddb::LookupResult<'a, Vec<u8>>;

/// Opens any MaxMind DB file.
pub(super) fn open_reader(content: Vec<u8>) -> Result<Reader<Vec<u8>>, String> {
    if content.is_empty() {
        return Err("is empty".into());
    }
    Reader::from_source(content).map_err(|error| format!("is not a sound MaxMind DB file: {error}"))
}

/// Looks an address up; asking an IPv4 file for an IPv6 address would be an error, so it is not asked.
pub(super) fn look_up(reader: &Reader<Vec<u8>>, ip: IpAddr) -> Result<Option<Found<'_>>, maxminddb::MaxMindDbError> {
    if ip.is_ipv6() && reader.metadata().ip_version == 4 {
        return Ok(None);
    }
    let found = reader.lookup(ip)?;
    Ok(found.has_data().then_some(found))
}

/// The layout of the first record that shows one.
fn recognise(reader: &Reader<Vec<u8>>) -> Result<Layout, String> {
    #[derive(Deserialize)]
    struct Probe {
        country_code: Option<serde::de::IgnoredAny>,
        country: Option<serde::de::IgnoredAny>,
        registered_country: Option<serde::de::IgnoredAny>,
        location: Option<serde::de::IgnoredAny>,
    }
    let damaged = |error: maxminddb::MaxMindDbError| format!("is damaged: {error}");
    let records = reader.networks(WithinOptions::default()).map_err(damaged)?;
    for record in records.take(PROBE_RECORDS_MAX) {
        let Some(probe) = record.map_err(damaged)?.decode::<Probe>().map_err(damaged)? else { continue };
        if probe.country_code.is_some() {
            return Ok(Layout::Flat);
        }
        if probe.country.is_some() || probe.registered_country.is_some() || probe.location.is_some() {
            return Ok(Layout::Nested);
        }
    }
    Err(format!("holds no records of cities or countries (it calls itself {:?})", reader.metadata().database_type))
}

/// A coordinate; files have it as a double or as a float, and the reader converts neither by itself.
#[derive(Clone, Copy)]
struct Degrees(f64);

impl<'de> Deserialize<'de> for Degrees {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = Degrees;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a coordinate")
            }
            fn visit_f64<E>(self, value: f64) -> Result<Degrees, E> {
                Ok(Degrees(value))
            }
            fn visit_f32<E>(self, value: f32) -> Result<Degrees, E> {
                Ok(Degrees(value.into()))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

#[derive(Deserialize)]
struct Flat<'a> {
    country_code: Option<&'a str>,
    state1: Option<&'a str>,
    city: Option<&'a str>,
    latitude: Option<Degrees>,
    longitude: Option<Degrees>,
}

impl<'a> Flat<'a> {
    fn into_record(self) -> CityRecord<'a> {
        let coordinates = self.latitude.zip(self.longitude);
        record(self.country_code, self.state1, self.city, coordinates, None)
    }
}

#[derive(Deserialize)]
struct Nested<'a> {
    #[serde(borrow)]
    city: Option<Named<'a>>,
    #[serde(borrow)]
    country: Option<Country<'a>>,
    #[serde(borrow, default)]
    subdivisions: First<'a>,
    location: Option<Location>,
}

/// The first of the subdivisions, which is the largest.
#[derive(Default)]
struct First<'a>(Option<Named<'a>>);

#[derive(Deserialize)]
struct Named<'a> {
    #[serde(borrow)]
    names: Option<Names<'a>>,
}

#[derive(Deserialize)]
struct Names<'a> {
    en: Option<&'a str>,
}

#[derive(Deserialize)]
struct Country<'a> {
    iso_code: Option<&'a str>,
}

#[derive(Deserialize)]
struct Location {
    latitude: Option<Degrees>,
    longitude: Option<Degrees>,
    accuracy_radius: Option<u16>,
}

impl<'de: 'a, 'a> Deserialize<'de> for First<'a> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor<'a>(std::marker::PhantomData<&'a ()>);
        impl<'de: 'a, 'a> serde::de::Visitor<'de> for Visitor<'a> {
            type Value = First<'a>;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a list of subdivisions")
            }
            fn visit_seq<S: serde::de::SeqAccess<'de>>(self, mut seq: S) -> Result<Self::Value, S::Error> {
                let first = seq.next_element::<Named<'a>>()?;
                while seq.next_element::<serde::de::IgnoredAny>()?.is_some() {}
                Ok(First(first))
            }
        }
        deserializer.deserialize_seq(Visitor(std::marker::PhantomData))
    }
}

impl<'a> Nested<'a> {
    fn into_record(self) -> CityRecord<'a> {
        let name = |named: Option<Named<'a>>| named.and_then(|named| named.names).and_then(|names| names.en);
        let coordinates = self.location.as_ref().and_then(|location| location.latitude.zip(location.longitude));
        let radius = self.location.and_then(|location| location.accuracy_radius);
        record(self.country.and_then(|country| country.iso_code), name(self.subdivisions.0), name(self.city), coordinates, radius)
    }
}

/// One record of either layout.
fn record<'a>(
    country: Option<&'a str>,
    region: Option<&'a str>,
    city: Option<&'a str>,
    coordinates: Option<(Degrees, Degrees)>,
    radius_km: Option<u16>,
) -> CityRecord<'a> {
    let region = clean(region.unwrap_or(""), NAME_BYTES_MAX);
    let city = clean(city.unwrap_or(""), NAME_BYTES_MAX);
    let country = country_code(country.unwrap_or(""));
    let accuracy_km = match (radius_km, city.is_empty(), region.is_empty()) {
        (Some(radius), ..) => radius.min(COUNTRY_ACCURACY_KM),
        (None, false, _) => CITY_ACCURACY_KM,
        (None, true, false) => REGION_ACCURACY_KM,
        (None, true, true) => COUNTRY_ACCURACY_KM,
    };
    let sound = coordinates
        .map(|(latitude, longitude)| (latitude.0, longitude.0))
        .filter(|(latitude, longitude)| latitude.abs() <= 90.0 && longitude.abs() <= 180.0);
    let place = match sound {
        Some((latitude, longitude)) if accuracy_km < COUNTRY_ACCURACY_KM => {
            Some(Place { country, latitude: latitude as f32, longitude: longitude as f32, accuracy_km })
        }
        _ if country == [0, 0] => None,
        _ => Some(Place { country, latitude: 0.0, longitude: 0.0, accuracy_km: COUNTRY_ACCURACY_KM }),
    };
    CityRecord { place, region, city }
}

/// Two letters in upper case, or zeros.
fn country_code(text: &str) -> [u8; 2] {
    match text.as_bytes() {
        [a, b] if a.is_ascii_alphabetic() && b.is_ascii_alphabetic() => [a.to_ascii_uppercase(), b.to_ascii_uppercase()],
        _ => [0, 0],
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
mod tests {
    use super::super::test_mmdb::{self, Value, map};
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn the_flat_layout_gives_the_documented_default_radius() {
        let file = CityFile::open(test_mmdb::flat_v4()).unwrap();
        let found = file.get(ip("203.0.113.7")).unwrap().unwrap();
        assert_eq!(found.place, Some(Place { country: *b"DE", latitude: 52.5, longitude: 13.25, accuracy_km: CITY_ACCURACY_KM }));
        assert_eq!((found.region.as_ref(), found.city.as_ref()), ("Land Berlin", "Berlin"));
        assert_eq!(file.get(ip("192.0.2.1")).unwrap(), None);
    }

    #[test]
    fn an_ipv4_file_is_never_asked_for_ipv6_and_an_ipv6_file_knows_no_ipv4() {
        let v4 = CityFile::open(test_mmdb::flat_v4()).unwrap();
        assert_eq!(v4.get(ip("2001:db8::1")).unwrap(), None);
        let v6 = CityFile::open(test_mmdb::flat_v6()).unwrap();
        assert_eq!(v6.get(ip("203.0.113.7")).unwrap(), None);
        assert_eq!(v6.get(ip("2001:db8::1")).unwrap().unwrap().city, "Zürich");
    }

    #[test]
    fn the_nested_layout_brings_its_own_radius_and_both_families() {
        let file = CityFile::open(test_mmdb::nested()).unwrap();
        let place = file.get(ip("203.0.113.7")).unwrap().unwrap();
        assert_eq!(place.place.unwrap().accuracy_km, 20);
        assert_eq!((place.region.as_ref(), place.city.as_ref()), ("England", "Boxford"));
        assert!(file.get(ip("2001:db8::1")).unwrap().is_some());
    }

    #[test]
    fn a_country_alone_has_no_coordinates_to_measure_from() {
        let file = CityFile::open(test_mmdb::nested()).unwrap();
        let place = file.get(ip("198.51.100.1")).unwrap().unwrap().place.unwrap();
        assert_eq!(place.country_str(), "FR");
        assert!(!has_coordinates(&place));
        let far = Place { country: *b"NZ", latitude: -41.0, longitude: 174.0, accuracy_km: 10 };
        assert_eq!(bartizan_core::geo::least_distance_km(&place, &far), 0.0);
    }

    #[test]
    fn impossible_coordinates_and_countries_are_not_believed() {
        assert_eq!(record(Some("D1"), None, Some("x"), Some((Degrees(91.0), Degrees(0.0))), None).place, None);
        assert_eq!(record(Some("de"), None, Some("x"), Some((Degrees(f64::NAN), Degrees(0.0))), None).place.unwrap().country_str(), "DE");
        assert_eq!(record(None, None, Some("a\u{0}b\nc"), None, None).city, "abc");
    }

    #[test]
    fn damaged_files_are_refused_with_a_reason() {
        let whole = test_mmdb::flat_v4();
        for damaged in [Vec::new(), b"<html>not found</html>".to_vec(), whole[..whole.len() / 2].to_vec()] {
            assert!(CityFile::open(damaged).is_err());
        }
        let text = map(vec![("country_code", Value::Text("DE")), ("latitude", Value::Text("52.5"))]);
        let error = CityFile::open(test_mmdb::file(4, &[("203.0.113.0/24", text)])).err().unwrap();
        assert!(error.contains("cannot be read"), "{error}");
        let other = test_mmdb::file(4, &[("203.0.113.0/24", map(vec![("isp", Value::Text("x"))]))]);
        let error = CityFile::open(other).err().unwrap();
        assert!(error.contains("no records of cities"), "{error}");
    }

    #[test]
    fn any_flipped_byte_is_an_error_or_an_answer_but_never_a_crash() {
        let whole = test_mmdb::nested();
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 0xff;
            if let Ok(file) = CityFile::open(damaged) {
                file.get(ip("203.0.113.7")).ok();
                file.get(ip("2001:db8::1")).ok();
            }
        }
    }
}
