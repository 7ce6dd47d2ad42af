//! Which statement it is, by its first words.
//!
//! Queries, DML and definitions with expressions go to sqlparser; everything else is read here,
//! because its tree would only have to be taken apart again.

use sqlparser::ast;
use sqlparser::keywords::Keyword;
use sqlparser::parser::Parser;
use sqlparser::tokenizer::Token;

use super::cursor::{Cursor, fold};
use super::statement::{
    CommentTarget, CreateSource, CreateView, CursorSource, Declare, Drop, Explain, ExplainStage,
    FetchDirection, ObjectClass, Statement, StorageOptions, TransactionModes,
};
use super::subscribe::subscribe;
use super::{alter, copy, function, set, with_before};
use crate::error::{SqlError, state};
use crate::settings::parse_duration_ms;

/// Reads a whole statement.
pub fn statement(tokens: &mut Cursor<'_>) -> Result<Statement, SqlError> {
    let statement = match tokens.peek() {
        Some(Token::LParen) => Statement::Query(tokens.query()?),
        Some(Token::Word(word)) => {
            let word = word.value.to_ascii_uppercase();
            by_word(&word, tokens)?
        }
        _ => return Err(tokens.unexpected()),
    };
    tokens.expect_end()?;
    Ok(statement)
}

fn by_word(word: &str, tokens: &mut Cursor<'_>) -> Result<Statement, SqlError> {
    match word {
        "SELECT" | "WITH" | "VALUES" | "TABLE" | "INSERT" | "UPDATE" | "DELETE" => {
            data_statement(word, tokens)
        }
        "CREATE" => create(tokens),
        "BEGIN" | "START" | "COMMIT" | "END" | "ROLLBACK" | "ABORT" | "SAVEPOINT" | "RELEASE"
        | "PREPARE"
            if word != "PREPARE" || tokens.has_word_at(1, "TRANSACTION") =>
        {
            transaction(word, tokens)
        }
        "DECLARE" | "FETCH" | "MOVE" | "CLOSE" => cursor_statement(word, tokens),
        "PREPARE" | "EXECUTE" | "DEALLOCATE" => prepared(word, tokens),
        "SET" | "RESET" | "SHOW" | "DISCARD" => set::statement(tokens),
        _ => {
            tokens.advance();
            match word {
                "COPY" => copy::statement(tokens),
                "SUBSCRIBE" => Err(SqlError::unsupported("SUBSCRIBE by itself is not supported")
                    .with_hint(
                        "COPY (SUBSCRIBE x) TO STDOUT sends the changes as they come; DECLARE c \
                         CURSOR FOR SUBSCRIBE x and FETCH give them in pieces.",
                    )),
                "EXPLAIN" => explain(tokens),
                "TRUNCATE" => truncate(tokens),
                "DROP" => drop(tokens),
                "ALTER" => alter::statement(tokens),
                "COMMENT" => comment(tokens),
                "REFRESH" => refresh(tokens),
                "LOCK" => lock(tokens),
                "LISTEN" => Ok(Statement::Listen { channel: tokens.name()? }),
                "UNLISTEN" => {
                    let all = tokens.take(&Token::Mul);
                    Ok(Statement::Unlisten {
                        channel: if all { None } else { Some(tokens.name()?) },
                    })
                }
                "ANALYZE" | "ANALYSE" => nothing(tokens, "ANALYZE"),
                "VACUUM" => nothing(tokens, "VACUUM"),
                "CHECKPOINT" => Ok(Statement::Checkpoint),
                "NOTIFY" | "GRANT" | "REVOKE" | "CALL" | "DO" | "MERGE" | "LOAD" | "REINDEX"
                | "CLUSTER" | "REASSIGN" | "SECURITY" | "IMPORT" => {
                    Err(SqlError::unsupported(format!("{word} is not supported")))
                }
                _ => {
                    tokens.rewind();
                    Err(tokens.unexpected())
                }
            }
        }
    }
}

