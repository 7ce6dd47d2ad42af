//! The wire: PostgreSQL's protocol, version 3, over one socket for each session.
//!
//! The way of a message: [`frame`] cuts it out of the bytes, [`connection`] decides whose it is,
//! [`simple`] or [`extended`] run it through the coordinator, [`rows`] and [`copy`] move data,
//! [`output`] sends. Message layouts are pgwire's. Its handler traits are not used: a COPY inside a
//! string of several statements, an implicit transaction from Execute to Sync, and a cancel that
//! reaches the sending of rows all need the loop itself.

mod connection;
mod copy;
pub mod encode;
mod extended;
mod frame;
mod output;
pub mod parameter;
mod rows;
mod simple;
mod startup;

pub use connection::serve;

use tidemark_sql::text_io::InputSettings;

use crate::sessions::wall_clock;

/// What reading values from text depends on: the zone, always UTC for now, and what `'now'` is.
pub fn input_settings() -> InputSettings {
    InputSettings { now: i64::try_from(wall_clock().0).ok(), ..InputSettings::default() }
}
