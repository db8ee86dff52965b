//! Which hop of a forwarded-for chain is the client.
//!
//! Each proxy appends the address that it was called from, and anyone may send a chain of their own. So
//! only what trusted proxies appended can be believed: the client is the right-most address that is not
//! a trusted proxy.

use super::draft::parse_ip;
use ipnet::IpNet;
use std::net::IpAddr;

/// Hops looked at, from the right: more than any chain of one's own proxies has.
const HOPS_MAX: usize = 64;

/// The operator's own proxies.
#[derive(Clone, Debug, Default)]
pub struct Proxies(Vec<IpNet>);

impl Proxies {
    /// Reads addresses and CIDR blocks.
    ///
    /// # Errors
    /// The first text that is neither.
    pub fn parse(texts: &[String]) -> Result<Self, String> {
        let net = |text: &String| text.parse::<IpNet>().ok().or_else(|| parse_ip(text).map(IpNet::from)).ok_or_else(|| text.clone());
        texts.iter().map(net).collect::<Result<_, _>>().map(Self)
    }

    fn trusts(&self, ip: IpAddr) -> bool {
        self.0.iter().any(|net| net.contains(&ip))
    }

    /// The client of a request that came from `peer` with this chain (left to right). Without trusted
    /// proxies that is the peer; a chain is believed only as far as the hop that wrote it is trusted.
    #[must_use]
    pub fn client(&self, peer: Option<IpAddr>, chain: &[&str]) -> Option<IpAddr> {
        let mut client = peer;
        for hop in chain.iter().rev().take(HOPS_MAX) {
            // A log that keeps no peer address is its own first hop: the right-most entry came from it.
            if client.is_some_and(|ip| !self.trusts(ip)) {
                break;
            }
            match hop_address(hop) {
                Some(ip) => client = Some(ip),
                None => break,
            }
        }
        client
    }
}

/// A hop's address without brackets and port.
fn hop_address(hop: &str) -> Option<IpAddr> {
    let hop = hop.trim().trim_matches('"');
    if let Some(rest) = hop.strip_prefix('[') {
        return parse_ip(rest.split_once(']')?.0);
    }
    parse_ip(hop).or_else(|| parse_ip(hop.rsplit_once(':')?.0))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn client(trusted: &[&str], peer: &str, chain: &[&str]) -> String {
        let proxies = Proxies::parse(&trusted.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>()).unwrap();
        proxies.client(parse_ip(peer), chain).map(|ip| ip.to_string()).unwrap_or_default()
    }

    #[test]
    fn the_client_is_the_right_most_address_that_is_not_trusted() {
        let chain = ["6.6.6.6", "203.0.113.7", "10.1.0.2:4711"];
        assert_eq!(client(&["10.0.0.0/8"], "10.0.0.1", &chain), "203.0.113.7");
        assert_eq!(client(&[], "10.0.0.1", &chain), "10.0.0.1", "nobody is trusted");
        assert_eq!(client(&["10.0.0.0/8"], "198.51.100.9", &chain), "198.51.100.9", "came past the proxies");
        assert_eq!(client(&["10.0.0.0/8"], "", &chain), "203.0.113.7", "no peer in the log");
        assert_eq!(client(&["10.0.0.0/8"], "10.0.0.1", &["unknown"]), "10.0.0.1");
        assert_eq!(client(&["2001:db8::1"], "2001:db8::1", &["[2001:db8::2]:99"]), "2001:db8::2");
        assert!(Proxies::parse(&["nonsense".to_owned()]).is_err());
    }
}
