//! A type as SQL spells it: `format_type`, and the way back for `'int[]'::regtype` and friends.
//!
//! Law      parse(format(t, m)) is (t, m) for every type with a spelling of its own
//! Missing  `%TYPE`, `SETOF`, `serial` (not types), and schemas other than pg_catalog

use std::fmt;

use super::PgType;
use crate::quote::fold_identifier;

/// A type name that could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TypeNameError {
    /// SQLSTATE 42704.
    Unknown(String),
    /// SQLSTATE 42601.
    Syntax(String),
    /// SQLSTATE 22023: the type exists, its modifier is impossible.
    Modifier(String),
}

impl TypeNameError {
    pub fn sqlstate(&self) -> &'static str {
        match self {
            TypeNameError::Unknown(_) => "42704",
            TypeNameError::Syntax(_) => "42601",
            TypeNameError::Modifier(_) => "22023",
        }
    }
}

impl fmt::Display for TypeNameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TypeNameError::Unknown(name) => write!(f, "type \"{name}\" does not exist"),
            TypeNameError::Syntax(text) => write!(f, "invalid type name \"{text}\""),
            TypeNameError::Modifier(message) => f.write_str(message),
        }
    }
}

impl std::error::Error for TypeNameError {}

impl PgType {
    /// `format_type(oid, NULL)`: `integer`, `timestamp with time zone`, `character varying[]`.
    pub fn sql_name(self) -> String {
        match self {
            PgType::Array(element) => format!("{}[]", element.sql_name()),
            scalar => scalar.standard_name().unwrap_or(scalar.name()).to_owned(),
        }
    }

    /// The spelling of the types that SQL calls otherwise than pg_type does.
    fn standard_name(self) -> Option<&'static str> {
        Some(match self {
            PgType::Bool => "boolean",
            PgType::Char => "\"char\"",
            PgType::Any => "\"any\"",
            PgType::Int2 => "smallint",
            PgType::Int4 => "integer",
            PgType::Int8 => "bigint",
            PgType::Float4 => "real",
            PgType::Float8 => "double precision",
            PgType::Bpchar => "character",
            PgType::Varchar => "character varying",
            PgType::Time => "time without time zone",
            PgType::Timestamp => "timestamp without time zone",
            PgType::Timestamptz => "timestamp with time zone",
            _ => return None,
        })
    }

    /// `format_type(oid, typmod)`: `numeric(10,2)`, `character varying(20)`.
    pub fn format(self, typmod: i32) -> String {
        match self {
            PgType::Array(element) => format!("{}[]", element.format(typmod)),
            // `character` alone would mean character(1).
            PgType::Bpchar if typmod < 0 => "bpchar".to_owned(),
            _ if typmod < 0 => self.sql_name(),
            PgType::Varchar | PgType::Bpchar => match PgType::length_limit(typmod) {
                Some(length) => format!("{}({length})", self.sql_name()),
                None => self.sql_name(),
            },
            PgType::Numeric => match PgType::numeric_parts(typmod) {
                Some((precision, scale)) => format!("numeric({precision},{scale})"),
                None => self.sql_name(),
            },
            PgType::Time => format!("time({typmod}) without time zone"),
            PgType::Timestamp => format!("timestamp({typmod}) without time zone"),
            PgType::Timestamptz => format!("timestamp({typmod}) with time zone"),
            PgType::Interval => format_interval(typmod),
            _ => self.sql_name(),
        }
    }

    /// A type and its modifier from any spelling that Postgres takes: `int`, `INT4[]`,
    /// `pg_catalog.int4`, `character varying(20)`, `"char"`, `timestamp(3) with time zone`.
    pub fn parse(text: &str) -> Result<(PgType, i32), TypeNameError> {
        let syntax = || TypeNameError::Syntax(text.to_owned());
        let mut tokens = tokenize(text).ok_or_else(syntax)?;
        let is_array = strip_array(&mut tokens);
        let modifiers = take_modifiers(&mut tokens).ok_or_else(syntax)?;
        if let [Token::Word(schema) | Token::Quoted(schema), Token::Symbol('.'), ..] =
            tokens.as_slice()
        {
            if schema != "pg_catalog" {
                return Err(TypeNameError::Unknown(text.trim().to_owned()));
            }
            tokens.drain(..2);
        }
        let words: Option<Vec<(&str, bool)>> = tokens.iter().map(Token::as_word).collect();
        let words = words.filter(|words| !words.is_empty()).ok_or_else(syntax)?;
        let (ty, typmod) = named(&words, &modifiers, text)?;
        if !is_array {
            return Ok((ty, typmod));
        }
        let array = ty.array().ok_or_else(|| TypeNameError::Unknown(text.trim().to_owned()))?;
        Ok((array, typmod))
    }
}

