//! Plays every file under `slt/` as one test: see this package's README.md.
//!
//! ```text
//! cargo test --release -p slt                            all files
//! cargo test --release -p slt -- s07_windows             the files whose name contains this
//! cargo test --release -p slt -- sum --complete          write the one-shot answers into the files
//! cargo test --release -p slt -- --postgres URL          the one-shot way against a PostgreSQL
//! cargo test --release -p slt -- sum --way maintained --protocol simple
//! ```
//!
//! Every other option is that of Rust's own test harness. Nothing here is `#[ignore]`d.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use futures::future::join_all;
use libtest_mimic::{Arguments, Failed, Trial};
use slt::database::Protocol;
use slt::file::{self, TestFile};
use slt::server::Target;
use slt::way::{self, Way};
use tokio::runtime::{Builder, Runtime};

fn main() -> ExitCode {
    let (options, arguments) = match Options::from_command_line(std::env::args()) {
        Ok(read) => read,
        Err(message) => return failed(&message),
    };
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("slt");
    let files = file::find(&root).and_then(|paths| {
        paths.iter().map(|path| TestFile::read(&root, path)).collect::<Result<Vec<_>, _>>()
    });
    let files = match files {
        Ok(files) => files,
        Err(message) => return failed(&message),
    };
    let runtime = Builder::new_multi_thread().enable_all().build().expect("threads can be started");
    if options.complete {
        return complete(files, &options, &arguments, &runtime);
    }
    let shared = Arc::new((runtime, options));
    let trials = files.into_iter().filter(|file| shared.1.suits(file)).map(|file| {
        let shared = shared.clone();
        Trial::test(file.name.clone(), move || shared.0.block_on(play(&file, &shared.1)))
    });
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}

struct Options {
    complete: bool,
    postgres: Option<String>,
    ways: Vec<Way>,
    protocols: Vec<Protocol>,
}

impl Options {
    /// Takes our options out and leaves the rest to the harness.
    fn from_command_line(
        arguments: impl Iterator<Item = String>,
    ) -> Result<(Self, Arguments), String> {
        let mut options = Options {
            complete: false,
            postgres: None,
            ways: Vec::new(),
            protocols: vec![Protocol::Simple, Protocol::Extended],
        };
        let mut rest = Vec::new();
        let mut arguments = arguments;
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or(format!("{argument} wants a value"));
            match argument.as_str() {
                "--complete" => options.complete = true,
                "--postgres" => options.postgres = Some(value()?),
                "--way" => {
                    let name = value()?;
                    options.ways = vec![Way::named(&name).ok_or(format!("no way is {name}"))?];
                }
                "--protocol" => {
                    let name = value()?;
                    options.protocols.retain(|protocol| protocol.label() == name);
                }
                _ => rest.push(argument),
            }
        }
        if options.ways.is_empty() {
            options.ways = match options.postgres {
                Some(_) => vec![Way::OneShot],
                None => Way::ALL.to_vec(),
            };
        }
        Ok((options, Arguments::from_iter(rest)))
    }

    /// Whether files are played in every way that they declare.
    fn is_whole(&self) -> bool {
        self.postgres.is_none() && self.ways.len() == Way::ALL.len() && self.protocols.len() == 2
    }

    fn suits(&self, file: &TestFile) -> bool {
        self.postgres.is_none() || !file.tidemark_only
    }

    /// The simple protocol meets one worker and the extended one two: answers don't depend on their
    /// number.
    fn target(&self, protocol: Protocol) -> Target {
        match (&self.postgres, protocol) {
            (Some(url), _) => Target::Postgres { url: url.clone() },
            (None, Protocol::Simple) => Target::Tidemark { workers: 1 },
            (None, Protocol::Extended) => Target::Tidemark { workers: 2 },
        }
    }
}

/// All ways and protocols of one file, side by side because some files sleep. Equal failures are
/// told once.
async fn play(file: &TestFile, options: &Options) -> Result<(), Failed> {
    let ways = options.ways.iter().filter(|way| file.ways.contains(way));
    let plays = ways.flat_map(|&way| options.protocols.iter().map(move |&p| (way, p)));
    let outcomes = join_all(plays.map(async |(way, protocol)| {
        let outcome = way::play(file, way, protocol, &options.target(protocol)).await;
        (format!("{}/{}", way.label(), protocol.label()), outcome)
    }));
    let mut failures: Vec<(String, String)> = Vec::new();
    for (played, outcome) in outcomes.await {
        let Err(message) = outcome else { continue };
        match failures.iter_mut().find(|(_, known)| *known == message) {
            Some((ways, _)) => *ways += &format!(", {played}"),
            None => failures.push((played, message)),
        }
    }
    match (failures.is_empty(), &file.known) {
        (true, None) => return Ok(()),
        (true, Some(_)) if options.is_whole() => {
            return Err("it passes now: take its `# known:` line away".into());
        }
        (_, Some(reason)) if options.is_whole() => {
            println!("{} fails as is known: {reason}", file.name);
            return Ok(());
        }
        _ => {}
    }
    let told: Vec<String> = failures.iter().map(|(ways, m)| format!("{ways}:\n{m}")).collect();
    Err(told.join("\n").into())
}

fn complete(
    files: Vec<TestFile>,
    options: &Options,
    arguments: &Arguments,
    runtime: &Runtime,
) -> ExitCode {
    let name = arguments.filter.clone().unwrap_or_default();
    for file in files.into_iter().filter(|file| file.name.contains(&name) && options.suits(file)) {
        let target = options.target(Protocol::Simple);
        match runtime.block_on(slt::complete::complete(&file, &target)) {
            Ok(()) => println!("completed {}", file.path.display()),
            Err(message) => return failed(&message),
        }
    }
    ExitCode::SUCCESS
}

fn failed(message: &str) -> ExitCode {
    eprintln!("{message}");
    ExitCode::FAILURE
}
