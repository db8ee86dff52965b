//! Paths that were read lately, so that they are not read again.
//!
//! Most requests are for a few paths without an id (lists, one's own profile), and to compare a path takes less than to read
//! it. A reading holds for the path to the letter, and for what was [known](Names) of its tenant's paths then; so it is no
//! state, and makes no finding another one.

use super::names::Names;
use super::route::{Asked, SEED, mix};

/// Readings held, each in the one place that its path's hash names.
const PLACES: usize = 128;
/// Bytes of a path that is held.
const TEXT_BYTES: usize = 40;

#[derive(Clone, Copy)]
struct Reading {
    tenant: u64,
    edition: u64,
    len: usize,
    text: [u8; TEXT_BYTES],
    asked: Asked,
}

/// What the latest paths without an object came to.
pub(super) struct Readings(Box<[Option<Reading>]>);

impl Readings {
    pub fn new() -> Self {
        Self(vec![None; PLACES].into_boxed_slice())
    }

    /// [`Asked::of`] a path of a tenant.
    #[inline]
    pub fn read(&mut self, path: &str, tenant: u64, names: &Names) -> Asked {
        let (bytes, edition) = (path.as_bytes(), names.edition());
        if bytes.len() > TEXT_BYTES {
            return Asked::of(path, names);
        }
        let Some(place) = self.0.get_mut(mix(SEED, bytes) as usize % PLACES) else { return Asked::of(path, names) };
        match place {
            Some(held) if held.edition == edition && held.tenant == tenant && held.text.get(..held.len) == Some(bytes) => held.asked,
            _ => {
                let asked = Asked::of(path, names);
                if asked.object.is_none() {
                    let mut text = [0; TEXT_BYTES];
                    text.iter_mut().zip(bytes).for_each(|(to, byte)| *to = *byte);
                    *place = Some(Reading { tenant, edition, len: bytes.len(), text, asked });
                }
                asked
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::indexing_slicing, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_was_read_comes_to_what_it_would_be_read_as() {
        let (mut names, mut readings) = ([Names::new(), Names::new()], Readings::new());
        for number in 0..60_000_u64 {
            let dice = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20;
            let tenant = dice as usize % 2;
            let known = &mut names[tenant];
            let path = match dice >> 4 & 3 {
                0 => "/api/v1/orders".to_owned(),
                1 => format!("/api/v{}/orders/{}", dice >> 8 & 1, dice >> 10 & 15),
                _ => format!("/shops/{}", (0..3).map(|at| char::from(b'k' + (dice >> (8 + 4 * at) & 7) as u8)).collect::<String>()),
            };
            assert_eq!(readings.read(&path, tenant as u64, known), Asked::of(&path, known), "{path}");
            if number % 7 == 0 {
                let mut texts = Vec::new();
                known.to_learn(&path, true, |place, bit| texts.push((place, bit)));
                texts.into_iter().for_each(|(place, bit)| known.learn(place, bit));
            }
        }
        assert!(names.iter().all(|known| Asked::of("/shops/qq", known).object.is_some()));
    }
}
