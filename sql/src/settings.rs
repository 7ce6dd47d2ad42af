//! Session variables: what SET and SHOW know.
//!
//! Law: a setting is one line in [`SETTINGS`]. Its value is text in PostgreSQL's canonical form,
//! checked when it is set; names with a dot are the user's own and take any text.
//!
//! Most settings exist because clients set them and do nothing here; the ones with meaning have a
//! method.

use std::collections::BTreeMap;
use std::sync::Arc;

use tidemark_catalog::catalog::is_system_schema;
use tidemark_engine::Timestamp;

use crate::error::{SqlError, state};
use crate::text_io::datetime::{InputSettings, Zone, format_timestamptz, parse_timestamptz};

/// What values a setting takes.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Text,
    Bool,
    /// Milliseconds; a number with or without a unit.
    Duration,
    Integer {
        min: i64,
        max: i64,
    },
    OneOf(&'static [&'static str]),
    TimeZone,
    DateStyle,
    /// A point in time, or nothing.
    Time,
    Encoding,
    /// SHOW only.
    ReadOnly,
}

/// One session variable.
pub struct Setting {
    pub name: &'static str,
    pub default: &'static str,
    /// Told to the client at start and at each change (ParameterStatus).
    pub reported: bool,
    pub description: &'static str,
    kind: Kind,
}

const fn setting(
    name: &'static str,
    default: &'static str,
    kind: Kind,
    description: &'static str,
) -> Setting {
    Setting { name, default, reported: false, description, kind }
}

const fn reported(
    name: &'static str,
    default: &'static str,
    kind: Kind,
    description: &'static str,
) -> Setting {
    Setting { name, default, reported: true, description, kind }
}

const ISOLATION: &[&str] =
    &["serializable", "repeatable read", "read committed", "read uncommitted"];
const LEVELS: &[&str] = &[
    "debug5", "debug4", "debug3", "debug2", "debug1", "log", "info", "notice", "warning", "error",
];

