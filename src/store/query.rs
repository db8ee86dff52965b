//! The questions that the API asks. Every value is a server-side parameter, every question has a
//! bound on its rows and its time, and every answer is free of duplicates (by the sort key, here or
//! with `LIMIT 1 BY`).

use super::error::{ErrorClass, StoreError};
use super::event::{StoredEvent, mapped};
use super::{Store, StoreConfig};
use crate::alert::Alert;
use bartizan_core::time::DAY_MS;
use bartizan_core::{Kind, Outcome};
use clickhouse::Row;
use clickhouse::query::Query;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// Events in one page: what the API's contract promises.
pub const PAGE_MAX: u32 = 1_000;
/// Rounds to fill a page whose rows were written many times; then the page is just shorter.
const PAGE_ROUNDS_MAX: usize = 8;
/// Days before an event within which those of its user, session, address and device say something of it: as long as what
/// is known of a person weighs most.
pub const OWN_DAYS: i64 = 30;
/// The same of all sign-ins of its tenant: as long as attacks on many are counted, and applications learnt.
pub const TENANT_DAYS: i64 = 3;
/// Ids in one question.
pub const IDS_MAX: usize = 1_000;

/// Which events are meant. Absent members do not filter.
#[derive(Clone, Debug, Default)]
pub struct EventFilter {
    /// Tenant; absent: all of them.
    pub tenant: Option<String>,
    /// From this event time on, in milliseconds.
    pub since_ms: Option<i64>,
    /// Before this event time, in milliseconds.
    pub until_ms: Option<i64>,
    /// User.
    pub user: Option<String>,
    /// Client address; an IPv4-mapped IPv6 address is the IPv4 address.
    pub ip: Option<IpAddr>,
    /// Session.
    pub session: Option<String>,
    /// Device.
    pub device: Option<String>,
    /// What happened.
    pub kind: Option<Kind>,
    /// How it ended.
    pub outcome: Option<Outcome>,
}

/// The last event of a page, after which the next one begins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventCursor {
    /// Its time in milliseconds.
    pub time_ms: i64,
    /// Its tenant.
    pub tenant: String,
    /// Its id.
    pub id: String,
}

/// Newest events first, and where the next page begins; `None` on the last page.
#[derive(Debug)]
pub struct EventPage {
    /// The events.
    pub events: Vec<StoredEvent>,
    /// Where to go on.
    pub next: Option<EventCursor>,
}

/// Whom a summary is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entity {
    /// A user.
    User(String),
    /// An address.
    Ip(IpAddr),
    /// A session.
    Session(String),
    /// A device.
    Device(String),
}

/// How often a value was seen with an entity, and when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Seen<T> {
    /// The value.
    #[serde(flatten)]
    pub value: T,
    /// Events with it.
    pub events: u64,
    /// First of them, in milliseconds.
    pub first_ms: i64,
    /// Last of them, in milliseconds.
    pub last_ms: i64,
}

/// A plain value, e.g. a device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Name {
    /// The value.
    pub value: String,
}

/// A place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SeenPlace {
    /// ISO 3166-1 alpha-2.
    pub country: String,
    /// Region; may be empty.
    pub region: String,
    /// City; may be empty.
    pub city: String,
}

/// A network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SeenNetwork {
    /// Number of the autonomous system.
    pub asn: u32,
    /// Its name.
    pub name: String,
    /// Its class.
    pub class: String,
}

/// What the store knows of a user, an address, a session or a device. Lists hold the values with most events, as
/// many as `store.summary_values_max` says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct EntitySummary {
    /// First event ever, in milliseconds; `None`: never seen.
    pub first_ms: Option<i64>,
    /// Last event, in milliseconds.
    pub last_ms: Option<i64>,
    /// Events counted: all, or the newest `store.summary_events_max`.
    pub events: u64,
    /// Are there more events than were counted?
    pub truncated: bool,
    /// Events by outcome.
    pub outcomes: Vec<Seen<Name>>,
    /// Events by kind.
    pub kinds: Vec<Seen<Name>>,
    /// Places.
    pub places: Vec<Seen<SeenPlace>>,
    /// Networks.
    pub networks: Vec<Seen<SeenNetwork>>,
    /// Devices.
    pub devices: Vec<Seen<Name>>,
    /// User agents.
    pub user_agents: Vec<Seen<Name>>,
    /// Users.
    pub users: Vec<Seen<Name>>,
    /// Addresses.
    pub ips: Vec<Seen<Name>>,
    /// Sessions.
    pub sessions: Vec<Seen<Name>>,
}

