//! `jsonb` as text: any JSON in, Postgres' canonical form out.
//!
//! A jsonb is kept as its canonical text: `{"a": 1, "b": [1, 2]}`, members ordered by the length of
//! their keys and then by bytes, of equal keys the last kept, numbers written out without exponents
//! and with the digits they had. Two are equal when their [`equality_key`]s are. Not promised:
//! nesting deeper than [`DEPTH_MAX`] (54001), `\u0000` (22P05).

use std::borrow::Cow;
use std::ops::Range;

use crate::error::SqlError;

use super::fault;

/// Levels of arrays and objects inside each other.
pub const DEPTH_MAX: usize = 512;

/// Writes canonical text; its buffers are kept from one value to the next.
#[derive(Debug, Default)]
pub struct Canonicalizer {
    members: Vec<Member>,
    scratch: String,
}

/// One member of an object being written: where its key (with quotes) and its value stand.
#[derive(Debug, Clone)]
struct Member {
    key: Range<usize>,
    value: Range<usize>,
    /// Bytes of the key without quotes and escapes.
    length: usize,
}

struct Input<'a> {
    text: &'a str,
    at: usize,
}

impl Canonicalizer {
    /// Appends the canonical form of `text` to `out`; on an error `out` is left as it was.
    pub fn append(&mut self, text: &str, out: &mut String) -> Result<(), SqlError> {
        let start = out.len();
        self.members.clear();
        let mut input = Input { text, at: 0 };
        let result = self.value(&mut input, 0, out).and_then(|()| {
            input.skip_space();
            if input.at < text.len() { Err(input.unexpected()) } else { Ok(()) }
        });
        if result.is_err() {
            out.truncate(start);
        }
        result
    }

    fn value(
        &mut self,
        input: &mut Input<'_>,
        depth: usize,
        out: &mut String,
    ) -> Result<(), SqlError> {
        if depth > DEPTH_MAX {
            return Err(fault::error("54001", "stack depth limit exceeded"));
        }
        input.skip_space();
        match input.peek() {
            Some(b'{') => self.object(input, depth, out),
            Some(b'[') => self.array(input, depth, out),
            Some(b'"') => input.string(out).map(drop),
            Some(b'-' | b'0'..=b'9') => input.number(out),
            Some(b't') => input.literal("true", out),
            Some(b'f') => input.literal("false", out),
            Some(b'n') => input.literal("null", out),
            _ => Err(input.unexpected()),
        }
    }

    fn array(
        &mut self,
        input: &mut Input<'_>,
        depth: usize,
        out: &mut String,
    ) -> Result<(), SqlError> {
        input.at += 1;
        out.push('[');
        input.skip_space();
        if input.accept(b']') {
            out.push(']');
            return Ok(());
        }
        loop {
            self.value(input, depth + 1, out)?;
            input.skip_space();
            if input.accept(b']') {
                out.push(']');
                return Ok(());
            }
            input.expect(b',')?;
            out.push_str(", ");
        }
    }

    fn object(
        &mut self,
        input: &mut Input<'_>,
        depth: usize,
        out: &mut String,
    ) -> Result<(), SqlError> {
        input.at += 1;
        let start = out.len();
        let first = self.members.len();
        out.push('{');
        input.skip_space();
        if input.accept(b'}') {
            out.push('}');
            return Ok(());
        }
        loop {
            input.skip_space();
            if input.peek() != Some(b'"') {
                return Err(input.unexpected());
            }
            let key_start = out.len();
            let length = input.string(out)?;
            let key = key_start..out.len();
            input.skip_space();
            input.expect(b':')?;
            out.push_str(": ");
            let value_start = out.len();
            self.value(input, depth + 1, out)?;
            self.members.push(Member { key, value: value_start..out.len(), length });
            input.skip_space();
            if input.accept(b'}') {
                break;
            }
            input.expect(b',')?;
            out.push_str(", ");
        }
        self.order_members(first, start, out);
        self.members.truncate(first);
        Ok(())
    }

    /// Closes the object, rewritten if its members are not in order.
    fn order_members(&mut self, first: usize, start: usize, out: &mut String) {
        let members = &mut self.members[first..];
        let order = |a: &Member, b: &Member, text: &str| {
            let keys = || compare_keys(&text[a.key.clone()], &text[b.key.clone()]);
            a.length.cmp(&b.length).then_with(keys)
        };
        if members.windows(2).all(|pair| order(&pair[0], &pair[1], out).is_lt()) {
            out.push('}');
            return;
        }
        members.sort_by(|a, b| order(a, b, out)); // stable: of equal keys the last stays last
        self.scratch.clear();
        self.scratch.push('{');
        for (i, member) in members.iter().enumerate() {
            if members.get(i + 1).is_some_and(|next| order(member, next, out).is_eq()) {
                continue;
            }
            if self.scratch.len() > 1 {
                self.scratch.push_str(", ");
            }
            self.scratch.push_str(&out[member.key.clone()]);
            self.scratch.push_str(": ");
            self.scratch.push_str(&out[member.value.clone()]);
        }
        self.scratch.push('}');
        out.truncate(start);
        out.push_str(&self.scratch);
    }
}

