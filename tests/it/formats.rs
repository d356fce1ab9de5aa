//! Files of every kind: their text is found and cited where it stands; hostile ones are listed.

use std::io::Write;

use serde_json::Value;

use crate::kit::Home;

fn archive(entries: &[(&str, &str)]) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, text) in entries {
        let options = zip::write::SimpleFileOptions::default();
        zip.start_file(*name, options).unwrap();
        zip.write_all(text.as_bytes()).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

/// An archive with 400 MiB of blanks in an entry, written piece by piece: other tests need memory, too.
fn bomb(entry: &str) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let options = zip::write::SimpleFileOptions::default();
    zip.start_file(entry, options).unwrap();
    let blanks = vec![b' '; 1 << 20];
    for _ in 0..400 {
        zip.write_all(&blanks).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

fn docx() -> Vec<u8> {
    archive(&[
        (
            "word/styles.xml",
            "<w:styles xmlns:w='w'><w:style w:styleId='berschrift1'><w:name w:val='heading 1'/>\
             </w:style></w:styles>",
        ),
        (
            "word/document.xml",
            "<w:document xmlns:w='w'><w:body><w:p><w:pPr><w:pStyle w:val='berschrift1'/></w:pPr>\
             <w:r><w:t>Contract</w:t></w:r></w:p><w:p><w:r><w:t>The lease of the quarry ends in \
             2031 &amp; not before.</w:t></w:r><w:del><w:r><w:t>deleted words</w:t></w:r></w:del>\
             </w:p><w:tbl><w:tr><w:tc><w:p><w:r><w:t>Rent</w:t></w:r></w:p></w:tc><w:tc><w:p><w:r>\
             <w:t>740 euros</w:t></w:r></w:p></w:tc></w:tr></w:tbl></w:body></w:document>",
        ),
    ])
}

fn odt() -> Vec<u8> {
    archive(&[(
        "content.xml",
        "<o:document xmlns:o='o' xmlns:t='t'><o:body><t:h t:outline-level='1'>Cellar</t:h><t:p>The \
         barrel of mead stands<t:s t:c='1'/>behind the ladder.</t:p></o:body></o:document>",
    )])
}

fn pptx() -> Vec<u8> {
    let slide = |title: &str, text: &str| {
        format!(
            "<p:sld xmlns:p='p' xmlns:a='a'><p:sp><p:nvPr><p:ph type='title'/></p:nvPr><a:p><a:r>\
             <a:t>{title}</a:t></a:r></a:p></p:sp><p:sp><a:p><a:r><a:t>{text}</a:t></a:r></a:p>\
             </p:sp></p:sld>"
        )
    };
    archive(&[
        (
            "ppt/presentation.xml",
            "<p:presentation xmlns:p='p' xmlns:r='r'><p:sldId id='256' r:id='b'/>\
             <p:sldId id='257' r:id='a'/></p:presentation>",
        ),
        (
            "ppt/_rels/presentation.xml.rels",
            "<R><Relationship Id='a' Type='x/slide' Target='slides/one.xml'/>\
             <Relationship Id='b' Type='x/slide' Target='slides/two.xml'/></R>",
        ),
        (
            "ppt/slides/one.xml",
            &slide("Costs", "The dredger costs a fortune."),
        ),
        (
            "ppt/slides/two.xml",
            &slide("Welcome", "An overview of the harbour."),
        ),
    ])
}

/// A workbook of a whole sheet, and of a second one with this XML.
fn xlsx(second: Option<&str>) -> Vec<u8> {
    let cell = |place: &str, text: &str| {
        format!("<c r='{place}' t='inlineStr'><is><t>{text}</t></is></c>")
    };
    let rows = format!(
        "<row r='1'>{}{}</row><row r='2'>{}{}</row>",
        cell("A1", "Tool"),
        cell("B1", "Place"),
        cell("A2", "Sextant"),
        cell("B2", "Attic")
    );
    let office = "http://schemas.openxmlformats.org/officeDocument/2006/relationships";
    let main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main";
    let also = second.map_or("", |_| "<sheet name='Second' sheetId='2' r:id='rId2'/>");
    archive(&[
        ("[Content_Types].xml", "<Types/>"),
        (
            "_rels/.rels",
            &format!(
                "<Relationships xmlns='http://schemas.openxmlformats.org/package/2006/relationships'>\
                 <Relationship Id='r' Type='{office}/officeDocument' Target='xl/workbook.xml'/>\
                 </Relationships>"
            ),
        ),
        (
            "xl/workbook.xml",
            &format!(
                "<workbook xmlns='{main}' xmlns:r='{office}'><sheets><sheet name='Inventory' sheetId='1' \
                 r:id='rId1'/>{also}</sheets></workbook>"
            ),
        ),
        (
            "xl/_rels/workbook.xml.rels",
            &format!(
                "<Relationships xmlns='http://schemas.openxmlformats.org/package/2006/relationships'>\
                 <Relationship Id='rId1' Type='{office}/worksheet' \
                 Target='worksheets/sheet1.xml'/><Relationship Id='rId2' \
                 Type='{office}/worksheet' Target='worksheets/sheet2.xml'/></Relationships>"
            ),
        ),
        (
            "xl/worksheets/sheet1.xml",
            &format!("<worksheet xmlns='{main}'><sheetData>{rows}</sheetData></worksheet>"),
        ),
        ("xl/worksheets/sheet2.xml", second.unwrap_or("<worksheet/>")),
    ])
}

fn epub() -> Vec<u8> {
    archive(&[
        (
            "META-INF/container.xml",
            "<container><rootfiles><rootfile full-path='O/book.opf'/></rootfiles></container>",
        ),
        (
            "O/book.opf",
            "<package><metadata><title>Lighthouses</title></metadata><manifest>\
             <item id='one' href='one.xhtml'/><item id='two' href='t%20wo.xhtml'/></manifest>\
             <spine><itemref idref='one'/><itemref idref='two'/></spine></package>",
        ),
        (
            "O/one.xhtml",
            "<html><body><h1>Start</h1><p>Nothing here.</p></body></html>",
        ),
        (
            "O/t wo.xhtml",
            "<html><body><h1>Keepers</h1><p>The keeper polishes the lens at dawn.</p></body></html>",
        ),
    ])
}

#[track_caller]
fn best(home: &Home, query: &str) -> Value {
    let hits = home.json(&["search", query, "-k", "1"])["hits"].clone();
    hits[0].clone()
}

/// Query, file that it must find first, words of the hit, heading, page, lines.
#[rustfmt::skip]
const EXPECTED: &[(&str, &str, &str, Option<&str>, Option<u64>, Option<(u32, u32)>)] = &[
    ("end of the quarry lease", "lease.docx", "2031 & not", None, None, None),
    ("rent euros contract", "lease.docx", "Rent | 740 euros", None, None, None),
    ("barrel of mead", "cellar.odt", "stands behind", None, None, None),
    ("dredger fortune", "harbour.pptx", "Costs\n", None, Some(2), None),
    ("sextant", "things.xlsx", "row 2 | Tool: Sextant | Place: Attic", None, Some(1), None),
    ("keeper lens dawn", "book.epub", "polishes", None, Some(2), None),
    ("falconer", "people.csv", "row 2 | Name: Odalys | Role: falconer", None, None, None),
    ("barn owl voles", "page.html", "Diet\n\nThe barn owl", None, None, None),
    ("Дорогой marmalade", "letter.rtf", "Дорогой", None, None, None),
    ("semidiurnal amplitude", "plot.ipynb", "height =", Some("Tides"), Some(2), None),
    ("caulk the dinghy", "summer.canvas", "Boat\n\nCaulk", None, Some(2), None),
    ("queen swarmed", "note.eml", "From: Ann <ann@example.org>", None, None, None),
    ("trebuchet", "all.mbox", "Two", None, Some(2), None),
    ("crowbar", "store.py", "def lift", None, None, Some((1, 6))),
    ("prune the medlar", "tasks.org", "medlar", None, None, Some((1, 2))),
    ("theremin", "guide.rst", "Tune", None, None, Some((1, 4))),
    ("oil the bellows", "manual.adoc", "bellows", None, None, Some((1, 5))),
];

#[test]
fn every_kind_is_found_where_it_stands() {
    let home = Home::new();
    home.write("lease.docx", docx());
    home.write("cellar.odt", odt());
    home.write("harbour.pptx", pptx());
    home.write("things.xlsx", xlsx(None));
    home.write("book.epub", epub());
    home.write("people.csv", "Name,Role\nOdalys,falconer\nPiet,baker\n");
    home.write(
        "page.html",
        "<html><head><title>Owls</title></head><body><nav>Home About Contact</nav><h2>Diet</h2>\
         <p>The barn owl swallows voles whole.</p><script>var trap = 1;</script></body></html>",
    );
    home.write(
        "letter.rtf",
        b"{\\rtf1\\ansi\\ansicpg1251 \\'c4\\'ee\\'f0\\'ee\\'e3\\'ee\\'e9\\par Marmalade recipe}",
    );
    home.write(
        "plot.ipynb",
        r##"{"cells":[{"cell_type":"markdown","source":["# Tides"]},{"cell_type":"code",
            "source":["height = semidiurnal(amplitude)"],"outputs":[]}]}"##,
    );
    home.write(
        "summer.canvas",
        r#"{"nodes":[{"id":"g","type":"group","label":"Boat","x":0,"y":90,"width":50,"height":50},
            {"id":"a","type":"text","text":"Swim.","x":0,"y":0,"width":9,"height":9},
            {"id":"b","type":"text","text":"Caulk the dinghy.","x":5,"y":95,"width":9,"height":9}],
            "edges":[]}"#,
    );
    home.write(
        "note.eml",
        "From: Ann <ann@example.org>\r\nSubject: Beehive\r\n\r\nThe queen has swarmed.\r\n",
    );
    home.write(
        "all.mbox",
        "From a\nSubject: One\n\nAbout gravel.\n\nFrom b\nSubject: Two\n\nAbout the trebuchet.\n",
    );
    home.write(
        "store.py",
        "import os\n\n\nclass Shelf:\n    def lift(self):\n        return 'crowbar'\n",
    );
    home.write(
        "tasks.org",
        "* TODO Garden :spring:\nPrune the medlar in March.\n",
    );
    home.write("guide.rst", "Guide\n=====\n\nTune the theremin first.\n");
    home.write(
        "manual.adoc",
        "= Manual\n\n== Valves\n\nOil the bellows monthly.\n",
    );
    let report = home.add()["report"].clone();
    assert_eq!(report["problems"], serde_json::json!([]), "{report:#}");
    assert_eq!(report["added"], 16);

    for (query, file, words, heading, page, lines) in EXPECTED {
        let hit = best(&home, query);
        let path = hit["path"].as_str().unwrap();
        assert!(path.ends_with(file), "{query}: {hit:#}");
        assert!(hit["text"].as_str().unwrap().contains(words), "{hit:#}");
        assert_eq!(hit["page"].as_u64(), *page, "{hit:#}");
        assert_eq!(hit["lines"], serde_json::json!(lines), "{hit:#}");
        if let Some(heading) = heading {
            assert_eq!(hit["heading"], *heading, "{hit:#}");
        }
    }
    for silent in ["About Contact", "trap", "deleted words"] {
        let hits = home.json(&["search", silent])["hits"].clone();
        assert!(!hits.to_string().contains(silent), "{silent}: {hits:#}");
    }
}