/// Conditions of a question, and the parameters they name.
#[derive(Default)]
struct Conditions {
    clauses: Vec<&'static str>,
    parameters: Vec<(&'static str, String)>,
}

impl Conditions {
    fn add(&mut self, clause: &'static str, name: &'static str, value: Option<impl ToString>) {
        if let Some(value) = value {
            self.clauses.push(clause);
            self.parameters.push((name, value.to_string()));
        }
    }

    fn sql(&self) -> String {
        if self.clauses.is_empty() { "1".to_owned() } else { self.clauses.join(" AND ") }
    }

    fn bind(self, query: Query) -> Query {
        self.parameters.into_iter().fold(query, |query, (name, value)| query.param(name, value))
    }

    fn of_filter(filter: &EventFilter) -> Self {
        let mut conditions = Self::default();
        conditions.add("tenant = {tenant:String}", "tenant", filter.tenant.as_deref());
        conditions.add("time >= fromUnixTimestamp64Milli({since:Int64}, 'UTC')", "since", filter.since_ms);
        conditions.add("time < fromUnixTimestamp64Milli({until:Int64}, 'UTC')", "until", filter.until_ms);
        conditions.add("user = {user:String}", "user", filter.user.as_deref());
        conditions.add("ip = {ip:IPv6}", "ip", filter.ip.map(mapped));
        conditions.add("session = {session:String}", "session", filter.session.as_deref());
        conditions.add("device = {device:String}", "device", filter.device.as_deref());
        conditions.add("kind = {kind:String}", "kind", filter.kind);
        conditions.add("outcome = {outcome:String}", "outcome", filter.outcome);
        conditions
    }

    fn of_entity(tenant: Option<&str>, entity: &Entity) -> Self {
        let mut filter = EventFilter { tenant: tenant.map(str::to_owned), ..EventFilter::default() };
        match entity {
            Entity::User(user) => filter.user = Some(user.clone()),
            Entity::Ip(ip) => filter.ip = Some(*ip),
            Entity::Session(session) => filter.session = Some(session.clone()),
            Entity::Device(device) => filter.device = Some(device.clone()),
        }
        Self::of_filter(&filter)
    }
}

impl Store {
    /// A page of events, newest first; `limit` is cut to [`PAGE_MAX`].
    ///
    /// # Errors
    /// The store is away, or the question takes longer than it may.
    pub async fn events(&self, filter: &EventFilter, after: Option<&EventCursor>, limit: u32) -> Result<EventPage, StoreError> {
        let limit = limit.clamp(1, PAGE_MAX) as usize;
        let mut events: Vec<StoredEvent> = Vec::new();
        let mut cursor = after.cloned();
        let mut more = true;
        // One round is the rule; rows that were written twice and are not merged yet take another.
        for _ in 0..PAGE_ROUNDS_MAX {
            let rows = self.event_rows(filter, cursor.as_ref(), limit + 1).await?;
            more = rows.len() > limit;
            cursor = rows.last().map(cursor_of);
            events.extend(rows);
            // In the order of the sort key, so rows of the same event are neighbours.
            events.dedup_by(|next, kept| (next.time, &next.tenant, &next.id) == (kept.time, &kept.tenant, &kept.id));
            if !more || events.len() > limit {
                break;
            }
        }
        more |= events.len() > limit;
        events.truncate(limit);
        let next = events.last().filter(|_| more).map(cursor_of);
        Ok(EventPage { events, next })
    }

