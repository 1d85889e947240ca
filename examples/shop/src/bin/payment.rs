//! The payment service of the example shop.

use std::process::ExitCode;

fn main() -> ExitCode {
    shop::service::run("payment", async |settings| shop::payment::start(settings))
}
