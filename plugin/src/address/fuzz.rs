//! Addresses, from the command line and from the configuration file.

use super::Address;

#[test]
fn an_address_is_read_as_it_is_shown() {
    let seeds = ["localhost:8080", "[::1]:8080", "10.0.0.1:443", "rcm.example.com:65535"];
    fuzz::target("addresses").seeds(seeds).words([":", "[", "]", "/", "%eth0"]).text(|text| {
        let Ok(address) = text.parse::<Address>() else { return false };
        assert_eq!(address.to_string().parse(), Ok(address));
        true
    });
}
