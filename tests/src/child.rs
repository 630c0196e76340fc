//! Processes that end when we do.
//!
//! In: a command and a log file. Out: a running process in a process group of its own (Ctrl-C in a terminal reaches us,
//! not it), killed when the handle is dropped or this process dies, however it dies.

use std::ffi::OsString;
use std::fs::File;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::{OnceLock, mpsc};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};

use crate::place::tail;

/// What to start.
#[derive(Debug)]
pub(crate) struct Spec {
    /// What it is called in errors.
    pub(crate) name: String,
    pub(crate) program: PathBuf,
    pub(crate) args: Vec<OsString>,
    pub(crate) env: Vec<(String, OsString)>,
    pub(crate) cwd: PathBuf,
    /// Standard output and error are appended here.
    pub(crate) log: PathBuf,
    /// Runs as the user that servers run as.
    pub(crate) as_server: bool,
    /// The signal that it gets when this process dies, and when the handle is dropped.
    pub(crate) last_signal: i32,
    /// Lives on after this process and after the handle.
    pub(crate) detached: bool,
}

/// A started process.
#[derive(Debug)]
pub(crate) struct Child {
    name: String,
    log: PathBuf,
    last_signal: i32,
    detached: bool,
    process: std::process::Child,
    exit: Option<ExitStatus>,
}

type Started = std::io::Result<std::process::Child>;

/// Starts the command on a thread that never ends: the kernel's "parent has died" signal goes by thread, not by process.
fn spawn_from_lasting_thread(command: Command) -> Result<Started> {
    static SPAWNER: OnceLock<mpsc::Sender<(Command, mpsc::Sender<Started>)>> = OnceLock::new();
    let spawner = SPAWNER.get_or_init(|| {
        let (sender, receiver) = mpsc::channel::<(Command, mpsc::Sender<Started>)>();
        std::thread::spawn(move || {
            while let Ok((mut command, answer)) = receiver.recv() {
                // The asker may have gone away; its child is then dropped, and killed at our end.
                let _ = answer.send(command.spawn());
            }
        });
        sender
    });
    let (answer, started) = mpsc::channel();
    spawner
        .send((command, answer))
        .map_err(|_| anyhow!("the spawning thread has ended"))?;
    started.recv().context("the spawning thread has ended")
}

#[allow(
    unsafe_code,
    reason = "a process that ends with us, and signals to it, are system calls without a safe form in std"
)]
mod system {
    use super::{Command, CommandExt};

    pub(super) fn die_with_parent(command: &mut Command, signal: i32) {
        // SAFETY: between fork and exec only prctl is called, which is async-signal-safe and touches no memory.
        unsafe {
            command.pre_exec(move || {
                if libc::prctl(libc::PR_SET_PDEATHSIG, signal) == 0 {
                    Ok(())
                } else {
                    Err(std::io::Error::last_os_error())
                }
            });
        }
    }

    pub(super) fn kill(pid: i32, signal: i32) -> std::io::Result<()> {
        // SAFETY: kill takes two integers.
        if unsafe { libc::kill(pid, signal) } == 0 {
            Ok(())
        } else {
            Err(std::io::Error::last_os_error())
        }
    }
}

/// Sends `signal` to a process.
pub(crate) fn signal(pid: u32, signal: i32) -> Result<()> {
    let pid = i32::try_from(pid).context("process id")?;
    system::kill(pid, signal).with_context(|| format!("signal {signal} to process {pid}"))
}

impl Child {
    pub(crate) fn spawn(spec: Spec) -> Result<Self> {
        let log = File::options()
            .create(true)
            .append(true)
            .open(&spec.log)
            .with_context(|| format!("open `{}`", spec.log.display()))?;
        let mut command = Command::new(&spec.program);
        command
            .args(&spec.args)
            .envs(spec.env.iter().map(|(k, v)| (k, v)))
            .current_dir(&spec.cwd)
            .stdin(Stdio::null())
            .stdout(log.try_clone().context("duplicate a file handle")?)
            .stderr(log)
            .process_group(0);
        if spec.as_server
            && let Some((uid, gid)) = crate::place::server_user()
        {
            command.uid(uid).gid(gid);
        }
        if !spec.detached {
            system::die_with_parent(&mut command, spec.last_signal);
        }
        let process = spawn_from_lasting_thread(command)?
            .with_context(|| format!("start `{}`", spec.program.display()))?;
        Ok(Self {
            name: spec.name,
            log: spec.log,
            last_signal: spec.last_signal,
            detached: spec.detached,
            process,
            exit: None,
        })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }

    /// How it ended, if it has.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        if self.exit.is_none() {
            self.exit = self.process.try_wait().ok().flatten();
        }
        self.exit
    }

    /// An error with the end of its log if it has ended.
    pub(crate) fn check_running(&mut self) -> Result<()> {
        match self.ended() {
            None => Ok(()),
            Some(status) => bail!(
                "{} ended ({}); the end of `{}`:\n{}",
                self.name,
                describe(status),
                self.log.display(),
                tail(&self.log, 25)
            ),
        }
    }

    pub(crate) fn signal(&mut self, number: i32) -> Result<()> {
        self.check_running()?;
        signal(self.pid(), number)
    }

    /// Waits until it has ended.
    pub(crate) async fn wait(&mut self, limit: Duration) -> Result<ExitStatus> {
        let start = Instant::now();
        loop {
            if let Some(status) = self.ended() {
                return Ok(status);
            }
            if start.elapsed() > limit {
                bail!(
                    "{} has not ended within {} s; the end of `{}`:\n{}",
                    self.name,
                    limit.as_secs(),
                    self.log.display(),
                    tail(&self.log, 25)
                );
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

/// An exit status in words.
pub(crate) fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => status.to_string(),
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if self.detached || self.ended().is_some() {
            return;
        }
        // A stopped process takes no other signal.
        let _ = signal(self.pid(), self.last_signal);
        let _ = signal(self.pid(), libc::SIGCONT);
        let start = Instant::now();
        while self.ended().is_none() {
            if start.elapsed() > Duration::from_secs(5) {
                let _ = self.process.kill();
                let _ = self.process.wait();
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}