    /// Rows as they lie in the table, newest first. `LIMIT 1 BY` and `FINAL` would both read the whole
    /// range to the end; without them reading stops at the limit.
    async fn event_rows(&self, filter: &EventFilter, after: Option<&EventCursor>, limit: usize) -> Result<Vec<StoredEvent>, StoreError> {
        let mut conditions = Conditions::of_filter(filter);
        if let Some(cursor) = after {
            // The first half bounds the parts that are read, the second one is exact.
            conditions.add("time <= fromUnixTimestamp64Milli({after_time:Int64}, 'UTC')", "after_time", Some(cursor.time_ms));
            conditions.add(
                "(time < fromUnixTimestamp64Milli({after_time:Int64}, 'UTC') OR (tenant, id) < ({after_tenant:String}, {after_id:String}))",
                "after_id",
                Some(&cursor.id),
            );
            conditions.parameters.push(("after_tenant", cursor.tenant.clone()));
        }
        let sql = format!("SELECT ?fields FROM events WHERE {} ORDER BY time DESC, tenant DESC, id DESC LIMIT {limit}", conditions.sql());
        conditions.bind(self.question(&sql)).fetch_all().await.map_err(StoreError::of("read events"))
    }

    /// Events of one tenant by id within a range of time (both ends included), oldest first; at most
    /// [`IDS_MAX`] ids are looked for.
    ///
    /// # Errors
    /// The store is away, or the question takes longer than it may.
    pub async fn events_by_id(&self, tenant: &str, ids: &[String], first_ms: i64, last_ms: i64) -> Result<Vec<StoredEvent>, StoreError> {
        let ids = ids.get(..IDS_MAX).unwrap_or(ids);
        let sql = format!(
            "SELECT ?fields FROM events WHERE tenant = {{tenant:String}} AND id IN {{ids:Array(String)}} \
             AND time >= fromUnixTimestamp64Milli({{first:Int64}}, 'UTC') AND time <= fromUnixTimestamp64Milli({{last:Int64}}, 'UTC') \
             ORDER BY time, tenant, id LIMIT 1 BY time, tenant, id LIMIT {PAGE_MAX}"
        );
        let query = self.question(&sql).param("tenant", tenant).param("ids", ids).param("first", first_ms).param("last", last_ms);
        query.fetch_all().await.map_err(StoreError::of("read events by id"))
    }

    /// The newest event of this id, of one tenant or of all.
    ///
    /// # Errors
    /// The store is away, or the question takes longer than it may.
    pub async fn event(&self, tenant: Option<&str>, id: &str) -> Result<Option<StoredEvent>, StoreError> {
        let mut conditions = Conditions::default();
        conditions.add("tenant = {tenant:String}", "tenant", tenant);
        conditions.add("id = {id:String}", "id", Some(id));
        let sql = format!("SELECT ?fields FROM events WHERE {} ORDER BY time DESC LIMIT 1", conditions.sql());
        conditions.bind(self.question(&sql)).fetch_optional().await.map_err(StoreError::of("read an event"))
    }