/// Canonical text without the zeros that make no difference to a number: `2.50` as `2.5`.
pub fn equality_key(canonical: &str) -> Cow<'_, str> {
    if !canonical.contains('.') && !canonical.contains("-0") {
        return Cow::Borrowed(canonical);
    }
    let mut key = String::with_capacity(canonical.len());
    let mut rest = canonical;
    while let Some(at) = rest.find(|c: char| c == '"' || c == '-' || c.is_ascii_digit()) {
        key.push_str(&rest[..at]);
        rest = &rest[at..];
        let token = if rest.starts_with('"') { string_end(rest) } else { number_end(rest) };
        let (token, after) = rest.split_at(token);
        key.push_str(if token.starts_with('"') { token } else { shortest(token) });
        rest = after;
    }
    key.push_str(rest);
    Cow::Owned(key)
}

fn string_end(text: &str) -> usize {
    let mut escaped = false;
    let end = text.bytes().skip(1).position(|byte| {
        let ends = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        ends
    });
    end.map_or(text.len(), |end| end + 2)
}

fn number_end(text: &str) -> usize {
    let part = |c: char| c == '-' || c == '.' || c.is_ascii_digit();
    text.find(|c| !part(c)).unwrap_or(text.len())
}

fn shortest(number: &str) -> &str {
    let short = match number.contains('.') {
        true => number.trim_end_matches('0').trim_end_matches('.'),
        false => number,
    };
    if short == "-0" { "0" } else { short }
}

/// Keys of equal length by their bytes, as they are without escapes.
fn compare_keys(a: &str, b: &str) -> std::cmp::Ordering {
    if !a.contains('\\') && !b.contains('\\') {
        return a.cmp(b);
    }
    let (mut plain_a, mut plain_b) = (String::new(), String::new());
    unescape(a, &mut plain_a);
    unescape(b, &mut plain_b);
    plain_a.cmp(&plain_b)
}

impl Input<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn accept(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, byte: u8) -> Result<(), SqlError> {
        if self.accept(byte) { Ok(()) } else { Err(self.unexpected()) }
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn unexpected(&self) -> SqlError {
        let rest = &self.text[self.at..];
        let word = |c: char| c.is_alphanumeric() || c == '_' || c == '.' || c == '-';
        let end = match rest.find(|c| !word(c)) {
            Some(0) => rest.chars().next().map_or(0, char::len_utf8),
            Some(end) => end,
            None => rest.len(),
        };
        let detail = match end {
            0 => "The input string ended unexpectedly.".to_string(),
            _ => format!("Token \"{}\" is invalid.", &rest[..end]),
        };
        invalid(&detail)
    }

    fn literal(&mut self, word: &str, out: &mut String) -> Result<(), SqlError> {
        let rest = &self.text[self.at..];
        let ends = |rest: &str| !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_');
        match rest.strip_prefix(word).filter(|rest| ends(rest)) {
            Some(_) => {
                self.at += word.len();
                out.push_str(word);
                Ok(())
            }
            None => Err(self.unexpected()),
        }
    }

    /// A number, written out as `numeric` prints it.
    fn number(&mut self, out: &mut String) -> Result<(), SqlError> {
        let start = self.at;
        let digits = |input: &mut Self| {
            let from = input.at;
            while matches!(input.peek(), Some(b'0'..=b'9')) {
                input.at += 1;
            }
            input.at - from
        };
        let negative = self.accept(b'-');
        let whole_start = self.at;
        let whole = digits(self);
        let whole_range = whole_start..self.at;
        let padded = whole > 1 && self.text.as_bytes()[whole_start] == b'0';
        let mut fraction = self.at..self.at;
        let mut exponent: i64 = 0;
        let mut broken = whole == 0 || padded;
        if self.accept(b'.') {
            let from = self.at;
            broken |= digits(self) == 0;
            fraction = from..self.at;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            let from = self.at;
            let _ = self.accept(b'-') || self.accept(b'+');
            broken |= digits(self) == 0;
            exponent = self.text[from..self.at].parse().unwrap_or(i64::MAX);
        }
        let glued = self.text[self.at..].starts_with(|c: char| c.is_alphanumeric() || c == '_');
        if broken || glued {
            self.at = start;
            return Err(self.unexpected());
        }
        let (whole, fraction) = (&self.text[whole_range], &self.text[fraction]);
        write_number(negative, whole, fraction, exponent, out)
    }

