//! The inventory service of the example shop.

use std::process::ExitCode;

fn main() -> ExitCode {
    shop::service::run("inventory", async |settings| shop::inventory::start(settings))
}
