//! What the benchmarks print: a table, and the same as JSON.

use std::fmt::Write;

/// A value of a table.
pub enum Value {
    Text(String),
    /// Printed with so many digits behind the point.
    Number(f64, usize),
}

/// Rows of values under names, printed as they come.
pub struct Table {
    name: &'static str,
    columns: &'static [&'static str],
    rows: Vec<Vec<Value>>,
}

impl Table {
    pub fn new(name: &'static str, columns: &'static [&'static str]) -> Table {
        println!("{}", columns.iter().map(|column| padded(column)).collect::<String>());
        Table { name, columns, rows: vec![] }
    }

    pub fn row(&mut self, values: Vec<Value>) {
        assert_eq!(values.len(), self.columns.len(), "a value for each column");
        let shown = values.iter().map(|value| match value {
            Value::Text(text) => padded(text),
            Value::Number(number, digits) => padded(&format!("{number:.digits$}")),
        });
        println!("{}", shown.collect::<String>());
        self.rows.push(values);
    }

    /// Writes the rows as JSON beside the build, and says where.
    pub fn write(&self) {
        let mut json = String::from("[\n");
        for (place, row) in self.rows.iter().enumerate() {
            let fields = self.columns.iter().zip(row).map(|(column, value)| match value {
                Value::Text(text) => format!("{column:?}: {text:?}"),
                Value::Number(number, _) => format!("{column:?}: {number}"),
            });
            let comma = if place + 1 < self.rows.len() { "," } else { "" };
            writeln!(json, "  {{{}}}{comma}", fields.collect::<Vec<_>>().join(", "))
                .expect("writing to a string");
        }
        json.push_str("]\n");
        let path = format!("{}/{}.json", env!("CARGO_TARGET_TMPDIR"), self.name);
        std::fs::write(&path, json).expect("the folder of the build can be written");
        println!("written to {path}");
    }
}

fn padded(text: &str) -> String {
    format!("{text:<26}")
}
