//! A directory with a configuration, and the binary run in it.

use std::path::Path;
use std::process::{Command, Output};

/// Runs the binary with nothing but these variables in its environment.
pub(crate) fn readside(dir: &Path, args: &[&str], env: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_readside"));
    command.current_dir(dir).args(args).env_clear();
    command.stdin(std::process::Stdio::null());
    for (name, value) in env {
        command.env(name, value);
    }
    command.output().unwrap()
}

/// Exit code, stdout, stderr.
pub(crate) fn texts(output: &Output) -> (i32, String, String) {
    (
        output.status.code().unwrap(),
        String::from_utf8(output.stdout.clone()).unwrap(),
        String::from_utf8(output.stderr.clone()).unwrap(),
    )
}
