//! Distances on the globe.

use crate::event::Place;

/// Mean radius of the Earth in kilometres (IUGG).
const EARTH_RADIUS_KM: f64 = 6_371.008_8;

/// Great-circle distance in kilometres (haversine; well behaved for near points and across the
/// antimeridian).
#[must_use]
pub fn distance_km(a: &Place, b: &Place) -> f64 {
    let (lat_a, lat_b) = (f64::from(a.latitude).to_radians(), f64::from(b.latitude).to_radians());
    let delta_lat = lat_b - lat_a;
    let delta_lon = (f64::from(b.longitude) - f64::from(a.longitude)).to_radians();
    let h = (delta_lat / 2.0).sin().powi(2) + lat_a.cos() * lat_b.cos() * (delta_lon / 2.0).sin().powi(2);
    2.0 * EARTH_RADIUS_KM * h.sqrt().clamp(0.0, 1.0).asin()
}

/// The distance that is left when both places lie as near to each other as their accuracy allows.
#[must_use]
pub fn least_distance_km(a: &Place, b: &Place) -> f64 {
    (distance_km(a, b) - f64::from(a.accuracy_km) - f64::from(b.accuracy_km)).max(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(latitude: f32, longitude: f32, accuracy_km: u16) -> Place {
        Place { country: *b"XX", latitude, longitude, accuracy_km }
    }

    #[test]
    fn distances_are_right_also_across_the_antimeridian() {
        let berlin_paris = distance_km(&place(52.52, 13.405, 0), &place(48.8566, 2.3522, 0));
        assert!((berlin_paris - 878.0).abs() < 5.0, "{berlin_paris}");
        let fiji_samoa = distance_km(&place(-18.14, 178.44, 0), &place(-13.83, -171.76, 0));
        assert!((fiji_samoa - 1_150.0).abs() < 20.0, "{fiji_samoa}");
    }

    #[test]
    fn radii_are_subtracted_down_to_nothing() {
        assert_eq!(least_distance_km(&place(0.0, 0.0, 50), &place(0.0, 0.5, 50)), 0.0);
    }
}