/// An interval's typmod packs the fields it may have above its precision.
fn format_interval(typmod: i32) -> String {
    const ALL_FIELDS: i32 = 0x7fff;
    const ANY_PRECISION: i32 = 0xffff;
    let fields = match (typmod >> 16) & ALL_FIELDS {
        0x0004 => " year",
        0x0002 => " month",
        0x0006 => " year to month",
        0x0008 => " day",
        0x0400 => " hour",
        0x0408 => " day to hour",
        0x0800 => " minute",
        0x0c00 => " hour to minute",
        0x0c08 => " day to minute",
        0x1000 => " second",
        0x1800 => " minute to second",
        0x1c00 => " hour to second",
        0x1c08 => " day to second",
        _ => "",
    };
    match typmod & ANY_PRECISION {
        ANY_PRECISION => format!("interval{fields}"),
        precision => format!("interval{fields}({precision})"),
    }
}

enum Token {
    Word(String),
    /// A quoted name keeps its case and is never a keyword.
    Quoted(String),
    Number(u32),
    Symbol(char),
}

impl Token {
    fn as_word(&self) -> Option<(&str, bool)> {
        match self {
            Token::Word(word) => Some((word, false)),
            Token::Quoted(word) => Some((word, true)),
            Token::Number(_) | Token::Symbol(_) => None,
        }
    }
}

fn tokenize(text: &str) -> Option<Vec<Token>> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '"' => {
                let (name, length) = fold_identifier(rest)?;
                tokens.push(Token::Quoted(name));
                length
            }
            c if c.is_alphabetic() || c == '_' => {
                let (name, length) = fold_identifier(rest)?;
                tokens.push(Token::Word(name));
                length
            }
            c if c.is_ascii_digit() => {
                let length = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
                tokens.push(Token::Number(rest[..length].parse().ok()?));
                length
            }
            c @ ('(' | ')' | ',' | '[' | ']' | '.') => {
                tokens.push(Token::Symbol(c));
                1
            }
            _ => return None,
        };
        rest = rest[length..].trim_start();
    }
    Some(tokens)
}

/// Takes `[]`, `[3]`, `[][]` or `ARRAY` off the end.
fn strip_array(tokens: &mut Vec<Token>) -> bool {
    let mut found = false;
    loop {
        let drop = match tokens.as_slice() {
            [.., Token::Symbol('['), Token::Symbol(']')] => 2,
            [.., Token::Symbol('['), Token::Number(_), Token::Symbol(']')] => 3,
            [.., Token::Word(word)] if word == "array" => 1,
            _ => return found,
        };
        tokens.truncate(tokens.len() - drop);
        found = true;
    }
}

/// Takes `(10, 2)` out of wherever it stands; `timestamp(3) with time zone` has it in the middle.
fn take_modifiers(tokens: &mut Vec<Token>) -> Option<Vec<u32>> {
    let Some(open) = tokens.iter().position(|token| matches!(token, Token::Symbol('('))) else {
        return Some(Vec::new());
    };
    let length = tokens[open..].iter().position(|token| matches!(token, Token::Symbol(')')))?;
    let inside: Vec<Token> = tokens.drain(open..=open + length).collect();
    let numbers = inside[1..length].iter().enumerate().filter_map(|(at, token)| match token {
        Token::Number(number) if at % 2 == 0 => Some(Some(*number)),
        Token::Symbol(',') if at % 2 == 1 => None,
        _ => Some(None),
    });
    numbers.collect()
}

