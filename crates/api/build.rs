//! Compiles the protobuf files, with no `protoc` needed.

use std::error::Error;
use std::path::PathBuf;

const FILES: &[&str] = &[
    "io/cloudevents/v1/cloudevents.proto",
    "tenon/snapshot/v1/snapshot.proto",
    "tenon/identity/v1/identity.proto",
    "tenon/eventstore/v1/eventstore.proto",
    "tenon/bus/v1/bus.proto",
    "tenon/bus/v1/record.proto",
    "tenon/saga/v1/record.proto",
    "tenon/saga/v1/saga.proto",
    "tenon/event/v1/catalog.proto",
    "tenon/event/v1/config.proto",
    "tenon/event/v1/duty.proto",
    "tenon/event/v1/registry.proto",
    "tenon/event/v1/runtime.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto");
    let descriptors = protox::compile(FILES, ["proto"])?;
    tonic_prost_build::configure()
        .bytes(".")
        // Events are many, so they are read and written without a copy in between.
        .extern_path(".tenon.eventstore.v1.Event", "crate::eventstore::Event")
        .compile_fds(descriptors)?;
    consumer()
}

/// What services offer: apart, because it has the messages of another package.
fn consumer() -> Result<(), Box<dyn Error>> {
    let folder = PathBuf::from(std::env::var("OUT_DIR")?).join("consumer");
    std::fs::create_dir_all(&folder)?;
    tonic_prost_build::configure()
        .out_dir(folder)
        .extern_path(".io.cloudevents.v1", "crate::proto::cloudevents::v1")
        .compile_fds(protox::compile(["tenon/bus/v1/consumer.proto"], ["proto"])?)?;
    Ok(())
}
