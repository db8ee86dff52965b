//! The one list of all detectors. Help, configuration, API, console and tests derive from it.

use bartizan_core::Spec;

/// The families, in the order in which their detectors are listed and run.
static FAMILIES: &[&[&Spec]] = &[
    bartizan_credentials::DETECTORS,
    bartizan_sessions::DETECTORS,
    bartizan_locations::DETECTORS,
    bartizan_accounts::DETECTORS,
    bartizan_api::DETECTORS,
    bartizan_factors::DETECTORS,
    bartizan_clients::DETECTORS,
];

/// Every detector, in a fixed order.
pub fn all() -> impl Iterator<Item = &'static Spec> + Clone {
    FAMILIES.iter().flat_map(|family| family.iter().copied())
}

/// The detector with this id.
#[must_use]
pub fn find(id: &str) -> Option<&'static Spec> {
    all().find(|spec| spec.id == id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn ids_are_unique_and_found() {
        let ids: BTreeSet<_> = all().map(|spec| spec.id).collect();
        assert_eq!(ids.len(), all().count());
        assert!(ids.iter().all(|id| find(id).is_some_and(|spec| spec.id == *id)));
        assert!(find("none").is_none());
    }

    #[test]
    fn every_detector_is_described_and_its_parameters_have_units_and_sound_defaults() {
        for spec in all() {
            let texts = [spec.title, spec.looks_for, spec.blind_spots, spec.innocent_causes];
            assert!(texts.iter().all(|text| !text.is_empty() && !text.contains("  ")), "{}", spec.id);
            assert!(!spec.keys.is_empty() && !spec.attack.is_empty() && spec.quiet_gap_ms > 0, "{}", spec.id);
            let mut names = BTreeSet::new();
            for parameter in spec.parameters {
                assert!(names.insert(parameter.name), "{} twice in {}", parameter.name, spec.id);
                let default = match parameter.default {
                    bartizan_core::Value::Int(value) => value as f64,
                    bartizan_core::Value::Float(value) => value,
                    bartizan_core::Value::Bool(value) => f64::from(u8::from(value)),
                };
                assert!(parameter.min <= default && default <= parameter.max, "{} of {}", parameter.name, spec.id);
                assert!(parameter.doc.ends_with('.'), "{} of {}", parameter.name, spec.id);
            }
        }
    }
}
