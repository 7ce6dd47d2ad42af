//! The dialect: sqlparser's PostgreSQL, but for what it reads otherwise than PostgreSQL does.
//!
//! - `f(f(f(…)))`: names of arguments are identifiers, never expressions. sqlparser would parse
//!   each argument twice to find out, which doubles the time with every level of nesting.
//! - `a IS DISTINCT FROM b AND c`: b ends before AND.
//! - `t FOR SYSTEM_TIME AS OF e`: a relation as of a time.
//! - `a BETWEEN SYMMETRIC b AND c`: between them in either order.
//! - `-a ^ b`: a sign binds more tightly than any operator of two operands.
//! - `a OR b OR c OR …`, the same of AND: a long chain is a tree of little depth.
//! - `(VALUES (1))`, `((SELECT 1) UNION (SELECT 2))`: a subquery, where an expression stands.
//! - `SELECT a, FROM t`: no column is called FROM; `SELECT * x`: no wildcard has an alias.

use std::any::TypeId;

use sqlparser::ast::{BinaryOperator, Expr, UnaryOperator};
use sqlparser::dialect::{Dialect, PostgreSqlDialect, Precedence};
use sqlparser::keywords::Keyword;
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::Token;

const POSTGRES: PostgreSqlDialect = PostgreSqlDialect {};

/// Longest chain of AND or OR that is a list to its left, as sqlparser makes it of any.
const LIST_MAX: usize = 100;

/// Words that begin or join clauses, which sqlparser would take for names of columns.
const CLAUSES: &[Keyword] = &[
    Keyword::FROM,
    Keyword::WHERE,
    Keyword::GROUP,
    Keyword::HAVING,
    Keyword::ORDER,
    Keyword::LIMIT,
    Keyword::UNION,
    Keyword::INTERSECT,
    Keyword::EXCEPT,
    Keyword::ON,
    Keyword::USING,
    Keyword::INTO,
];

/// See the module.
#[derive(Debug)]
pub struct TidemarkDialect;

macro_rules! as_postgres {
    ($($name:ident)*) => {
        $(fn $name(&self) -> bool {
            POSTGRES.$name()
        })*
    };
}

impl Dialect for TidemarkDialect {
    fn dialect(&self) -> TypeId {
        POSTGRES.dialect()
    }

    fn supports_named_fn_args_with_expr_name(&self) -> bool {
        false
    }

    fn parse_prefix(&self, parser: &mut Parser) -> Option<Result<Expr, ParserError>> {
        let op = match &parser.peek_token_ref().token {
            Token::Minus => UnaryOperator::Minus,
            Token::Plus => UnaryOperator::Plus,
            Token::Word(word) if word.quote_style.is_none() && CLAUSES.contains(&word.keyword) => {
                return Some(parser.expected("an expression", parser.peek_token()));
            }
            Token::LParen if subquery_follows(parser) => return Some(subquery(parser)),
            _ => return None,
        };
        parser.advance_token();
        let operand = parser.parse_subexpr(self.prec_value(Precedence::AtTz));
        Some(operand.map(|expr| Expr::UnaryOp { op, expr: Box::new(expr) }))
    }

    fn parse_infix(
        &self,
        parser: &mut Parser,
        expr: &Expr,
        _precedence: u8,
    ) -> Option<Result<Expr, ParserError>> {
        if let Some(between) = between_symmetric(self, parser, expr) {
            return Some(between);
        }
        if let Some(chain) = chain_of_conditions(self, parser, expr) {
            return Some(chain);
        }
        let distinct = [Keyword::IS, Keyword::DISTINCT, Keyword::FROM];
        let same = [Keyword::IS, Keyword::NOT, Keyword::DISTINCT, Keyword::FROM];
        let negated = match () {
            () if parser.parse_keywords(&distinct) => false,
            () if parser.parse_keywords(&same) => true,
            () => return None,
        };
        let left = Box::new(expr.clone());
        let right = parser.parse_subexpr(self.prec_value(Precedence::Is)).map(Box::new);
        Some(right.map(|right| match negated {
            true => Expr::IsNotDistinctFrom(left, right),
            false => Expr::IsDistinctFrom(left, right),
        }))
    }

    fn supports_table_versioning(&self) -> bool {
        true
    }

    fn identifier_quote_style(&self, identifier: &str) -> Option<char> {
        POSTGRES.identifier_quote_style(identifier)
    }

    fn is_delimited_identifier_start(&self, ch: char) -> bool {
        POSTGRES.is_delimited_identifier_start(ch)
    }

    fn is_identifier_start(&self, ch: char) -> bool {
        POSTGRES.is_identifier_start(ch)
    }

    fn is_identifier_part(&self, ch: char) -> bool {
        POSTGRES.is_identifier_part(ch)
    }

    fn is_reserved_for_identifier(&self, kw: Keyword) -> bool {
        POSTGRES.is_reserved_for_identifier(kw)
    }

    fn is_custom_operator_part(&self, ch: char) -> bool {
        POSTGRES.is_custom_operator_part(ch)
    }

    fn get_next_precedence(&self, parser: &Parser) -> Option<Result<u8, ParserError>> {
        POSTGRES.get_next_precedence(parser)
    }

    fn prec_value(&self, prec: Precedence) -> u8 {
        POSTGRES.prec_value(prec)
    }

