//! Names and texts in code points: `U&"d\0061ta"`, `U&'d!0061ta' UESCAPE '!'`.
//!
//! Law: what is no escape stays as it is. sqlparser has read the escapes by backslash of a text.

use sqlparser::tokenizer::{Token, TokenWithSpan};

/// Puts what they spell in the place of such tokens.
pub fn decode(tokens: &mut Vec<TokenWithSpan>) {
    for at in (0..tokens.len()).rev() {
        match &tokens[at].token {
            Token::UnicodeStringLiteral(text) => {
                let (text, length) = match escape(&tokens[at + 1..]) {
                    None => (text.clone(), 0),
                    Some((escape, length)) => match spelled(text, escape) {
                        Some(text) => (text, length),
                        None => continue,
                    },
                };
                tokens[at].token = Token::SingleQuotedString(text);
                tokens.drain(at + 1..at + 1 + length);
            }
            Token::Word(word) if word.quote_style.is_none() && word.value.len() == 1 => {
                let written = word.value.eq_ignore_ascii_case("u");
                if written && let Some((name, length)) = name(&tokens[at..]) {
                    let Token::Word(quoted) = &mut tokens[at + 2].token else { continue };
                    quoted.value = name;
                    tokens.drain(at + 3..at + 3 + length);
                    tokens.drain(at..at + 2);
                }
            }
            _ => {}
        }
    }
}

/// `u`, `&` and a quoted name without blanks between them: the name, and the tokens behind it that
/// belong to it.
fn name(tokens: &[TokenWithSpan]) -> Option<(String, usize)> {
    let [u, and, name, rest @ ..] = tokens else { return None };
    let together = u.span.end == and.span.start && and.span.end == name.span.start;
    let Token::Word(word) = &name.token else { return None };
    if !together || and.token != Token::Ampersand || word.quote_style.is_none() {
        return None;
    }
    let (escape, length) = escape(rest).unwrap_or(('\\', 0));
    Some((spelled(&word.value, escape)?, length))
}

/// `UESCAPE '…'`: its character, and how many tokens it takes.
fn escape(tokens: &[TokenWithSpan]) -> Option<(char, usize)> {
    let [TokenWithSpan { token: Token::Word(word), .. }, text, ..] = tokens else { return None };
    let Token::SingleQuotedString(text) = &text.token else { return None };
    let mut characters = text.chars();
    match (characters.next(), characters.next()) {
        (Some(escape), None) if word.value.eq_ignore_ascii_case("uescape") => Some((escape, 2)),
        _ => None,
    }
}

/// The text with its escapes read: four hexadecimal digits, or a plus and six. `None` where one
/// is no character.
fn spelled(text: &str, escape: char) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(escape) {
        out.push_str(before);
        if let Some(after) = after.strip_prefix(escape) {
            out.push(escape);
            rest = after;
            continue;
        }
        let (digits, after) = match after.strip_prefix('+') {
            Some(after) => after.split_at_checked(6)?,
            None => after.split_at_checked(4)?,
        };
        out.push(char::from_u32(u32::from_str_radix(digits, 16).ok()?).filter(|c| *c != '\0')?);
        rest = after;
    }
    out.push_str(rest);
    Some(out)
}
