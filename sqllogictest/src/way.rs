//! Playing a file: four ways to the same answers.
//!
//! Law: whatever the way, every query of the file gives the rows that the file expects. Rows of a
//! view come in no order, so they are compared as a multiset.
//!
//! - `one-shot`: each query is a SELECT over the tables.
//! - `maintained`: each query is a materialized view, created as soon as what it reads exists,
//!   hence before the first rows; the query's place is taken by `SELECT * FROM` it, every time the
//!   file asks.
//! - `backfilled`: the view is created where the file asks first, over what is there already, and
//!   read from then on.
//! - `restarted`: as `maintained`, and the server is restarted before a read wherever something
//!   happened since the last restart and no transaction is open.
//!
//! Before a DROP, an ALTER or a CREATE OR REPLACE the views are dropped, so that they stand in
//! nobody's way, and created again after it.

use std::collections::HashSet;
use std::sync::Arc;

use sqllogictest::{
    Connection, QueryExpect, Record, RecordOutput, Runner, SortMode, StatementExpect, TestError,
};

use crate::database::{Column, Connector, Database, Error, Protocol};
use crate::file::{Role, Step, TestFile};
use crate::server::{Instance, Target};

/// How the queries of a file are asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    OneShot,
    Maintained,
    Backfilled,
    Restarted,
}

impl Way {
    pub const ALL: [Way; 4] = [Way::OneShot, Way::Maintained, Way::Backfilled, Way::Restarted];

    /// As files, `skipif` and the command line name it.
    pub fn label(self) -> &'static str {
        match self {
            Way::OneShot => "one-shot",
            Way::Maintained => "maintained",
            Way::Backfilled => "backfilled",
            Way::Restarted => "restarted",
        }
    }

    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|way| way.label() == name)
    }
}

/// Plays the whole file one way over one protocol, against a fresh instance. The error is ready to
/// print.
pub async fn play(
    file: &TestFile,
    way: Way,
    protocol: Protocol,
    target: &Target,
) -> Result<(), String> {
    let instance = Instance::start(target).await?;
    let connector = Connector { instance: instance.clone(), protocol, describe: false };
    let mut runner = Runner::new(connector);
    runner.add_label(way.label());
    runner.add_label(protocol.label());
    runner.with_normalizer(unchanged);
    runner.with_column_validator(types_agree);
    let mut play = Play {
        file,
        way,
        runner,
        instance: instance.clone(),
        created: vec![false; file.views.len()],
        in_transaction: HashSet::new(),
        happened: true,
    };
    let outcome = play.steps().await;
    drop(play);
    instance.shutdown().await;
    outcome
}

/// Values are compared byte by byte: what a server prints is part of what is tested.
#[allow(clippy::ptr_arg)] // the signature that the crate asks for
pub fn unchanged(text: &String) -> String {
    text.clone()
}

/// Rows are equal in their order.
pub fn same_list(_: fn(&String) -> String, actual: &[Vec<String>], expected: &[String]) -> bool {
    actual.iter().flatten().eq(expected)
}

/// Rows are equal in some order.
fn same_multiset(_: fn(&String) -> String, actual: &[Vec<String>], expected: &[String]) -> bool {
    let mut actual = actual.concat();
    let mut expected = expected.to_vec();
    actual.sort_unstable();
    expected.sort_unstable();
    actual == expected
}

#[allow(clippy::ptr_arg)] // the signature that the crate asks for
fn types_agree(actual: &Vec<Column>, expected: &Vec<Column>) -> bool {
    let agree = |(a, e): (&Column, &Column)| *a == Column::Unsaid || *e == Column::Unsaid || a == e;
    actual.len() == expected.len() && actual.iter().zip(expected).all(agree)
}

struct Play<'a> {
    file: &'a TestFile,
    way: Way,
    runner: Runner<Database, Connector>,
    instance: Arc<Instance>,
    /// Which of the file's views exist now.
    created: Vec<bool>,
    /// The connections that have begun a transaction and not ended it.
    in_transaction: HashSet<Connection>,
    /// Whether anything happened since the last restart.
    happened: bool,
}

