//! Ports that tests of several processes don't take from each other.

use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::ops::Range;

use anyhow::{Context, Result};

/// Below those that the kernel gives to outgoing connections: whoever calls a server while it is
/// down could else be given the server's own port.
const PORTS: Range<u16> = 20_000..32_000;

/// A TCP port of the loopback, for as long as this lives.
#[derive(Debug)]
pub struct Port {
    number: u16,
    /// The same number in UDP, where no server of the lab listens: a lock that ends with the process.
    _held: UdpSocket,
}

impl Port {
    /// Takes one on which nothing listens, and that no other test has.
    pub fn take() -> Result<Self> {
        let first = std::process::id() % u32::from(PORTS.end - PORTS.start);
        let from = PORTS.start + first as u16;
        let mut numbers = (from..PORTS.end).chain(PORTS.start..from);
        numbers.find_map(Self::take_this).context("no port is free")
    }

    fn take_this(number: u16) -> Option<Self> {
        let held = UdpSocket::bind((Ipv4Addr::LOCALHOST, number)).ok()?;
        TcpListener::bind((Ipv4Addr::LOCALHOST, number)).ok()?;
        Some(Self { number, _held: held })
    }

    /// Its number.
    pub fn number(&self) -> u16 {
        self.number
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_nobody_elses_until_it_is_given_back() {
        let (one, other) = (Port::take().unwrap(), Port::take().unwrap());
        assert_ne!(one.number(), other.number());
        let number = one.number();
        assert!(Port::take_this(number).is_none());
        drop(one);
        assert_eq!(Port::take_this(number).map(|port| port.number()), Some(number));
    }
}
