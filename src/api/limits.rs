//! What one client may take, so that others get theirs: requests a second, wrong tokens a second,
//! requests at once.
//!
//! A client is an IPv4 address or an IPv6 /64. Everything here is bounded, whatever addresses come:
//! clients past `http.clients_max` share one allowance. Behind a reverse proxy all requests have its
//! address; it has to limit them itself, and `[http]` wants higher limits then.

use super::problem::Problem;
use super::{ApiState, HttpConfig};
use axum::extract::{ConnectInfo, MatchedPath, Request, State};
use axum::http::Extensions;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Who is asking, by address.
#[must_use]
pub fn client(extensions: &Extensions) -> IpAddr {
    let address = extensions.get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(address)| address.ip().to_canonical());
    match address {
        Some(IpAddr::V6(ip)) => IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() & !u128::from(u64::MAX))),
        Some(ip) => ip,
        None => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
    }
}

/// Token buckets, one for each client.
#[derive(Debug)]
pub struct Buckets {
    per_second: f64,
    burst: f64,
    clients_max: usize,
    levels: Mutex<HashMap<IpAddr, (f64, Instant)>>,
}

impl Buckets {
    /// Buckets that hold `burst` and gain `per_second`, so many of them.
    #[must_use]
    pub fn new(per_second: u32, burst: u32, clients_max: usize) -> Self {
        Self { per_second: f64::from(per_second), burst: f64::from(burst), clients_max, levels: Mutex::default() }
    }

    /// Takes one from the client's bucket.
    ///
    /// # Errors
    /// It is empty; how long until it is not.
    pub fn take(&self, client: IpAddr, now: Instant) -> Result<(), Duration> {
        self.with_level(client, now, |level| {
            if *level < 1.0 {
                return Err(Duration::from_secs_f64((1.0 - *level) / self.per_second));
            }
            *level -= 1.0;
            Ok(())
        })
    }

    /// Is there one left in the client's bucket?
    ///
    /// # Errors
    /// It is empty; how long until it is not.
    pub fn check(&self, client: IpAddr, now: Instant) -> Result<(), Duration> {
        let levels = self.levels.lock();
        let Some((level, at)) = levels.get(&client) else { return Ok(()) };
        let level = self.refilled(*level, *at, now);
        if level < 1.0 { Err(Duration::from_secs_f64((1.0 - level) / self.per_second)) } else { Ok(()) }
    }

    fn refilled(&self, level: f64, at: Instant, now: Instant) -> f64 {
        (level + now.saturating_duration_since(at).as_secs_f64() * self.per_second).min(self.burst)
    }

    fn with_level<T>(&self, client: IpAddr, now: Instant, change: impl FnOnce(&mut f64) -> T) -> T {
        let mut levels = self.levels.lock();
        let mut key = client;
        if levels.len() >= self.clients_max && !levels.contains_key(&client) {
            // Full buckets say nothing; the rest share one.
            levels.retain(|_, (level, at)| self.refilled(*level, *at, now) < self.burst);
            if levels.len() >= self.clients_max {
                key = IpAddr::V6(Ipv6Addr::UNSPECIFIED);
            }
        }
        let (level, at) = levels.entry(key).or_insert((self.burst, now));
        *level = self.refilled(*level, *at, now);
        *at = now;
        change(level)
    }
}

/// The limits of one API.
#[derive(Debug)]
pub struct Limits {
    /// Requests.
    pub requests: Buckets,
    /// Wrong tokens.
    pub failures: Buckets,
    in_flight_max: usize,
    in_flight_client_max: usize,
    in_flight: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

impl Limits {
    /// Limits of this configuration.
    #[must_use]
    pub fn new(config: &HttpConfig) -> Self {
        Self {
            requests: Buckets::new(config.requests_per_second_max, config.requests_burst_max, config.clients_max),
            failures: Buckets::new(config.failures_per_second_max, config.failures_burst_max, config.clients_max),
            in_flight_max: config.in_flight_max,
            in_flight_client_max: config.in_flight_client_max,
            in_flight: Arc::default(),
        }
    }

