//! Which connections a realm's network allows.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};

use serde::{Deserialize, Serialize};

use crate::failure::Failure;

/// A port of the host whose connections go to a port of the realm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Publish {
    /// Where the tool listens.
    pub(crate) at: SocketAddr,
    /// The realm's port.
    pub(crate) port: u16,
}

/// The connections that a realm may make and have.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Plan {
    /// Connections to the realm.
    pub(crate) publish: Vec<Publish>,
    /// Ports of the host's loopback that the realm may connect to.
    pub(crate) host_ports: Vec<u16>,
}

/// A plan whose listening ports are taken.
#[derive(Debug, Default)]
pub struct Doors {
    /// Each with the realm's port.
    pub(super) listeners: Vec<(TcpListener, u16)>,
    /// Ports of the host's loopback that the realm may connect to.
    pub(super) host_ports: Vec<u16>,
}

impl Publish {
    /// Reads `[ADDRESS:]PORT:REALMPORT`.
    ///
    /// # Errors
    ///
    /// What it should look like.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let wrong = || {
            "use [ADDRESS:]PORT:REALMPORT with ports from 1 to 65535, such as 8080:80 or 0.0.0.0:8080:80".to_owned()
        };
        let (at, port) = text.rsplit_once(':').ok_or_else(wrong)?;
        let port = parse_port(port).map_err(|_| wrong())?;
        let at = match at.rsplit_once(':') {
            None => SocketAddr::new(
                Ipv4Addr::LOCALHOST.into(),
                parse_port(at).map_err(|_| wrong())?,
            ),
            Some((address, at)) => {
                let bare = address
                    .strip_prefix('[')
                    .and_then(|rest| rest.strip_suffix(']'));
                let address: IpAddr = match bare {
                    Some(bare) => IpAddr::V6(bare.parse().map_err(|_| wrong())?),
                    None => IpAddr::V4(address.parse().map_err(|_| wrong())?),
                };
                SocketAddr::new(address, parse_port(at).map_err(|_| wrong())?)
            }
        };
        Ok(Self { at, port })
    }
}

/// Reads a port.
///
/// # Errors
///
/// What it should look like.
pub(crate) fn parse_port(text: &str) -> Result<u16, String> {
    match text.parse() {
        Ok(port) if port > 0 => Ok(port),
        _ => Err("a port is a number from 1 to 65535".to_owned()),
    }
}

impl Plan {
    /// Takes the ports of the host that the plan publishes.
    ///
    /// # Errors
    ///
    /// When somebody else has one of them, or it may not be had.
    pub(crate) fn open(&self) -> Result<Doors, Failure> {
        let mut listeners = Vec::new();
        for Publish { at, port } in &self.publish {
            let listener = TcpListener::bind(at)
                .and_then(|listener| listener.set_nonblocking(true).map(|()| listener))
                .map_err(|error| {
                    let why = match error.kind() {
                        ErrorKind::AddrInUse => {
                            "it is in use; choose another port, or end what listens there"
                                .to_owned()
                        }
                        ErrorKind::PermissionDenied => {
                            "this user may not listen there; choose a port from 1024 up".to_owned()
                        }
                        ErrorKind::AddrNotAvailable => {
                            "the host has no such address; leave it out for 127.0.0.1".to_owned()
                        }
                        _ => error.to_string(),
                    };
                    Failure::input(format!(
                        "cannot publish the realm's port {port} at {at}: {why}"
                    ))
                })?;
            listeners.push((listener, *port));
        }
        Ok(Doors {
            listeners,
            host_ports: self.host_ports.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_published_port_is_on_the_loopback_unless_an_address_is_given() {
        for (text, at, port) in [
            ("8080:80", "127.0.0.1:8080", 80),
            ("0.0.0.0:1:65535", "0.0.0.0:1", 65535),
            ("192.0.2.7:8080:80", "192.0.2.7:8080", 80),
            ("[::1]:8080:80", "[::1]:8080", 80),
        ] {
            let at = at.parse().unwrap();
            assert_eq!(Publish::parse(text), Ok(Publish { at, port }), "{text}");
        }
        for bad in [
            "",
            "80",
            ":80",
            "80:",
            "0:80",
            "80:0",
            "65536:80",
            "8080:-1",
            "localhost:8080:80",
            "::1:8080:80",
            "[127.0.0.1]:8080:80",
            "8080:80/udp",
        ] {
            let why = Publish::parse(bad).unwrap_err();
            assert!(why.contains("8080:80"), "{bad}: {why}");
        }
    }

    #[test]
    fn a_port_that_cannot_be_had_is_named_with_what_to_do() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let plan = |at| Plan {
            publish: vec![Publish { at, port: 80 }],
            host_ports: Vec::new(),
        };
        let at = taken.local_addr().unwrap();
        let failure = plan(at).open().unwrap_err().to_string();
        assert!(
            failure.contains(&at.to_string()) && failure.contains("in use"),
            "{failure}"
        );
        // Documentation addresses are nobody's.
        let nowhere = plan("192.0.2.7:8080".parse().unwrap()).open();
        assert!(nowhere.unwrap_err().to_string().contains("no such address"));
    }
}
