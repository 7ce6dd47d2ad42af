//! CREATE FUNCTION and DROP FUNCTION.
//!
//! Law: every clause of PostgreSQL's is read; one that would change what a function does and is not
//! done here is refused with 0A000.

use sqlparser::keywords::Keyword;
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::Token;
use tidemark_catalog::{FunctionBody, Volatility};

use super::cursor::{Cursor, fold};
use super::statement::{
    CreateFunction, DropFunction, DroppedFunction, FunctionArgument, Statement, VIEW_INSTEAD,
};
use crate::error::{SqlError, state};

/// Words a clause after the parameters starts with: a type ends before them.
const CLAUSES: &[&str] = &[
    "AS",
    "BEGIN",
    "CALLED",
    "COST",
    "EXTERNAL",
    "IMMUTABLE",
    "LANGUAGE",
    "LEAKPROOF",
    "NOT",
    "PARALLEL",
    "RETURN",
    "RETURNS",
    "ROWS",
    "SECURITY",
    "SET",
    "STABLE",
    "STRICT",
    "SUPPORT",
    "TRANSFORM",
    "VOLATILE",
    "WINDOW",
];

/// From the name on.
pub fn create(tokens: &mut Cursor<'_>, or_replace: bool) -> Result<Statement, SqlError> {
    let name = tokens.object_name()?;
    let arguments = arguments(tokens)?;
    if !tokens.word("RETURNS") {
        return Err(invalid("function result type must be specified"));
    }
    for what in ["SETOF", "TABLE"] {
        if tokens.has_word(what) {
            let message = format!("a function that RETURNS {what} is not supported");
            return Err(SqlError::unsupported(message).with_hint(VIEW_INSTEAD));
        }
    }
    let returns = tokens.parse_before(CLAUSES, |p| p.parse_data_type())?;
    let mut clauses = Clauses::default();
    while !tokens.is_end() {
        clauses.read(tokens)?;
    }
    if clauses.language.is_none() && !matches!(clauses.body, Some(FunctionBody::Expression(_))) {
        return Err(invalid("no language specified"));
    }
    let Some(body) = clauses.body else {
        return Err(invalid("no function body specified"));
    };
    Ok(Statement::CreateFunction(Box::new(CreateFunction {
        name,
        or_replace,
        arguments,
        returns,
        body,
        strict: clauses.strict.unwrap_or(false),
        volatility: clauses.volatility.unwrap_or(Volatility::Volatile),
    })))
}

/// From the word FUNCTION on.
pub fn drop(tokens: &mut Cursor<'_>) -> Result<Statement, SqlError> {
    let if_exists = tokens.words(&["IF", "EXISTS"]);
    let mut functions = Vec::new();
    loop {
        let name = tokens.object_name()?;
        let types = match tokens.peek() {
            Some(Token::LParen) => {
                Some(arguments(tokens)?.into_iter().map(|argument| argument.data_type).collect())
            }
            _ => None,
        };
        functions.push(DroppedFunction { name, types });
        if !tokens.take(&Token::Comma) {
            break;
        }
    }
    let cascade = tokens.any_word(&["CASCADE", "RESTRICT"]) == Some("CASCADE");
    Ok(Statement::DropFunction(DropFunction { functions, if_exists, cascade }))
}

fn invalid(message: &str) -> SqlError {
    SqlError::new(state::INVALID_FUNCTION_DEFINITION, message)
}

#[derive(Default)]
struct Clauses {
    language: Option<String>,
    body: Option<FunctionBody>,
    strict: Option<bool>,
    volatility: Option<Volatility>,
}