    /// The events before `event` that say most of it, oldest first: those of its user, session, address and device within
    /// [`OWN_DAYS`], and sign-ins of its tenant within [`TENANT_DAYS`]; of each the newest `events_max / 2`.
    ///
    /// # Errors
    /// The store is away, or the question takes longer than it may.
    pub async fn events_before(&self, event: &StoredEvent, events_max: u32) -> Result<Vec<StoredEvent>, StoreError> {
        let mut own = Vec::new();
        let names = [("user", &event.user), ("session", &event.session), ("device", &event.device)];
        own.extend(names.iter().filter(|(_, value)| !value.is_empty()).map(|(name, _)| format!("{name} = {{{name}:String}}")));
        if !event.ip.is_unspecified() {
            own.push("ip = {ip:IPv6}".to_owned());
        }
        let own = if own.is_empty() { "0".to_owned() } else { format!("({})", own.join(" OR ")) };
        let sign_ins = "kind IN ('login', 'token_issue', 'signup', 'password_reset')".to_owned();
        let mut all: Vec<StoredEvent> = Vec::new();
        // Rows that were written twice count in the limit; `LIMIT 1 BY` would read all days to their end.
        for (clause, days) in [(own, OWN_DAYS), (sign_ins, TENANT_DAYS)] {
            let sql = format!(
                "SELECT ?fields FROM events WHERE tenant = {{tenant:String}} AND {clause} \
                 AND time >= fromUnixTimestamp64Milli({{since:Int64}}, 'UTC') AND time <= fromUnixTimestamp64Milli({{until:Int64}}, 'UTC') \
                 AND (time, id) < (fromUnixTimestamp64Milli({{until:Int64}}, 'UTC'), {{id:String}}) \
                 ORDER BY time DESC, tenant DESC, id DESC LIMIT {}",
                events_max / 2
            );
            let mut query = self.question(&sql).param("tenant", &event.tenant).param("id", &event.id).param("ip", event.ip);
            query = query.param("since", event.time.saturating_sub(days * DAY_MS)).param("until", event.time);
            query = names.iter().fold(query, |query, (name, value)| query.param(name, value));
            all.extend(query.fetch_all::<StoredEvent>().await.map_err(StoreError::of("read the events before one"))?);
        }
        all.sort_unstable_by(|a, b| (a.time, &a.id).cmp(&(b.time, &b.id)));
        all.dedup_by(|a, b| (a.time, &a.id) == (b.time, &b.id));
        Ok(all)
    }

    /// What is known of a user, an address or a session; of one tenant or of all.
    ///
    /// # Errors
    /// The store is away, or the question takes longer than it may.
    pub async fn entity_summary(&self, tenant: Option<&str>, entity: &Entity) -> Result<EntitySummary, StoreError> {
        let conditions = Conditions::of_entity(tenant, entity);
        let events_max = self.config.summary_events_max;
        // Neither end changes when an event was written twice, so this needs no deduplication.
        let sql = format!(
            "SELECT toUnixTimestamp64Milli(min(time)) AS first_ms, toUnixTimestamp64Milli(max(time)) AS last_ms, count() > {events_max} AS more, \
             count() > 0 AS found FROM events WHERE {}",
            conditions.sql()
        );
        let span: (i64, i64, bool, bool) =
            conditions.bind(self.question(&sql)).fetch_one().await.map_err(StoreError::of("read an entity's span"))?;
        let (first_ms, last_ms, more, found) = span;
        if !found {
            return Ok(EntitySummary::default());
        }
        let conditions = Conditions::of_entity(tenant, entity);
        let sql = facets_sql(&conditions.sql(), &self.config);
        let facets: Vec<FacetRow> =
            conditions.bind(self.question(&sql)).fetch_all().await.map_err(StoreError::of("summarise an entity"))?;
        let mut summary = EntitySummary { first_ms: Some(first_ms), last_ms: Some(last_ms), ..EntitySummary::default() };
        for facet in facets {
            summary.add(facet);
        }
        summary.events = summary.outcomes.iter().map(|outcome| outcome.events).sum();
        // Rows written twice count in `more` until they are merged.
        summary.truncated = more && summary.events >= u64::from(events_max);
        Ok(summary)
    }

    /// About how many sessions each tenant had events of since `since_ms`, of as many tenants as are counted,
    /// those with most of them. An event that was written twice changes nothing.
    ///
    /// # Errors
    /// The store is away, or the question takes longer than it may.
    pub async fn active_sessions(&self, since_ms: i64) -> Result<BTreeMap<String, u64>, StoreError> {
        let limit = self.config.tenants_counted_max;
        // A sketch of 2^12 cells is off by 1.6 % and keeps the memory of many tenants small.
        let sql = format!(
            "SELECT toString(tenant) AS name, uniqCombined(12)(session) AS sessions FROM events \
             WHERE time >= fromUnixTimestamp64Milli({{since:Int64}}, 'UTC') AND session != '' \
             GROUP BY name ORDER BY sessions DESC, name LIMIT {limit}"
        );
        let rows = self.question(&sql).param("since", since_ms).fetch_all::<(String, u64)>().await;
        Ok(rows.map_err(StoreError::of("count active sessions"))?.into_iter().collect())
    }

