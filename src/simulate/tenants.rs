//! The organisations whose traffic it is.

/// One organisation.
#[derive(Debug)]
pub(crate) struct Tenant {
    pub(crate) name: &'static str,
    pub(crate) domain: &'static str,
    pub(crate) brand: &'static str,
    /// Source of sign-in events.
    pub(crate) identity: &'static str,
    /// Source of API requests.
    pub(crate) gateway: &'static str,
    /// Countries of its people; empty: everywhere.
    pub(crate) countries: &'static [[u8; 2]],
    /// Does its identity provider refuse a refresh token that was used before?
    pub(crate) refuses_reuse: bool,
    /// How long a browser stays signed in; a phone stays four times as long.
    pub(crate) session_days: i64,
    /// Part of its people with a second factor.
    pub(crate) mfa: f64,
    /// Part of its people who work in an office.
    pub(crate) office: f64,
}

/// All of them.
pub(crate) const TENANTS: [Tenant; 4] = [
    Tenant {
        name: "harbour",
        domain: "harbour.example",
        brand: "Harbour",
        identity: "auth-service",
        gateway: "api-gateway",
        countries: &[*b"US", *b"CA", *b"MX", *b"BR"],
        refuses_reuse: true,
        session_days: 7,
        mfa: 0.3,
        office: 0.2,
    },
    Tenant {
        name: "orchard",
        domain: "orchard.example",
        brand: "Orchard",
        identity: "identity",
        gateway: "edge",
        countries: &[*b"DE", *b"FR", *b"GB", *b"NL", *b"PL", *b"IT", *b"ES", *b"SE", *b"AT", *b"CH"],
        refuses_reuse: false,
        session_days: 1,
        mfa: 0.5,
        office: 0.6,
    },
    Tenant {
        name: "monsoon",
        domain: "monsoon.example",
        brand: "Monsoon",
        identity: "accounts",
        gateway: "gateway",
        countries: &[*b"IN", *b"SG", *b"JP", *b"KR", *b"AU", *b"NZ", *b"ID", *b"PH", *b"MY"],
        refuses_reuse: true,
        session_days: 5,
        mfa: 0.2,
        office: 0.3,
    },
    Tenant {
        name: "meridian",
        domain: "meridian.example",
        brand: "Meridian",
        identity: "sso",
        gateway: "api",
        countries: &[],
        refuses_reuse: false,
        session_days: 1,
        mfa: 0.7,
        office: 0.5,
    },
];

/// Given names for user names.
pub(crate) const FIRST_NAMES: [&str; 40] = [
    "anna", "ben", "carla", "david", "elif", "farid", "grace", "hiro", "ines", "jonas", "kofi", "lena", "marco", "nadia", "oscar", "priya",
    "quinn", "rosa", "samir", "tara", "umar", "vera", "wei", "ximena", "yuki", "zoe", "aisha", "boris", "chloe", "diego", "emma", "felix",
    "gita", "hugo", "irena", "jamal", "kira", "luis", "mina", "noah",
];

/// Family names for user names.
pub(crate) const LAST_NAMES: [&str; 40] = [
    "abbott", "becker", "costa", "dubois", "eriksen", "fischer", "garcia", "haddad", "ito", "jansen", "khan", "larsen", "moreau", "novak",
    "okafor", "patel", "quist", "rossi", "silva", "tanaka", "ueda", "vargas", "wagner", "xu", "yilmaz", "zhang", "andersen", "brown",
    "chen", "dias", "evans", "fontana", "gruber", "hansen", "ivanova", "jensen", "kumar", "lopez", "mori", "nguyen",
];
