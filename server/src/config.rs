//! Configuration: everything one can choose about a server when starting it.
//!
//! One struct, one doc comment per setting: `--help` is made of them. Settings of a session
//! (`SET`, `SHOW`) live in `tidemark_sql::Settings`.

use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, Subcommand, ValueEnum};
use tidemark_engine::{CheckpointLimits, LogConfig, LogLimits};

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

    /// Where the log is kept once it is sealed into Parquet files: file:///folder, or
    /// s3://bucket/prefix, with credentials, region and endpoint from the usual AWS_* variables. Not
    /// to be changed later without moving the files. [default: the folder "sealed" in the data
    /// directory]
    #[arg(long, value_name = "URL", global = true)]
    pub storage: Option<String>,

    /// The log is sealed in segments of this size.
    #[arg(long, value_parser = bytes, default_value = "64MiB", value_name = "SIZE", global = true)]
    pub segment_size: u64,

    /// And, with commits in it, when it was begun so long ago.
    #[arg(long, value_parser = duration, default_value = "1h", value_name = "TIME", global = true)]
    pub segment_age: Duration,

    /// While so much of the log cannot be sealed, commits are refused.
    #[arg(long, value_parser = bytes, default_value = "16GiB", value_name = "SIZE", global = true)]
    pub unsealed_max: u64,

    /// The process holds no more than about so much in memory: what has not been used for a while
    /// is put into a file in the data directory. Queries may hold a quarter of it and replays of
    /// the past another one; what needs more goes by way of the disk or by fewer keys at a time, or
    /// fails. [default: no limit]
    #[arg(long, value_parser = bytes, value_name = "SIZE", global = true)]
    pub memory: Option<u64>,

    /// The states of views are written to disk, so that a start need not fill them, when the log
    /// has grown by this much.
    #[arg(long, value_parser = bytes, default_value = "256MiB", value_name = "SIZE", global = true)]
    pub checkpoint_size: u64,

    /// And, with commits since, this long after the last time.
    #[arg(long, value_parser = duration, default_value = "10min", value_name = "TIME")]
    #[arg(global = true)]
    pub checkpoint_age: Duration,

    #[command(subcommand)]
    pub command: Option<Command>,
}

/// `64MiB`, `16 GiB` or a number of bytes.
fn bytes(text: &str) -> Result<u64, String> {
    const UNITS: &[(&str, u64)] =
        &[("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("TiB", 1 << 40), ("", 1)];
    quantity(text, UNITS).ok_or_else(|| "a size is a number and KiB, MiB, GiB or TiB".to_owned())
}

/// `30s`, `10min` or `1h`.
fn duration(text: &str) -> Result<Duration, String> {
    const UNITS: &[(&str, u64)] =
        &[("ms", 1), ("s", 1000), ("min", 60_000), ("h", 3_600_000), ("d", 86_400_000)];
    let millis = quantity(text, UNITS);
    millis
        .map(Duration::from_millis)
        .ok_or_else(|| "a time is a number and ms, s, min, h or d".to_owned())
}

fn quantity(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let (_, factor) = units.iter().find(|(name, _)| *name == unit.trim())?;
    number.parse::<u64>().ok()?.checked_mul(*factor).filter(|quantity| *quantity > 0)
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
            storage: None,
            segment_size: 64 << 20,
            segment_age: Duration::from_secs(60 * 60),
            unsealed_max: 16 << 30,
            memory: None,
            checkpoint_size: 256 << 20,
            checkpoint_age: Duration::from_secs(10 * 60),
            command: None,
        }
    }

    /// How the engine keeps its log.
    pub fn log(&self) -> LogConfig {
        let limits = LogLimits {
            segment_bytes: self.segment_size,
            segment_age: self.segment_age,
            unsealed_bytes_max: self.unsealed_max,
        };
        let checkpoints =
            CheckpointLimits { bytes: self.checkpoint_size, interval: self.checkpoint_age };
        LogConfig { storage: self.storage.clone(), limits, checkpoints }
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
        assert_eq!(config.log().limits, LogLimits::default());
        assert_eq!(config.log().limits, Config::for_test("d").log().limits);
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
    fn sizes_and_times_have_units() {
        assert_eq!(bytes("1"), Ok(1));
        assert_eq!(bytes("10 KiB"), Ok(10_240));
        assert_eq!(duration("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("2min"), Ok(Duration::from_secs(120)));
        for wrong in ["", "0", "MiB", "1kb", "-1", "1.5GiB", "99999999999TiB"] {
            assert!(bytes(wrong).is_err(), "{wrong}");
        }
        assert!(duration("5").is_err());
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