impl Clauses {
    fn read(&mut self, tokens: &mut Cursor<'_>) -> Result<(), SqlError> {
        let position = tokens.position();
        let twice = || SqlError::syntax("conflicting or redundant options").at(position);
        let fresh = |is_none: bool| if is_none { Ok(()) } else { Err(twice()) };
        let Some(word) = tokens.any_word(CLAUSES) else {
            return Err(tokens.unexpected());
        };
        match word {
            "LANGUAGE" => {
                fresh(self.language.is_none())?;
                self.language = Some(language(tokens)?);
            }
            "IMMUTABLE" | "STABLE" | "VOLATILE" => {
                fresh(self.volatility.is_none())?;
                self.volatility = Some(match word {
                    "IMMUTABLE" => Volatility::Immutable,
                    "STABLE" => Volatility::Stable,
                    _ => Volatility::Volatile,
                });
            }
            "STRICT" | "RETURNS" | "CALLED" => {
                fresh(self.strict.is_none())?;
                let words: &[&str] = match word {
                    "STRICT" => &[],
                    "RETURNS" => &["NULL", "ON", "NULL", "INPUT"],
                    _ => &["ON", "NULL", "INPUT"],
                };
                words.iter().try_for_each(|word| tokens.expect_word(word))?;
                self.strict = Some(word != "CALLED");
            }
            "AS" => {
                fresh(self.body.is_none())?;
                self.body = Some(FunctionBody::Query(tokens.expect_string()?));
                if tokens.take(&Token::Comma) {
                    return Err(invalid("only one AS item needed for language \"sql\""));
                }
            }
            "RETURN" => {
                if self.body.is_some() {
                    return Err(invalid("duplicate function body specified"));
                }
                let text = tokens.rest_text().to_string();
                tokens.parse_rest(|p| p.parse_expr())?;
                self.body = Some(FunctionBody::Expression(text));
            }
            "BEGIN" => {
                return Err(SqlError::unsupported("BEGIN ATOMIC is not supported")
                    .with_hint("Write RETURN expression, or AS 'SELECT expression'."));
            }
            "SET" | "SUPPORT" | "TRANSFORM" | "WINDOW" => {
                return Err(SqlError::unsupported(format!(
                    "{word} of a function is not supported"
                )));
            }
            _ => without_effect(word, tokens)?,
        }
        Ok(())
    }
}

/// What tells PostgreSQL's planner something, or chooses between roles, of which there is one.
fn without_effect(word: &str, tokens: &mut Cursor<'_>) -> Result<(), SqlError> {
    match word {
        "NOT" => tokens.expect_word("LEAKPROOF"),
        "COST" | "ROWS" => match tokens.integer() {
            Some(_) => Ok(()),
            None => Err(tokens.unexpected()),
        },
        "PARALLEL" => tokens.name().map(|_| ()),
        "EXTERNAL" | "SECURITY" => {
            if word == "EXTERNAL" {
                tokens.expect_word("SECURITY")?;
            }
            match tokens.any_word(&["INVOKER", "DEFINER"]) {
                Some(_) => Ok(()),
                None => Err(tokens.unexpected()),
            }
        }
        _ => Ok(()), // LEAKPROOF
    }
}

fn language(tokens: &mut Cursor<'_>) -> Result<String, SqlError> {
    let name = match tokens.string() {
        Some(name) => name.to_lowercase(),
        None => tokens.name()?,
    };
    match name.as_str() {
        "sql" => Ok(name),
        "plpgsql" | "c" | "internal" => {
            let message = format!("functions in language \"{name}\" are not supported");
            Err(SqlError::unsupported(message).with_hint("Write it in LANGUAGE SQL."))
        }
        _ => {
            let message = format!("language \"{name}\" does not exist");
            Err(SqlError::new(state::UNDEFINED_OBJECT, message))
        }
    }
}

/// `(name type, …)`.
fn arguments(tokens: &mut Cursor<'_>) -> Result<Vec<FunctionArgument>, SqlError> {
    tokens.expect(&Token::LParen)?;
    if tokens.take(&Token::RParen) {
        return Ok(Vec::new());
    }
    let arguments = tokens.parse_to_closing(|p| p.parse_comma_separated(argument))?;
    arguments.into_iter().collect()
}

/// The outer error is of syntax, the inner one says what is not done here.
fn argument(parser: &mut Parser<'_>) -> Result<Result<FunctionArgument, SqlError>, ParserError> {
    let mut refused = None;
    for mode in [Keyword::OUT, Keyword::INOUT, Keyword::VARIADIC] {
        if parser.parse_keyword(mode) {
            refused = Some(format!("{mode:?} parameters are not supported"));
        }
    }
    let _ = parser.parse_keyword(Keyword::IN);
    let first = parser.peek_token();
    let mut data_type = parser.parse_data_type()?;
    let mut name = None;
    let is_default =
        |p: &Parser<'_>| p.peek_keyword(Keyword::DEFAULT) || p.peek_token_ref().token == Token::Eq;
    if !is_default(parser)
        && let Some(second) = parser.maybe_parse(|p| p.parse_data_type())?
    {
        // What was read as a type is the name.
        let Token::Word(word) = &first.token else {
            return parser.expected("a name or type", first);
        };
        name = Some(fold(&word.to_ident(first.span)));
        data_type = second;
    }
    if is_default(parser) {
        parser.next_token();
        parser.parse_expr()?;
        refused = Some("defaults of parameters are not supported".to_string());
    }
    Ok(match refused {
        Some(message) => Err(SqlError::unsupported(message)),
        None => Ok(FunctionArgument { name, data_type }),
    })
}
