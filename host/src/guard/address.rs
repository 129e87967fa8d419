//! What kind of place an IP address is.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// How much must be said to let a request go to an address; each includes those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reach {
    /// The public internet.
    Public,
    /// Networks of one's own: private, shared (CGNAT), unique local, documentation.
    Private,
    /// This machine and what only it should ask: loopback, link-local, metadata services.
    Local,
    /// No place for a request: unspecified, multicast, broadcast, reserved.
    Nowhere,
}

/// Services outside of link-local ranges that hand a machine its own credentials.
const METADATA_V4: [Ipv4Addr; 3] = [
    Ipv4Addr::new(100, 100, 100, 200),
    Ipv4Addr::new(168, 63, 129, 16),
    Ipv4Addr::new(192, 0, 0, 192),
];
const METADATA_V6: [Ipv6Addr; 2] = [
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254),
    Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254),
];

/// What must be said to reach `address`. Ranges are those of IANA's special-purpose registries.
pub fn reach_of(address: IpAddr) -> Reach {
    match address {
        IpAddr::V4(address) => v4(address),
        IpAddr::V6(address) => v6(address),
    }
}

fn v4(address: Ipv4Addr) -> Reach {
    if METADATA_V4.contains(&address) {
        return Reach::Local;
    }
    match address.octets() {
        // 0.0.0.0 is this machine on Linux, and 0/8 is "this network".
        [0 | 224..=255, ..] => Reach::Nowhere,
        [127, ..] | [169, 254, ..] => Reach::Local,
        [10, ..]
        | [172, 16..=31, ..]
        | [192, 168, ..]
        | [100, 64..=127, ..]
        | [198, 18 | 19, ..]
        | [192, 0, 0 | 2, _]
        | [192, 88, 99, _]
        | [198, 51, 100, _]
        | [203, 0, 113, _] => Reach::Private,
        _ => Reach::Public,
    }
}

fn v6(address: Ipv6Addr) -> Reach {
    if METADATA_V6.contains(&address) {
        return Reach::Local;
    }
    if let Some(inner) = embedded(address) {
        return v4(inner);
    }
    match address.segments() {
        [0, 0, 0, 0, 0, 0, 0, 1] | [0xfe80..=0xfebf, ..] => Reach::Local,
        // Unique local, the site-local of old, local NAT64, Teredo, benchmarks, documentation.
        [0xfc00..=0xfdff | 0xfec0..=0xfeff, ..]
        | [0x64, 0xff9b, 1, ..]
        | [0x2001, 0 | 2 | 0xdb8, ..]
        | [0x3fff, 0..=0xfff, ..] => Reach::Private,
        // Only 2000::/3 is given out for unicast.
        [0x2000..=0x3fff, ..] => Reach::Public,
        _ => Reach::Nowhere,
    }
}

/// The IPv4 address that an IPv6 address leads to: mapped, compatible, NAT64 or 6to4.
fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let of = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        Some(Ipv4Addr::new(a, b, c, d))
    };
    match address.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => None,
        [0, 0, 0, 0, 0, 0xffff | 0, high, low]
        | [0, 0, 0, 0, 0xffff, 0, high, low]
        | [0x64, 0xff9b, 0, 0, 0, 0, high, low]
        | [0x2002, high, low, ..] => of(high, low),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_special_range_is_known_at_its_edges() {
        use Reach::{Local, Nowhere, Private, Public};
        for (address, reach) in [
            ("8.8.8.8", Public),
            ("1.0.0.1", Public),
            ("9.255.255.255", Public),
            ("10.0.0.0", Private),
            ("10.255.255.255", Private),
            ("11.0.0.0", Public),
            ("100.63.255.255", Public),
            ("100.64.0.0", Private),
            ("100.127.255.255", Private),
            ("100.128.0.0", Public),
            ("100.100.100.200", Local),
            ("126.255.255.255", Public),
            ("127.0.0.1", Local),
            ("127.255.255.255", Local),
            ("128.0.0.0", Public),
            ("168.63.129.16", Local),
            ("169.253.255.255", Public),
            ("169.254.169.254", Local),
            ("169.255.0.0", Public),
            ("172.15.255.255", Public),
            ("172.16.0.0", Private),
            ("172.31.255.255", Private),
            ("172.32.0.0", Public),
            ("192.0.0.1", Private),
            ("192.0.0.192", Local),
            ("192.0.2.1", Private),
            ("192.88.99.1", Private),
            ("192.167.255.255", Public),
            ("192.168.0.0", Private),
            ("192.169.0.0", Public),
            ("198.18.0.1", Private),
            ("198.51.100.1", Private),
            ("203.0.113.1", Private),
            ("0.0.0.0", Nowhere),
            ("0.1.2.3", Nowhere),
            ("223.255.255.255", Public),
            ("224.0.0.1", Nowhere),
            ("240.0.0.1", Nowhere),
            ("255.255.255.255", Nowhere),
            ("::", Nowhere),
            ("::1", Local),
            ("::2", Nowhere),
            ("::127.0.0.1", Local),
            ("::ffff:127.0.0.1", Local),
            ("::ffff:10.0.0.1", Private),
            ("::ffff:8.8.8.8", Public),
            ("::ffff:0:169.254.169.254", Local),
            ("::ffff:0.0.0.0", Nowhere),
            ("64:ff9b::169.254.169.254", Local),
            ("64:ff9b::8.8.8.8", Public),
            ("64:ff9b:1::8.8.8.8", Private),
            ("2002:7f00:1::", Local),
            ("2002:a00:1::", Private),
            ("2001::1", Private),
            ("2001:db8::1", Private),
            ("2001:4860:4860::8888", Public),
            ("2606:4700::1111", Public),
            ("3fff::1", Private),
            ("fc00::1", Private),
            ("fd00:ec2::254", Local),
            ("fd20:ce::254", Local),
            ("fdff::1", Private),
            ("fe80::1", Local),
            ("febf::1", Local),
            ("fec0::1", Private),
            ("ff02::1", Nowhere),
            ("100::1", Nowhere),
            ("4000::1", Nowhere),
        ] {
            assert_eq!(reach_of(address.parse().unwrap()), reach, "{address}");
        }
    }
}
