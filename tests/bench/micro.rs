//! What a step of each operator costs, by how many updates it has.
//!
//! Law    a row of a big step costs less than one of a small step: nothing is paid per row that can
//!        be paid per step
//!
//! `cargo bench --bench micro [NAME…]`. State first holds as many rows as the largest step; then
//! steps of one time and of many times (one a row) are measured, medians over repeated steps on
//! fresh rows. Prints a table, and writes it as JSON beside the build.

#[path = "operators.rs"]
mod operators;

use std::collections::HashMap;

use operators::{cases, cost};

/// The allocator of the server.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const STEPS: [usize; 4] = [1, 100, 10_000, 1_000_000];
const STATE_ROWS: u64 = 1_000_000;

fn main() {
    let wanted: Vec<String> =
        std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    println!("ns a row, medians; state of {STATE_ROWS} rows before");
    println!(
        "{:<26} {:>5} {:>9} {:>9} {:>9} {:>9}",
        "operator", "times", "1", "100", "10 K", "1 M"
    );
    let mut lines = Vec::new();
    for case in cases(STATE_ROWS) {
        if !wanted.is_empty() && !wanted.iter().any(|name| case.name.contains(name.as_str())) {
            continue;
        }
        for many_times in [false, true] {
            let costs = STEPS.map(|rows| cost(&case, STATE_ROWS, rows, many_times));
            let times = if many_times { "many" } else { "one" };
            let [a, b, c, d] = costs.map(|ns| format!("{ns:>9.1}"));
            println!("{:<26} {times:>5} {a} {b} {c} {d}", case.name);
            let of_steps: HashMap<String, f64> =
                STEPS.iter().map(usize::to_string).zip(costs).collect();
            lines.push(serde_json::json!({
                "operator": case.name, "times": times, "ns_per_row_by_step_rows": of_steps,
            }));
        }
    }
    let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("micro.json");
    let text = serde_json::to_string_pretty(&lines).expect("plain values");
    std::fs::write(&path, text).expect("the build's folder takes files");
    println!("written to {}", path.display());
}
