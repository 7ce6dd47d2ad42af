//! Tokens of PostgreSQL's that sqlparser reads otherwise or not at all, as tokens that it reads.
//!
//! - a keyword of other dialects is a plain name, so `SELECT top` is a column;
//! - `EXCLUDE …` at the end of a frame becomes a call of [`FRAME_EXCLUDE`] that is partitioned by,
//!   for sqlparser's frames have no place for it;
//! - `tumble(TABLE t, …)` is `tumble(t, …)`;
//! - `ORDER BY x USING <` is ascending, `USING >` descending;
//! - `TABLE t` is `SELECT * FROM t`;
//! - `U&"…"` is the name, `U&'…' UESCAPE '…'` the text that it spells;
//! - `ONLY t` is `t`, as no table has children;
//! - `trim(BOTH FROM x)` trims blanks;
//! - `INTERVAL(2) '…'` is `'…'::INTERVAL(2)`;
//! - `'1 day'::interval PRECEDING` is `INTERVAL '1 day' PRECEDING`;
//! - `= ANY (VALUES …)` is `= ANY (SELECT * FROM (VALUES …) AS values)`.
//!
//! Law: a text that sqlparser reads rightly is left as it is.

use super::unicode;
use sqlparser::keywords::Keyword;
use sqlparser::tokenizer::{Token, TokenWithSpan, Word};

/// Carries the exclusion of a frame: a constant that partitions by nothing.
pub const FRAME_EXCLUDE: &str = "frame_exclude";

/// Keywords that PostgreSQL has not.
const NAMES: &[Keyword] = &[
    Keyword::TOP,
    Keyword::QUALIFY,
    Keyword::PREWHERE,
    Keyword::SETTINGS,
    Keyword::SAMPLE,
    Keyword::PIVOT,
    Keyword::UNPIVOT,
    Keyword::SORT,
    Keyword::DISTRIBUTE,
    Keyword::CONNECT,
    Keyword::SEMI,
    Keyword::ANTI,
    Keyword::STRAIGHT_JOIN,
    Keyword::MATCH_RECOGNIZE,
    Keyword::FINAL,
    Keyword::DIV,
    Keyword::XOR,
    Keyword::RLIKE,
    Keyword::REGEXP,
    Keyword::MINUS,
];

/// The tokens of one statement, as sqlparser is to see them.
pub fn readable(mut tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    for token in &mut tokens {
        if let Token::Word(word) = &mut token.token
            && NAMES.contains(&word.keyword)
        {
            word.keyword = Keyword::NoKeyword;
        }
    }
    unicode::decode(&mut tokens);
    let mut tokens = without_table_words(with_exclusions(tokens));
    order_by_operator(&mut tokens);
    select_from_table(&mut tokens);
    without_only(&mut tokens);
    trim_blanks(&mut tokens);
    frame_intervals(&mut tokens);
    precise_intervals(&mut tokens);
    any_of_values(&mut tokens);
    tokens
}

/// Every EXCLUDE moved to the beginning of its window's PARTITION BY.
fn with_exclusions(mut tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    let mut open = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        match &tokens[at].token {
            Token::LParen => open.push(at),
            Token::RParen => drop(open.pop()),
            _ => {}
        }
        if let (Some(&start), Some((length, what))) = (open.last(), exclusion(&tokens[at..]))
            && opens_window(&tokens[..start])
        {
            let span = tokens[at].span;
            let inserted = partition_by(&tokens[start + 1..], what);
            tokens.drain(at..at + length);
            at += inserted.len();
            let inserted = inserted.into_iter().map(|token| TokenWithSpan { token, span });
            let place = start + 1 + base_name(&tokens[start + 1..]);
            let place = place + if has_partition(&tokens[place..]) { 2 } else { 0 };
            tokens.splice(place..place, inserted);
            continue; // at the parenthesis that closes the window
        }
        at += 1;
    }
    tokens
}

/// `EXCLUDE …` before a closing parenthesis: how many tokens, and what.
fn exclusion(tokens: &[TokenWithSpan]) -> Option<(usize, &'static str)> {
    if !is_word(tokens.first()?, "EXCLUDE") {
        return None;
    }
    let (length, what) = match tokens.get(1..)? {
        [first, second, ..] if is_word(first, "CURRENT") && is_word(second, "ROW") => {
            (3, "current row")
        }
        [first, second, ..] if is_word(first, "NO") && is_word(second, "OTHERS") => {
            (3, "no others")
        }
        [first, ..] if is_word(first, "GROUP") => (2, "group"),
        [first, ..] if is_word(first, "TIES") => (2, "ties"),
        _ => return None,
    };
    let closed = tokens.get(length).is_some_and(|token| token.token == Token::RParen);
    closed.then_some((length, what))
}

