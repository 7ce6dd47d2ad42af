//! What an update costs by how much state there is.
//!
//! Law    the cost of an update follows the update: state fifty times as large costs cache misses
//!        and no more
//!
//! `cargo bench --bench growth [-- NAME …] [--rows N …]`. For each operator the cost of a row, in
//! steps of a thousand rows of one time, over states of 10 thousand, a million and 10 million rows,
//! or of as many as are given; four rows have a key. `x` is the last beside that of a million.
//! Prints a table, and writes it as JSON beside the build.

#[path = "operators.rs"]
mod operators;
#[path = "report.rs"]
mod report;

use operators::{cases, cost};
use report::{Table, Value};

/// The allocator of the server.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const STATES: [u64; 3] = [10_000, 1_000_000, 10_000_000];
const STEP_ROWS: usize = 1_000;
/// What others stand beside.
const BASE: u64 = 1_000_000;

fn main() {
    let (mut names, mut states) = (Vec::new(), Vec::new());
    let mut words = std::env::args().skip(1).filter(|word| word != "--bench");
    while let Some(word) = words.next() {
        match word.as_str() {
            "--rows" => {
                let rows = words.next().and_then(|word| word.replace('_', "").parse().ok());
                states.push(rows.expect("--rows takes a number"));
            }
            _ => names.push(word),
        }
    }
    if states.is_empty() {
        states = STATES.to_vec();
    }
    let mut table = Table::new("growth", &["operator", "state_rows", "ns_per_row", "x"]);
    for at in 0..cases(BASE).len() {
        let mut base = None;
        for &state_rows in &states {
            let case = &cases(state_rows)[at];
            if !names.is_empty() && !names.iter().any(|name| case.name.contains(name.as_str())) {
                continue;
            }
            let cost = cost(case, state_rows, STEP_ROWS, false);
            base = if state_rows == BASE { Some(cost) } else { base };
            table.row(vec![
                Value::Text(case.name.to_owned()),
                Value::Number(state_rows as f64, 0),
                Value::Number(cost, 0),
                base.map_or(Value::Text("-".to_owned()), |base| Value::Number(cost / base, 2)),
            ]);
        }
    }
    table.write();
}
