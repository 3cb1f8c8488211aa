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

fn main() -> Result<(), Box<dyn Error>> {
    for file in FILES {
        println!("cargo::rerun-if-changed={file}");
    }
    let descriptors = protox::compile(FILES, ["."])?;
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(out.join("skewless.v1.bin"), descriptors.encode_to_vec())?;
    tonic_prost_build::configure().bytes(".skewless.v1").compile_fds(descriptors)?;
    Ok(())
}
