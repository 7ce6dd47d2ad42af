//! ALTER: of tables, views, materialized views, schemas, and of the system.

use sqlparser::ast;
use sqlparser::keywords::Keyword;
use sqlparser::parser::{IsOptional, Parser, ParserError};
use sqlparser::tokenizer::Token;

use super::cursor::{Cursor, fold};
use super::recognize::{class, storage_options};
use super::statement::{
    AddColumn, ColumnChange, ObjectClass, Statement, StorageOptions, TableAction,
};
use crate::error::SqlError;

/// ALTER, whose first word is taken already.
pub(super) fn statement(tokens: &mut Cursor<'_>) -> Result<Statement, SqlError> {
    if tokens.word("SYSTEM") {
        if tokens.words(&["CONFIRM", "CLOCK"]) {
            return Ok(Statement::ConfirmClock);
        }
        return Err(SqlError::unsupported("ALTER SYSTEM is supported with CONFIRM CLOCK only"));
    }
    let kind = class(tokens)?;
    let if_exists = tokens.words(&["IF", "EXISTS"]);
    tokens.word("ONLY");
    let name = tokens.object_name()?;
    if tokens.words(&["RENAME", "TO"]) {
        return Ok(Statement::AlterRename { kind, name, to: tokens.name()?, if_exists });
    }
    let has_options = matches!(kind, ObjectClass::Table | ObjectClass::MaterializedView);
    if has_options && tokens.has_word("SET") && has_paren(tokens) {
        tokens.advance();
        let options = StorageOptions::Set(storage_options(tokens)?);
        return Ok(Statement::AlterOptions { kind, name, if_exists, options });
    }
    if has_options && tokens.word("RESET") {
        let names = tokens.column_list()?.iter().map(fold).collect();
        let options = StorageOptions::Reset(names);
        return Ok(Statement::AlterOptions { kind, name, if_exists, options });
    }
    if kind == ObjectClass::Table {
        return table(tokens, name, if_exists);
    }
    let noun = kind.noun().to_uppercase();
    let and = if has_options { ", SET (…) and RESET (…)" } else { "" };
    Err(SqlError::unsupported(format!("ALTER {noun} is supported with RENAME TO{and} only")))
}

fn has_paren(tokens: &mut Cursor<'_>) -> bool {
    tokens.peek_at(1) == Some(&Token::LParen)
}

fn table(
    tokens: &mut Cursor<'_>,
    name: ast::ObjectName,
    if_exists: bool,
) -> Result<Statement, SqlError> {
    if tokens.words(&["CLOSE", "HISTORY"]) {
        return Ok(Statement::CloseHistory { name });
    }
    if tokens.word("RENAME") {
        tokens.word("COLUMN");
        let column = tokens.name()?;
        tokens.expect_word("TO")?;
        return Ok(Statement::RenameColumn { name, if_exists, column, to: tokens.name()? });
    }
    let known = ["ADD", "DROP", "ALTER"].iter().any(|word| tokens.has_word(word));
    if !known {
        return Err(unsupported());
    }
    let actions = tokens.parse_rest(|parser| parser.parse_comma_separated(action))?;
    let actions = actions.into_iter().collect::<Option<Vec<_>>>().ok_or_else(unsupported)?;
    Ok(Statement::AlterTable { name, if_exists, actions })
}

fn unsupported() -> SqlError {
    SqlError::unsupported("this form of ALTER TABLE is not supported").with_hint(
        "There are RENAME TO, RENAME COLUMN, ADD COLUMN, DROP COLUMN, ALTER COLUMN … SET and DROP \
         DEFAULT, ADD PRIMARY KEY, SET and RESET of options, and CLOSE HISTORY.",
    )
}

/// One of several changes; `None` for one that there is not.
fn action(parser: &mut Parser<'_>) -> Result<Option<TableAction>, ParserError> {
    if parser.parse_keyword(Keyword::ADD) {
        return added(parser);
    }
    if parser.parse_keyword(Keyword::DROP) {
        if parser.parse_keyword(Keyword::CONSTRAINT) {
            return rest(parser);
        }
        let _ = parser.parse_keyword(Keyword::COLUMN);
        let if_exists = parser.parse_keywords(&[Keyword::IF, Keyword::EXISTS]);
        let column = fold(&parser.parse_identifier()?);
        let behavior = parser.parse_one_of_keywords(&[Keyword::CASCADE, Keyword::RESTRICT]);
        let cascade = behavior == Some(Keyword::CASCADE);
        return Ok(Some(TableAction::DropColumn { column, if_exists, cascade }));
    }
    parser.expect_keyword(Keyword::ALTER)?;
    let _ = parser.parse_keyword(Keyword::COLUMN);
    let column = fold(&parser.parse_identifier()?);
    let change = if parser.parse_keywords(&[Keyword::SET, Keyword::DEFAULT]) {
        ColumnChange::Default(Some(Box::new(parser.parse_expr()?)))
    } else if parser.parse_keywords(&[Keyword::DROP, Keyword::DEFAULT]) {
        ColumnChange::Default(None)
    } else if parser.parse_keywords(&[Keyword::SET, Keyword::NOT, Keyword::NULL]) {
        ColumnChange::NotNull(true)
    } else if parser.parse_keywords(&[Keyword::DROP, Keyword::NOT, Keyword::NULL]) {
        ColumnChange::NotNull(false)
    } else {
        let _ = parser.parse_keywords(&[Keyword::SET, Keyword::DATA]);
        if !parser.parse_keyword(Keyword::TYPE) {
            return rest(parser);
        }
        let ty = parser.parse_data_type()?;
        if parser.parse_keyword(Keyword::USING) {
            return rest(parser);
        }
        ColumnChange::Type(ty)
    };
    Ok(Some(TableAction::AlterColumn { column, change }))
}

/// `[COLUMN] [IF NOT EXISTS] name type …`, or `[CONSTRAINT name] PRIMARY KEY (…)`.
fn added(parser: &mut Parser<'_>) -> Result<Option<TableAction>, ParserError> {
    use Keyword::{CHECK, CONSTRAINT, EXCLUDE, FOREIGN, PRIMARY, UNIQUE};
    let is_constraint = |parser: &mut Parser<'_>| {
        let next = [CONSTRAINT, PRIMARY, UNIQUE, FOREIGN, CHECK, EXCLUDE];
        parser.peek_one_of_keywords(&next).is_some()
    };
    if is_constraint(parser) {
        let name = match parser.parse_keyword(CONSTRAINT) {
            true => Some(fold(&parser.parse_identifier()?)),
            false => None,
        };
        if !parser.parse_keywords(&[PRIMARY, Keyword::KEY]) {
            return rest(parser);
        }
        let columns = parser.parse_parenthesized_column_list(IsOptional::Mandatory, false)?;
        let columns = columns.iter().map(fold).collect();
        return Ok(Some(TableAction::AddPrimaryKey { name, columns }));
    }
    let _ = parser.parse_keyword(Keyword::COLUMN);
    let if_not_exists = parser.parse_keywords(&[Keyword::IF, Keyword::NOT, Keyword::EXISTS]);
    let column = parser.parse_column_def()?;
    Ok(Some(TableAction::AddColumn(AddColumn { if_not_exists, column })))
}

/// Reads what is left of a change that there is not.
fn rest(parser: &mut Parser<'_>) -> Result<Option<TableAction>, ParserError> {
    while parser.peek_token_ref().token != Token::EOF {
        parser.next_token();
    }
    Ok(None)
}
