//! One connection to the server under test, as the `sqllogictest` crate wants it.
//!
//! Law: a row is one text, its values separated by `|`. A value is rendered as PostgreSQL prints
//! it, NULL as `NULL`, the empty string as `(empty)`, a line break as `\n`. Over the simple
//! protocol the server sends that text; over the extended one it sends binary, decoded in
//! [`crate::binary`]: the same expectation therefore proves both encodings. An error is rendered as
//! `SQLSTATE: message`, then ` at character N`, `; detail: …` and `; hint: …` where the server gave
//! them. A notice of a statement without rows becomes a row, `NOTICE: message`.
//!
//! After a restart of the server the next statement connects anew and repeats the session's SETs.

use std::fmt;
use std::future::poll_fn;
use std::io::Cursor;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use futures::future::BoxFuture;
use futures::{SinkExt, TryStreamExt, pin_mut};
use sqllogictest::{AsyncDB, ColumnType, DBOutput, MakeConnection};
use tokio_postgres::types::Type;
use tokio_postgres::{AsyncMessage, Client, NoTls, SimpleQueryMessage};

use crate::binary::{self, Raw};
use crate::server::Instance;

/// A statement that takes longer than this hangs.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// The two ways of PostgreSQL's protocol to ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// One `Query` message; values come as text.
    Simple,
    /// Parse, Bind, Describe, Execute; values come as binary.
    Extended,
}

impl Protocol {
    /// As `skipif` and `onlyif` name it.
    pub fn label(self) -> &'static str {
        match self {
            Protocol::Simple => "simple",
            Protocol::Extended => "extended",
        }
    }
}

/// A result column: `I` integers, `R` other numbers, `T` everything else, `?` not said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Column {
    Integer,
    Real,
    Text,
    Unsaid,
}

impl Column {
    fn of(ty: &Type) -> Self {
        match *ty {
            Type::INT2 | Type::INT4 | Type::INT8 | Type::OID => Column::Integer,
            Type::FLOAT4 | Type::FLOAT8 | Type::NUMERIC => Column::Real,
            _ => Column::Text,
        }
    }
}

impl ColumnType for Column {
    fn from_char(letter: char) -> Option<Self> {
        match letter {
            'I' => Some(Column::Integer),
            'R' => Some(Column::Real),
            'T' => Some(Column::Text),
            '?' => Some(Column::Unsaid),
            _ => None,
        }
    }

    fn to_char(&self) -> char {
        match self {
            Column::Integer => 'I',
            Column::Real => 'R',
            Column::Text => 'T',
            Column::Unsaid => '?',
        }
    }
}

/// An error as the files write it.
#[derive(Clone, Debug)]
pub struct Error {
    /// SQLSTATE, five characters; 08006 when the connection broke, 57014 when no answer came.
    pub code: String,
    message: String,
}

impl Error {
    /// The connection is gone, or another fault that is not the server's answer.
    pub fn broken(message: &str) -> Self {
        Self::new("08006", message)
    }

