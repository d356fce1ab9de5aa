//! Folders as they are: mounts that vanish, names of any bytes, secrets, clocks, thousands of files.

use std::fs::{self, File};
use std::path::Path;
use std::time::{Duration, SystemTime};

use serde_json::Value;

use crate::kit::{Home, skipped, wait_for};

#[test]
fn a_root_that_vanishes_keeps_its_documents() {
    let home = Home::new();
    home.write("a.md", "The heron is on the roof.\n");
    home.add();
    let away = home.path("away");
    fs::rename(home.notes(), &away).unwrap();
    // Nothing there, and then an empty folder as a mount point is.
    for empty in [false, true] {
        if empty {
            fs::create_dir(home.notes()).unwrap();
        }
        let ran = home.run(&["sync"]);
        assert_eq!(ran.code, 1, "{}", ran.stderr);
        let status = home.json(&["status"]);
        assert_eq!(status["documents"], 1, "{status:#}");
        assert_eq!(status["sources"][0]["reachable"], false);
        assert!(status["sources"][0]["away"].is_string(), "{status:#}");
        assert_eq!(
            home.verify()["ok"],
            true,
            "what cannot be reached differs in nothing"
        );
    }
    fs::remove_dir(home.notes()).unwrap();
    fs::rename(&away, home.notes()).unwrap();
    let report = home.json(&["sync"])["reports"][0].clone();
    assert_eq!(report["chunks_embedded"], 0, "{report:#}");
    let status = home.json(&["status"]);
    assert_eq!(status["sources"][0]["reachable"], true);
    // An emptied folder is another thing: it is the same folder.
    fs::remove_file(home.notes().join("a.md")).unwrap();
    home.json(&["sync"]);
    assert_eq!(home.json(&["status"])["documents"], 0);
}

#[test]
fn a_root_that_comes_back_is_watched_again() {
    let home = Home::new();
    home.write("a.md", "The heron is on the roof.\n");
    home.add();
    let service = home.serve_with(&[("COHO_WATCH_POLL_S", "1")]);
    let notes = home.notes().canonicalize().unwrap();
    let away = home.path("away");
    fs::rename(&notes, &away).unwrap();
    wait_for("it is said to be away", || {
        service.get("/v1/sources").1["sources"][0]["reachable"] == false
    });
    assert!(service.best("heron").contains("on the roof"));
    // Another folder with the same notes, as after restoring a backup or cloning again.
    fs::create_dir(&notes).unwrap();
    fs::copy(away.join("a.md"), notes.join("a.md")).unwrap();
    wait_for("it is back", || {
        service.get("/v1/sources").1["sources"][0]["away"].is_null()
    });
    // The schedule would look in ten minutes only: this needs an event.
    for n in 0..3 {
        home.write(&format!("n{n}.md"), format!("The word is zebra{n}.\n"));
        wait_for("new notes are found", || {
            service.found(&notes, &format!("zebra{n}")).first() == Some(&format!("n{n}.md"))
        });
    }
}

/// Mounts a small file system in memory, or says that it may not.
#[cfg(target_os = "linux")]
struct Mount<'p>(&'p Path);

#[cfg(target_os = "linux")]
impl<'p> Mount<'p> {
    fn tmpfs(folder: &'p Path, size: &str) -> Option<Self> {
        fs::create_dir_all(folder).unwrap();
        let options = format!("size={size}");
        let mounted = std::process::Command::new("mount")
            .args(["-t", "tmpfs", "-o", options.as_str(), "tmpfs"])
            .arg(folder)
            .output();
        if mounted.is_ok_and(|m| m.status.success()) {
            return Some(Self(folder));
        }
        skipped("this needs the right to mount a file system");
        None
    }

    fn vanish(&self) {
        let gone = std::process::Command::new("umount")
            .arg(self.0)
            .status()
            .unwrap();
        assert!(gone.success());
    }
}