fn data_statement(word: &str, tokens: &mut Cursor<'_>) -> Result<Statement, SqlError> {
    match word {
        "INSERT" | "UPDATE" | "DELETE" => {
            from_sqlparser(tokens.parse_rest(|parser| parser.parse_statement())?)
        }
        _ => {
            // WITH … INSERT: sqlparser makes a query of it whose body is the statement.
            match with_before::split(tokens.query()?) {
                with_before::Split::Query(query) => Ok(Statement::Query(query)),
                with_before::Split::Change(statement) => from_sqlparser(*statement),
            }
        }
    }
}

fn from_sqlparser(statement: ast::Statement) -> Result<Statement, SqlError> {
    match statement {
        ast::Statement::Query(query) => Ok(Statement::Query(query)),
        ast::Statement::Insert(insert) => Ok(Statement::Insert(Box::new(insert))),
        ast::Statement::Update(update) => Ok(Statement::Update(Box::new(update))),
        ast::Statement::Delete(delete) => Ok(Statement::Delete(Box::new(delete))),
        ast::Statement::CreateTable(create) => Ok(Statement::CreateTable(Box::new(create))),
        ast::Statement::CreateIndex(create) => Ok(Statement::CreateIndex(Box::new(create))),
        other => {
            let text = other.to_string();
            let words: Vec<&str> = text.split_whitespace().take(2).collect();
            Err(SqlError::unsupported(format!("{} is not supported", words.join(" "))))
        }
    }
}

fn create(tokens: &mut Cursor<'_>) -> Result<Statement, SqlError> {
    let mut n = 1;
    if tokens.has_word_at(1, "OR") && tokens.has_word_at(2, "REPLACE") {
        n = 3;
    }
    if tokens.has_word_at(n, "TEMP") || tokens.has_word_at(n, "TEMPORARY") {
        return Err(SqlError::unsupported("temporary objects are not supported"));
    }
    if tokens.has_word_at(n, "VIEW")
        || (tokens.has_word_at(n, "MATERIALIZED") && tokens.has_word_at(n + 1, "VIEW"))
    {
        tokens.advance();
        return create_view(tokens);
    }
    if tokens.has_word_at(1, "SOURCE") {
        tokens.advance();
        tokens.advance();
        return create_source(tokens);
    }
    if tokens.has_word_at(n, "FUNCTION") {
        (0..=n).for_each(|_| tokens.advance());
        return function::create(tokens, n > 1);
    }
    if tokens.has_word_at(1, "SCHEMA") {
        tokens.advance();
        tokens.advance();
        let if_not_exists = tokens.words(&["IF", "NOT", "EXISTS"]);
        let name = tokens.name()?;
        if tokens.word("AUTHORIZATION") {
            tokens.name()?;
        }
        return Ok(Statement::CreateSchema { name, if_not_exists });
    }
    if tokens.has_word_at(1, "UNLOGGED") {
        return Err(SqlError::unsupported("unlogged tables are not supported"));
    }
    let known = ["TABLE", "INDEX", "UNIQUE"].iter().any(|word| tokens.has_word_at(1, word));
    if !known {
        tokens.advance();
        return match tokens.ident() {
            Ok(what) => {
                let what = what.value.to_uppercase();
                Err(SqlError::unsupported(format!("CREATE {what} is not supported")))
            }
            Err(error) => Err(error),
        };
    }
    from_sqlparser(tokens.parse_rest(|parser| parser.parse_statement())?)
}

fn create_source(tokens: &mut Cursor<'_>) -> Result<Statement, SqlError> {
    let if_not_exists = tokens.words(&["IF", "NOT", "EXISTS"]);
    let name = tokens.object_name()?;
    let options = match tokens.is_end() {
        true => Vec::new(),
        false => tokens.parse_rest(|parser| parser.parse_options(Keyword::WITH))?,
    };
    Ok(Statement::CreateSource(CreateSource { name, if_not_exists, options }))
}

