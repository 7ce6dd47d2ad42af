//! The rules of the house that a machine can keep.
//!
//! Law: what is checked here is true of every file in the repository. Each rule is one test, and
//! says file and line of what breaks it. Lengths are ratchets: the limit is the worst there is, so
//! it may be lowered and not raised.
//!
//! What it does not promise: it reads text, not Rust. A `fn` is found by how rustfmt lays it out.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

const LINE_WIDTH_MAX: usize = 100;
const FILE_LINES_MAX: usize = 800;
/// The longest function there is. Lower it whenever that gets shorter.
const FUNCTION_LINES_MAX: usize = 119;

/// Which of our crates each one may use (design §7).
const ARROWS: &[(&str, &[&str])] = &[
    ("catalog", &[]),
    ("engine", &[]),
    ("sql", &["tidemark-catalog", "tidemark-engine"]),
    ("server", &["tidemark-catalog", "tidemark-engine", "tidemark-sql"]),
    ("sqllogictest", &["tidemark-server"]),
];

#[test]
fn every_file_opens_by_saying_what_it_is() {
    let mut faults = Faults::default();
    for file in rust_files() {
        if !file.text.starts_with("//! ") {
            faults.at(&file, 1, "should open with `//! ` and what the file is");
        }
    }
    faults.none();
}

#[test]
fn lines_fit_a_screen() {
    let mut faults = Faults::default();
    for file in rust_files() {
        for (number, line) in file.lines() {
            let width = line.chars().count();
            // A URL can't be broken, and a text that is tested for is what it is.
            let breakable = !line.contains("://") && !line.contains('"');
            if width > LINE_WIDTH_MAX && breakable {
                faults.at(&file, number, &format!("{width} columns, of {LINE_WIDTH_MAX}"));
            }
        }
    }
    faults.none();
}

#[test]
fn files_are_rooms_not_halls() {
    let mut faults = Faults::default();
    for file in rust_files() {
        let lines = file.lines().count();
        if lines > FILE_LINES_MAX {
            faults.at(
                &file,
                lines,
                &format!("{lines} lines, of {FILE_LINES_MAX}: this is two files"),
            );
        }
    }
    faults.none();
}

#[test]
fn functions_are_short() {
    let mut faults = Faults::default();
    for file in rust_files() {
        for (number, lines) in functions(&file) {
            if lines > FUNCTION_LINES_MAX {
                faults.at(&file, number, &format!("{lines} lines, of {FUNCTION_LINES_MAX}"));
            }
        }
    }
    faults.none();
}

#[test]
fn nothing_is_left_unfinished() {
    // Put together here, so that this file doesn't find itself.
    let words = [concat!("dbg", "!("), concat!("todo", "!("), concat!("unimplemented", "!(")];
    let unwrap = concat!(".unwrap", "()");
    let mut faults = Faults::default();
    for file in rust_files() {
        let tests_begin = tests_begin(&file);
        for (number, line) in file.lines() {
            if line.trim_start().starts_with("//") {
                continue;
            }
            for word in words.iter().filter(|word| line.contains(*word)) {
                faults.at(&file, number, &format!("{word}…)"));
            }
            if line.contains(unwrap) && number < tests_begin {
                faults.at(&file, number, "`expect` says why it can't fail");
            }
        }
    }
    faults.none();
}

#[test]
fn dependencies_point_one_way() {
    let mut faults = Faults::default();
    for (folder, allowed) in ARROWS {
        let file = read(&root().join(folder).join("Cargo.toml"));
        for (number, line) in dependency_lines(&file) {
            let name = line.split(['.', ' ', '=']).next().unwrap_or_default();
            if name.starts_with("tidemark-") && !allowed.contains(&name) {
                faults.at(&file, number, &format!("{folder} must not use {name}"));
            }
        }
    }
    faults.none();
}