#[cfg(target_os = "linux")]
impl Drop for Mount<'_> {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount")
            .arg("-l")
            .arg(self.0)
            .output();
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_mount_below_the_root_that_vanishes_keeps_its_documents() {
    let home = Home::new();
    home.write("a.md", "The heron is on the roof.\n");
    let folder = home.notes().join("nas");
    let Some(mount) = Mount::tmpfs(&folder, "1m") else {
        return;
    };
    home.write("nas/b.md", "The lathe is on the other machine.\n");
    home.add();
    assert_eq!(home.found("lathe")[0], "nas/b.md");
    mount.vanish();
    home.json(&["sync"]);
    assert_eq!(home.json(&["status"])["documents"], 2);
    assert!(
        home.problems()[0].1.contains("mounted here"),
        "{:?}",
        home.problems()
    );
    let again = Mount::tmpfs(&folder, "1m").unwrap();
    home.write("nas/b.md", "The lathe is on the other machine.\n");
    home.json(&["sync"]);
    assert!(home.problems().is_empty(), "{:?}", home.problems());
    // Deleted while it is mounted, it is deleted.
    fs::remove_file(folder.join("b.md")).unwrap();
    home.json(&["sync"]);
    assert_eq!(home.json(&["status"])["documents"], 1);
    drop(again);
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_loses_nothing() {
    let home = Home::new();
    let disk = home.path("home");
    let Some(_mount) = Mount::tmpfs(&disk, "3m") else {
        return;
    };
    home.write("a.md", "The heron is on the roof.\n");
    home.add();
    for n in 0..400 {
        home.write(
            &format!("n{n}.md"),
            format!("# Note {n}\n\n{}\n", format!("word{n} ").repeat(90)),
        );
    }
    let ran = home.run(&["sync"]);
    assert_eq!(ran.code, 1, "{}", ran.stderr);
    assert!(ran.stderr.contains("free some space"), "{}", ran.stderr);
    assert_eq!(home.found("heron")[0], "a.md");
    for n in 0..400 {
        fs::remove_file(home.notes().join(format!("n{n}.md"))).unwrap();
    }
    let grown = std::process::Command::new("mount")
        .args(["-o", "remount,size=64m"])
        .arg(&disk)
        .status()
        .unwrap();
    assert!(grown.success());
    home.json(&["sync"]);
    let verdict = home.verify();
    assert_eq!(
        (&verdict["ok"], &verdict["documents"]),
        (&true.into(), &1.into()),
        "{verdict:#}"
    );
}

#[cfg(target_os = "linux")]
#[test]
fn names_may_be_any_bytes() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let home = Home::new();
    let names: [&[u8]; 4] = [
        b"gr\xfcn.md",
        b"gr\xfdn.md",
        b"new\nline.md",
        "\u{f7fc}.md".as_bytes(),
    ];
    for (n, name) in names.iter().enumerate() {
        let path = home.notes().join(OsStr::from_bytes(name));
        fs::write(path, format!("The word is zebra{n}.\n")).unwrap();
    }
    let report = home.add()["report"].clone();
    assert_eq!(
        (&report["added"], &report["problems"]),
        (&4.into(), &serde_json::json!([]))
    );
    let hits = home.json(&["search", "zebra0"])["hits"].clone();
    assert!(
        hits[0]["path"].as_str().unwrap().ends_with("gr\\xFCn.md"),
        "{hits:#}"
    );
    fs::rename(
        home.notes().join(OsStr::from_bytes(names[0])),
        home.notes().join(OsStr::from_bytes(b"\xff\xfe.md")),
    )
    .unwrap();
    fs::remove_file(home.notes().join(OsStr::from_bytes(names[1]))).unwrap();
    let report = home.json(&["sync"])["reports"][0].clone();
    assert_eq!(
        (
            &report["moved"],
            &report["removed"],
            &report["chunks_embedded"]
        ),
        (&1.into(), &1.into(), &0.into()),
        "{report:#}"
    );
    assert_eq!(home.verify()["ok"], true);
}

#[test]
fn secrets_are_listed_and_read_only_when_asked_for() {
    let home = Home::new();
    let secret = "TOKEN=tarantula\n";
    for name in [".env", "id_rsa", "passwords.kdbx", "deploy/server.key"] {
        home.write(name, secret);
    }
    home.write(
        "pasted.txt",
        "-----BEGIN OPENSSH PRIVATE KEY-----\ntarantula\n",
    );
    home.write("id_card.md", "The number of the identity card is 7.\n");
    home.add();
    assert_eq!(home.json(&["status"])["documents"], 1);
    let listed = home.problems();
    assert_eq!(listed.len(), 5, "{listed:?}");
    assert!(
        listed.iter().all(|(_, reason)| reason.contains("private")),
        "{listed:?}"
    );
    let ledger = fs::read(home.path("home/ledger.sqlite")).unwrap();
    assert!(!ledger.windows(9).any(|w| w == b"tarantula"));
    home.json(&["sources", "remove", "1"]);
    home.json(&[
        "add",
        home.notes().to_str().unwrap(),
        "--include",
        "**/.env",
    ]);
    assert_eq!(home.found("tarantula"), [".env"]);
}

#[test]
fn times_may_lie() {
    let home = Home::new();
    let note = home.write("a.md", "The word is quartz.\n");
    let far = SystemTime::now() + Duration::from_hours(24 * 365 * 20);
    File::options()
        .write(true)
        .open(&note)
        .unwrap()
        .set_modified(far)
        .unwrap();
    home.add();
    // Another content of the same size under the same time stamp.
    fs::write(&note, "The word is garnet.\n").unwrap();
    File::options()
        .write(true)
        .open(&note)
        .unwrap()
        .set_modified(far)
        .unwrap();
    home.json(&["sync"]);
    assert!(
        home.json(&["search", "garnet"])["hits"][0]["text"]
            .to_string()
            .contains("garnet")
    );
    let old = SystemTime::UNIX_EPOCH - Duration::from_hours(24 * 365);
    fs::write(&note, "The word is basalt.\n").unwrap();
    File::options()
        .write(true)
        .open(&note)
        .unwrap()
        .set_modified(old)
        .unwrap();
    home.json(&["sync"]);
    assert!(
        home.json(&["search", "basalt"])["hits"][0]["text"]
            .to_string()
            .contains("basalt")
    );
}

