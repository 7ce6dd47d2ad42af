//! `tidemark demo`: a server with a click stream running through it, and a feature view over that
//! stream on the screen.
//!
//! Law     it uses nothing but connections, as any program would; what it creates stays, and the
//!         next start goes on with it. Ctrl-C stops the generator between two commits, then the
//!         server, and leaves the terminal as it was
//!
//! `shop` the tables, the view and what is sold · `generator` who looks at what, and the writing
//! of it · `screen` what is shown.

mod generator;
mod screen;
mod shop;

use std::net::SocketAddr;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_postgres::{Client, NoTls, SimpleQueryMessage, SimpleQueryRow};

use crate::config::Config;
use crate::{Server, StartError};
use generator::Statistics;
use screen::{Screen, View};

/// How often the screen is drawn anew.
const REDRAW: Duration = Duration::from_millis(500);
/// How often a line is printed when nobody watches.
const REPORT: Duration = Duration::from_secs(5);

/// Why a demo ended.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    #[error(transparent)]
    Start(#[from] StartError),
    #[error("the demo's {0} failed: {reason}", reason = said(.1))]
    Sql(&'static str, tokio_postgres::Error),
    #[error("the demo's {0} ended unexpectedly")]
    Ended(&'static str),
    #[error("can't write to the terminal: {0}")]
    Terminal(#[from] std::io::Error),
}

/// Runs server and demo until Ctrl-C, SIGTERM or an error.
pub async fn run(config: Config) -> Result<(), Box<dyn std::error::Error>> {
    // Caught from the first moment on: starting and setting up may take a while.
    let stopped = asked_to_stop()?;
    let running = Server::start(config).await.map_err(DemoError::Start)?;
    let ended = play(running.addr, stopped).await;
    running.shutdown().await;
    Ok(ended?)
}

/// Sets up what is missing, then generates and shows until `stopped`.
async fn play(addr: SocketAddr, stopped: impl Future<Output = ()>) -> Result<(), DemoError> {
    tokio::pin!(stopped);
    let (stop, watch_stop) = watch::channel(false);
    let setup = async {
        let client = connect(addr).await?;
        let before = shop::create(&client).await?;
        let writer = connect(addr).await?;
        let probe = connect(addr).await?;
        Ok::<_, DemoError>((client, before, writer, probe))
    };
    let (client, before, writer, probe) = tokio::select! {
        connected = setup => connected?,
        _ = &mut stopped => return Ok(()),
    };
    let (report, statistics) = watch::channel(Statistics::new(before));
    let generator = generator::run(writer, probe, before, report, watch_stop);
    let mut generator = tokio::spawn(generator);
    let mut screen = Screen::open(addr)?;
    let shown = tokio::select! {
        shown = show(&client, &statistics, &mut screen) => shown,
        generated = &mut generator => Err(generated.map_or(DemoError::Ended("generator"), failure)),
        _ = &mut stopped => Ok(()),
    };
    screen.close()?;
    stop.send_replace(true);
    let generated = finish(generator).await;
    screen.goodbye(&statistics.borrow())?;
    shown.and(generated)
}

/// Waits for the commit in progress; a generator that has ended before was reported already.
async fn finish(generator: JoinHandle<Result<(), DemoError>>) -> Result<(), DemoError> {
    if generator.is_finished() {
        return Ok(());
    }
    generator.await.unwrap_or(Err(DemoError::Ended("generator")))
}

fn failure(generated: Result<(), DemoError>) -> DemoError {
    generated.err().unwrap_or(DemoError::Ended("generator"))
}

async fn show(
    client: &Client,
    statistics: &watch::Receiver<Statistics>,
    screen: &mut Screen,
) -> Result<(), DemoError> {
    let period = if screen.is_terminal() { REDRAW } else { REPORT };
    let mut due = tokio::time::interval_at(Instant::now() + period, period);
    due.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        due.tick().await;
        let totals = rows(client, shop::TOTALS).await?;
        let top = rows(client, shop::TOP).await?;
        let statistics = statistics.borrow().clone();
        screen.draw(&View { totals: &totals, top: &top, statistics: &statistics })?;
    }
}

async fn rows(client: &Client, sql: &str) -> Result<Vec<SimpleQueryRow>, DemoError> {
    let messages = client.simple_query(sql).await;
    let messages = messages.map_err(|error| DemoError::Sql("query of the view", error))?;
    let rows = messages.into_iter().filter_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    });
    Ok(rows.collect())
}

/// The server's words, which the error itself keeps back.
fn said(error: &tokio_postgres::Error) -> String {
    error.as_db_error().map_or_else(|| error.to_string(), ToString::to_string)
}

async fn connect(addr: SocketAddr) -> Result<Client, DemoError> {
    let mut config = tokio_postgres::Config::new();
    config.host(addr.ip().to_string()).port(addr.port());
    config.user(shop::USER).dbname(shop::DATABASE).application_name("tidemark demo");
    let connected = config.connect(NoTls).await;
    let (client, connection) = connected.map_err(|error| DemoError::Sql("connection", error))?;
    // It ends with its client; its errors reach the client's calls.
    tokio::spawn(connection);
    Ok(client)
}

/// Ctrl-C or SIGTERM.
fn asked_to_stop() -> std::io::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Item views, item views that the feature view counts, and whether its averages are those of a
    /// query that reads all of them anew.
    async fn state(addr: SocketAddr) -> Vec<String> {
        let client = connect(addr).await.expect("the server is there");
        let anew = "SELECT v.user_id, avg(i.price), count(*) FROM item_views v
            JOIN items i ON i.item_id = v.item_id GROUP BY v.user_id";
        let sql = format!(
            "SELECT (SELECT count(*) FROM item_views), (SELECT sum(items) FROM user_avg_price_30m),
             (SELECT count(*) FROM (SELECT * FROM user_avg_price_30m EXCEPT {anew}) AS wrong)"
        );
        let found = rows(&client, &sql).await.expect("tables and view are there");
        (0..3).map(|column| found[0].get(column).unwrap_or("NULL").to_owned()).collect()
    }

    #[tokio::test]
    async fn a_second_start_goes_on_with_what_was_there() {
        let data = tempfile::tempdir().expect("a temporary directory");
        let mut before = 0;
        for _ in 0..2 {
            let running = Server::start(Config::for_test(data.path())).await;
            let running = running.expect("a server starts");
            let while_ = tokio::time::sleep(Duration::from_secs(2));
            play(running.addr, while_).await.expect("nothing goes wrong");
            let found = state(running.addr).await;
            let events: u64 = found[0].parse().expect("a number");
            assert!(events > before + 500, "{events} after {before}");
            assert_eq!(found[1..], [found[0].clone(), "0".to_owned()]);
            before = events;
            running.shutdown().await;
        }
    }
}
