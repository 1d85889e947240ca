//! The inventory service of the example shop.

use std::process::ExitCode;

fn main() -> ExitCode {
    shop::service::run("inventory", shop::inventory::start)
}
