//! Which addresses an outgoing call may reach.
//!
//! A webhook's URL is configuration, but its name is resolved by whoever owns the name; so the check
//! is made on the addresses that are connected to, at the time of connecting, and a name that turns
//! to an inner address is refused. Link-local addresses, where clouds keep machine credentials, are
//! never called. The ranges are those of the IANA special-purpose address registries (RFC 6890).

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Addresses of one name that are looked at.
const ADDRESSES_MAX: usize = 32;

/// Who may be called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Guard {
    /// Loopback and private addresses too.
    pub allow_private: bool,
}

/// What kind of address it is, for outgoing calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reach {
    Public,
    Private,
    Never,
}

impl Guard {
    /// Why `ip` may not be called; `None`: it may.
    #[must_use]
    pub fn refusal(self, ip: IpAddr) -> Option<String> {
        match reach(ip) {
            Reach::Public => None,
            Reach::Private if self.allow_private => None,
            Reach::Private => Some(format!("{ip} is a private address and allow_private is off")),
            Reach::Never => Some(format!("{ip} is not an address to call")),
        }
    }
}

fn reach(ip: IpAddr) -> Reach {
    match ip {
        IpAddr::V4(ip) => reach_v4(ip),
        IpAddr::V6(ip) => reach_v6(ip),
    }
}

fn reach_v4(ip: Ipv4Addr) -> Reach {
    let [a, b, c, _] = ip.octets();
    match (a, b, c) {
        (127 | 10, ..) | (192, 168, _) | (172, 16..=31, _) | (100, 64..=127, _) => Reach::Private,
        (0 | 224..=255, ..) | (169, 254, _) | (192, 0, 0 | 2) | (198, 18 | 19, _) | (198, 51, 100) | (203, 0, 113) => Reach::Never,
        _ => Reach::Public,
    }
}

fn reach_v6(ip: Ipv6Addr) -> Reach {
    if let Some(inner) = embedded_v4(ip) {
        return reach_v4(inner);
    }
    let [a, b, ..] = ip.segments();
    if ip.is_loopback() || (a & 0xfe00) == 0xfc00 {
        return Reach::Private;
    }
    let documentation = a == 0x2001 && b == 0x0db8;
    let teredo = a == 0x2001 && b == 0;
    // Global unicast is 2000::/3; everything else is local, multicast or unassigned.
    if (a & 0xe000) != 0x2000 || documentation || teredo { Reach::Never } else { Reach::Public }
}

/// The IPv4 address that an IPv6 address stands for: mapped (RFC 4291), NAT64 (RFC 6052), 6to4 (RFC 3056).
fn embedded_v4(ip: Ipv6Addr) -> Option<Ipv4Addr> {
    let [a, b, c, d, e, f, g, h] = ip.segments();
    let v4 = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        Ipv4Addr::new(a, b, c, d)
    };
    match (a, b, c, d, e, f) {
        (0, 0, 0, 0, 0, 0xffff) | (0x64, 0xff9b, 0, 0, 0, 0) => Some(v4(g, h)),
        (0x2002, ..) => Some(v4(b, c)),
        _ => None,
    }
}

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let guard = *self;
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.take(ADDRESSES_MAX).collect();
            let refused = found.iter().find_map(|address| guard.refusal(address.ip()));
            let allowed: Vec<SocketAddr> = found.into_iter().filter(|address| guard.refusal(address.ip()).is_none()).collect();
            match refused {
                Some(reason) if allowed.is_empty() => Err(reason.into()),
                _ => Ok(Box::new(allowed.into_iter()) as Addrs),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn inner_addresses_are_refused_in_every_disguise() {
        let strict = Guard { allow_private: false };
        let inner = [
            "127.0.0.1",
            "127.9.9.9",
            "10.0.0.1",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "100.64.0.1",
            "::1",
            "fc00::1",
            "fd12::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "64:ff9b::7f00:1",
            "2002:7f00:1::",
        ];
        for text in inner {
            let ip: IpAddr = text.parse().unwrap();
            assert!(strict.refusal(ip).is_some(), "{text}");
            assert!(Guard { allow_private: true }.refusal(ip).is_none(), "{text}");
        }
        let never = [
            "0.0.0.0",
            "169.254.169.254",
            "::ffff:169.254.169.254",
            "fe80::1",
            "ff02::1",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "192.0.2.1",
            "198.18.0.1",
            "203.0.113.1",
            "2001:db8::1",
            "2001::1",
            "fec0::1",
            "64:ff9b:1::1",
        ];
        for text in never {
            assert!(Guard { allow_private: true }.refusal(text.parse().unwrap()).is_some(), "{text}");
        }
        for text in ["1.1.1.1", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "::ffff:8.8.8.8"] {
            assert!(strict.refusal(text.parse().unwrap()).is_none(), "{text}");
        }
    }

    #[tokio::test]
    async fn a_name_that_turns_to_an_inner_address_is_refused() {
        let resolved = Guard { allow_private: false }.resolve("localhost".parse().unwrap()).await;
        assert!(resolved.err().unwrap().to_string().contains("private address"));
        assert!(Guard { allow_private: true }.resolve("localhost".parse().unwrap()).await.is_ok());
    }
}
