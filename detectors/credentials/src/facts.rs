//! What the tenant's people had when they got in, as facts of a memory that both detectors of tenants keep.

use bartizan_core::familiar::Fact;

/// What a fact is about.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Of {
    /// Somebody got in from this /24 or /48.
    Subnet,
    /// Somebody got in with exactly this client.
    Client,
    /// The user got in from this line.
    Line,
    /// The user got in with this device.
    Device,
    /// The user got in with this family of user agents.
    Agent,
    /// The user got in.
    Person,
    /// One of a few groups of users has somebody who is at home with this client.
    ClientGroup,
    /// The same with this device.
    DeviceGroup,
}

impl Of {
    /// A fact of a user (0: of the tenant).
    pub fn fact(self, user: u64, value: u32) -> Fact {
        Fact::new(self as u8, user, value)
    }
}