/// Every session variable, by name.
pub const SETTINGS: &[Setting] = &[
    reported("application_name", "", Kind::Text, "name of the application, as others see it"),
    setting("as_of", "", Kind::Time, "time as of which all is read; empty: the present"),
    setting("bytea_output", "hex", Kind::OneOf(&["hex", "escape"]), "how bytea is printed"),
    setting("check_function_bodies", "on", Kind::Bool, "accepted, no effect"),
    reported("client_encoding", "UTF8", Kind::Encoding, "encoding of the client: always UTF8"),
    setting("client_min_messages", "notice", Kind::OneOf(LEVELS), "lowest level of message sent"),
    reported("DateStyle", "ISO, MDY", Kind::DateStyle, "how dates are printed and read"),
    setting("default_table_access_method", "heap", Kind::Text, "accepted, no effect"),
    setting("default_tablespace", "", Kind::Text, "accepted, no effect"),
    setting("default_transaction_deferrable", "off", Kind::Bool, "accepted, no effect"),
    setting(
        "default_transaction_isolation",
        "serializable",
        Kind::OneOf(ISOLATION),
        "level of new transactions: all are served as serializable",
    ),
    setting("default_transaction_read_only", "off", Kind::Bool, "new transactions only read"),
    setting(
        "extra_float_digits",
        "1",
        Kind::Integer { min: -15, max: 3 },
        "floats are printed in the shortest exact form when above 0",
    ),
    setting("idle_in_transaction_session_timeout", "0", Kind::Duration, "accepted, no effect"),
    setting("idle_session_timeout", "0", Kind::Duration, "accepted, no effect"),
    reported("in_hot_standby", "off", Kind::ReadOnly, "never a standby"),
    reported("integer_datetimes", "on", Kind::ReadOnly, "timestamps are 64-bit microseconds"),
    reported(
        "IntervalStyle",
        "postgres",
        Kind::OneOf(&["postgres", "postgres_verbose", "sql_standard", "iso_8601"]),
        "how intervals are printed",
    ),
    reported("is_superuser", "on", Kind::ReadOnly, "every user may do everything"),
    setting("jit", "off", Kind::Bool, "accepted, no effect"),
    setting("lc_collate", "C", Kind::ReadOnly, "text compares by bytes"),
    setting("lc_ctype", "C.UTF-8", Kind::ReadOnly, "characters are Unicode"),
    setting("lc_messages", "C", Kind::Text, "accepted, no effect"),
    setting("lc_monetary", "C", Kind::Text, "accepted, no effect"),
    setting("lc_numeric", "C", Kind::Text, "accepted, no effect"),
    setting("lc_time", "C", Kind::Text, "accepted, no effect"),
    setting("lock_timeout", "0", Kind::Duration, "longest wait for a lock, 0 is for ever"),
    setting("max_identifier_length", "63", Kind::ReadOnly, "longest name, in bytes"),
    setting("max_index_keys", "32", Kind::ReadOnly, "most columns of a key"),
    setting(
        "max_staleness",
        "0",
        Kind::Duration,
        "queries may read a state so old rather than wait for the newest, 0 is the newest",
    ),
    setting("quote_all_identifiers", "off", Kind::Bool, "accepted, no effect"),
    setting("role", "none", Kind::Text, "accepted, no effect"),
    setting("row_security", "on", Kind::Bool, "accepted, no effect"),
    setting("search_path", "\"$user\", public", Kind::Text, "schemas in which names are looked up"),
    reported("server_encoding", "UTF8", Kind::ReadOnly, "encoding of text at rest"),
    reported("server_version", "15.9 (Tidemark 0.1.0)", Kind::ReadOnly, "PostgreSQL spoken here"),
    setting("server_version_num", "150009", Kind::ReadOnly, "the same as a number"),
    reported("session_authorization", "", Kind::Text, "user of the session"),
    setting("ssl", "off", Kind::ReadOnly, "no TLS yet"),
    reported("standard_conforming_strings", "on", Kind::OneOf(&["on"]), "'\\' is no escape"),
    setting("statement_timeout", "0", Kind::Duration, "longest run of a statement, 0 is for ever"),
    setting("synchronize_seqscans", "on", Kind::Bool, "accepted, no effect"),
    setting(
        "synchronous_commit",
        "on",
        Kind::OneOf(&["on", "off", "local", "remote_write", "remote_apply"]),
        "accepted, no effect: see the server's --fsync",
    ),
    reported("TimeZone", "UTC", Kind::TimeZone, "zone in which timestamptz is printed and read"),
    setting("timezone_abbreviations", "Default", Kind::Text, "accepted, no effect"),
    setting("transaction_deferrable", "off", Kind::Bool, "accepted, no effect"),
    setting(
        "transaction_isolation",
        "serializable",
        Kind::OneOf(ISOLATION),
        "level of this transaction: served as serializable",
    ),
    setting("transaction_read_only", "off", Kind::Bool, "this transaction only reads"),
    setting("vacuum_freeze_min_age", "50000000", Kind::Text, "accepted, no effect"),
    setting("work_mem", "64MB", Kind::Text, "accepted, no effect"),
    setting("xmlbinary", "base64", Kind::Text, "accepted, no effect"),
    setting("xmloption", "content", Kind::Text, "accepted, no effect"),
];

/// The settings of one session. Cheap to clone: copy on write.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    /// Values that differ from the default, by lower-case name.
    changed: Arc<BTreeMap<String, String>>,
}

impl Settings {
    /// The value as SHOW prints it. None: no such setting.
    pub fn get(&self, name: &str) -> Option<String> {
        if let Some(value) = self.changed.get(&name.to_ascii_lowercase()) {
            return Some(value.clone());
        }
        find(name).map(|setting| setting.default.to_string())
    }

    /// Like [`Settings::get`], with PostgreSQL's error (42704) for a name nobody knows.
    pub fn show(&self, name: &str) -> Result<String, SqlError> {
        self.get(name).ok_or_else(|| unknown(name))
    }

    /// Checks and sets. Returns the setting's proper name, for ParameterStatus.
    pub fn set(&mut self, name: &str, value: &str) -> Result<String, SqlError> {
        let Some(setting) = find(name) else {
            if !name.contains('.') {
                return Err(unknown(name));
            }
            self.insert(name, value.to_string());
            return Ok(name.to_string());
        };
        let value = canonical(setting, value)?;
        self.insert(setting.name, value);
        Ok(setting.name.to_string())
    }

    /// Sets what a client may not: `session_authorization` at start, `is_superuser`.
    pub fn force(&mut self, name: &str, value: &str) {
        self.insert(name, value.to_string());
    }

    pub fn reset(&mut self, name: &str) -> Result<String, SqlError> {
        let proper = find(name).map(|setting| setting.name.to_string());
        if proper.is_none() && !name.contains('.') {
            return Err(unknown(name));
        }
        Arc::make_mut(&mut self.changed).remove(&name.to_ascii_lowercase());
        Ok(proper.unwrap_or_else(|| name.to_string()))
    }

    pub fn reset_all(&mut self) {
        let user = self.changed.get("session_authorization").cloned();
        self.changed = Arc::default();
        if let Some(user) = user {
            self.force("session_authorization", &user);
        }
    }