    as_postgres! {
        supports_unicode_string_literal supports_filter_during_aggregation supports_group_by_expr
        allow_extract_custom allow_extract_single_quotes supports_create_index_with_clause
        supports_explain_with_utility_options supports_listen_notify supports_factorial_operator
        supports_bitwise_shift_operators supports_comment_on supports_load_extension
        supports_named_fn_args_with_colon_operator supports_empty_projections
        supports_nested_comments supports_string_escape_constant
        supports_numeric_literal_underscores supports_array_typedef_with_brackets
        supports_geometric_types supports_set_names supports_alter_column_type_using
        supports_notnull_operator supports_interval_options supports_insert_table_alias
        supports_create_table_like_parenthesized supports_comma_separated_trim
        supports_xml_expressions supports_comment_optimizer_hint
    }
}

/// `OR b OR c …` behind an operand, the same of AND.
fn chain_of_conditions(
    dialect: &TidemarkDialect,
    parser: &mut Parser,
    first: &Expr,
) -> Option<Result<Expr, ParserError>> {
    let (keyword, op, precedence) = match parser.peek_token_ref().token {
        Token::Word(ref word) if word.keyword == Keyword::OR => {
            (Keyword::OR, BinaryOperator::Or, Precedence::Or)
        }
        Token::Word(ref word) if word.keyword == Keyword::AND => {
            (Keyword::AND, BinaryOperator::And, Precedence::And)
        }
        _ => return None,
    };
    let mut operands = vec![first.clone()];
    while parser.parse_keyword(keyword) {
        match parser.parse_subexpr(dialect.prec_value(precedence)) {
            Ok(operand) => operands.push(operand),
            Err(error) => return Some(Err(error)),
        }
    }
    Some(Ok(joined(operands, &op)))
}

/// Operands in their order, long chains halved again and again.
fn joined(mut operands: Vec<Expr>, op: &BinaryOperator) -> Expr {
    let join = |left: Expr, right: Expr| {
        let (left, right) = (Box::new(left), Box::new(right));
        Expr::BinaryOp { left, op: op.clone(), right }
    };
    if operands.len() > LIST_MAX {
        let behind = operands.split_off(operands.len() / 2);
        return join(joined(operands, op), joined(behind, op));
    }
    let joined = operands.into_iter().reduce(join);
    joined.expect("a chain has a first operand")
}

/// Whether a parenthesis opens a subquery that sqlparser takes for an expression: of VALUES or
/// TABLE, or one whose first part stands in parentheses.
fn subquery_follows(parser: &Parser) -> bool {
    // By place: peeking counts from here each time, which takes too long over a long text.
    let current = parser.get_current_index();
    let is_next = std::ptr::eq(parser.token_at(current), parser.peek_token_ref());
    let next = if is_next { current } else { current + 1 };
    let token = |n: usize| &parser.token_at(next + n).token;
    let is = |n: usize, words: &[Keyword]| {
        matches!(token(n),
            Token::Word(word) if word.quote_style.is_none() && words.contains(&word.keyword))
    };
    match token(1) {
        Token::LParen => {}
        _ => return is(1, &[Keyword::VALUES]),
    }
    let opened = (1..).take_while(|n| *token(*n) == Token::LParen).count();
    if !is(opened + 1, &[Keyword::SELECT, Keyword::VALUES, Keyword::WITH]) {
        return false;
    }
    let mut depth = 0;
    for n in 1.. {
        match token(n) {
            Token::LParen => depth += 1,
            Token::RParen if depth == 1 => {
                let after = [Keyword::UNION, Keyword::INTERSECT, Keyword::EXCEPT];
                return is(n + 1, &after);
            }
            Token::RParen => depth -= 1,
            Token::EOF => return false,
            _ => {}
        }
    }
    false
}

fn subquery(parser: &mut Parser) -> Result<Expr, ParserError> {
    parser.expect_token(&Token::LParen)?;
    let query = parser.parse_query()?;
    parser.expect_token(&Token::RParen)?;
    Ok(Expr::Subquery(query))
}

/// `[NOT] BETWEEN SYMMETRIC b AND c`, if that comes next.
fn between_symmetric(
    dialect: &TidemarkDialect,
    parser: &mut Parser,
    expr: &Expr,
) -> Option<Result<Expr, ParserError>> {
    let negated = parser.peek_keyword(Keyword::NOT);
    let at = usize::from(negated);
    let is_word = |n: usize, wanted: &str| {
        matches!(&parser.peek_nth_token_ref(n).token,
            Token::Word(word) if word.value.eq_ignore_ascii_case(wanted))
    };
    if !(is_word(at, "BETWEEN") && is_word(at + 1, "SYMMETRIC")) {
        return None;
    }
    (0..at + 2).for_each(|_| parser.advance_token());
    let precedence = dialect.prec_value(Precedence::Between);
    let bounds = parser.parse_subexpr(precedence).and_then(|low| {
        parser.expect_keyword_is(Keyword::AND)?;
        Ok((low, parser.parse_subexpr(precedence)?))
    });
    Some(bounds.map(|(low, high)| {
        let between = |low: &Expr, high: &Expr| Expr::Between {
            expr: Box::new(expr.clone()),
            negated,
            low: Box::new(low.clone()),
            high: Box::new(high.clone()),
        };
        let op = if negated { BinaryOperator::And } else { BinaryOperator::Or };
        let (left, right) = (Box::new(between(&low, &high)), Box::new(between(&high, &low)));
        Expr::Nested(Box::new(Expr::BinaryOp { left, op, right }))
    }))
}
