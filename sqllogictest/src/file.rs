//! A test file as a list of steps, and which of its queries become views.
//!
//! Comments steer, `README.md` says how: `# ways:`, `# engine:` and `# known:` for the whole file,
//! `# refused:` and `# one-shot:` for the query below. Queries that fail, that stand under a
//! `skipif` or `onlyif` of anything but the engine, or that are not a SELECT are always one-shot.

use std::path::{Path, PathBuf};

use sqllogictest::{Condition, QueryExpect, Record};

use crate::database::Column;
use crate::way::Way;

/// What a file says.
pub struct TestFile {
    pub path: PathBuf,
    /// The path under `slt/` without the extension, as the command line filters by it.
    pub name: String,
    pub ways: Vec<Way>,
    /// PostgreSQL has nothing to say about it.
    pub tidemark_only: bool,
    /// Why it is known to fail; then it must.
    pub known: Option<String>,
    pub steps: Vec<Step>,
    /// The SELECT of each view, once each however often the file asks it.
    pub views: Vec<String>,
}

/// One record, and what becomes of it where the file is played with views.
pub struct Step {
    pub record: Record<Column>,
    pub role: Role,
}

/// What a record is to the ways that read views.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Role {
    /// Played as it stands.
    Plain,
    /// Read through the view with this number.
    View(usize),
    /// CREATE MATERIALIZED VIEW must be refused with 0A000 and a message that contains this.
    Refused(String),
}

impl TestFile {
    /// Reads the file; `root` is the folder that names are relative to.
    pub fn read(root: &Path, path: &Path) -> Result<Self, String> {
        let records = sqllogictest::parse_file::<Column>(path).map_err(|e| e.to_string())?;
        let name = path.strip_prefix(root).unwrap_or(path).with_extension("");
        let mut file = Self {
            path: path.to_owned(),
            name: name.to_string_lossy().into_owned(),
            ways: Way::ALL.to_vec(),
            tidemark_only: false,
            known: None,
            steps: Vec::with_capacity(records.len()),
            views: Vec::new(),
        };
        let mut above = Vec::new();
        for record in records {
            match &record {
                Record::Comment(lines) => {
                    file.take_ways(lines)?;
                    let known = lines.iter().find_map(|line| marked(line, "known"));
                    file.known = known.map(str::to_owned).or(file.known);
                    file.tidemark_only |=
                        lines.iter().any(|line| marked(line, "engine") == Some("tidemark"));
                    above = lines.clone();
                }
                Record::Newline => above.clear(),
                _ => {}
            }
            let role = file.role(&record, &above)?;
            file.steps.push(Step { record, role });
        }
        Ok(file)
    }

    fn take_ways(&mut self, comment: &[String]) -> Result<(), String> {
        let Some(list) = comment.iter().find_map(|line| marked(line, "ways")) else {
            return Ok(());
        };
        let names = list.split_once('(').map_or(list, |(names, _why)| names);
        self.ways = names
            .split([',', ' '])
            .filter(|name| !name.is_empty())
            .map(|name| Way::named(name).ok_or(format!("{}: no way is {name}", self.name)))
            .collect::<Result<_, _>>()?;
        Ok(())
    }

    fn role(&mut self, record: &Record<Column>, above: &[String]) -> Result<Role, String> {
        let Record::Query { sql, conditions, expected, .. } = record else {
            return Ok(Role::Plain);
        };
        if let Some(reason) = above.iter().find_map(|line| marked(line, "refused")) {
            return Ok(Role::Refused(reason.to_owned()));
        }
        let marked_one_shot = above.iter().any(|line| marked(line, "one-shot").is_some());
        let fails = matches!(expected, QueryExpect::Error(_));
        if marked_one_shot || fails || !conditions.iter().all(is_tidemark) || !is_select(sql) {
            return Ok(Role::Plain);
        }
        let known = self.views.iter().position(|view| view == sql);
        Ok(Role::View(known.unwrap_or_else(|| {
            self.views.push(sql.clone());
            self.views.len() - 1
        })))
    }
}

/// Every `.slt` file below the folder, in order of name.
pub fn find(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let entries = std::fs::read_dir(folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.map_err(|e| format!("{}: {e}", folder.display()))?.path();
        if path.is_dir() {
            found.extend(find(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "slt") {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

fn is_tidemark(condition: &Condition) -> bool {
    match condition {
        Condition::OnlyIf { label } => label == "tidemark",
        Condition::SkipIf { label } => label == "postgres",
    }
}

/// The text after `# key:`.
fn marked<'a>(comment: &'a str, key: &str) -> Option<&'a str> {
    comment.trim_start().strip_prefix(key)?.strip_prefix(':').map(str::trim)
}

fn is_select(sql: &str) -> bool {
    let first = sql.split(|c: char| !c.is_ascii_alphabetic()).find(|word| !word.is_empty());
    first.is_some_and(|word| {
        ["SELECT", "WITH", "VALUES", "TABLE"].contains(&word.to_ascii_uppercase().as_str())
    })
}