    /// (name, value, description) of each setting, by name: SHOW ALL and pg_settings.
    pub fn all(&self) -> Vec<(String, String, &'static str)> {
        let value = |s: &Setting| self.get(s.name).unwrap_or_default();
        SETTINGS.iter().map(|s| (s.name.to_string(), value(s), s.description)).collect()
    }

    /// (name, value) of each setting the client is told about.
    pub fn reported(&self) -> Vec<(String, String)> {
        let reported = SETTINGS.iter().filter(|s| s.reported);
        reported.map(|s| (s.name.to_string(), self.get(s.name).unwrap_or_default())).collect()
    }

    pub fn is_reported(name: &str) -> bool {
        find(name).is_some_and(|setting| setting.reported)
    }

    /// The schemas in which a bare name is looked up, in order, without the implicit pg_catalog.
    /// A user who is called like a system schema does not work in it.
    pub fn search_path(&self, user: &str) -> Vec<String> {
        let path = self.get("search_path").unwrap_or_default();
        parse_search_path(&path)
            .into_iter()
            .filter(|name| name != "$user" || !is_system_schema(user))
            .map(|name| if name == "$user" { user.to_string() } else { name })
            .collect()
    }

    pub fn time_zone(&self) -> String {
        self.get("TimeZone").unwrap_or_else(|| "UTC".to_string())
    }

    /// A duration setting; zero is "no limit".
    pub fn duration_ms(&self, name: &str) -> u64 {
        self.get(name).and_then(|value| parse_duration_ms(&value)).unwrap_or(0)
    }

    pub fn is_on(&self, name: &str) -> bool {
        self.get(name).as_deref() == Some("on")
    }

    /// The time as of which all is read (S6), if not the present.
    pub fn as_of(&self) -> Option<Timestamp> {
        let text = self.changed.get("as_of").filter(|text| !text.is_empty())?;
        let input = InputSettings { zone: Zone::Utc, now: None };
        let micros = parse_timestamptz(text, &input).ok()?;
        // Before the epoch there was nothing.
        Some(Timestamp(micros.max(0) as u64))
    }

    fn insert(&mut self, name: &str, value: String) {
        Arc::make_mut(&mut self.changed).insert(name.to_ascii_lowercase(), value);
    }
}

/// The names in a search path: comma-separated, quoted or folded to lower case.
pub fn parse_search_path(path: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut rest = path.trim_start();
    while !rest.is_empty() {
        let (name, after) = if let Some(quoted) = rest.strip_prefix('"') {
            let end = quoted.find('"').unwrap_or(quoted.len());
            (quoted[..end].to_string(), quoted.get(end + 1..).unwrap_or(""))
        } else {
            let end = rest.find(',').unwrap_or(rest.len());
            (rest[..end].trim().trim_matches('\'').to_lowercase(), &rest[end..])
        };
        if !name.is_empty() {
            names.push(name);
        }
        rest = after.trim_start().trim_start_matches(',').trim_start();
    }
    names
}

fn find(name: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|setting| setting.name.eq_ignore_ascii_case(name))
}

fn unknown(name: &str) -> SqlError {
    let message = format!("unrecognized configuration parameter \"{name}\"");
    SqlError::new(state::UNDEFINED_OBJECT, message)
}