    fn new(code: &str, message: impl Into<String>) -> Self {
        Self { code: code.to_owned(), message: message.into().replace('\n', " ") }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

impl std::error::Error for Error {}

impl From<tokio_postgres::Error> for Error {
    fn from(error: tokio_postgres::Error) -> Self {
        let Some(db) = error.as_db_error() else {
            return Error::new("08006", error.to_string());
        };
        let mut message = db.message().to_owned();
        if let Some(tokio_postgres::error::ErrorPosition::Original(at)) = db.position() {
            message.push_str(&format!(" at character {at}"));
        }
        if let Some(detail) = db.detail() {
            message.push_str(&format!("; detail: {detail}"));
        }
        if let Some(hint) = db.hint() {
            message.push_str(&format!("; hint: {hint}"));
        }
        Error::new(db.code().code(), message)
    }
}

/// Makes the connections that a file names.
pub struct Connector {
    pub instance: Arc<Instance>,
    pub protocol: Protocol,
    /// Ask for column types over the simple protocol too: for writing expectations.
    pub describe: bool,
}

impl MakeConnection for Connector {
    type Conn = Database;
    type MakeFuture = BoxFuture<'static, Result<Database, Error>>;

    fn make(&mut self) -> Self::MakeFuture {
        let (instance, protocol, describe) = (self.instance.clone(), self.protocol, self.describe);
        Box::pin(async move {
            let session = Session::connect(&instance).await?;
            Ok(Database { instance, protocol, describe, session, settings: Vec::new() })
        })
    }
}

/// One connection and what its session has set.
pub struct Database {
    instance: Arc<Instance>,
    protocol: Protocol,
    describe: bool,
    session: Session,
    settings: Vec<String>,
}

#[async_trait]
impl AsyncDB for Database {
    type Error = Error;
    type ColumnType = Column;

    async fn run(&mut self, sql: &str) -> Result<DBOutput<Column>, Error> {
        self.reconnect_after_restart().await?;
        let spelled = self.instance.spelled(sql);
        let answer = self.session.answer(&spelled, self.protocol, self.describe);
        let output = match tokio::time::timeout(ANSWER_TIMEOUT, answer).await {
            Ok(answer) => answer?,
            Err(_) => {
                return Err(Error::new("57014", format!("no answer in {ANSWER_TIMEOUT:?}")));
            }
        };
        if is_session_setting(sql) {
            self.settings.push(spelled);
        }
        Ok(output)
    }

    async fn shutdown(&mut self) {}

    fn engine_name(&self) -> &str {
        self.instance.engine_name()
    }

    async fn sleep(duration: Duration) {
        tokio::time::sleep(duration).await;
    }

    fn error_sql_state(error: &Error) -> Option<String> {
        Some(error.code.clone())
    }
}

impl Database {
    async fn reconnect_after_restart(&mut self) -> Result<(), Error> {
        if self.session.generation == self.instance.generation() {
            return Ok(());
        }
        self.session = Session::connect(&self.instance).await?;
        for setting in &self.settings {
            self.session.client.batch_execute(setting).await?;
        }
        Ok(())
    }
}

fn is_session_setting(sql: &str) -> bool {
    let mut words = sql.split_whitespace().map(str::to_ascii_uppercase);
    match words.next().as_deref() {
        Some("SET") => words.next().as_deref() != Some("LOCAL"),
        Some("RESET" | "DISCARD") => true,
        _ => false,
    }
}

struct Session {
    client: Client,
    generation: u64,
    notices: Arc<Mutex<Vec<String>>>,
}

impl Session {
    async fn connect(instance: &Instance) -> Result<Self, Error> {
        let generation = instance.generation();
        let config = instance.address().await.map_err(|e| Error::new("08001", e))?;
        let (client, mut connection) = config.connect(NoTls).await?;
        let notices = Arc::new(Mutex::new(Vec::new()));
        let heard = notices.clone();
        tokio::spawn(async move {
            while let Some(Ok(message)) = poll_fn(|cx| connection.poll_message(cx)).await {
                if let AsyncMessage::Notice(notice) = message {
                    let row = format!("{}: {}", notice.severity(), notice.message());
                    heard.lock().expect("no holder of this lock panics").push(row);
                }
            }
        });
        Ok(Self { client, generation, notices })
    }

    async fn answer(
        &self,
        sql: &str,
        protocol: Protocol,
        describe: bool,
    ) -> Result<DBOutput<Column>, Error> {
        self.take_notices();
        let output = match (copy_of(sql), protocol) {
            (Some(Copy::In { statement, data }), _) => self.copy_in(statement, data).await?,
            (Some(Copy::Out), _) => self.copy_out(sql).await?,
            (None, Protocol::Simple) => self.simple(sql, describe).await?,
            (None, Protocol::Extended) => self.extended(sql).await?,
        };
        match output {
            DBOutput::StatementComplete(0) => Ok(self.notices_as_rows()),
            output => Ok(output),
        }
    }

    async fn simple(&self, sql: &str, describe: bool) -> Result<DBOutput<Column>, Error> {
        let mut columns = None;
        let mut rows = Vec::new();
        let mut count = 0;
        for message in self.client.simple_query(sql).await? {
            match message {
                SimpleQueryMessage::RowDescription(described) => {
                    columns = Some(described.len());
                    rows.clear();
                }
                SimpleQueryMessage::Row(row) => {
                    let values = (0..row.len()).map(|i| rendered(row.get(i)));
                    rows.push(row_of(values.collect()));
                }
                SimpleQueryMessage::CommandComplete(n) => count = n,
                _ => {}
            }
        }
        Ok(match columns {
            None => DBOutput::StatementComplete(count),
            Some(n) => {
                let types = if describe { self.describe(sql).await } else { None };
                let types = types.filter(|types| types.len() == n);
                DBOutput::Rows { types: types.unwrap_or(vec![Column::Unsaid; n]), rows }
            }
        })
    }

    async fn extended(&self, sql: &str) -> Result<DBOutput<Column>, Error> {
        let statement = self.client.prepare(sql).await?;
        if statement.columns().is_empty() {
            return Ok(DBOutput::StatementComplete(self.client.execute(&statement, &[]).await?));
        }
        let types = statement.columns().iter().map(|c| Column::of(c.type_())).collect();
        let mut rows = Vec::new();
        for row in self.client.query(&statement, &[]).await? {
            let mut values = Vec::with_capacity(row.len());
            for i in 0..row.len() {
                let text = match row.try_get::<_, Option<Raw<'_>>>(i)? {
                    None => None,
                    Some(raw) => Some(binary::text(&raw).map_err(|e| Error::new("22P03", e))?),
                };
                values.push(rendered(text.as_deref()));
            }
            rows.push(row_of(values));
        }
        Ok(DBOutput::Rows { types, rows })
    }

    async fn describe(&self, sql: &str) -> Option<Vec<Column>> {
        let statement = self.client.prepare(sql).await.ok()?;
        Some(statement.columns().iter().map(|c| Column::of(c.type_())).collect())
    }

    async fn copy_in(&self, statement: &str, data: &str) -> Result<DBOutput<Column>, Error> {
        let sink = self.client.copy_in::<_, Cursor<Vec<u8>>>(statement).await?;
        pin_mut!(sink);
        sink.send(Cursor::new(data.as_bytes().to_vec())).await?;
        Ok(DBOutput::StatementComplete(sink.finish().await?))
    }

    async fn copy_out(&self, statement: &str) -> Result<DBOutput<Column>, Error> {
        let stream = self.client.copy_out(statement).await?;
        pin_mut!(stream);
        let mut bytes = Vec::new();
        while let Some(chunk) = stream.try_next().await? {
            bytes.extend_from_slice(&chunk);
        }
        let text = String::from_utf8_lossy(&bytes);
        let rows = text.lines().map(|line| vec![rendered(Some(line))]).collect();
        Ok(DBOutput::Rows { types: vec![Column::Text], rows })
    }

    fn take_notices(&self) -> Vec<String> {
        std::mem::take(&mut *self.notices.lock().expect("no holder of this lock panics"))
    }

    fn notices_as_rows(&self) -> DBOutput<Column> {
        let notices = self.take_notices();
        if notices.is_empty() {
            return DBOutput::StatementComplete(0);
        }
        let rows = notices.into_iter().map(|n| vec![rendered(Some(&n))]).collect();
        DBOutput::Rows { types: vec![Column::Text], rows }
    }
}

enum Copy<'a> {
    /// The lines after the statement's `;` are the data; a last line `\.` may close them. Without
    /// them the statement is sent like any other: it is expected to fail before it would read.
    In {
        statement: &'a str,
        data: &'a str,
    },
    Out,
}

fn copy_of(sql: &str) -> Option<Copy<'_>> {
    let upper = sql.trim_start().to_ascii_uppercase();
    if !upper.starts_with("COPY ") {
        return None;
    }
    if !upper.contains("FROM STDIN") {
        return upper.contains("TO STDOUT").then_some(Copy::Out);
    }
    let (statement, data) = sql.split_once(";\n")?;
    let data = data.strip_suffix("\\.").unwrap_or(data);
    Some(Copy::In { statement, data })
}

/// One text, so that a difference shows rows as the files have them.
fn row_of(values: Vec<String>) -> Vec<String> {
    vec![values.join("|")]
}

fn rendered(value: Option<&str>) -> String {
    match value {
        None => "NULL".to_owned(),
        Some("") => "(empty)".to_owned(),
        Some(text) => text.replace('\n', "\\n"),
    }
}