/// Whether a parenthesis behind these tokens opens a window: `OVER (`, `WINDOW w AS (`, `, w AS (`.
fn opens_window(before: &[TokenWithSpan]) -> bool {
    match before {
        [.., over] if is_word(over, "OVER") => true,
        [.., before, _, as_word] if is_word(as_word, "AS") => {
            is_word(before, "WINDOW") || before.token == Token::Comma
        }
        _ => false,
    }
}

/// How many tokens the name of another window takes, at the beginning of one.
fn base_name(window: &[TokenWithSpan]) -> usize {
    const CLAUSES: [&str; 5] = ["PARTITION", "ORDER", "ROWS", "RANGE", "GROUPS"];
    let clause = window.first().is_some_and(|token| CLAUSES.iter().any(|w| is_word(token, w)));
    let name = window.first().is_some_and(|token| matches!(token.token, Token::Word(_)));
    usize::from(name && !clause)
}

fn has_partition(window: &[TokenWithSpan]) -> bool {
    window.first().is_some_and(|token| is_word(token, "PARTITION"))
}

/// What to put into a window: `PARTITION BY frame_exclude('…')`, or a first item and a comma.
fn partition_by(window: &[TokenWithSpan], what: &str) -> Vec<Token> {
    let mut tokens = vec![
        word(FRAME_EXCLUDE, Keyword::NoKeyword),
        Token::LParen,
        Token::SingleQuotedString(what.to_owned()),
        Token::RParen,
    ];
    match has_partition(&window[base_name(window)..]) {
        true => tokens.push(Token::Comma),
        false => {
            let by = [word("PARTITION", Keyword::PARTITION), word("BY", Keyword::BY)];
            tokens.splice(0..0, by);
        }
    }
    tokens
}

fn without_table_words(mut tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    const WINDOWS: [&str; 3] = ["tumble", "hop", "session"];
    let mut at = 2;
    while at < tokens.len() {
        let called = WINDOWS.iter().any(|name| is_word(&tokens[at - 2], name))
            && tokens[at - 1].token == Token::LParen;
        if called && is_word(&tokens[at], "TABLE") {
            tokens.remove(at);
        }
        at += 1;
    }
    tokens
}

/// `USING <` and `USING >`, which only an order has.
fn order_by_operator(tokens: &mut Vec<TokenWithSpan>) {
    for at in (1..tokens.len()).rev() {
        let direction = match tokens[at].token {
            Token::Lt => word("ASC", Keyword::ASC),
            Token::Gt => word("DESC", Keyword::DESC),
            _ => continue,
        };
        if is_word(&tokens[at - 1], "USING") {
            tokens[at].token = direction;
            tokens.remove(at - 1);
        }
    }
}

/// The command TABLE, behind which sqlparser reads nothing further.
fn select_from_table(tokens: &mut Vec<TokenWithSpan>) {
    const BEFORE: [&str; 7] = ["UNION", "INTERSECT", "EXCEPT", "ALL", "DISTINCT", "AS", "EXPLAIN"];
    for at in (0..tokens.len().saturating_sub(1)).rev() {
        let begins = match at.checked_sub(1).map(|before| &tokens[before]) {
            None => true,
            Some(before) => {
                matches!(before.token, Token::LParen | Token::RParen)
                    || BEFORE.iter().any(|w| is_word(before, w))
            }
        };
        let named = matches!(tokens[at + 1].token, Token::Word(_));
        if begins && named && is_word(&tokens[at], "TABLE") {
            let span = tokens[at].span;
            let select = [word("SELECT", Keyword::SELECT), Token::Mul, word("FROM", Keyword::FROM)];
            let select = select.map(|token| TokenWithSpan { token, span });
            tokens.splice(at..=at, select);
        }
    }
}

