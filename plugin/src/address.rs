//! The address of a server: a host and a port.

use std::{fmt, str::FromStr};

/// A host and a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    /// The name or IP address, without brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl FromStr for Address {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = "give a host and a port, such as localhost:8080 or [::1]:8080";
        let (host, port) = text.rsplit_once(':').ok_or(wrong)?;
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let host = bare.unwrap_or(host);
        let is_ambiguous = bare.is_none() && host.contains(':');
        if host.is_empty() || is_ambiguous || host.contains(['/', '[', ']']) {
            return Err(wrong);
        }
        Ok(Self { host: host.to_owned(), port: port.parse().map_err(|_| wrong)? })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

#[cfg(test)]
mod fuzz;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_have_a_host_and_a_port() {
        let table = [("localhost:8080", "localhost"), ("[::1]:8080", "::1"), ("10.0.0.1:1", "10.0.0.1")];
        for (text, host) in table {
            let address: Address = text.parse().unwrap();
            assert_eq!(address.host, host);
            assert_eq!(address.to_string(), text);
        }
        for text in
            ["", "localhost", ":8080", "::1:8080", "host:port", "https://host:1", "host:70000", "[[::1]]:1", "[a:1"]
        {
            assert!(text.parse::<Address>().is_err(), "{text}");
        }
    }
}
