//! The contract of Replica Count Manager: all that the server and the plugin share.
//!
//! # Layout
//!
//! * [`deployments`]: the gRPC service for Deployments, for grpcurl and generic clients (`proto/deployments.proto`)
//! * [`replicas`]: the gRPC service of the plugin and of programs (`proto/replicas/v1/replicas.proto`)
//! * [`names`]: names in the cluster that both programs use

pub mod names;

/// Package `proto`: the replica counts of Deployments, for generic gRPC clients.
#[allow(missing_docs, clippy::too_many_lines, reason = "generated")]
pub mod deployments {
    tonic::include_proto!("proto");
}

/// Packages `replicas.*`: the replica counts of every kind that can be scaled.
pub mod replicas {
    /// Version 1.
    #[allow(missing_docs, clippy::too_many_lines, reason = "generated")]
    pub mod v1 {
        tonic::include_proto!("replicas.v1");
    }
}

/// The descriptors of both services and of their imports, as a serialized `FileDescriptorSet`.
#[cfg(feature = "server")]
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