fn create_view(tokens: &mut Cursor<'_>) -> Result<Statement, SqlError> {
    let or_replace = tokens.words(&["OR", "REPLACE"]);
    let materialized = tokens.word("MATERIALIZED");
    tokens.expect_word("VIEW")?;
    let if_not_exists = tokens.words(&["IF", "NOT", "EXISTS"]);
    let name = tokens.object_name()?;
    let columns = match tokens.peek() {
        Some(Token::LParen) => tokens.column_list()?,
        _ => Vec::new(),
    };
    let options = match tokens.word("WITH") {
        true => storage_options(tokens)?,
        false => vec![],
    };
    if let (false, Some(option)) = (materialized, options.first()) {
        let message = format!("option {option} of a plain view is not supported");
        return Err(SqlError::unsupported(message));
    }
    let options = StorageOptions::Set(options);
    tokens.expect_word("AS")?;
    let with_data = !tokens.strip_suffix(&["WITH", "NO", "DATA"]);
    tokens.strip_suffix(&["WITH", "DATA"]);
    let body = tokens.rest_text().to_string();
    let query = tokens.query()?;
    let view =
        CreateView { name, or_replace, if_not_exists, columns, options, query, body, with_data };
    Ok(if materialized {
        Statement::CreateMaterializedView(view)
    } else {
        Statement::CreateView(view)
    })
}

fn transaction(word: &str, tokens: &mut Cursor<'_>) -> Result<Statement, SqlError> {
    tokens.advance();
    match word {
        "BEGIN" => {
            let _ = tokens.any_word(&["WORK", "TRANSACTION"]);
            Ok(Statement::Begin(set::transaction_modes(tokens)?))
        }
        "START" => {
            tokens.expect_word("TRANSACTION")?;
            Ok(Statement::Begin(set::transaction_modes(tokens)?))
        }
        "COMMIT" | "END" => {
            if tokens.has_word("PREPARED") {
                return Err(SqlError::unsupported("two-phase commit is not supported"));
            }
            Ok(Statement::Commit { chain: end_of_transaction(tokens)? })
        }
        "ROLLBACK" | "ABORT" => {
            let _ = tokens.any_word(&["WORK", "TRANSACTION"]);
            if tokens.word("TO") {
                tokens.word("SAVEPOINT");
                return Ok(Statement::RollbackToSavepoint { name: tokens.name()? });
            }
            if tokens.has_word("PREPARED") {
                return Err(SqlError::unsupported("two-phase commit is not supported"));
            }
            Ok(Statement::Rollback { chain: end_of_transaction(tokens)? })
        }
        "SAVEPOINT" => Ok(Statement::Savepoint { name: tokens.name()? }),
        "RELEASE" => {
            tokens.word("SAVEPOINT");
            Ok(Statement::ReleaseSavepoint { name: tokens.name()? })
        }
        _ => Err(SqlError::unsupported("two-phase commit is not supported")),
    }
}

/// `[WORK | TRANSACTION] [AND [NO] CHAIN]`: whether it chains.
fn end_of_transaction(tokens: &mut Cursor<'_>) -> Result<bool, SqlError> {
    let _ = tokens.any_word(&["WORK", "TRANSACTION"]);
    if !tokens.word("AND") {
        return Ok(false);
    }
    let no = tokens.word("NO");
    tokens.expect_word("CHAIN")?;
    Ok(!no)
}

fn cursor_statement(word: &str, tokens: &mut Cursor<'_>) -> Result<Statement, SqlError> {
    tokens.advance();
    match word {
        "DECLARE" => declare(tokens),
        "CLOSE" => {
            let all = tokens.word("ALL");
            Ok(Statement::Close { cursor: if all { None } else { Some(tokens.name()?) } })
        }
        _ => {
            let direction = fetch_direction(tokens)?;
            let before = fetch_timeout(tokens)?;
            let _ = tokens.any_word(&["FROM", "IN"]);
            let cursor = tokens.name()?;
            let timeout_ms = before.or(fetch_timeout(tokens)?);
            Ok(Statement::Fetch { cursor, direction, skip: word == "MOVE", timeout_ms })
        }
    }
}