fn named(words: &[(&str, bool)], mods: &[u32], text: &str) -> Result<(PgType, i32), TypeNameError> {
    let unknown = || TypeNameError::Unknown(text.trim().to_owned());
    if let [(name, true)] = words {
        return Ok((PgType::from_typname(name).ok_or_else(unknown)?, -1));
    }
    if words.iter().any(|(_, quoted)| *quoted) {
        return Err(TypeNameError::Syntax(text.to_owned()));
    }
    let words: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
    let ty = match words.as_slice() {
        ["int" | "integer"] => PgType::Int4,
        ["smallint"] => PgType::Int2,
        ["bigint"] => PgType::Int8,
        ["real"] => PgType::Float4,
        ["float"] => float(mods)?,
        ["double", "precision"] => PgType::Float8,
        ["boolean"] => PgType::Bool,
        ["decimal" | "dec"] => PgType::Numeric,
        ["char" | "character" | "nchar"] | ["national", "char" | "character"] => PgType::Bpchar,
        ["char" | "character", "varying"] | ["national", "char" | "character", "varying"] => {
            PgType::Varchar
        }
        ["timestamp"] | ["timestamp", "without", "time", "zone"] => PgType::Timestamp,
        ["timestamp", "with", "time", "zone"] => PgType::Timestamptz,
        ["time"] | ["time", "without", "time", "zone"] => PgType::Time,
        ["time", "with", "time", "zone"] | ["bit", "varying"] => return Err(unknown()),
        [name] => PgType::from_typname(name).ok_or_else(unknown)?,
        _ => return Err(TypeNameError::Syntax(text.to_owned())),
    };
    if words == ["float"] {
        return Ok((ty, -1));
    }
    let bare_char = mods.is_empty() && words != ["bpchar"] && ty == PgType::Bpchar;
    Ok((ty, if bare_char { typmod(ty, &[1])? } else { typmod(ty, mods)? }))
}

fn float(mods: &[u32]) -> Result<PgType, TypeNameError> {
    match mods {
        [] | [25..=53] => Ok(PgType::Float8),
        [1..=24] => Ok(PgType::Float4),
        [0] => {
            Err(TypeNameError::Modifier("precision for type float must be at least 1 bit".into()))
        }
        _ => {
            let message = "precision for type float must be less than 54 bits";
            Err(TypeNameError::Modifier(message.to_owned()))
        }
    }
}

fn typmod(ty: PgType, mods: &[u32]) -> Result<i32, TypeNameError> {
    let name = ty.name();
    match (ty, mods) {
        (_, []) => Ok(-1),
        (PgType::Varchar | PgType::Bpchar, [0]) => {
            let message = format!("length for type {name} must be at least 1");
            Err(TypeNameError::Modifier(message))
        }
        (PgType::Varchar | PgType::Bpchar, [length]) => {
            PgType::length_typmod(*length).filter(|_| *length <= 10_485_760).ok_or_else(|| {
                let message = format!("length for type {name} cannot exceed 10485760");
                TypeNameError::Modifier(message)
            })
        }
        (PgType::Numeric, [precision] | [precision, _]) => {
            let scale = mods.get(1).copied().unwrap_or(0);
            let parts = u8::try_from(*precision).ok().zip(i8::try_from(scale).ok());
            parts.and_then(|(p, s)| PgType::numeric_typmod(p, s)).ok_or_else(|| {
                let message = format!(
                    "numeric({precision},{scale}) is out of range: precision must be between 1 and \
                     38 and scale between 0 and precision"
                );
                TypeNameError::Modifier(message)
            })
        }
        (PgType::Time | PgType::Timestamp | PgType::Timestamptz, [precision]) => {
            Ok(i32::try_from((*precision).min(6)).expect("at most 6"))
        }
        (PgType::Interval, [precision]) => {
            let precision = i32::try_from((*precision).min(6)).expect("at most 6");
            Ok((0x7fff << 16) | precision)
        }
        _ => {
            let message = format!("type modifier is not allowed for type \"{name}\"");
            Err(TypeNameError::Modifier(message))
        }
    }
}
