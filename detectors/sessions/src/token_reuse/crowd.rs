//! Programs on servers that have the sessions of several people: an application's back end, not a thief's script.
//!
//! A back end shows its users' sessions from the address of a cloud, without a device, as a script with one stolen
//! session does. But it does so for everybody. Sessions are spread over all slices, so what programs are in whose
//! sessions all of them have in common. Who steals from many people at once is told for the first of them.

use bartizan_core::client::short;
use bartizan_core::time::DAY_MS;
use bartizan_core::{Budget, ClientPrint, Common, Event, KeyKind, KeyedState, Report, Retained, State, heap_bytes};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// People in whose sessions a program is, from which on it is everybody's.
const PEOPLE_MIN: usize = 3;
/// Programs of one tenant; beyond them the one with the fewest people goes, of these the oldest.
const PROGRAMS_MAX: usize = 64;
/// How long a tenant's programs are remembered after the last one that was news.
const KEPT_MS: i64 = 30 * DAY_MS;

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Server {
    program: u32,
    /// 0: nobody.
    people: [u32; PEOPLE_MIN],
}

impl Server {
    fn count(&self) -> usize {
        self.people.iter().filter(|person| **person != 0).count()
    }
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Tenant {
    last_ms: i64,
    servers: Vec<Server>,
}

impl Retained for Tenant {
    fn expires_ms(&self) -> i64 {
        self.last_ms.saturating_add(KEPT_MS)
    }

    fn worth(&self) -> u8 {
        3
    }

    fn heap_bytes(&self) -> usize {
        heap_bytes(self.servers.len() * size_of::<Server>())
    }
}

/// The programs on servers of all tenants.
pub(super) struct Crowd(KeyedState<Tenant>);

/// A program and its network.
fn program(event: &Event<'_>) -> u32 {
    let print = ClientPrint::of(event);
    print.line().rotate_left(11) ^ print.agent ^ print.ja4.rotate_left(16)
}

impl Crowd {
    /// None, with memory from `budget`.
    pub fn new(budget: &Arc<Budget>) -> Self {
        Self(KeyedState::new(budget))
    }

    /// Does the event's program have the sessions of several people?
    pub fn serves(event: &Event<'_>) -> bool {
        let server = || {
            let (crowd, tenant) = (event.common::<Self>()?, event.key(KeyKind::Tenant)?);
            let tenant = crowd.0.get(tenant.hash, event.watermark_ms())?;
            tenant.servers.iter().find(|server| server.program == program(event))
        };
        server().is_some_and(|server| server.count() >= PEOPLE_MIN)
    }
}

/// The event's program has a session of its user.
pub(super) fn has_session(event: &Event<'_>) -> Option<Report> {
    let (tenant, user) = (event.key(KeyKind::Tenant)?, event.key(KeyKind::User)?);
    Some(Report { key: tenant.hash, what: 0, values: [program(event), short(Some(user)), 0, 0] })
}

impl Common for Crowd {
    fn apply(&mut self, report: &Report, watermark_ms: i64) {
        let [program, person, ..] = report.values;
        let mut tenant = self.0.entry(report.key, watermark_ms, Tenant::default);
        tenant.last_ms = tenant.last_ms.max(watermark_ms);
        if let Some(server) = tenant.servers.iter_mut().find(|server| server.program == program) {
            let free = if server.people.contains(&person) { None } else { server.people.iter_mut().find(|known| **known == 0) };
            free.into_iter().for_each(|free| *free = person);
            return;
        }
        if tenant.servers.len() < PROGRAMS_MAX {
            tenant.servers.reserve_exact(1);
        } else if let Some((least, _)) = tenant.servers.iter().enumerate().min_by_key(|(_, server)| server.count()) {
            tenant.servers.remove(least);
        }
        tenant.servers.push(Server { program, people: std::array::from_fn(|number| if number == 0 { person } else { 0 }) });
    }

    fn each_state(&mut self, visit: &mut dyn FnMut(&mut dyn State)) {
        visit(&mut self.0);
    }
}