fn declare(tokens: &mut Cursor<'_>) -> Result<Statement, SqlError> {
    let cursor = tokens.name()?;
    let (mut binary, mut scroll, mut hold) = (false, false, false);
    loop {
        if tokens.word("BINARY") {
            binary = true;
        } else if tokens.words(&["NO", "SCROLL"]) {
            scroll = false;
        } else if tokens.word("SCROLL") {
            scroll = true;
        } else if tokens.any_word(&["INSENSITIVE", "ASENSITIVE"]).is_none() {
            break;
        }
    }
    tokens.expect_word("CURSOR")?;
    if tokens.words(&["WITH", "HOLD"]) {
        hold = true;
    } else {
        tokens.words(&["WITHOUT", "HOLD"]);
    }
    tokens.expect_word("FOR")?;
    let source = if tokens.word("SUBSCRIBE") {
        CursorSource::Subscribe(Box::new(subscribe(tokens, false)?))
    } else {
        CursorSource::Query(tokens.query()?)
    };
    Ok(Statement::Declare(Declare { cursor, binary, scroll, hold, source }))
}

/// `WITH (timeout = '1s')`, in milliseconds.
fn fetch_timeout(tokens: &mut Cursor<'_>) -> Result<Option<u64>, SqlError> {
    if !tokens.word("WITH") {
        return Ok(None);
    }
    tokens.expect(&Token::LParen)?;
    tokens.expect_word("TIMEOUT")?;
    tokens.take(&Token::Eq);
    let written = tokens.expect_string()?;
    let timeout = parse_duration_ms(&written).ok_or_else(|| {
        let message = format!("invalid value for option \"timeout\": \"{written}\"");
        SqlError::new(state::INVALID_PARAMETER_VALUE, message)
            .with_hint("Valid units are \"ms\", \"s\", \"min\", \"h\" and \"d\".")
    })?;
    tokens.expect(&Token::RParen)?;
    Ok(Some(timeout))
}

fn fetch_direction(tokens: &mut Cursor<'_>) -> Result<FetchDirection, SqlError> {
    let signed = |n: i64| match n {
        0.. => FetchDirection::Forward(n.unsigned_abs()),
        _ => FetchDirection::Backward(n.unsigned_abs()),
    };
    if let Some(n) = tokens.integer() {
        return Ok(signed(n));
    }
    // A cursor may be called `all` or `next`; then FROM or IN or a name follows.
    let Some(word) = tokens.any_word(&[
        "NEXT", "PRIOR", "FIRST", "LAST", "ALL", "ABSOLUTE", "RELATIVE", "FORWARD", "BACKWARD",
    ]) else {
        return Ok(FetchDirection::Forward(1));
    };
    Ok(match word {
        "PRIOR" => FetchDirection::Backward(1),
        "FIRST" => FetchDirection::First,
        "LAST" => FetchDirection::Last,
        "ALL" => FetchDirection::All,
        "ABSOLUTE" => FetchDirection::Absolute(tokens.integer().ok_or(tokens.unexpected())?),
        "RELATIVE" => FetchDirection::Relative(tokens.integer().ok_or(tokens.unexpected())?),
        "FORWARD" if tokens.word("ALL") => FetchDirection::All,
        "FORWARD" => signed(tokens.integer().unwrap_or(1)),
        "BACKWARD" if tokens.word("ALL") => FetchDirection::BackwardAll,
        "BACKWARD" => signed(-tokens.integer().unwrap_or(1)),
        _ => FetchDirection::Forward(1),
    })
}

fn prepared(word: &str, tokens: &mut Cursor<'_>) -> Result<Statement, SqlError> {
    tokens.advance();
    match word {
        "PREPARE" => {
            let name = tokens.name()?;
            let types = if tokens.take(&Token::LParen) {
                tokens.parse_to_closing(|p| p.parse_comma_separated(Parser::parse_data_type))?
            } else {
                Vec::new()
            };
            tokens.expect_word("AS")?;
            let statement = Box::new(statement(tokens)?);
            Ok(Statement::Prepare { name, types, statement })
        }
        "EXECUTE" => {
            let name = tokens.name()?;
            let arguments = if tokens.take(&Token::LParen) {
                tokens.parse_to_closing(|p| p.parse_comma_separated(Parser::parse_expr))?
            } else {
                Vec::new()
            };
            Ok(Statement::Execute { name, arguments })
        }
        _ => {
            tokens.word("PREPARE");
            let all = tokens.word("ALL");
            Ok(Statement::Deallocate { name: if all { None } else { Some(tokens.name()?) } })
        }
    }
}

