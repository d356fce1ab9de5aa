//! Ingestion of a folder: what is read, what is left out and why, what an edit costs.

use std::fs::{self, File};
use std::process::Command;
use std::time::{Duration, SystemTime};

use crate::kit::Home;

fn many_paragraphs(count: usize) -> String {
    let paragraph = |n: usize| {
        format!("Paragraph {n} speaks of item {n} and of nothing else. ").repeat(12) + "\n\n"
    };
    (0..count).map(paragraph).collect()
}

#[test]
fn an_edit_embeds_only_what_is_new() {
    let home = Home::new();
    let text = many_paragraphs(30);
    home.write("long.md", &text);
    let first = home.add();
    let all = first["report"]["chunks_embedded"].as_u64().unwrap();
    assert!(all >= 15, "{first}");
    let edited = text.replace(
        "Paragraph 17 speaks of item 17",
        "Paragraph 17 speaks of a lynx",
    );
    home.write("long.md", edited);
    let second = home.json(&["sync"]);
    let embedded = second["reports"][0]["chunks_embedded"].as_u64().unwrap();
    assert!((1..=2).contains(&embedded), "{second}");
    assert_eq!(home.found("lynx")[0], "long.md");
}

#[test]
fn a_rename_and_a_touch_embed_nothing() {
    let home = Home::new();
    home.write("a.md", "# Walnut\nThe walnut tree was planted in 1998.\n");
    home.write("b.md", "# Plum\nThe plum tree bears no fruit.\n");
    home.add();
    fs::create_dir(home.notes().join("trees")).unwrap();
    fs::rename(home.notes().join("a.md"), home.notes().join("trees/nut.md")).unwrap();
    home.write("b.md", "# Plum\nThe plum tree bears no fruit.\n");
    let report = home.json(&["sync"])["reports"][0].clone();
    assert_eq!(report["chunks_embedded"], 0, "{report}");
    assert_eq!(
        (&report["moved"], &report["unchanged"]),
        (&1.into(), &1.into())
    );
    assert_eq!(home.found("walnut tree")[0], "trees/nut.md");
}

#[test]
fn a_new_file_with_the_times_of_one_that_is_gone_is_read() {
    let home = Home::new();
    let then = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    let put = |name: &str, bird: &str| {
        let path = home.write(name, format!("# Day\n\nThe {bird} came by today.\n"));
        let file = File::options().write(true).open(&path).unwrap();
        file.set_modified(then).unwrap();
        path
    };
    let old = put("monday.md", "heron");
    home.add();
    fs::remove_file(old).unwrap();
    put("sunday.md", "otter");
    home.json(&["sync"]);
    assert_eq!(home.found("\"otter\""), ["sunday.md"]);
    assert!(home.found("\"heron\"").is_empty());
    assert_eq!(home.verify()["ok"], true);
}

#[test]
fn folders_are_left_out_by_name() {
    let home = Home::new();
    home.write("private/diary.md", "The heron nests behind the mill.\n");
    home.write("work/private/pay.md", "The otter is paid monthly.\n");
    home.write("work/plan.md", "The plan is to rest.\n");
    let notes = home.notes().to_str().unwrap().to_owned();
    home.json(&["add", &notes, "--exclude", "private/"]);
    assert_eq!(home.json(&["status"])["documents"], 1);
    assert!(home.found("\"heron\"").is_empty());
}

#[test]
fn what_the_owner_leaves_out_stays_out_whatever_folders_below_say() {
    let home = Home::new();
    home.write("sub/hidden.md", "The heron nests behind the mill.\n");
    home.write("private.md", "The otter swims at night.\n");
    home.write("open.md", "The badger digs.\n");
    home.write(".cohoignore", "hidden.md\n");
    home.write("sub/.gitignore", "!hidden.md\n");
    home.write(".git/info/exclude", "private.md\n");
    home.add();
    assert_eq!(home.json(&["status"])["documents"], 1);
    assert_eq!(home.found("\"badger\""), ["open.md"]);
}

#[cfg(unix)]
#[test]
fn ignore_files_that_are_no_files_have_no_rules() {
    let home = Home::new();
    home.write("pipe/a.md", "The heron nests behind the mill.\n");
    home.write("link/b.md", "The otter swims at night.\n");
    home.write("kept/c.md", "The badger digs.\n");
    home.write("kept/d.md", "The lynx hides.\n");
    home.write("kept/.gitignore", "\u{feff}d.md\n");
    let pipe = home.notes().join("pipe/.gitignore");
    assert!(Command::new("mkfifo").arg(pipe).status().unwrap().success());
    fs::write(home.path("list"), "*.md\n").unwrap();
    let link = home.notes().join("link/.cohoignore");
    std::os::unix::fs::symlink(home.path("list"), link).unwrap();
    home.add();
    assert_eq!(home.found("\"heron\""), ["pipe/a.md"]);
    assert_eq!(home.found("\"otter\""), ["link/b.md"]);
    assert_eq!(home.found("\"badger\""), ["kept/c.md"]);
    assert!(home.found("\"lynx\"").is_empty());
}