    fn enter(&self, client: IpAddr) -> Result<InFlight, Problem> {
        let mut in_flight = self.in_flight.lock();
        if in_flight.get(&client).is_some_and(|count| *count >= self.in_flight_client_max) {
            return Err(Problem::too_many("too many requests at once from this address", 1));
        }
        if in_flight.values().sum::<usize>() >= self.in_flight_max {
            return Err(Problem::unavailable("too many requests at once", 1));
        }
        *in_flight.entry(client).or_insert(0) += 1;
        Ok(InFlight { client, all: Arc::clone(&self.in_flight) })
    }
}

/// One request being answered.
struct InFlight {
    client: IpAddr,
    all: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let mut all = self.all.lock();
        if let Some(count) = all.get_mut(&self.client) {
            *count -= 1;
            if *count == 0 {
                all.remove(&self.client);
            }
        }
    }
}

/// Holds each request to the limits, and to its time.
pub async fn enforce(State(state): State<ApiState>, request: Request, next: Next) -> Response {
    let client = client(request.extensions());
    // Probes are cheap, and must not fail because somebody else at their address asks too much.
    let probe = matches!(request.uri().path(), "/healthz" | "/readyz");
    if !probe && let Err(wait) = state.limits.requests.take(client, Instant::now()) {
        return Problem::too_many("too many requests from this address", wait.as_secs() + 1).into_response();
    }
    let query_bytes_max = state.config.query_bytes_max;
    if request.uri().query().is_some_and(|query| query.len() > query_bytes_max) {
        return Problem::bad_request(format!("the query is longer than {query_bytes_max} bytes")).into_response();
    }
    let guard = match state.limits.enter(client) {
        Ok(guard) => guard,
        Err(problem) => return problem.into_response(),
    };
    let limit = Duration::from_millis(state.config.request_time_max_ms);
    let response = tokio::time::timeout(limit, next.run(request)).await;
    drop(guard);
    response.unwrap_or_else(|_| Problem::unavailable(format!("took longer than {} ms", limit.as_millis()), 5).into_response())
}

/// Counts requests by route and status.
pub async fn measure(State(state): State<ApiState>, request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let route = route.as_deref().unwrap_or("none").to_owned();
    let started = Instant::now();
    let response = next.run(request).await;
    state.metrics.http_requests.with([&route, response.status().as_str()]).inc();
    state.metrics.http_seconds.with([&route]).observe(started.elapsed().as_secs_f64());
    response
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn one_client_that_asks_too_much_leaves_others_theirs() {
        let buckets = Buckets::new(10, 20, 100);
        let (greedy, modest) = ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
        let start = Instant::now();
        let granted = (0..10_000).filter(|i| buckets.take(greedy, start + Duration::from_micros(100 * i)).is_ok()).count();
        assert!((28..=30).contains(&granted), "{granted}: the burst and one second's gain");
        assert!(buckets.take(modest, start + Duration::from_secs(1)).is_ok());
        assert!(buckets.check(greedy, start + Duration::from_secs(3)).is_ok());
    }

    #[test]
    fn many_addresses_take_bounded_memory() {
        let buckets = Buckets::new(1, 2, 1_000);
        let now = Instant::now();
        for number in 0..2_000 {
            buckets.take(IpAddr::V4(Ipv4Addr::from_bits(number)), now).ok();
        }
        assert!(buckets.levels.lock().len() <= 1_001);
        let later = now + Duration::from_secs(60);
        buckets.take("203.0.113.9".parse().unwrap(), later).unwrap();
        assert!(buckets.levels.lock().len() < 10, "full buckets are forgotten");
    }

    #[test]
    fn requests_at_once_are_counted_and_given_back() {
        let limits = Limits::new(&HttpConfig { in_flight_max: 5, in_flight_client_max: 3, ..HttpConfig::default() });
        let ip = |last| IpAddr::V4(Ipv4Addr::new(192, 0, 2, last));
        let guards: Vec<_> = (0..3).map(|_| limits.enter(ip(1)).ok().unwrap()).collect();
        assert!(limits.enter(ip(1)).is_err());
        let others = [2, 3].map(|last| limits.enter(ip(last)).ok().unwrap());
        assert!(limits.enter(ip(4)).is_err(), "five in all");
        drop((guards, others));
        assert!(limits.in_flight.lock().is_empty());
    }
}
