//! Configuration: everything one can choose about a server when starting it.
//!
//! One struct, one doc comment per setting: `--help` is made of them. Settings of a session
//! (`SET`, `SHOW`) live in `tidemark_sql::Settings`.

use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};

/// Tidemark: a streaming SQL engine for machine-learning features.
#[derive(Clone, Debug, Parser)]
#[command(name = "tidemark", version)]
pub struct Config {
    /// Address to listen on, HOST:PORT. Only loopback addresses, as there are no passwords yet.
    #[arg(long, default_value = "127.0.0.1:5440", global = true)]
    pub listen: String,

    /// Directory of the log and the catalog; created if missing.
    #[arg(long, default_value = "./tidemark-data", global = true)]
    pub data: PathBuf,

    /// Number of dataflow worker threads. [default: the number of cores]
    #[arg(long, global = true)]
    pub workers: Option<usize>,

    /// Whether a commit waits until it is on disk. Off survives a crash of the process, not of
    /// the machine.
    #[arg(long, value_enum, default_value_t = Switch::On, global = true)]
    pub fsync: Switch,

    #[command(subcommand)]
    pub command: Option<Command>,
}

#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Start the server with an example: a click stream and a live feature view over it.
    Demo,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Switch {
    On,
    Off,
}

/// Why an address can't be listened on.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    #[error("--listen {0:?} is not HOST:PORT: {1}")]
    Malformed(String, std::io::Error),
    #[error(
        "refusing to listen on {0}: there are no passwords yet, so only loopback addresses \
         (127.0.0.1, ::1, localhost) are allowed"
    )]
    NotLoopback(SocketAddr),
}

impl Config {
    /// A server for tests: any free port, the given directory, no fsync.
    pub fn for_test(data: impl Into<PathBuf>) -> Config {
        Config {
            listen: "127.0.0.1:0".to_owned(),
            data: data.into(),
            workers: Some(2),
            fsync: Switch::Off,
            command: None,
        }
    }

    /// The number of dataflow workers: at least one.
    pub fn worker_count(&self) -> usize {
        let cores = || std::thread::available_parallelism().map_or(1, usize::from);
        self.workers.unwrap_or_else(cores).max(1)
    }

    /// The address to listen on, refused unless every address the host name means is loopback.
    pub fn listen_address(&self) -> Result<SocketAddr, ListenError> {
        let malformed = |error| ListenError::Malformed(self.listen.clone(), error);
        let addresses: Vec<_> = self.listen.to_socket_addrs().map_err(malformed)?.collect();
        if let Some(open) = addresses.iter().find(|address| !address.ip().is_loopback()) {
            return Err(ListenError::NotLoopback(*open));
        }
        let none = || malformed(std::io::Error::other("the host has no address"));
        addresses.first().copied().ok_or_else(none)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_those_of_the_readme() {
        let config = Config::parse_from(["tidemark"]);
        assert_eq!(config.listen, "127.0.0.1:5440");
        assert_eq!(config.data, PathBuf::from("./tidemark-data"));
        assert_eq!(config.fsync, Switch::On);
        assert!(config.worker_count() >= 1);
        assert!(config.command.is_none());
    }

    #[test]
    fn flags_may_stand_before_or_after_the_subcommand() {
        for arguments in [["tidemark", "demo", "--data", "d"], ["tidemark", "--data", "d", "demo"]]
        {
            let config = Config::parse_from(arguments);
            assert!(matches!(config.command, Some(Command::Demo)));
            assert_eq!(config.data, PathBuf::from("d"));
        }
    }

    #[test]
    fn only_loopback_is_listened_on() {
        let listen = |listen: &str| Config { listen: listen.into(), ..Config::for_test("d") };
        assert!(listen("127.0.0.1:5440").listen_address().is_ok());
        assert!(listen("[::1]:5440").listen_address().is_ok());
        let refused = listen("0.0.0.0:5440").listen_address();
        assert!(matches!(refused, Err(ListenError::NotLoopback(_))));
        assert!(matches!(listen("nonsense").listen_address(), Err(ListenError::Malformed(..))));
    }
}