    /// Every version of one alert, oldest first.
    ///
    /// # Errors
    /// The store is away, or a row is no alert of this program's.
    pub async fn alert_versions(&self, tenant: &str, id: &str) -> Result<Vec<Alert>, StoreError> {
        let versions_max = self.config.alert_versions_max;
        let sql = format!(
            "SELECT json FROM alerts WHERE tenant = {{tenant:String}} AND id = {{id:String}} ORDER BY version LIMIT 1 BY version LIMIT {versions_max}"
        );
        let query = self.question(&sql).param("tenant", tenant).param("id", id);
        let versions: Vec<String> = query.fetch_all().await.map_err(StoreError::of("read an alert's versions"))?;
        let versions: Result<Vec<Alert>, _> = versions.iter().map(|json| serde_json::from_str(json)).collect();
        versions.map_err(|error| StoreError::new(ErrorClass::Fatal, "read an alert's versions", error.to_string()))
    }
}

fn cursor_of(event: &StoredEvent) -> EventCursor {
    EventCursor { time_ms: event.time, tenant: event.tenant.clone(), id: event.id.clone() }
}

/// One value of one kind.
#[derive(Row, Deserialize)]
struct FacetRow {
    facet: String,
    value: String,
    events: u64,
    first_ms: i64,
    last_ms: i64,
}

/// One pass over the newest events of an entity, counted by every kind of value.
fn facets_sql(conditions: &str, limits: &StoreConfig) -> String {
    let StoreConfig { summary_events_max: events_max, summary_values_max: values_max, .. } = limits;
    // Those that were written twice included.
    let rows_max = events_max.saturating_mul(2);
    format!(
        "SELECT f.1 AS facet, f.2 AS value, count() AS events, toUnixTimestamp64Milli(min(time)) AS first_ms, toUnixTimestamp64Milli(max(time)) AS last_ms \
         FROM (SELECT time, arrayJoin([('outcome', toString(outcome)), ('kind', toString(kind)), ('device', device), \
         ('user_agent', toString(user_agent)), ('user', user), ('ip', ip_text), ('session', session), \
         ('place', if(country = '', '', concat(toString(country), '\\t', toString(region), '\\t', toString(city)))), \
         ('network', if(asn = 0, '', concat(toString(asn), '\\t', toString(network_name), '\\t', toString(network_class))))]) AS f \
         FROM (SELECT time, outcome, kind, device, user_agent, user, ip_text, session, country, region, city, asn, network_name, network_class \
         FROM (SELECT *, ip_text FROM events WHERE {conditions} ORDER BY time DESC, tenant DESC, id DESC LIMIT {rows_max}) \
         ORDER BY time DESC, tenant DESC, id DESC LIMIT 1 BY time, tenant, id LIMIT {events_max})) \
         WHERE value != '' GROUP BY facet, value ORDER BY facet, events DESC, value LIMIT {values_max} BY facet"
    )
}

impl EntitySummary {
    fn add(&mut self, row: FacetRow) {
        let FacetRow { facet, value, events, first_ms, last_ms } = row;
        let list = match facet.as_str() {
            "outcome" => &mut self.outcomes,
            "kind" => &mut self.kinds,
            "device" => &mut self.devices,
            "user_agent" => &mut self.user_agents,
            "user" => &mut self.users,
            "ip" => &mut self.ips,
            "session" => &mut self.sessions,
            // A name may hold a tab; only the first two separate.
            _ => {
                let mut parts = value.splitn(3, '\t').map(str::to_owned);
                let mut part = || parts.next().unwrap_or_default();
                let (first, second, third) = (part(), part(), part());
                if facet == "place" {
                    let place = SeenPlace { country: first, region: second, city: third };
                    self.places.push(Seen { value: place, events, first_ms, last_ms });
                } else {
                    let network = SeenNetwork { asn: first.parse().unwrap_or(0), name: second, class: third };
                    self.networks.push(Seen { value: network, events, first_ms, last_ms });
                }
                return;
            }
        };
        list.push(Seen { value: Name { value }, events, first_ms, last_ms });
    }
}