/// The word ONLY before the name of a table.
fn without_only(tokens: &mut Vec<TokenWithSpan>) {
    for at in (1..tokens.len().saturating_sub(1)).rev() {
        let before = ["FROM", "JOIN", "UPDATE"].iter().any(|w| is_word(&tokens[at - 1], w));
        let named = matches!(tokens[at + 1].token, Token::Word(_));
        if before && named && is_word(&tokens[at], "ONLY") {
            tokens.remove(at);
        }
    }
}

/// What `trim(BOTH FROM x)` trims, which sqlparser wants to be said.
fn trim_blanks(tokens: &mut Vec<TokenWithSpan>) {
    for at in (3..tokens.len()).rev() {
        let sided = ["BOTH", "LEADING", "TRAILING"].iter().any(|w| is_word(&tokens[at - 1], w));
        let trim = sided
            && tokens[at - 2].token == Token::LParen
            && is_word(&tokens[at - 3], "TRIM")
            && is_word(&tokens[at], "FROM");
        if trim {
            let (token, span) = (Token::SingleQuotedString(" ".to_owned()), tokens[at].span);
            tokens.insert(at, TokenWithSpan { token, span });
        }
    }
}

/// Offsets of frames that are cast to intervals: sqlparser ends them at the text.
fn frame_intervals(tokens: &mut Vec<TokenWithSpan>) {
    for at in (3..tokens.len()).rev() {
        let bound = ["PRECEDING", "FOLLOWING"].iter().any(|w| is_word(&tokens[at], w));
        let cast = bound
            && is_word(&tokens[at - 1], "INTERVAL")
            && tokens[at - 2].token == Token::DoubleColon
            && matches!(tokens[at - 3].token, Token::SingleQuotedString(_));
        if cast {
            let interval = tokens[at - 1].clone();
            tokens.drain(at - 2..at);
            tokens.insert(at - 3, interval);
        }
    }
}

/// The precision of an interval before its text, which sqlparser reads and forgets.
fn precise_intervals(tokens: &mut Vec<TokenWithSpan>) {
    for at in (4..tokens.len()).rev() {
        let precise = is_word(&tokens[at - 4], "INTERVAL")
            && tokens[at - 3].token == Token::LParen
            && matches!(tokens[at - 2].token, Token::Number(..))
            && tokens[at - 1].token == Token::RParen
            && matches!(tokens[at].token, Token::SingleQuotedString(_));
        if precise {
            let (text, span) = (tokens.remove(at), tokens[at - 4].span);
            let cast = TokenWithSpan { token: Token::DoubleColon, span };
            tokens.splice(at - 4..at - 4, [text, cast]);
        }
    }
}

/// VALUES behind ANY, SOME and ALL, where sqlparser knows SELECT only.
fn any_of_values(tokens: &mut Vec<TokenWithSpan>) {
    for at in (2..tokens.len()).rev() {
        let quantified = ["ANY", "SOME", "ALL"].iter().any(|w| is_word(&tokens[at - 2], w))
            && tokens[at - 1].token == Token::LParen;
        if !quantified || !is_word(&tokens[at], "VALUES") {
            continue;
        }
        let mut depth = 1;
        let closed = tokens[at..].iter().position(|token| {
            match token.token {
                Token::LParen => depth += 1,
                Token::RParen => depth -= 1,
                _ => {}
            }
            depth == 0
        });
        let Some(close) = closed.map(|length| at + length) else { return };
        let with_span = |token| TokenWithSpan { token, span: tokens[at].span };
        let after = [Token::RParen, word("AS", Keyword::AS), quoted_word("values")];
        let before = [
            word("SELECT", Keyword::SELECT),
            Token::Mul,
            word("FROM", Keyword::FROM),
            Token::LParen,
        ];
        let (after, before) = (after.map(with_span), before.map(with_span));
        tokens.splice(close..close, after);
        tokens.splice(at..at, before);
    }
}

fn quoted_word(value: &str) -> Token {
    Token::Word(Word {
        value: value.to_owned(),
        quote_style: Some('"'),
        keyword: Keyword::NoKeyword,
    })
}

fn word(value: &str, keyword: Keyword) -> Token {
    Token::Word(Word { value: value.to_owned(), quote_style: None, keyword })
}

fn is_word(token: &TokenWithSpan, keyword: &str) -> bool {
    matches!(
        &token.token,
        Token::Word(word) if word.quote_style.is_none() && word.value.eq_ignore_ascii_case(keyword)
    )
}
