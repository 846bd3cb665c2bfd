//! Compiles the protos of `proto/` without protoc. The features choose clients, servers or both.

use std::{env, error::Error, fs, path::PathBuf};

const PROTOS: [&str; 2] = ["proto/deployments.proto", "proto/replicas/v1/replicas.proto"];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=proto");
    let descriptors = protox::compile(PROTOS, ["proto"])?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("descriptors.bin"), prost::Message::encode_to_vec(&descriptors))?;
    tonic_prost_build::configure()
        .build_server(env::var_os("CARGO_FEATURE_SERVER").is_some())
        .build_client(env::var_os("CARGO_FEATURE_CLIENT").is_some())
        .build_transport(false)
        // By far the largest variant of the events.
        .boxed(".replicas.v1.WatchReplicaCountsResponse.event.changed")
        .compile_fds(descriptors)?;
    Ok(())
}
