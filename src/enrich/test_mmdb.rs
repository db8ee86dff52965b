//! Small files in MaxMind's format for tests, written by the specification's rules (record size 32,
//! no pointers in the data section).

use ipnet::IpNet;

/// A value of the data section.
#[derive(Clone)]
pub enum Value {
    Text(&'static str),
    Double(f64),
    Float(f32),
    U16(u16),
    U32(u32),
    U64(u64),
    List(Vec<Value>),
    Map(Vec<(&'static str, Value)>),
}

/// A map from its members.
pub fn map(members: Vec<(&'static str, Value)>) -> Value {
    Value::Map(members)
}

fn header(out: &mut Vec<u8>, kind: u8, size: usize) {
    assert!(size < 29 + 256, "test values are small");
    let (short, long) = if size < 29 { (size as u8, None) } else { (29, Some((size - 29) as u8)) };
    if kind < 8 {
        out.push(kind << 5 | short);
    } else {
        out.extend([short, kind - 7]);
    }
    out.extend(long);
}

fn write(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Text(text) => {
            header(out, 2, text.len());
            out.extend(text.as_bytes());
        }
        Value::Double(number) => {
            header(out, 3, 8);
            out.extend(number.to_be_bytes());
        }
        Value::U16(number) => {
            header(out, 5, 2);
            out.extend(number.to_be_bytes());
        }
        Value::U32(number) => {
            header(out, 6, 4);
            out.extend(number.to_be_bytes());
        }
        Value::Map(members) => {
            header(out, 7, members.len());
            for (name, value) in members {
                write(out, &Value::Text(name));
                write(out, value);
            }
        }
        Value::U64(number) => {
            header(out, 9, 8);
            out.extend(number.to_be_bytes());
        }
        Value::List(items) => {
            header(out, 11, items.len());
            items.iter().for_each(|item| write(out, item));
        }
        Value::Float(number) => {
            header(out, 15, 4);
            out.extend(number.to_be_bytes());
        }
    }
}

/// What a node's left or right side leads to.
#[derive(Clone, Copy)]
enum Side {
    Nothing,
    Node(usize),
    Data(usize),
}

/// A file of the IP version with these networks.
pub fn file(version: u16, networks: &[(&str, Value)]) -> Vec<u8> {
    let mut nodes = vec![[Side::Nothing; 2]];
    let mut data = Vec::new();
    for (network, value) in networks {
        let offset = data.len();
        write(&mut data, value);
        insert(&mut nodes, &bits(version, network.parse().unwrap()), offset);
    }
    let mut out = Vec::new();
    for side in nodes.iter().flatten() {
        let number = match side {
            Side::Nothing => nodes.len(),
            Side::Node(index) => *index,
            Side::Data(offset) => nodes.len() + 16 + offset,
        };
        out.extend((number as u32).to_be_bytes());
    }
    out.extend([0; 16]);
    out.extend(data);
    out.extend(b"\xab\xcd\xefMaxMind.com");
    let metadata = map(vec![
        ("binary_format_major_version", Value::U16(2)),
        ("binary_format_minor_version", Value::U16(0)),
        ("build_epoch", Value::U64(1_780_000_000)),
        ("database_type", Value::Text("test")),
        ("description", map(vec![])),
        ("ip_version", Value::U16(version)),
        ("languages", Value::List(vec![])),
        ("node_count", Value::U32(nodes.len() as u32)),
        ("record_size", Value::U16(32)),
    ]);
    write(&mut out, &metadata);
    out
}

/// The bits of a prefix; IPv4 in an IPv6 tree stands under ::/96.
fn bits(version: u16, network: IpNet) -> Vec<usize> {
    let (address, length) = match network {
        IpNet::V4(net) if version == 4 => (u128::from(net.network().to_bits()) << 96, net.prefix_len()),
        IpNet::V4(net) => (u128::from(net.network().to_bits()), 96 + net.prefix_len()),
        IpNet::V6(net) => (net.network().to_bits(), net.prefix_len()),
    };
    (0..u32::from(length)).map(|bit| (address >> (127 - bit) & 1) as usize).collect()
}

fn insert(nodes: &mut Vec<[Side; 2]>, bits: &[usize], offset: usize) {
    let (last, path) = bits.split_last().unwrap();
    let mut at = 0;
    for bit in path {
        at = match nodes[at][*bit] {
            Side::Node(next) => next,
            _ => {
                nodes.push([Side::Nothing; 2]);
                let next = nodes.len() - 1;
                nodes[at][*bit] = Side::Node(next);
                next
            }
        };
    }
    nodes[at][*last] = Side::Data(offset);
}

/// A place of a flat city file.
pub fn flat(country: &'static str, state: &'static str, city: &'static str, at: (f32, f32)) -> Value {
    map(vec![
        ("city", Value::Text(city)),
        ("country_code", Value::Text(country)),
        ("latitude", Value::Float(at.0)),
        ("longitude", Value::Float(at.1)),
        ("postcode", Value::Text("")),
        ("state1", Value::Text(state)),
    ])
}

/// A flat city file of IPv4.
pub fn flat_v4() -> Vec<u8> {
    file(4, &[("203.0.113.0/24", flat("DE", "Land Berlin", "Berlin", (52.5, 13.25)))])
}

/// A flat city file of IPv6.
pub fn flat_v6() -> Vec<u8> {
    file(6, &[("2001:db8::/32", flat("CH", "Zürich", "Zürich", (47.375, 8.5)))])
}

/// A nested city file of both families; 198.51.100.0/24 has a country alone.
pub fn nested() -> Vec<u8> {
    let names = |name| map(vec![("names", map(vec![("de", Value::Text("Anderswo")), ("en", Value::Text(name))]))]);
    let country = |code| map(vec![("geoname_id", Value::U32(1)), ("iso_code", Value::Text(code))]);
    let place = map(vec![
        ("city", names("Boxford")),
        ("country", country("GB")),
        (
            "location",
            map(vec![
                ("accuracy_radius", Value::U16(20)),
                ("latitude", Value::Double(51.75)),
                ("longitude", Value::Double(-1.25)),
                ("time_zone", Value::Text("Europe/London")),
            ]),
        ),
        ("subdivisions", Value::List(vec![names("England"), names("West Berkshire")])),
    ]);
    let alone = map(vec![("country", country("FR"))]);
    file(6, &[("203.0.113.0/24", place.clone()), ("2001:db8::/32", place), ("198.51.100.0/24", alone)])
}

/// A network file of both families.
pub fn networks() -> Vec<u8> {
    let network =
        map(vec![("autonomous_system_number", Value::U32(14061)), ("autonomous_system_organization", Value::Text("DIGITALOCEAN-ASN"))]);
    file(6, &[("203.0.113.0/24", network.clone()), ("2001:db8::/32", network)])
}
