//! The layers of ARCHITECTURE.md section 2, read from the sources: who may name whom.
//!
//! An arrow of the picture means "may use", and what is below may be used as well. Four things need a word:
//! - `task` and `policy` are the two halves of the floor. A spec carries its `RetryPolicy` and `settle` asks
//!   it for the next delay, so `task` names `policy`; `policy` is numbers and knows nothing of tasks. The
//!   picture has the arrow the other way round for the gates, which need no task either.
//! - A store decides nothing, so `store` does not name `policy`. Its public suite and its tests do: they push
//!   tasks as a producer does, with retry policies.
//! - `time` is plain numbers and a clock, for everybody.
//! - `error` is the facade's error type. It names what it wraps, and only the engine and what stands on it
//!   name it: below, a refusal is the type of the module that refuses.

use std::fs;
use std::path::{Path, PathBuf};

/// The longest file, in lines.
const MAX_LINES: usize = 500;

/// Every layer and what it may name.
const MAY_USE: &[(&str, &[&str])] = &[
    ("time", &[]),
    ("policy", &["time"]),
    ("task", &["policy", "time"]),
    ("store", &["task", "time"]),
    ("suite", &["store", "task", "policy", "time"]),
    ("dispatch", &["policy", "task", "time"]),
    ("error", &["store", "task", "time"]),
    ("engine", &["dispatch", "store", "policy", "task", "error", "time"]),
    ("api", &["engine", "dispatch", "store", "policy", "task", "error", "time"]),
    ("binding", &["api", "engine", "dispatch", "store", "policy", "task", "error", "time"]),
];

struct Source {
    /// From the root of the package, with forward slashes.
    path: String,
    text: String,
}

/// The Rust sources under these folders.
fn sources(folders: &[&str]) -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut open: Vec<PathBuf> = folders.iter().map(|folder| root.join(folder)).collect();
    let mut found = Vec::new();
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(fs::read_dir(&path).expect("a readable folder").map(|entry| entry.unwrap().path()));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).expect("a readable file of UTF-8");
            let path = path.strip_prefix(root).unwrap().to_str().unwrap().replace('\\', "/");
            found.push(Source { path, text });
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

/// What `judge` says about the sources, each with its place.
fn complaints(sources: &[Source], judge: impl Fn(&Source) -> Vec<String>) -> Vec<String> {
    sources
        .iter()
        .flat_map(|source| judge(source).into_iter().map(|what| format!("{}: {what}", source.path)))
        .collect()
}

/// The text without comments and literals.
fn code(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(next) = rest.chars().next() {
        let skipped = match next {
            '/' if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            '/' if rest.starts_with("/*") => rest.find("*/").map_or(rest.len(), |end| end + 2),
            '"' => 1 + end_of_literal(&rest[1..], '"'),
            '\'' if is_character(rest) => 1 + end_of_literal(&rest[1..], '\''),
            'r' if rest.starts_with("r\"") || rest.starts_with("r#") => end_of_raw(rest).unwrap_or(0),
            _ => 0,
        };
        if skipped == 0 {
            out.push(next);
            rest = &rest[next.len_utf8()..];
        } else {
            out.push(' ');
            rest = &rest[skipped..];
        }
    }
    out
}

/// A character, as opposed to a lifetime.
fn is_character(rest: &str) -> bool {
    let mut after = rest.chars().skip(1);
    after.next() == Some('\\') || after.next() == Some('\'')
}