impl Play<'_> {
    /// Goes on after a wrong answer, since later ones don't depend on it; a statement that should
    /// have done something and didn't ends the play.
    async fn steps(&mut self) -> Result<(), String> {
        let mut failures = Vec::new();
        for step in &self.file.steps {
            if matches!(step.record, Record::Halt { .. }) {
                break;
            }
            let Err(failure) = self.step(step).await else {
                continue;
            };
            failures.push(failure);
            if !is_answer(&step.record) {
                break;
            }
        }
        match failures.is_empty() {
            true => Ok(()),
            false => Err(failures.join("\n")),
        }
    }

    async fn step(&mut self, step: &Step) -> Result<(), String> {
        match (&step.record, &step.role) {
            (Record::Query { connection, .. }, Role::View(number))
                if self.reads(*number, connection) =>
            {
                self.read_view(&step.record, *number).await
            }
            (Record::Query { .. }, Role::Refused(reason)) if self.refuses() => {
                self.expect_refusal(&step.record, reason).await?;
                self.run(step.record.clone()).await
            }
            (Record::Statement { sql, connection, .. }, _) => {
                self.statement(step.record.clone(), sql, connection).await
            }
            _ => self.run(step.record.clone()).await,
        }
    }

    /// Whether the query is asked through its view. One that is not there yet can't be created in a
    /// transaction: it would go with it.
    fn reads(&self, number: usize, connection: &Connection) -> bool {
        let can_be = self.created[number] || !self.in_transaction.contains(connection);
        self.way != Way::OneShot && can_be
    }

    /// A refusal is asked for once; PostgreSQL has nothing to refuse.
    fn refuses(&self) -> bool {
        self.way == Way::Maintained && self.instance.engine_name() == "tidemark"
    }

    async fn statement(
        &mut self,
        record: Record<Column>,
        sql: &str,
        connection: &Connection,
    ) -> Result<(), String> {
        let words: Vec<String> =
            sql.split_whitespace().take(3).map(|word| word.to_ascii_uppercase()).collect();
        let words: Vec<&str> = words.iter().map(|word| word.trim_end_matches(';')).collect();
        let redefines = matches!(words[..], ["DROP" | "ALTER", ..] | ["CREATE", "OR", ..]);
        if redefines {
            self.drop_views(connection).await?;
        }
        self.run(record).await?;
        self.happened = true;
        match words.first().copied() {
            Some("BEGIN" | "START") => {
                self.in_transaction.insert(connection.clone());
            }
            Some("COMMIT" | "ROLLBACK" | "END" | "ABORT") => {
                self.in_transaction.remove(connection);
            }
            _ => {}
        }
        if redefines || words.first() == Some(&"CREATE") {
            self.create_what_can_be(connection).await?;
        }
        Ok(())
    }

    /// Runs the record and compares.
    async fn run(&mut self, record: Record<Column>) -> Result<(), String> {
        let unordered = match &record {
            Record::Query { expected: QueryExpect::Results { sort_mode, .. }, .. } => {
                *sort_mode == Some(SortMode::RowSort)
            }
            _ => false,
        };
        self.runner.with_validator(if unordered { same_multiset } else { same_list });
        self.runner.run_async(record).await.map_err(printed)?;
        Ok(())
    }

    async fn read_view(&mut self, record: &Record<Column>, number: usize) -> Result<(), String> {
        if !self.created[number]
            && let Some(error) = self.create_view(record, number).await
        {
            return Err(self.at(record, &format!("the query can't be a view: {error}")));
        }
        if self.way == Way::Restarted && self.happened && self.in_transaction.is_empty() {
            self.instance.restart().await?;
            self.happened = false;
        }
        let mut read = record.clone();
        if let Record::Query { sql, expected, .. } = &mut read {
            *sql = format!("SELECT * FROM slt_{number}");
            if let QueryExpect::Results { sort_mode, .. } = expected {
                *sort_mode = Some(SortMode::RowSort);
            }
        }
        let asked = self.file.views[number].lines().collect::<Vec<_>>().join(" ");
        self.run(read).await.map_err(|e| format!("{e}\nslt_{number} is: {asked}"))
    }

    async fn expect_refusal(
        &mut self,
        record: &Record<Column>,
        reason: &str,
    ) -> Result<(), String> {
        let Record::Query { sql, .. } = record else {
            return Ok(());
        };
        let refusal =
            self.execute(record, format!("CREATE MATERIALIZED VIEW slt_refused AS {sql}"));
        match refusal.await {
            None => Err(self.at(record, "the query should be refused as a view, and is not")),
            Some(error) if error.code == "0A000" && error.to_string().contains(reason) => Ok(()),
            Some(error) => {
                let wanted = format!("0A000 and {reason:?}");
                Err(self.at(record, &format!("refused with {error}, instead of {wanted}")))
            }
        }
    }

    /// Tries every view that is still missing: one whose tables are missing too has to wait.
    async fn create_what_can_be(&mut self, connection: &Connection) -> Result<(), String> {
        let early = matches!(self.way, Way::Maintained | Way::Restarted);
        if !early || self.in_transaction.contains(connection) {
            return Ok(());
        }
        for step in &self.file.steps {
            let Role::View(number) = step.role else {
                continue;
            };
            if self.created[number] {
                continue;
            }
            match self.create_view(&step.record, number).await {
                // No such table, schema, column or function yet.
                Some(e) if ["42P01", "3F000", "42703", "42883"].contains(&e.code.as_str()) => {}
                Some(e) => {
                    return Err(self.at(&step.record, &format!("the query can't be a view: {e}")));
                }
                None => {}
            }
        }
        Ok(())
    }

    async fn create_view(&mut self, record: &Record<Column>, number: usize) -> Option<Error> {
        let query = self.file.views[number].trim_end().trim_end_matches(';');
        let create = format!("CREATE MATERIALIZED VIEW slt_{number} AS {query}");
        let error = self.execute(record, create).await;
        self.created[number] |= error.is_none();
        error
    }

    async fn drop_views(&mut self, connection: &Connection) -> Result<(), String> {
        for number in 0..self.created.len() {
            if !std::mem::take(&mut self.created[number]) {
                continue;
            }
            let step = self.file.steps.iter().find(|step| step.role == Role::View(number));
            let record = &step.expect("a view's number comes from a step").record;
            let drop = format!("DROP MATERIALIZED VIEW slt_{number}");
            if let Some(error) = self.execute_on(record, drop, connection.clone()).await {
                return Err(self.at(record, &format!("slt_{number} can't be dropped: {error}")));
            }
        }
        Ok(())
    }

    async fn execute(&mut self, origin: &Record<Column>, sql: String) -> Option<Error> {
        let Record::Query { connection, .. } = origin else {
            return None;
        };
        self.execute_on(origin, sql, connection.clone()).await
    }

    /// Executes a statement of the runner's own, on a connection of the file's so that its session
    /// counts.
    async fn execute_on(
        &mut self,
        origin: &Record<Column>,
        sql: String,
        connection: Connection,
    ) -> Option<Error> {
        let Record::Query { loc, .. } = origin else {
            return None;
        };
        let statement = Record::Statement {
            loc: loc.clone(),
            conditions: Vec::new(),
            connection,
            sql,
            expected: StatementExpect::Ok,
            retry: None,
        };
        match self.runner.apply_record(statement).await {
            RecordOutput::Statement { error: Some(error), .. }
            | RecordOutput::Query { error: Some(error), .. } => {
                Some(match error.downcast_ref::<Error>() {
                    Some(error) => error.clone(),
                    None => Error::broken(&error.to_string()),
                })
            }
            _ => None,
        }
    }

    fn at(&self, record: &Record<Column>, message: &str) -> String {
        match record {
            Record::Query { loc, sql, .. } => format!("{message}\n[SQL] {sql}\nat {loc}\n"),
            _ => message.to_owned(),
        }
    }
}

/// Whether the record only asks: a query, or a statement that must fail.
fn is_answer(record: &Record<Column>) -> bool {
    match record {
        Record::Query { .. } => true,
        Record::Statement { expected, .. } => matches!(expected, StatementExpect::Error(_)),
        _ => false,
    }
}

fn printed(error: TestError) -> String {
    error.display(false).to_string()
}
