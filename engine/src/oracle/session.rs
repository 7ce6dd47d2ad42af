//! Session for the oracle: each key's rows in order of time, from gap to gap.

use std::collections::HashMap;

use datafusion::common::ScalarValue;

use super::{Oracle, Row, aggregate};
use crate::plan::SessionPlan;

impl Oracle<'_> {
    pub(super) fn session(&mut self, plan: &SessionPlan) -> Vec<Row> {
        let mut of_keys: HashMap<Row, Vec<(i64, Row)>> = HashMap::new();
        for row in self.rows(&plan.input) {
            let ScalarValue::TimestampMicrosecond(time, _) = row[plan.time] else {
                unreachable!("sessions are of timestamps, not {}", row[plan.time])
            };
            let Some(time) = time else { continue };
            if time.checked_add(plan.gap_us).is_none() {
                self.errors.push("timestamp out of range".to_string());
                continue;
            }
            let key = plan.keys.iter().map(|&column| aggregate::key(&row[column])).collect();
            of_keys.entry(key).or_default().push((time, row));
        }
        of_keys.into_values().flat_map(|rows| with_sessions(plan, rows)).collect()
    }
}

fn with_sessions(plan: &SessionPlan, mut rows: Vec<(i64, Row)>) -> Vec<Row> {
    rows.sort_by_key(|(time, _)| *time);
    let mut out: Vec<Row> = Vec::new();
    for session in rows.chunk_by(|(a, _), (b, _)| b - a <= plan.gap_us) {
        let bound = |micros| match &session[0].1[plan.time] {
            ScalarValue::TimestampMicrosecond(_, zone) => {
                ScalarValue::TimestampMicrosecond(Some(micros), zone.clone())
            }
            other => unreachable!("sessions are of timestamps, not {other}"),
        };
        let start = bound(session[0].0);
        let end = bound(session[session.len() - 1].0 + plan.gap_us);
        let with = |row: &Row| row.iter().cloned().chain([start.clone(), end.clone()]).collect();
        out.extend(session.iter().map(|(_, row)| with(row)));
    }
    out
}