#[test]
fn a_broken_sheet_is_told_as_long_as_it_is_there() {
    let home = Home::new();
    let broken = "<worksheet><sheetData><row r='1'><c r='A1'";
    let file = home.write("things.xlsx", xlsx(Some(broken)));
    home.add();
    let check = |count: usize| {
        assert_eq!(home.found("sextant"), ["things.xlsx"]);
        let problems = home.problems();
        assert_eq!(problems.len(), count, "{problems:?}");
        for (_, reason) in problems {
            assert!(
                reason.starts_with("read in part: the sheet \"Second\""),
                "{reason}"
            );
        }
    };
    check(1);
    home.run(&["sync"]).done();
    check(1);
    // The same bytes again are broken as before.
    std::fs::write(file, xlsx(Some(broken))).unwrap();
    home.run(&["sync"]).done();
    check(1);
    // Within other limits there may be more of it.
    let limit = [("COHO_EXTRACT_TIMEOUT_S", "30")];
    let synced = home.run_with(&limit, &["sync", "--json"]).ok().json();
    assert_eq!(synced["reports"][0]["changed"], 1, "{synced:#}");
    check(1);
    home.write("things.xlsx", xlsx(None));
    home.run(&["sync"]).done();
    check(0);
}

#[test]
fn hostile_files_are_listed_and_stop_nothing() {
    let home = Home::new();
    home.write("bomb.docx", bomb("word/document.xml"));
    home.write("bomb.xlsx", bomb("xl/workbook.xml"));
    home.write(
        "deep.odt",
        archive(&[("content.xml", &"<a>".repeat(1_000_000))]),
    );
    home.write("deep.ipynb", "[".repeat(1_000_000));
    home.write("not.docx", "no archive");
    home.write("old.doc", "anything");
    home.write("locked.xlsx", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1 and more");
    home.write("fine.html", "<p>The heron is on the roof.</p>");
    home.add();
    assert_eq!(home.json(&["status"])["documents"], 1);
    assert_eq!(home.found("heron"), ["fine.html"]);
    let listed = home.problems();
    let reason = |name: &str| {
        let found = listed.iter().find(|(path, _)| path == name);
        let found = found.unwrap_or_else(|| panic!("{name} is not listed: {listed:?}"));
        found.1.clone()
    };
    assert!(reason("bomb.docx").contains("zip bomb"));
    assert!(reason("bomb.xlsx").contains("zip bomb"));
    assert!(reason("deep.odt").contains("nested too deep"));
    assert!(reason("deep.ipynb").contains("broken"));
    assert!(reason("not.docx").contains("no zip archive"));
    assert!(reason("old.doc").contains("save it as docx"));
    assert!(!reason("locked.xlsx").is_empty());
}

#[test]
fn what_takes_too_long_is_given_up_and_the_next_is_read() {
    let home = Home::new();
    // Takes the reader many times as long.
    home.write("a.html", "<div>".repeat(1_000_000));
    home.write("b.html", "<p>The heron is on the roof.</p>");
    let limit = [("COHO_EXTRACT_TIMEOUT_S", "15")];
    home.run_with(&limit, &["add", home.notes().to_str().unwrap()])
        .done();
    assert_eq!(home.found("heron"), ["b.html"]);
    let listed = home.problems();
    assert_eq!(listed.len(), 1, "{listed:?}");
    let (name, reason) = &listed[0];
    assert!(
        name == "a.html" && reason.contains("takes too long"),
        "{listed:?}"
    );
    // It is tried once more, when the machine may have less to do, and then it was tried as any other.
    let how = || -> String {
        let ledger = rusqlite::Connection::open(home.path("home/ledger.sqlite")).unwrap();
        let recipe = ledger.query_row("SELECT recipe FROM problem", [], |row| row.get(0));
        recipe.unwrap()
    };
    let first = how();
    home.run_with(&limit, &["sync"]).done();
    assert_eq!(first, format!("{} once", how()));
}
