//! Fuzz target: the settings.

use clap::Parser;

use crate::args::Args;

#[test]
fn no_settings_make_the_server_panic() {
    let seeds = [
        "--namespace=shop\n--max-replicas=100\n--log-level=debug",
        "--grpc-address=[::]:8080\n--http-address\n127.0.0.1:0\n--ownership=giveBack",
        "--certificates=managed\n--pod-namespace=rcm\n--server-names=a,b\n--sign-clients=true\n--client-hours=24",
        "check\n--cert-file=tls.crt",
    ];
    fuzz::target("settings").seeds(seeds).words(["\n", "--", "=", ",", "--help", "--version"]).text(|text| {
        let words = ["replica-count-manager"].into_iter().chain(text.split('\n'));
        match Args::try_parse_from(words) {
            Ok(args) => {
                assert!(args.max_replicas >= 0 && (1..=8760).contains(&args.signer.client_hours));
                let _ = tracing_subscriber::EnvFilter::try_new(&args.log_level);
                true
            }
            Err(error) => {
                let _ = error.to_string();
                false
            }
        }
    });
}