    /// A string, written with Postgres' escapes; gives back its length in bytes without them.
    fn string(&mut self, out: &mut String) -> Result<usize, SqlError> {
        self.at += 1;
        out.push('"');
        let mut length = 0;
        loop {
            let rest = &self.text[self.at..];
            let plain = rest
                .bytes()
                .position(|b| matches!(b, b'"' | b'\\' | 0..=0x1f))
                .unwrap_or(rest.len());
            out.push_str(&rest[..plain]);
            length += plain;
            self.at += plain;
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    out.push('"');
                    return Ok(length);
                }
                Some(b'\\') => {
                    let c = self.escape()?;
                    length += c.len_utf8();
                    push_escaped(c, out);
                }
                Some(byte) => {
                    return Err(invalid(&format!(
                        "Character with value 0x{byte:02x} must be escaped."
                    )));
                }
                None => return Err(self.unexpected()),
            }
        }
    }

    fn escape(&mut self) -> Result<char, SqlError> {
        self.at += 1;
        let c = self.text[self.at..].chars().next().ok_or_else(|| self.unexpected())?;
        self.at += c.len_utf8();
        Ok(match c {
            '"' | '\\' | '/' => c,
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'u' => return self.unicode(),
            c => return Err(invalid(&format!("Escape sequence \"\\{c}\" is invalid."))),
        })
    }

    /// `XXXX` after `\u`, and the second half of a surrogate pair.
    fn unicode(&mut self) -> Result<char, SqlError> {
        let first = self.hex4()?;
        let code = match first {
            0xd800..=0xdbff => {
                let paired = self.text[self.at..].starts_with("\\u");
                self.at += if paired { 2 } else { 0 };
                let second = if paired { self.hex4()? } else { 0 };
                if !(0xdc00..=0xdfff).contains(&second) {
                    return Err(invalid("Unicode low surrogate must follow a high surrogate."));
                }
                0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00)
            }
            0xdc00..=0xdfff => {
                return Err(invalid("Unicode low surrogate must follow a high surrogate."));
            }
            0 => {
                return Err(fault::error("22P05", "unsupported Unicode escape sequence")
                    .with_detail("\\u0000 cannot be converted to text."));
            }
            code => code,
        };
        Ok(char::from_u32(code).expect("surrogates were put together above"))
    }

    fn hex4(&mut self) -> Result<u32, SqlError> {
        let digits = self.text.get(self.at..self.at + 4);
        let valid = digits.filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit()));
        let digits =
            valid.ok_or_else(|| invalid("\"\\u\" must be followed by four hexadecimal digits."))?;
        self.at += 4;
        Ok(u32::from_str_radix(digits, 16).expect("four hexadecimal digits"))
    }
}

fn invalid(detail: &str) -> SqlError {
    fault::error("22P02", "invalid input syntax for type json").with_detail(detail)
}

/// Writes out a number: no exponent, no sign on zero, the digits it was given.
fn write_number(
    negative: bool,
    whole: &str,
    fraction: &str,
    exponent: i64,
    out: &mut String,
) -> Result<(), SqlError> {
    if !(-16_000..=16_000).contains(&exponent) {
        return Err(fault::error("22003", "value overflows numeric format"));
    }
    let zero = whole.bytes().chain(fraction.bytes()).all(|b| b == b'0');
    if negative && !zero {
        out.push('-');
    }
    if exponent == 0 {
        out.push_str(whole);
        if !fraction.is_empty() {
            out.push('.');
            out.push_str(fraction);
        }
        return Ok(());
    }
    let digit = |at: i64| -> char {
        let split = whole.len() as i64;
        let byte = match at {
            at if at < 0 => None,
            at if at < split => whole.as_bytes().get(at as usize),
            at => fraction.as_bytes().get((at - split) as usize),
        };
        byte.map_or('0', |b| *b as char)
    };
    let point = whole.len() as i64 + exponent;
    let whole_start = out.len();
    (0..point.max(1)).for_each(|at| out.push(digit(if point < 1 { -1 } else { at })));
    // Only the zeros that moving the point has put in front go.
    let leading = out[whole_start..].bytes().take_while(|b| *b == b'0').count();
    let keep_one = leading.min(out.len() - whole_start - 1);
    out.replace_range(whole_start..whole_start + keep_one, "");
    let scale = (fraction.len() as i64 - exponent).max(0);
    if scale > 0 {
        out.push('.');
        (0..scale).for_each(|i| out.push(digit(point + i)));
    }
    Ok(())
}

fn push_escaped(c: char, out: &mut String) {
    match c {
        '"' => out.push_str("\\\""),
        '\\' => out.push_str("\\\\"),
        '\u{8}' => out.push_str("\\b"),
        '\u{c}' => out.push_str("\\f"),
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        c if (c as u32) < 0x20 => out.push_str(&format!("\\u{:04x}", c as u32)),
        c => out.push(c),
    }
}

/// Writes `text` as a JSON string, quotes included.
pub fn quote(text: &str, out: &mut String) {
    out.push('"');
    text.chars().for_each(|c| push_escaped(c, out));
    out.push('"');
}

/// Appends a canonical JSON string without its quotes and escapes.
pub fn unescape(quoted: &str, out: &mut String) {
    let inner = &quoted[1..quoted.len() - 1];
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        match chars.next().expect("canonical text ends no string in a backslash") {
            'b' => out.push('\u{8}'),
            'f' => out.push('\u{c}'),
            'n' => out.push('\n'),
            'r' => out.push('\r'),
            't' => out.push('\t'),
            'u' => {
                let code = chars.as_str().get(..4).and_then(|d| u32::from_str_radix(d, 16).ok());
                out.extend(code.and_then(char::from_u32));
                chars.nth(3);
            }
            c => out.push(c),
        }
    }
}