fn explain(tokens: &mut Cursor<'_>) -> Result<Statement, SqlError> {
    let (mut stage, mut analyze, mut verbose) = (ExplainStage::Plan, false, false);
    if tokens.take(&Token::LParen) {
        loop {
            let option = tokens.ident()?.value.to_ascii_uppercase();
            let value = match tokens.peek() {
                Some(Token::Comma | Token::RParen) | None => None,
                Some(Token::Word(_)) => Some(tokens.ident()?.value.to_ascii_lowercase()),
                _ => tokens.integer().map(|n| n.to_string()),
            };
            let on = !matches!(value.as_deref(), Some("off" | "false" | "0"));
            match option.as_str() {
                "AST" => stage = ExplainStage::Ast,
                "LOGICAL" => stage = ExplainStage::Logical,
                "OPTIMIZED" => stage = ExplainStage::Optimized,
                "PLAN" => stage = ExplainStage::Plan,
                "ANALYZE" => analyze = on,
                "VERBOSE" => verbose = on,
                "COSTS" | "SETTINGS" | "BUFFERS" | "WAL" | "TIMING" | "SUMMARY" => {}
                "FORMAT" if value.as_deref() == Some("text") => {}
                "FORMAT" => return Err(SqlError::unsupported("EXPLAIN prints text only")),
                _ => {
                    let name = option.to_lowercase();
                    let message = format!("unrecognized EXPLAIN option \"{name}\"");
                    let hint = "options are AST, LOGICAL, OPTIMIZED, PLAN, ANALYZE and VERBOSE";
                    return Err(SqlError::new(state::SYNTAX_ERROR, message).with_hint(hint));
                }
            }
            if !tokens.take(&Token::Comma) {
                break;
            }
        }
        tokens.expect(&Token::RParen)?;
    } else {
        analyze = tokens.any_word(&["ANALYZE", "ANALYSE"]).is_some();
        verbose = tokens.word("VERBOSE");
    }
    if tokens.words(&["MATERIALIZED", "VIEW"]) || tokens.words(&["FOR", "MATERIALIZED", "VIEW"]) {
        let name = tokens.object_name()?;
        return Ok(Statement::ExplainView { name, stage, analyze });
    }
    let statement = Box::new(statement(tokens)?);
    Ok(Statement::Explain(Explain { stage, analyze, verbose, statement }))
}

fn truncate(tokens: &mut Cursor<'_>) -> Result<Statement, SqlError> {
    tokens.word("TABLE");
    let mut tables = Vec::new();
    loop {
        tokens.word("ONLY");
        tables.push(tokens.object_name()?);
        tokens.take(&Token::Mul);
        if !tokens.take(&Token::Comma) {
            break;
        }
    }
    if !tokens.words(&["RESTART", "IDENTITY"]) {
        tokens.words(&["CONTINUE", "IDENTITY"]);
    }
    // Nothing refers to a table by foreign key, so CASCADE has nothing to do.
    let _ = tokens.any_word(&["CASCADE", "RESTRICT"]);
    Ok(Statement::Truncate { tables })
}

