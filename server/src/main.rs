//! The binary `tidemark`: configuration, logging, signals around [`Server::start`].

use std::process::ExitCode;

use clap::Parser;
use tidemark_engine::memory;
use tidemark_server::config::Command;
use tidemark_server::{Config, Server, demo, panic};
use tracing_subscriber::EnvFilter;

/// Batches of many megabytes come and go with every tick: glibc's allocator gives each back to the
/// kernel and has the next one cleared again, a sixth of the time of a bulk aggregate.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let config = Config::parse();
    panic::install_hook();
    let filter = EnvFilter::try_from_env("TIDEMARK_LOG").unwrap_or_else(|_| {
        let level = if config.command.is_some() { "warn" } else { "info" };
        EnvFilter::new(format!("{level},datafusion=warn,sled=warn"))
    });
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    // Before anything else is allocated that counts.
    if let Some(bytes) = config.memory
        && let Err(error) = memory::limit(bytes, &config.data)
    {
        eprintln!("tidemark: {error}");
        return ExitCode::FAILURE;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let ran = match runtime {
        Ok(runtime) => runtime.block_on(run(config)),
        Err(error) => Err(error.into()),
    };
    match ran {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tidemark: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(config: Config) -> Result<(), Box<dyn std::error::Error>> {
    match config.command {
        Some(Command::Demo) => demo::run(config).await,
        None => {
            let running = Server::start(config).await?;
            asked_to_stop().await?;
            tracing::info!("stopping");
            running.shutdown().await;
            Ok(())
        }
    }
}

/// Ctrl-C or SIGTERM.
async fn asked_to_stop() -> std::io::Result<()> {
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted,
        _ = terminate.recv() => Ok(()),
    }
}
