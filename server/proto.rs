//! The wire: what `build.rs` generates from the contracts in `proto/`.

/// Package `proto`: the replica counts of Deployments, for generic gRPC clients.
pub mod deployments {
    tonic::include_proto!("proto");
}

/// Packages `replicas.*`: the replica counts of every kind that can be scaled.
pub mod replicas {
    /// Version 1.
    pub mod v1 {
        tonic::include_proto!("replicas.v1");
    }
}

/// The descriptors of both contracts and of what they import, as a serialized `FileDescriptorSet`.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