pub(super) fn class(tokens: &mut Cursor<'_>) -> Result<ObjectClass, SqlError> {
    if tokens.words(&["MATERIALIZED", "VIEW"]) {
        return Ok(ObjectClass::MaterializedView);
    }
    let word = tokens.any_word(&["TABLE", "VIEW", "SOURCE", "INDEX", "SCHEMA", "SEQUENCE", "TYPE"]);
    match word {
        Some("TABLE") => Ok(ObjectClass::Table),
        Some("VIEW") => Ok(ObjectClass::View),
        Some("SOURCE") => Ok(ObjectClass::Source),
        Some("INDEX") => Ok(ObjectClass::Index),
        Some("SCHEMA") => Ok(ObjectClass::Schema),
        Some("SEQUENCE") => Ok(ObjectClass::Sequence),
        Some("TYPE") => Ok(ObjectClass::Type),
        _ => match tokens.ident() {
            Ok(ident) if ident.value.eq_ignore_ascii_case("FUNCTION") => {
                Err(SqlError::unsupported("functions are created, replaced and dropped only"))
            }
            Ok(ident) => {
                let what = ident.value.to_lowercase();
                Err(SqlError::unsupported(format!("there are no objects of class \"{what}\" here")))
            }
            Err(error) => Err(error),
        },
    }
}

fn drop(tokens: &mut Cursor<'_>) -> Result<Statement, SqlError> {
    if tokens.word("FUNCTION") {
        return function::drop(tokens);
    }
    let class = class(tokens)?;
    tokens.word("CONCURRENTLY");
    let if_exists = tokens.words(&["IF", "EXISTS"]);
    let names = tokens.object_names()?;
    let cascade = tokens.any_word(&["CASCADE", "RESTRICT"]) == Some("CASCADE");
    Ok(Statement::Drop(Drop { class, names, if_exists, cascade }))
}

/// `(name = value, …)`
pub(super) fn storage_options(tokens: &mut Cursor<'_>) -> Result<Vec<ast::SqlOption>, SqlError> {
    tokens.expect(&Token::LParen)?;
    tokens.parse_to_closing(|parser| parser.parse_comma_separated(Parser::parse_sql_option))
}

fn comment(tokens: &mut Cursor<'_>) -> Result<Statement, SqlError> {
    tokens.expect_word("ON")?;
    let on = if tokens.word("COLUMN") {
        let mut name = tokens.object_name()?;
        let column = name.0.pop().and_then(|part| part.as_ident().map(fold));
        match column {
            Some(column) if !name.0.is_empty() => CommentTarget::Column { relation: name, column },
            _ => return Err(SqlError::syntax("column name must be qualified")),
        }
    } else if tokens.any_word(&["DATABASE", "ROLE", "EXTENSION"]).is_some() {
        tokens.object_name()?;
        CommentTarget::Other
    } else {
        CommentTarget::Object { class: class(tokens)?, name: tokens.object_name()? }
    };
    tokens.expect_word("IS")?;
    let comment = if tokens.word("NULL") { None } else { Some(tokens.expect_string()?) };
    Ok(Statement::Comment { on, comment: comment.filter(|text| !text.is_empty()) })
}

fn refresh(tokens: &mut Cursor<'_>) -> Result<Statement, SqlError> {
    tokens.expect_word("MATERIALIZED")?;
    tokens.expect_word("VIEW")?;
    tokens.word("CONCURRENTLY");
    let name = tokens.object_name()?;
    tokens.strip_suffix(&["WITH", "DATA"]);
    if tokens.words(&["WITH", "NO", "DATA"]) {
        return Err(SqlError::unsupported("a maintained view cannot be emptied"));
    }
    let _ = tokens.words(&["WITH", "DATA"]);
    Ok(Statement::RefreshMaterializedView { name })
}

fn lock(tokens: &mut Cursor<'_>) -> Result<Statement, SqlError> {
    tokens.word("TABLE");
    tokens.word("ONLY");
    let tables = tokens.object_names()?;
    if tokens.word("IN") {
        while !tokens.is_end() && !tokens.word("MODE") {
            tokens.ident()?;
        }
    }
    tokens.word("NOWAIT");
    Ok(Statement::Lock { tables })
}

/// Reads the rest of a statement that needs nothing done.
fn nothing(tokens: &mut Cursor<'_>, tag: &'static str) -> Result<Statement, SqlError> {
    while !tokens.is_end() {
        tokens.advance();
    }
    Ok(Statement::Nothing { tag })
}

/// For [`set`]: no modes at all.
pub(super) const NO_MODES: TransactionModes = TransactionModes { read_only: None, isolation: None };
