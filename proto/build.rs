//! Compiles the `.proto` files to Rust without `protoc`, and keeps their descriptors for reflection.

use std::error::Error;
use std::path::PathBuf;

use prost::Message;

const FILES: [&str; 8] = [
    "skewless/v1/column.proto",
    "skewless/v1/features.proto",
    "skewless/v1/ingest.proto",
    "skewless/v1/admin.proto",
    "feast/types/Value.proto",
    "feast/types/EntityKey.proto",
    "feast/serving/ServingService.proto",
    "feast/serving/GrpcServer.proto",
];

/// What Feast's registry holds: read from a file, not served, so reflection doesn't show it.
const REGISTRY: &str = "feast/core/Registry.proto";

/// What Feast's servers have computed elsewhere: answered by a command of its own, so the sidecar's reflection doesn't show it.
const TRANSFORMATIONS: &str = "feast/serving/TransformationService.proto";

fn main() -> Result<(), Box<dyn Error>> {
    let files = FILES.into_iter().chain([REGISTRY, TRANSFORMATIONS]);
    for file in files.clone() {
        println!("cargo::rerun-if-changed={file}");
    }
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    let served = protox::compile(FILES, ["."])?;
    std::fs::write(out.join("skewless.v1.bin"), served.encode_to_vec())?;
    let transformations = protox::compile([TRANSFORMATIONS], ["."])?;
    std::fs::write(out.join("feast.transformations.bin"), transformations.encode_to_vec())?;
    tonic_prost_build::configure()
        .bytes(".skewless.v1")
        .bytes(".feast.serving.ValueType")
        .compile_fds(protox::compile(files, ["."])?)?;
    Ok(())
}
