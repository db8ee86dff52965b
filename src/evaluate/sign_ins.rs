//! Sign-ins of people, of which rates are told.

use super::parties::Parties;
use crate::simulate::Label;
use bartizan_core::{EventBatch, Kind, Outcome, UserKind};
use std::collections::{BTreeMap, HashSet};
use std::net::IpAddr;

/// Time and address of each sign-in of one user.
type OfUser = Vec<(i64, Option<IpAddr>)>;

/// Logins of people, by tenant and user, each once however often it is delivered.
#[derive(Clone, Debug, Default)]
pub struct SignIns {
    by_user: BTreeMap<String, BTreeMap<String, OfUser>>,
    seen: HashSet<u64>,
}

impl SignIns {
    /// Counts those of a batch, whose keys are hashed.
    pub fn see(&mut self, events: &EventBatch) {
        for event in events.iter() {
            let is_sign_in = event.kind() == Kind::Login && matches!(event.outcome(), Outcome::Success | Outcome::Failure);
            let Some(user) = event.user().filter(|_| is_sign_in && event.user_kind() != UserKind::Service) else { continue };
            if !self.seen.insert(event.identity()) {
                continue;
            }
            let users = self.by_user.entry(event.tenant().to_owned()).or_default();
            users.entry(user.to_owned()).or_default().push((event.time_ms(), event.ip()));
        }
    }

    /// Those that belong to no attack.
    pub(super) fn innocent(&self, labels: &[Label], parties: &Parties<'_>) -> u64 {
        let mut count = 0;
        for (tenant, users) in &self.by_user {
            for (user, sign_ins) in users {
                let attacks: Vec<&Label> =
                    parties.named(tenant, user).filter_map(|number| labels.get(number)).filter(|label| label.attack.is_some()).collect();
                let innocent = sign_ins.iter().filter(|(time_ms, ip)| !attacks.iter().any(|attack| is_part(attack, *time_ms, *ip)));
                count += innocent.count() as u64;
            }
        }
        count
    }
}

/// Is a sign-in of one of the attack's users a part of it?
fn is_part(attack: &Label, time_ms: i64, ip: Option<IpAddr>) -> bool {
    (attack.start.0..=attack.end.0).contains(&time_ms) && ip.is_some_and(|ip| attack.entities.ips.contains(&ip.to_string()))
}