#[test]
fn a_folder_of_a_thousand_files_moves_without_embedding() {
    let home = Home::new();
    for n in 0..1000 {
        home.write(&format!("old/{}/n{n}.md", n % 10), format!("Note {n}.\n"));
    }
    let service = home.serve();
    // By the command, which waits however long a busy machine takes.
    let source = home.add()["source"].clone();
    assert_eq!(service.get("/v1/status").1["documents"], 1000);
    fs::rename(home.notes().join("old"), home.notes().join("new")).unwrap();
    let notes = home.notes().canonicalize().unwrap();
    wait_for("all have moved", || {
        let found = service.found(&notes, "note 77");
        found.iter().all(|path| path.starts_with("new/"))
    });
    let report = service
        .post(&format!("/v1/sources/{}/sync", source["id"]), &Value::Null)
        .1;
    assert_eq!(
        (&report["unchanged"], &report["chunks_embedded"]),
        (&1000.into(), &0.into()),
        "{report}"
    );
    drop(service);
    let verdict = home.verify();
    assert_eq!(
        (&verdict["ok"], &verdict["documents"]),
        (&true.into(), &1000.into())
    );
}

#[test]
fn a_file_that_cannot_be_read_just_now_keeps_what_was_known() {
    let home = Home::new();
    home.write("a.md", "The heron is on the roof.\n");
    home.add();
    home.write("a.md", "The heron is on the roof, and its mate.\n");
    let sync = |failing: &str| {
        let ran = home.run_with(&[("COHO_FAIL", failing)], &["sync", "--json"]);
        ran.ok().json()["reports"][0].clone()
    };
    let report = sync("read-file=error");
    assert_eq!(report["problems"][0]["path"], "a.md", "{report:#}");
    assert_eq!(home.found("heron"), ["a.md"]);
    let report = sync("");
    assert_eq!(report["changed"], 1, "{report:#}");
    assert!(home.problems().is_empty());
}

#[cfg(unix)]
#[test]
fn a_folder_without_permission_keeps_its_documents() {
    use std::os::unix::fs::PermissionsExt;
    let home = Home::new();
    home.write("closed/a.md", "The heron is on the roof.\n");
    home.add();
    let folder = home.notes().join("closed");
    let set = |mode| fs::set_permissions(&folder, fs::Permissions::from_mode(mode)).unwrap();
    set(0o000);
    if fs::read_dir(&folder).is_ok() {
        set(0o755);
        skipped("this account may read everything");
        return;
    }
    home.json(&["sync"]);
    assert_eq!(home.json(&["status"])["documents"], 1);
    assert_eq!(home.problems()[0].0, "closed");
    set(0o755);
    home.json(&["sync"]);
    assert!(home.problems().is_empty());
}

#[cfg(target_os = "linux")]
#[test]
fn a_read_only_data_folder_says_so() {
    let home = Home::new();
    let disk = home.path("home");
    let Some(_mount) = Mount::tmpfs(&disk, "16m") else {
        return;
    };
    home.write("a.md", "The heron is on the roof.\n");
    home.add();
    let remount = |mode: &str| {
        let options = format!("remount,{mode}");
        let done = std::process::Command::new("mount")
            .args(["-o", options.as_str()])
            .arg(&disk)
            .status();
        assert!(done.unwrap().success());
    };
    remount("ro");
    for arguments in [
        &["sync"][..],
        &["search", "heron"],
        &["ask", "Where is the heron?"],
    ] {
        let ran = home.run(arguments);
        assert_eq!(ran.code, 1, "{arguments:?}: {}{}", ran.stdout, ran.stderr);
        assert!(
            ran.stderr.contains("read-only"),
            "{arguments:?}: {}",
            ran.stderr
        );
        assert!(
            ran.stderr.contains("hint:"),
            "{arguments:?}: {}",
            ran.stderr
        );
    }
    remount("rw");
    assert_eq!(home.found("heron"), ["a.md"]);
}

#[cfg(unix)]
#[test]
fn links_that_lead_in_circles_or_out_are_not_followed() {
    use std::os::unix::fs::symlink as link;
    let home = Home::new();
    home.write("sub/a.md", "The heron is on the roof.\n");
    link(home.notes(), home.notes().join("sub/loop")).unwrap();
    link("/etc", home.notes().join("etc")).unwrap();
    link("a.md", home.notes().join("sub/alias.md")).unwrap();
    home.add();
    assert_eq!(home.json(&["status"])["documents"], 1);
    // A file that becomes a link between the scan and the reading is not followed either: the
    // path is opened link by link.
    let hits = home.json(&["search", "heron"])["hits"].clone();
    assert_eq!(hits.as_array().unwrap().len(), 1);
}