#[test]
fn a_larger_limit_and_a_mended_file_are_noticed() {
    let home = Home::new();
    home.write(
        "large.md",
        "The heron nests behind the mill.\n".repeat(40_000),
    );
    home.write("empty.md", "");
    let limit = [("COHO_EXTRACT_MAX_FILE_MB", "1")];
    home.run_with(&limit, &["add", home.notes().to_str().unwrap()])
        .done();
    let mut names: Vec<String> = home.problems().into_iter().map(|(name, _)| name).collect();
    names.sort();
    assert_eq!(names, ["empty.md", "large.md"]);
    home.write("draft.md", "The otter swims at night.\n");
    home.json(&["sync"]);
    fs::rename(home.notes().join("draft.md"), home.notes().join("empty.md")).unwrap();
    home.json(&["sync"]);
    assert_eq!(home.problems(), []);
    assert_eq!(home.found("\"heron\"")[0], "large.md");
}

#[test]
fn keys_are_not_read_and_a_terminal_is_left_alone() {
    let home = Home::new();
    let key = "Bag Attributes\n-----BEGIN PGP PRIVATE KEY BLOCK-----\n\nlQPGBGQheron\n";
    home.write("key.txt", key);
    home.write(
        "loud.md",
        "The otter \u{1b}]0;title\u{7}\u{1b}[2J swims\u{8} at night.\n",
    );
    home.add();
    assert_eq!(home.problems().len(), 1);
    let found = home.run(&["search", "otter"]).ok();
    assert!(found.stdout.contains("otter") && !found.stdout.contains(['\u{1b}', '\u{8}']));
    // What steers a terminal is not read; what else there is, is.
    let json = home.json(&["search", "otter"]);
    let text = json["hits"][0]["text"].as_str().unwrap();
    assert_eq!(text.trim(), "The otter  swims\u{8} at night.");
}

#[test]
fn what_is_deleted_is_gone_from_every_lane() {
    let home = Home::new();
    let note = home.write("secret.md", "The heron nests behind the mill.\n");
    home.write("other.md", "Something about gardens.\n");
    home.add();
    assert_eq!(home.found("heron")[0], "secret.md");
    fs::remove_file(note).unwrap();
    home.json(&["sync"]);
    assert!(!home.found("heron").contains(&"secret.md".to_owned()));
    assert_eq!(home.json(&["status"])["documents"], 1);
}

#[test]
fn a_deleted_index_folder_costs_only_time() {
    let home = Home::new();
    home.write("a.md", "The observatory opens on Thursdays.\n");
    home.add();
    let before = home.found("observatory");
    fs::remove_dir_all(home.path("home/index")).unwrap();
    home.json(&["sync"]);
    assert_eq!(home.found("observatory"), before);
    assert_eq!(
        home.found("when does the star watching building let people in"),
        before
    );
}

#[test]
fn bad_files_are_listed_and_stop_nothing() {
    let home = Home::new();
    home.write("good.md", "The good note is about beekeeping.\n");
    home.write("empty.md", "");
    home.write("binary.md", b"\x7fELF\x02\x01\0\0\0binary");
    home.write("nul.md", b"text with a \0 in it");
    home.write(
        "latin.txt",
        b"Sch\xf6ne Gr\xfc\xdfe aus der K\xfcche, \xfcber die H\xfchner.",
    );
    home.write("broken.pdf", b"%PDF-1.7\nnothing that a parser likes");
    home.write("line.md", "word ".repeat(40_000));
    let big = fs::File::create(home.notes().join("huge.md")).unwrap();
    big.set_len(200 << 20).unwrap();
    let report = home.add()["report"].clone();
    assert_eq!(report["added"], 3, "{report}");
    let reasons = home.problems();
    let reason = |name: &str| {
        let found = reasons.iter().find(|(path, _)| path == name);
        found
            .unwrap_or_else(|| panic!("{name} is not listed: {reasons:?}"))
            .1
            .clone()
    };
    assert!(reason("empty.md").contains("empty"));
    assert!(reason("binary.md").contains("binary"));
    assert!(reason("nul.md").contains("NUL"));
    assert!(reason("huge.md").contains("larger than 32 MiB"));
    assert!(reason("broken.pdf").contains("broken") || reason("broken.pdf").contains("parser"));
    assert_eq!(home.found("Hühner Küche")[0], "latin.txt");
    // What failed and did not change is not tried again; mended files lose their entry.
    home.write("empty.md", "No longer empty: it tells of otters.\n");
    let again = home.json(&["sync"])["reports"][0].clone();
    assert_eq!(
        (&again["added"], again["problems"].as_array().unwrap().len()),
        (&1.into(), 0)
    );
    assert!(!home.problems().iter().any(|(path, _)| path == "empty.md"));
}

