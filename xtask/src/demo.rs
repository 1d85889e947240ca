//! `cargo xtask demo`: the main job, with things going wrong.
//!
//! Starts the shop, sends it traffic, kills a payment instance, makes another one slow, changes a configuration value, has a
//! payment refused, kills the server in the middle of an order, and then tells what its customers saw, what became of those two
//! orders, and whether the books of all services agree.

mod load;
mod metrics;
mod sagas;
mod story;

use crate::prepare;
use crate::shell::Outcome;
use crate::system::{self, DEMO_PROFILE, Ports, System};
use clap::Args;

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Run unattended, end afterwards, and fail if a customer saw an error that the mesh should have hidden
    #[arg(long)]
    check: bool,
    /// How long the traffic lasts
    #[arg(long, default_value_t = 20, value_name = "SECONDS")]
    seconds: u64,
    /// Requests each second
    #[arg(long, default_value_t = 200, value_name = "N")]
    rate: u32,
}

/// Runs the demo.
pub(crate) fn run(options: &Options) -> Outcome {
    prepare::interpreters()?;
    eprintln!("building");
    system::build(DEMO_PROFILE)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(play(options))
}

async fn play(options: &Options) -> Outcome {
    let ports = if options.check { Ports::Free } else { Ports::Usual };
    let mut system = System::start("demo", DEMO_PROFILE, ports).await?;
    let told = story::play(&system, options.seconds, options.rate).await?;
    told.print();
    if options.check {
        system.end();
        return told.verdict();
    }
    println!("\nThe shop goes on running:");
    println!("  shop      {}/quote?amount=100.00", system.urls.gateway);
    println!("  API       {}/openapi.json", system.urls.api);
    println!("  metrics   {}/metrics", system.urls.admin);
    println!("  try       cd {} && tenon status", system.folder().display());
    println!("Ctrl-C ends it.");
    tokio::signal::ctrl_c().await?;
    system.end();
    Ok(())
}
