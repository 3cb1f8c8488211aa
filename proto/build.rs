//! Compiles the `.proto` files to Rust without `protoc`, and keeps their descriptors for reflection.

use std::error::Error;
use std::path::PathBuf;

use prost::Message;

const FILES: [&str; 4] = [
    "skewless/v1/column.proto",
    "skewless/v1/features.proto",
    "skewless/v1/ingest.proto",
    "skewless/v1/admin.proto",
];

/// Messages of Feast's files and stores that are read; no calls, so no reflection.
const FEAST: [&str; 2] = ["feast/types/Value.proto", "feast/core/Registry.proto"];

fn main() -> Result<(), Box<dyn Error>> {
    for file in FILES.iter().chain(&FEAST) {
        println!("cargo::rerun-if-changed={file}");
    }
    let descriptors = protox::compile(FILES, ["."])?;
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(out.join("skewless.v1.bin"), descriptors.encode_to_vec())?;
    tonic_prost_build::configure().bytes(".skewless.v1").compile_fds(descriptors)?;
    let feast = protox::compile(FEAST, ["."])?;
    tonic_prost_build::configure().build_client(false).build_server(false).compile_fds(feast)?;
    Ok(())
}
