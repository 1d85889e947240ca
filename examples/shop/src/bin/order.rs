//! The order service of the example shop.

use std::process::ExitCode;

fn main() -> ExitCode {
    shop::service::run("order", shop::order::start)
}
