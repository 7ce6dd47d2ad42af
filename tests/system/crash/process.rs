//! The server as a process of its own, to be killed.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::connect;

/// Replaying a log of a few seconds takes much less.
const START_PATIENCE: Duration = Duration::from_secs(60);

/// A running server, killed when dropped.
pub struct Process {
    child: Child,
    pub addr: SocketAddr,
}

impl Process {
    /// Returns once it takes connections.
    pub async fn start(data: &Path) -> Process {
        let mut process = Process::spawn(data, 2);
        process.wait_until_it_listens().await;
        process
    }

    /// Returns at once, with the server at its beginning.
    pub fn spawn(data: &Path, workers: usize) -> Process {
        let workers = workers.to_string();
        // small, so that it is killed while it seals and takes checkpoints, too
        let small = ["--segment-size", "16KiB", "--checkpoint-size", "8KiB"];
        Process::spawn_with(data, &[&["--workers", &workers], &small[..]].concat(), &[])
    }

    /// The same with other options, and variables of its environment.
    pub fn spawn_with(data: &Path, options: &[&str], environment: &[(&str, &str)]) -> Process {
        // Free a moment ago, and nobody else is looking for one on this machine.
        let port = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr());
        let addr = port.expect("a free port");
        let child = Command::new(env!("CARGO_BIN_EXE_tidemark"))
            .args(["--listen", &addr.to_string(), "--data"])
            .arg(data)
            .args(options)
            .envs(environment.iter().copied())
            .env("TIDEMARK_LOG", "error")
            .stdout(Stdio::null())
            .spawn()
            .expect("the binary starts");
        Process { child, addr }
    }

    pub async fn wait_until_it_listens(&mut self) {
        let started = Instant::now();
        while connect(self.addr).await.is_err() {
            assert!(started.elapsed() < START_PATIENCE, "the server does not come up");
            let ended = self.child.try_wait().expect("a child can be asked");
            assert!(ended.is_none(), "the server ended by itself: {ended:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// SIGKILL: nothing is flushed, nobody is told.
    pub fn kill(&mut self) {
        let ended = self.child.try_wait().expect("a child can be asked");
        assert!(ended.is_none(), "the server ended by itself: {ended:?}");
        self.child.kill().expect("the server can be killed");
        self.child.wait().expect("and is gone");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
