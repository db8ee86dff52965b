//! Who took part in what: labels by the names in them.

use crate::alert::Entities;
use crate::simulate::Label;
use ipnet::IpNet;
use std::collections::HashMap;
use std::net::IpAddr;

/// Labels by tenant and name, given as their numbers in the list.
pub(super) struct Parties<'a> {
    names: HashMap<(&'a str, &'a str), Vec<usize>>,
    addresses: Vec<(IpAddr, &'a str, usize)>,
}

impl<'a> Parties<'a> {
    pub(super) fn new(labels: &'a [Label]) -> Self {
        let mut parties = Self { names: HashMap::new(), addresses: Vec::new() };
        for (number, label) in labels.iter().enumerate() {
            let entities = &label.entities;
            for name in entities.users.iter().chain(&entities.ips).chain(&entities.sessions) {
                parties.names.entry((&label.tenant, name)).or_default().push(number);
            }
            for ip in entities.ips.iter().filter_map(|ip| ip.parse().ok()) {
                parties.addresses.push((ip, &label.tenant, number));
            }
        }
        parties.addresses.sort_unstable();
        parties
    }

    /// Labels of which a user, address or session has this name.
    pub(super) fn named<'s>(&'s self, tenant: &'s str, name: &'s str) -> impl Iterator<Item = usize> + 's {
        self.names.get(&(tenant, name)).into_iter().flatten().copied()
    }

    /// Labels of which an alert names somebody: a user, an address or its network, a session.
    pub(super) fn of(&self, tenant: &str, entities: &Entities) -> Vec<usize> {
        self.with(tenant, entities, &entities.users)
    }

    /// Labels of which an alert names what is the attacker's: an address or its network, a session.
    pub(super) fn traced(&self, tenant: &str, entities: &Entities) -> Vec<usize> {
        self.with(tenant, entities, &[])
    }

    fn with(&self, tenant: &str, entities: &Entities, users: &[String]) -> Vec<usize> {
        let names = users.iter().chain(&entities.ips).chain(&entities.sessions);
        let mut numbers: Vec<usize> = names.flat_map(|name| self.named(tenant, name)).collect();
        for network in entities.networks.iter().filter_map(|network| network.parse::<IpNet>().ok()) {
            let first = self.addresses.partition_point(|(ip, _, _)| *ip < network.network());
            let inside = self.addresses.iter().skip(first).take_while(|(ip, _, _)| network.contains(ip));
            numbers.extend(inside.filter(|(_, of, _)| *of == tenant).map(|(_, _, number)| *number));
        }
        numbers.sort_unstable();
        numbers.dedup();
        numbers
    }
}
