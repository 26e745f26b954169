//! The `greffier` program: hands the daemon to the command line.

use std::process::ExitCode;

use greffier::daemon::{ServeOptions, run};

fn main() -> ExitCode {
    greffier::cli::main(|config, observe| Box::pin(run(config, ServeOptions { observe })))
}
