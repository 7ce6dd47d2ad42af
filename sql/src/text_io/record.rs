//! The fields of a composite value, as its text has them.
//!
//! Law: a field is quoted when it is empty or holds a parenthesis, comma, quote, backslash or white
//! space; quotes and backslashes in it are doubled. Composite values are only written.

/// Puts the field that begins at `start` in quotes, if it needs them.
pub fn quote_from(start: usize, out: &mut String) {
    let field = &out[start..];
    let special = |c: char| matches!(c, '(' | ')' | ',' | '"' | '\\') || super::is_space(c);
    if !field.is_empty() && !field.contains(special) {
        return;
    }
    let field = field.replace('\\', "\\\\").replace('"', "\"\"");
    out.truncate(start);
    out.push('"');
    out.push_str(&field);
    out.push('"');
}
