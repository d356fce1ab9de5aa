//! The house rules that a compiler does not check: layers, module heads, no forgotten test file.

use std::fs;
use std::path::{Path, PathBuf};

use crate::kit::files_below;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut found = files_below(folder);
    found.retain(|path| path.extension() == Some("rs".as_ref()));
    found
}

/// What each top-level module may import from this crate.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("error", &[]),
    ("failpoint", &[]),
    ("lane", &["error"]),
    ("memory", &[]),
    ("airgap", &["error"]),
    ("energy", &[]),
    ("telemetry", &[]),
    ("umask", &[]),
    ("domain", &[]),
    ("store", &["domain", "error", "failpoint"]),
    ("engine", &["domain", "error", "lane", "telemetry"]),
    ("extract", &["domain", "error"]),
    (
        "flow",
        &[
            "domain",
            "store",
            "engine",
            "extract",
            "error",
            "energy",
            "failpoint",
            "lane",
            "memory",
        ],
    ),
    // What hides in mail from people is told in one place.
    ("import", &["error", "extract"]),
    ("settings", &["domain", "error"]),
    (
        "app",
        &[
            "domain", "store", "engine", "extract", "flow", "settings", "error", "lane", "airgap",
            "energy", "umask",
        ],
    ),
    ("mcp", &["domain", "store", "flow", "app", "error"]),
    (
        "http",
        &[
            "domain", "store", "engine", "flow", "app", "mcp", "settings", "error",
        ],
    ),
    (
        "cli",
        &[
            "domain", "store", "engine", "flow", "app", "mcp", "http", "settings", "error",
            "energy", "airgap", "import", "umask",
        ],
    ),
    ("lib", &[]),
    ("main", &["cli", "extract", "memory", "telemetry"]),
];

fn module_of(file: &Path) -> String {
    let below = file.strip_prefix(root().join("src")).unwrap();
    let first = below.components().next().unwrap();
    let name = first.as_os_str().to_string_lossy().into_owned();
    name.trim_end_matches(".rs").to_owned()
}

/// What is named in `first`, wherever code does so; comments do not count.
fn named_in<'t>(first: &str, text: &'t str) -> Vec<&'t str> {
    let first = format!("{first}::");
    let code = text
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"));
    let mut found = Vec::new();
    for line in code {
        for (at, _) in line.match_indices(&first) {
            // `$crate::` and `other_crate::` are not ours.
            let before = line[..at].chars().next_back();
            if before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == '$') {
                continue;
            }
            let rest = &line[at + first.len()..];
            let end = rest.find(|c: char| !(c.is_alphanumeric() || c == '_'));
            found.push(&rest[..end.unwrap_or(rest.len())]);
        }
    }
    found
}

#[test]
fn names_are_found_in_the_middle_of_code() {
    let text = "use ort::Session;\nfn f() -> ort::Error {\n    // ort::no\n    abort::now()\n}\n";
    assert_eq!(named_in("ort", text), ["Session", "Error"]);
}

#[test]
fn dependencies_point_one_way() {
    let mut wrong = Vec::new();
    for file in rust_files(&root().join("src")) {
        let module = module_of(&file);
        let allowed = MAY_IMPORT.iter().find(|(name, _)| *name == module);
        let (_, allowed) = allowed.unwrap_or_else(|| panic!("{module} is in no layer"));
        let text = fs::read_to_string(&file).unwrap();
        for import in named_in("crate", &text) {
            if import != module && !allowed.contains(&import) {
                wrong.push(format!("{} imports {import}", file.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn engines_and_stores_are_known_in_one_place_only() {
    let owners = [
        ("rusqlite", "store import"),
        ("lancedb", "store"),
        ("tantivy", "store"),
        ("llama_cpp_2", "engine"),
        ("llama_cpp_sys_2", "engine"),
        ("fastembed", "engine"),
        ("ort", "engine"),
        ("axum", "http"),
        ("pdf_extract", "extract"),
        ("dom_query", "extract import"),
        ("quick_xml", "extract"),
        ("calamine", "extract"),
        ("mail_parser", "extract import"),
        ("tree_sitter", "extract"),
    ];
    for file in rust_files(&root().join("src")) {
        let text = fs::read_to_string(&file).unwrap();
        for (library, owner) in owners {
            let uses = !named_in(library, &text).is_empty();
            assert!(
                !uses || owner.split(' ').any(|one| module_of(&file) == one),
                "{} uses {library}",
                file.display()
            );
        }
    }
}

#[test]
fn every_file_says_what_it_owns() {
    for folder in ["src", "tests"] {
        for file in rust_files(&root().join(folder)) {
            let text = fs::read_to_string(&file).unwrap();
            // Fuzz targets begin with an attribute that the compiler wants first.
            let text = text.trim_start_matches("#![no_main]\n");
            assert!(text.starts_with("//!"), "{} has no head", file.display());
        }
    }
}

#[test]
fn no_test_file_is_forgotten() {
    let folder = root().join("tests/it");
    for file in rust_files(&folder) {
        let stem = file.file_stem().unwrap().to_string_lossy().into_owned();
        // A part is listed in the file that its folder is named after.
        let parent = file.parent().unwrap();
        let lists = if parent == folder {
            folder.join("main.rs")
        } else {
            parent.with_extension("rs")
        };
        let listed = fs::read_to_string(&lists)
            .unwrap()
            .contains(&format!("mod {stem};"));
        assert!(stem == "main" || listed, "{stem} is in no binary");
    }
}