fn end_of_literal(rest: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, next) in rest.char_indices() {
        match next {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if next == quote => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

fn end_of_raw(rest: &str) -> Option<usize> {
    let hashes = rest[1..].chars().take_while(|next| *next == '#').count();
    rest[1 + hashes..].strip_prefix('"')?;
    let close = format!("\"{}", "#".repeat(hashes));
    let body = 2 + hashes;
    Some(rest[body..].find(&close).map_or(rest.len(), |end| body + end + close.len()))
}

/// The layer that a file belongs to; `None` for the root of the crate.
fn layer(path: &str) -> Option<&str> {
    let inner = path.strip_prefix("src/").unwrap_or(path);
    match inner {
        "lib.rs" => None,
        _ if inner.starts_with("store/suite/") || inner == "store/memory/tests.rs" => Some("suite"),
        _ => inner.split('/').next().map(|top| top.trim_end_matches(".rs")),
    }
}

/// How many `super::` lead from a file to the root of the crate.
fn depth(path: &str) -> usize {
    let modules = path.strip_prefix("src/").unwrap_or(path).trim_end_matches(".rs").trim_end_matches("/mod");
    modules.split('/').count()
}

/// The top modules that a file names by `crate::x`, `crate::{x, y::z}` or enough `super::`.
fn names(path: &str, text: &str) -> Vec<String> {
    let code = code(text).split_whitespace().collect::<Vec<_>>().join(" ");
    let to_root = "super::".repeat(depth(path));
    let mut found = Vec::new();
    for start in ["crate::", to_root.as_str()] {
        for (at, _) in code.match_indices(start) {
            let before = code[..at].chars().next_back();
            if before.is_some_and(|c| c.is_alphanumeric() || matches!(c, '_' | '$' | ':')) {
                continue;
            }
            found.extend(first_words(code[at + start.len()..].trim_start_matches("super::")));
        }
    }
    found.retain(|name| !name.is_empty() && name != "self");
    found.sort();
    found.dedup();
    found
}

/// The first word of a path, or of each path in braces.
fn first_words(path: &str) -> Vec<String> {
    let word = |text: &str| text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    let Some(group) = path.trim_start().strip_prefix('{') else { return vec![word(path)] };
    let (mut words, mut level, mut at_start) = (Vec::new(), 0, true);
    for (at, next) in group.char_indices() {
        match next {
            '{' => level += 1,
            '}' if level == 0 => break,
            '}' => level -= 1,
            ',' if level == 0 => at_start = true,
            ' ' => {}
            _ if at_start => {
                words.push(word(&group[at..]));
                at_start = false;
            }
            _ => {}
        }
    }
    words
}

/// Edges of a file that the picture does not have.
fn wrong_edges(source: &Source) -> Vec<String> {
    let Some(layer) = layer(&source.path) else { return Vec::new() };
    let Some((_, allowed)) = MAY_USE.iter().find(|(name, _)| *name == layer) else {
        return vec![format!("{layer} is not a layer")];
    };
    // A suite is part of the store it belongs to.
    let own = |name: &str| name == layer || layer == "suite" && name == "store";
    let wrong = |name: &&String| !own(name) && !allowed.contains(&name.as_str());
    let names = names(&source.path, &source.text);
    names.iter().filter(wrong).map(|name| format!("{layer} may not use {name}")).collect()
}

fn has_word(code: &str, word: &str) -> bool {
    let is_part = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    code.match_indices(word).any(|(at, _)| {
        !is_part(code[..at].chars().next_back()) && !is_part(code[at + word.len()..].chars().next())
    })
}

/// `unsafe` and Node-API belong to the binding.
fn what_only_the_binding_may(source: &Source) -> Vec<String> {
    if layer(&source.path) == Some("binding") {
        return Vec::new();
    }
    let code = code(&source.text);
    let names_napi = ["napi::", "napi_derive::", "#[napi"].iter().any(|word| code.contains(word));
    let napi = names_napi.then(|| "names napi outside src/binding".to_owned());
    // Faults are made with what only C offers: a file system of SQLite's, limits and rights of a process.
    let may_be_unsafe = source.path.starts_with("tests/sqlite/");
    let is_unsafe = has_word(&code, "unsafe") && !may_be_unsafe;
    let unsafe_code = is_unsafe.then(|| "unsafe code outside src/binding".to_owned());
    napi.into_iter().chain(unsafe_code).collect()
}

fn bad_text(source: &Source) -> Vec<String> {
    let mut found = Vec::new();
    let lines = source.text.lines().count();
    if lines > MAX_LINES {
        found.push(format!("{lines} lines, at most {MAX_LINES} are allowed"));
    }
    for (n, line) in source.text.lines().enumerate() {
        if !line.is_ascii() {
            found.push(format!("line {} is not ASCII", n + 1));
        }
        if is_banner(line) {
            found.push(format!("line {} is a banner", n + 1));
        }
    }
    found
}

/// A comment that is a rule, or a title with a rule before it.
fn is_banner(line: &str) -> bool {
    let Some(comment) = line.trim_start().strip_prefix("//") else { return false };
    let comment = comment.strip_prefix(['!', '/']).unwrap_or(comment).trim();
    let first = comment.chars().next().unwrap_or(' ');
    let rule = comment.chars().take_while(|c| *c == first).count();
    "-=*#~_/".contains(first) && (rule >= 4 || rule >= 2 && rule == comment.len() && first != '/')
}

#[test]
fn every_layer_names_only_what_is_below() {
    let sources = sources(&["src"]);
    assert!(sources.len() > 20, "the sources are not where they were");
    assert_eq!(complaints(&sources, wrong_edges), [""; 0]);
}

#[test]
fn only_the_binding_knows_node_and_unsafe_code() {
    assert_eq!(complaints(&sources(&["src", "tests"]), what_only_the_binding_may), [""; 0]);
}

#[test]
fn sources_are_short_ascii_and_without_banners() {
    assert_eq!(complaints(&sources(&["src", "tests"]), bad_text), [""; 0]);
}

#[test]
fn the_reader_of_sources_sees_what_it_should() {
    let at = |path: &str, text: &str| wrong_edges(&Source { path: path.into(), text: text.into() });
    assert_eq!(at("src/task/spec.rs", "use crate::policy::RetryPolicy;"), [""; 0]);
    assert_eq!(at("src/policy/gate.rs", "use crate::task::Spec;"), ["policy may not use task"]);
    assert_eq!(at("src/store/mod.rs", "use crate::{\n  task::{self, policy}, policy::Gate,\n};").len(), 1);
    assert_eq!(at("src/store/suite/keys.rs", "use crate::{policy::Gate, store::Store};"), [""; 0]);
    assert_eq!(at("src/dispatch/mod.rs", "fn f(_: super::store::Store) {}"), ["dispatch may not use store"]);
    assert_eq!(
        at("src/dispatch/ready.rs", "use super::super::engine::Core;"),
        ["dispatch may not use engine"]
    );
    assert_eq!(at("src/dispatch/ready.rs", "use super::engine;"), [""; 0], "that is a module of its own");
    assert_eq!(
        at("src/task/id.rs", "// crate::store\nconst A: &str = \"crate::store\"; /* crate::store */"),
        [""; 0]
    );
    assert_eq!(
        at("src/task/id.rs", "const A: char = '\"'; use crate::store; // \""),
        ["task may not use store"]
    );
    assert_eq!(at("src/new/mod.rs", ""), ["new is not a layer"]);
    let binding_only = |text: &str| {
        what_only_the_binding_may(&Source { path: "src/engine/mod.rs".into(), text: text.into() }).len()
    };
    assert_eq!(binding_only("#[napi] fn a() { napi::call(); unsafe { b() } }"), 2);
    assert_eq!(binding_only("#[cfg(feature = \"napi\")] fn unsafe_name() {} // unsafe"), 0);
    let bad = ["// ----", "  /////////", "//! ====== Title", "// ***", "/// --", "//###### x"];
    let good =
        ["/// a -- b", "//! | --- | --- |", "// +-----+", "let a = b; // ----", "//! - an item", "///"];
    assert!(bad.iter().all(|line| is_banner(line)), "banners");
    assert!(!good.iter().any(|line| is_banner(line)), "no banners");
}
