//! The sqllogictest runner: what a statement means, proved from outside, over the wire.
//!
//! Each file under `slt/` is played against a server of its own, once for every [`way::Way`] and
//! both protocols, and every answer is compared with the one written in the file. `README.md`
//! beside this crate says how a file is written; this is how it is run:
//!
//! | module | what it holds |
//! |---|---|
//! | [`file`] | a file as a list of steps, and which of its queries become views |
//! | [`way`] | playing the steps: one-shot, maintained, backfilled, restarted |
//! | [`database`] | one connection, simple or extended, as the `sqllogictest` crate wants it |
//! | [`binary`] | binary values as the text PostgreSQL prints |
//! | [`server`] | Tidemark in this process, or a PostgreSQL to learn answers from |
//! | [`complete`] | rewriting the expectations of a file |
//!
//! Law: all ways of a file give the same rows. What it does not promise: the order of rows where a
//! query has none, nor anything about timing.

pub mod binary;
pub mod complete;
pub mod database;
pub mod file;
pub mod server;
pub mod way;