fn canonical(setting: &Setting, value: &str) -> Result<String, SqlError> {
    let invalid = || {
        let name = setting.name;
        let message = format!("invalid value for parameter \"{name}\": \"{value}\"");
        SqlError::new(state::INVALID_PARAMETER_VALUE, message)
    };
    let lower = value.trim().to_ascii_lowercase();
    match setting.kind {
        Kind::Text => Ok(value.to_string()),
        Kind::Bool => match lower.as_str() {
            "on" | "true" | "yes" | "1" | "t" | "y" => Ok("on".to_string()),
            "off" | "false" | "no" | "0" | "f" | "n" => Ok("off".to_string()),
            _ => Err(SqlError::new(
                state::INVALID_PARAMETER_VALUE,
                format!("parameter \"{}\" requires a Boolean value", setting.name),
            )),
        },
        Kind::Duration => {
            let ms = parse_duration_ms(&lower).ok_or_else(invalid)?;
            Ok(print_duration(ms))
        }
        Kind::Integer { min, max } => {
            let number: i64 = lower.parse().map_err(|_| invalid())?;
            if number < min || number > max {
                let message = format!(
                    "{number} is outside the valid range for parameter \"{}\" ({min} .. {max})",
                    setting.name
                );
                return Err(SqlError::new(state::INVALID_PARAMETER_VALUE, message));
            }
            Ok(number.to_string())
        }
        Kind::OneOf(values) => {
            let found = values.iter().find(|v| v.eq_ignore_ascii_case(&lower));
            found.map(|v| v.to_string()).ok_or_else(|| {
                invalid().with_hint(format!("Available values: {}.", values.join(", ")))
            })
        }
        Kind::TimeZone => time_zone(value.trim()).ok_or_else(|| match lower.as_str() {
            "default" | "local" => invalid(),
            _ => invalid().with_hint("the session's time zone is always UTC in this version"),
        }),
        Kind::DateStyle => date_style(&lower).ok_or_else(invalid),
        Kind::Time if lower.is_empty() => Ok(String::new()),
        Kind::Time => {
            let input = InputSettings { zone: Zone::Utc, now: None };
            let mut text = String::new();
            format_timestamptz(parse_timestamptz(value, &input)?, &Zone::Utc, &mut text);
            Ok(text)
        }
        Kind::Encoding => {
            // As in PostgreSQL, only letters and digits count: asyncpg sends it in quotes.
            let name: String = lower.chars().filter(char::is_ascii_alphanumeric).collect();
            match name.as_str() {
                "utf8" | "unicode" | "sqlascii" => Ok("UTF8".to_string()),
                _ => Err(invalid()),
            }
        }
        Kind::ReadOnly => {
            let message = format!("parameter \"{}\" cannot be changed", setting.name);
            Err(SqlError::new(state::CANT_CHANGE_RUNTIME_PARAM, message))
        }
    }
}

/// UTC under any of its names: timestamps are printed and read in it. None for every other zone.
fn time_zone(value: &str) -> Option<String> {
    const UTC: &[&str] = &[
        "utc",
        "etc/utc",
        "gmt",
        "etc/gmt",
        "zulu",
        "etc/zulu",
        "uct",
        "universal",
        "+00:00",
        "0",
    ];
    let lower = value.trim_matches('\'').to_ascii_lowercase();
    UTC.contains(&lower.as_str()).then(|| match lower.as_str() {
        "utc" | "+00:00" | "0" => "UTC".to_string(),
        _ => value.trim_matches('\'').to_string(),
    })
}

fn date_style(lower: &str) -> Option<String> {
    let mut order = "MDY";
    for word in lower.split([',', ' ']).filter(|word| !word.is_empty()) {
        match word {
            "iso" | "default" => {}
            "mdy" | "us" | "noneuropean" => order = "MDY",
            "dmy" | "euro" | "european" => order = "DMY",
            "ymd" => order = "YMD",
            _ => return None,
        }
    }
    Some(format!("ISO, {order}"))
}

/// `100`, `1 s`, `5min`: milliseconds.
pub(crate) fn parse_duration_ms(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number: u64 = text[..digits].parse().ok()?;
    let factor = match text[digits..].trim() {
        "" | "ms" => 1,
        "s" => 1_000,
        "min" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    number.checked_mul(factor)
}

fn print_duration(ms: u64) -> String {
    const UNITS: [(u64, &str); 4] =
        [(86_400_000, "d"), (3_600_000, "h"), (60_000, "min"), (1_000, "s")];
    match UNITS.iter().find(|(factor, _)| ms > 0 && ms.is_multiple_of(*factor)) {
        _ if ms == 0 => "0".to_string(),
        Some((factor, unit)) => format!("{}{unit}", ms / factor),
        None => format!("{ms}ms"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_canonical() {
        let mut settings = Settings::default();
        settings.set("statement_timeout", "90000").expect("a number of milliseconds");
        assert_eq!(settings.get("STATEMENT_TIMEOUT").as_deref(), Some("90s"));
        settings.set("jit", "TRUE").expect("a boolean");
        assert_eq!(settings.get("jit").as_deref(), Some("on"));
        assert_eq!(settings.set("nope", "1").map_err(|e| e.code), Err(state::UNDEFINED_OBJECT));
        assert!(settings.set("server_version", "9").is_err());
        settings.set("my.own", "x").expect("a name with a dot is the user's");
        assert_eq!(settings.get("my.own").as_deref(), Some("x"));
    }

    #[test]
    fn search_path_knows_quotes_and_the_user() {
        let mut settings = Settings::default();
        assert_eq!(settings.search_path("me"), ["me", "public"]);
        settings.set("search_path", "A, \"B c\"").expect("any text");
        assert_eq!(settings.search_path("me"), ["a", "B c"]);
    }
}
