//! The gRPC contracts as Rust: messages, clients and servers generated from the `.proto` files; no
//! behaviour and no conversion to other types, which belong to whoever speaks the contract.
//!
//! The `.proto` files beside this folder are the definition and carry the documentation.

#![expect(clippy::allow_attributes, reason = "generated code allows what it must")]

/// `skewless.v1`: features, ingest and administration.
#[expect(missing_docs, clippy::all, reason = "generated; the .proto files carry the documentation")]
pub mod v1 {
    tonic::include_proto!("skewless.v1");
}

/// Feast's contracts, by its packages: what its clients ask and its servers answer.
#[expect(missing_docs, reason = "generated; the .proto files carry the documentation")]
#[allow(clippy::all, reason = "generated; there may be nothing to find in it")]
pub mod feast {
    /// `feast.core`: what a registry holds.
    pub mod core {
        tonic::include_proto!("feast.core");
    }
    /// `feast.types`: values.
    pub mod types {
        tonic::include_proto!("feast.types");
    }
    /// `feast.serving`: feature vectors, and transforms computed elsewhere.
    pub mod serving {
        tonic::include_proto!("feast.serving");
    }
}

/// Feast's service that has no package, `GrpcFeatureServer`.
#[expect(missing_docs, reason = "generated; the .proto files carry the documentation")]
#[allow(clippy::all, reason = "generated; there may be nothing to find in it")]
pub mod feast_server {
    use super::feast;
    tonic::include_proto!("_");
}

/// The encoded `FileDescriptorSet` of what a sidecar answers, for gRPC reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/skewless.v1.bin"));

/// The same of Feast's TransformationService, which a command of its own answers.
pub const TRANSFORMATION_DESCRIPTORS: &[u8] =
    include_bytes!(concat!(env!("OUT_DIR"), "/feast.transformations.bin"));

/// Bytes of an encoded fingerprint or digest in a message.
pub const DIGEST_BYTES: usize = 32;