#[test]
fn ignore_files_hidden_files_and_links_are_honoured() {
    let home = Home::new();
    home.write("kept.md", "This note about falcons is kept.\n");
    home.write("drafts/no.md", "This draft about falcons is not read.\n");
    home.write(".cohoignore", "drafts/\n");
    home.write(".hidden/no.md", "Hidden falcons.\n");
    let outside = home.path("outside.md");
    fs::write(&outside, "Falcons outside of the folder.\n").unwrap();
    #[cfg(unix)]
    std::os::unix::fs::symlink(&outside, home.notes().join("link.md")).unwrap();
    home.add();
    assert_eq!(home.found("falcons"), ["kept.md"]);
}

#[test]
fn citations_name_the_lines_that_an_editor_shows() {
    let home = Home::new();
    let note = "---\ntags: [bike]\n---\n# Bicycle\n\nThe frame number of the bicycle is\n\
                WX-4471-K, it is under the seat.\n\n## Tyres\n\n- front: 2.5 bar\n- rear: 3 bar\n";
    home.write("bike.md", note);
    home.add();
    let question = "What is the frame number of the bicycle?";
    let answer = home.json(&["ask", question, "--strategy", "extractive"]);
    let cited = answer["citations"].as_array().unwrap();
    let citation = cited
        .iter()
        .find(|c| c["text"].as_str().unwrap().contains("WX-4471-K"));
    let citation = citation.unwrap_or_else(|| panic!("{answer:#}"));
    assert_eq!(citation["lines"], serde_json::json!([6, 7]));
    let shown: Vec<&str> = note.lines().skip(5).take(2).collect();
    assert_eq!(citation["text"], shown.join("\n"));
}

#[test]
fn a_pdf_is_read_with_its_pages() {
    let home = Home::new();
    home.write(
        "manual.pdf",
        pdf(&[
            "The first page is about safety.",
            "The filter costs 42 euros.",
        ]),
    );
    home.add();
    let hits = home.json(&["search", "price of the filter"])["hits"].clone();
    assert_eq!(hits[0]["page"], 2, "{hits:#}");
    assert!(hits[0]["lines"].is_null());
}

#[test]
fn a_file_that_wants_too_much_is_given_up_and_nothing_else_is() {
    let home = Home::new();
    home.write("ok.md", "The heron is on the roof.\n");
    // Many drawing operations; under this limit not even the first page fits.
    let text = "a) Tj (".repeat(200_000);
    home.write("bomb.pdf", pdf(&[&text]));
    let limit = [("COHO_EXTRACT_MEMORY_MB", "48")];
    home.run_with(&limit, &["add", home.notes().to_str().unwrap()])
        .done();
    assert_eq!(home.found("heron"), ["ok.md"]);
    let reasons = home.problems();
    assert_eq!(reasons.len(), 1, "{reasons:?}");
    assert_eq!(reasons[0].0, "bomb.pdf");
    let reason = &reasons[0].1;
    assert!(
        reason.contains("memory") || reason.contains("without a result"),
        "{reason}"
    );
}

/// A PDF with one line of text a page.
fn pdf(pages: &[&str]) -> Vec<u8> {
    let mut objects = vec![
        "<< /Type /Catalog /Pages 2 0 R >>".to_owned(),
        String::new(),
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>".to_owned(),
    ];
    let mut kids = String::new();
    for text in pages {
        let content = format!("BT /F1 12 Tf 72 720 Td ({text}) Tj ET");
        objects.push(format!(
            "<< /Length {} >>\nstream\n{content}\nendstream",
            content.len()
        ));
        let stream = objects.len();
        objects.push(format!(
            "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents {stream} 0 R \
             /Resources << /Font << /F1 3 0 R >> >> >>"
        ));
        kids.push_str(&format!("{} 0 R ", objects.len()));
    }
    objects[1] = format!("<< /Type /Pages /Kids [{kids}] /Count {} >>", pages.len());
    let mut file = b"%PDF-1.4\n".to_vec();
    let mut offsets = Vec::new();
    for (i, object) in objects.iter().enumerate() {
        offsets.push(file.len());
        file.extend(format!("{} 0 obj\n{object}\nendobj\n", i + 1).bytes());
    }
    let table = file.len();
    file.extend(format!("xref\n0 {}\n0000000000 65535 f \n", objects.len() + 1).bytes());
    for offset in offsets {
        file.extend(format!("{offset:010} 00000 n \n").bytes());
    }
    let size = objects.len() + 1;
    file.extend(
        format!("trailer << /Size {size} /Root 1 0 R >>\nstartxref\n{table}\n%%EOF").bytes(),
    );
    file
}
