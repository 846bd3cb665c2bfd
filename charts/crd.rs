//! Prints the CRD of ReplicaCount: `make chart` writes it into the chart.

use kube::CustomResourceExt;
use replica_count_manager::resources::ReplicaCount;

fn main() -> anyhow::Result<()> {
    println!("# Generated from server/src/resources/replica_count.rs by `make chart`.");
    print!("{}", serde_yaml::to_string(&ReplicaCount::crd())?);
    Ok(())
}