#[test]
fn versions_are_written_once() {
    let mut faults = Faults::default();
    for (folder, _) in ARROWS {
        let file = read(&root().join(folder).join("Cargo.toml"));
        for (number, line) in dependency_lines(&file) {
            if !line.contains("workspace = true") {
                faults.at(&file, number, "its version belongs into the root Cargo.toml");
            }
        }
    }
    faults.none();
}

/// One aggregate, family of functions or system relation is one file and one line in its list.
#[test]
fn registries_are_folders() {
    let mut faults = Faults::default();
    let registry = |list: &str, name: &str| {
        let text = read(&root().join(list)).text;
        let from =
            text.find(&format!("{name}: &[")).unwrap_or_else(|| panic!("{list} has no {name}"));
        let to = text[from..].find("];").map_or(text.len(), |n| from + n);
        text[from..to].to_owned()
    };
    let aggregates = registry("engine/src/aggregate/mod.rs", "AGGREGATES");
    for file in files_in("engine/src/aggregate") {
        let listed = aggregates.contains(&format!("&{}::", file.stem()));
        if file.text.contains("impl AggregateFunction for") && !listed {
            faults.at(&file, 1, "is not in AGGREGATES");
        }
    }
    let functions = registry("sql/src/function/mod.rs", "FUNCTIONS");
    for file in files_in("sql/src/function") {
        let listed = functions.contains(&format!("{}::functions", file.stem()));
        if file.text.contains("fn functions() -> Vec<ScalarUDF>") && !listed {
            faults.at(&file, 1, "is not in FUNCTIONS");
        }
    }
    let relations = registry("catalog/src/system.rs", "SYSTEM_TABLES");
    for schema in ["pg_catalog", "information_schema", "tidemark"] {
        for file in files_in(&format!("catalog/src/system/{schema}")) {
            if !relations.contains(&format!("{schema}::{}::", file.stem())) {
                faults.at(&file, 1, "is not in SYSTEM_TABLES");
            }
        }
    }
    faults.none();
}

/// Paths in backquotes and in links, where they look like one of ours.
#[test]
fn readmes_point_to_what_exists() {
    let mut faults = Faults::default();
    for path in all_files().iter().filter(|path| path.ends_with("README.md")) {
        let file = read(path);
        let folder = path.parent().expect("a file has a folder");
        let mut in_block = false;
        for (number, line) in file.lines() {
            in_block ^= line.starts_with("```");
            if in_block {
                continue;
            }
            for path in paths_in(line) {
                if !folder.join(path).exists() && !root().join(path).exists() {
                    faults.at(&file, number, &format!("{path} does not exist"));
                }
            }
        }
    }
    faults.none();
}

#[test]
fn slt_files_say_and_ask_something() {
    let mut faults = Faults::default();
    let mut count = 0;
    for path in all_files().iter().filter(|path| has_extension(path, "slt")) {
        let file = read(path);
        count += 1;
        if !file.text.starts_with("# ") {
            faults.at(&file, 1, "should open with `# ` and what it proves");
        }
        let asks = |line: &str| line.starts_with("query ") || line.starts_with("statement error");
        if !file.text.lines().any(asks) {
            faults.at(&file, 1, "asks nothing");
        }
        if file.text.lines().any(|line| line == "halt") {
            faults.at(&file, 1, "halts: the rest is never played");
        }
    }
    faults.none();
    assert!(count > 0, "there are no slt files");
}

/// What broke a rule, to be told all at once.
#[derive(Default)]
struct Faults {
    told: String,
}

impl Faults {
    fn at(&mut self, file: &SourceFile, line: usize, what: &str) {
        let path = file.path.strip_prefix(root()).unwrap_or(&file.path);
        writeln!(self.told, "{}:{line}: {what}", path.display())
            .expect("a String takes everything");
    }

    fn none(self) {
        assert!(self.told.is_empty(), "\n{}", self.told);
    }
}

struct SourceFile {
    path: PathBuf,
    text: String,
}

