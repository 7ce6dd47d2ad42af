//! Identifiers: as SQL text has them, and as they are.
//!
//! Law      fold_identifier(quote_identifier(name)) is name

/// Postgres' keywords that can't stand as a plain name everywhere (all but the unreserved ones):
/// `quote_ident` quotes these. In order, for binary search.
#[rustfmt::skip]
const KEYWORDS: &[&str] = &[
    "all", "analyse", "analyze", "and", "any", "array", "as", "asc", "asymmetric", "authorization",
    "between", "bigint", "binary", "bit", "boolean", "both", "case", "cast", "char", "character",
    "check", "coalesce", "collate", "collation", "column", "concurrently", "constraint", "create",
    "cross", "current_catalog", "current_date", "current_role", "current_schema", "current_time",
    "current_timestamp", "current_user", "dec", "decimal", "default", "deferrable", "desc",
    "distinct", "do", "else", "end", "except", "exists", "extract", "false", "fetch", "float",
    "for", "foreign", "freeze", "from", "full", "grant", "greatest", "group", "grouping", "having",
    "ilike", "in", "initially", "inner", "inout", "int", "integer", "intersect", "interval",
    "into", "is", "isnull", "join", "lateral", "leading", "least", "left", "like", "limit",
    "localtime", "localtimestamp", "national", "natural", "nchar", "none", "normalize", "not",
    "notnull", "null", "nullif", "numeric", "offset", "on", "only", "or", "order", "out", "outer",
    "overlaps", "overlay", "placing", "position", "precision", "primary", "real", "references",
    "returning", "right", "row", "select", "session_user", "setof", "similar", "smallint", "some",
    "substring", "symmetric", "table", "tablesample", "then", "time", "timestamp", "to",
    "trailing", "treat", "trim", "true", "union", "unique", "user", "using", "values", "varchar",
    "variadic", "verbose", "when", "where", "window", "with", "xmlattributes", "xmlconcat",
    "xmlelement", "xmlexists", "xmlforest", "xmlnamespaces", "xmlparse", "xmlpi", "xmlroot",
    "xmlserialize", "xmltable",
];

/// `name` as SQL has to spell it: bare where that reads back the same, else in double quotes.
pub fn quote_identifier(name: &str) -> String {
    let starts_well = name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_');
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    if starts_well && name.chars().all(plain) && KEYWORDS.binary_search(&name).is_err() {
        return name.to_owned();
    }
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// The identifier at the start of `text`, folded to lower case unless quoted, and its length in
/// bytes. `None` when there is none: an empty name, a quote left open.
pub fn fold_identifier(text: &str) -> Option<(String, usize)> {
    if let Some(inside) = text.strip_prefix('"') {
        return quoted(inside);
    }
    let plain = |c: char| c.is_alphanumeric() || c == '_' || c == '$';
    let length = text.find(|c: char| !plain(c)).unwrap_or(text.len());
    let starts_well = text.starts_with(|c: char| c.is_alphabetic() || c == '_');
    starts_well.then(|| (text[..length].to_ascii_lowercase(), length))
}

fn quoted(inside: &str) -> Option<(String, usize)> {
    let mut name = String::new();
    let mut chars = inside.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' if chars.peek().is_some_and(|(_, next)| *next == '"') => {
                chars.next();
                name.push('"');
            }
            '"' => return (!name.is_empty()).then_some((name, at + 2)),
            c => name.push(c),
        }
    }
    None
}

/// The parts of a dotted name: `public."T"` is `["public", "T"]`. `None` if malformed.
pub fn split_name(text: &str) -> Option<Vec<String>> {
    let mut parts = Vec::new();
    let mut rest = text.trim();
    loop {
        let (part, length) = fold_identifier(rest)?;
        parts.push(part);
        rest = rest[length..].trim_start();
        if rest.is_empty() {
            return Some(parts);
        }
        rest = rest.strip_prefix('.')?.trim_start();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keywords_are_in_order() {
        assert!(KEYWORDS.is_sorted());
    }

    #[test]
    fn quoting_is_undone_by_folding() {
        for (name, quoted) in [
            ("orders", "orders"),
            ("Orders", "\"Orders\""),
            ("select", "\"select\""),
            ("name", "name"),
            ("1st", "\"1st\""),
            ("a\"b", "\"a\"\"b\""),
            ("größe", "\"größe\""),
        ] {
            assert_eq!(quote_identifier(name), quoted);
            assert_eq!(fold_identifier(quoted), Some((name.to_owned(), quoted.len())));
        }
    }

    #[test]
    fn names_split_at_dots_outside_quotes() {
        let parts = |text| split_name(text).map(|parts| parts.join("|"));
        assert_eq!(parts("Public.Orders").as_deref(), Some("public|orders"));
        assert_eq!(parts("\"a.b\" . c").as_deref(), Some("a.b|c"));
        for malformed in ["", "a.", "\"a", "a b", ".a", "\"\""] {
            assert_eq!(parts(malformed), None, "{malformed}");
        }
    }
}