impl SourceFile {
    /// Line numbers from 1, and the lines.
    fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text.lines().enumerate().map(|(n, line)| (n + 1, line))
    }

    fn stem(&self) -> &str {
        self.path.file_stem().and_then(|stem| stem.to_str()).expect("our file names are UTF-8")
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a package lives in the workspace")
}

fn read(path: &Path) -> SourceFile {
    let text =
        fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    SourceFile { path: path.to_owned(), text }
}

fn rust_files() -> Vec<SourceFile> {
    let paths = all_files();
    paths.iter().filter(|path| has_extension(path, "rs")).map(|path| read(path)).collect()
}

/// The `.rs` files right in this folder.
fn files_in(folder: &str) -> Vec<SourceFile> {
    let folder = root().join(folder);
    let paths = all_files();
    paths
        .iter()
        .filter(|path| path.parent() == Some(&folder) && has_extension(path, "rs"))
        .map(|path| read(path))
        .collect()
}

fn has_extension(path: &Path, extension: &str) -> bool {
    path.extension().is_some_and(|found| found == extension)
}

/// Every file of the repository, but what building and running leave behind.
fn all_files() -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder of the repository can be read") {
            let path = entry.expect("a folder of the repository can be read").path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if name.starts_with('.') || name == "target" || name == "tidemark-data" {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// Where each function begins, and its number of lines from `fn` to the brace that closes it.
fn functions(file: &SourceFile) -> Vec<(usize, usize)> {
    let lines: Vec<&str> = file.text.lines().collect();
    let mut found = Vec::new();
    for (index, line) in lines.iter().enumerate() {
        let indent = line.len() - line.trim_start().len();
        if !is_function(line.trim_start()) || line.ends_with('}') || line.ends_with(';') {
            continue;
        }
        let closing = format!("{}}}", &line[..indent]);
        let end = lines[index..].iter().position(|line| *line == closing);
        found.push((index + 1, end.map_or(1, |lines| lines + 1)));
    }
    found
}

fn is_function(line: &str) -> bool {
    let words = line.split(' ').take_while(|word| !word.contains("fn"));
    let modifier = |word: &str| {
        word.starts_with("pub") || ["async", "const", "in", "unsafe", "extern"].contains(&word)
    };
    let count = words.clone().count();
    words.into_iter().all(|word| modifier(word) || word.ends_with(')'))
        && line.split(' ').nth(count) == Some("fn")
}

/// The first line of the file's tests: 1 if it is all tests.
fn tests_begin(file: &SourceFile) -> usize {
    let is_test = file.path.components().any(|part| {
        let name = part.as_os_str().to_string_lossy();
        name == "tests" || name == "benches" || name == "tests.rs"
    });
    if is_test {
        return 1;
    }
    let marked = file.lines().find(|(_, line)| line.trim() == "#[cfg(test)]");
    marked.map_or(usize::MAX, |(number, _)| number)
}

/// The lines of a manifest's dependency sections.
fn dependency_lines(file: &SourceFile) -> impl Iterator<Item = (usize, &str)> {
    let mut inside = false;
    file.lines().filter(move |(_, line)| {
        if line.starts_with('[') {
            inside = line.ends_with("dependencies]");
            return false;
        }
        inside && !line.is_empty() && !line.starts_with('#')
    })
}

fn paths_in(line: &str) -> Vec<&str> {
    let quoted = line.split('`').skip(1).step_by(2);
    let linked = line.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    let quoted = quoted.filter(|text| {
        let plain = |c: char| c.is_ascii_alphanumeric() || "_-./".contains(c);
        let named = text.ends_with('/') || has_known_extension(text);
        named && text.chars().all(plain) && !text.starts_with(['/', '.', '-'])
    });
    let linked = linked.filter(|text| !text.contains("://") && !text.starts_with('#'));
    quoted.chain(linked).collect()
}

fn has_known_extension(text: &str) -> bool {
    text.contains('/')
        && [".rs", ".md", ".toml", ".slt", ".sh"].iter().any(|extension| text.ends_with(extension))
}
