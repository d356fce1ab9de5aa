"""Measures ingestion and what it leaves behind, as `make bench-ingest` runs it.

Needs COHO_EVAL_DATA. Ratios are taken within one run. Writes eval/results/ingest.json. With names of
measurements after the program only those are repeated, and the others are kept as they were.
"""

import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time

from bench import COHO, ROOT, Home, about_this_run, queries, resident_mib


def main():
    data = os.environ.get("COHO_EVAL_DATA")
    if not data:
        raise SystemExit("set COHO_EVAL_DATA to the folder of evaluation data")
    folder = pathlib.Path(tempfile.mkdtemp(prefix="coho-ingest-"))
    data = pathlib.Path(data)
    # In this order: later ones use the knowledge bases of earlier ones.
    measurements = {
        "real_notes": lambda: sync_against_model(folder, data, "simonw_til"),
        "many_changes": lambda: many_changes(folder),
        "many_edits": lambda: many_edits(folder),
        "tiny_notes": lambda: sync_against_model(folder, data, "tldr_en"),
        "unchanged_start": lambda: unchanged_start(folder),
        "ten_thousand": lambda: ten_thousand(folder, data),
    }
    target = ROOT / "eval/results/ingest.json"
    figures = json.loads(target.read_text("utf-8"))["figures"] if target.exists() else {}
    try:
        for name in sys.argv[2:] or measurements:
            figures[name] = measurements[name]()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    result = {**about_this_run("make bench-ingest"), "figures": figures}
    target.write_text(json.dumps(result, indent=2) + "\n", "utf-8")
    print(json.dumps(figures, indent=2))
    print(f"kept in {target}")


def unpack(folder, data, vault):
    archive = data / f"vaults/{vault}.tar.zst"
    subprocess.run(["tar", "--zstd", "-xf", archive, "-C", folder], check=True)
    return folder / vault


def sync_against_model(folder, data, vault):
    """A full sync against fastembed alone on the same chunks."""
    notes = unpack(folder, data, vault)
    home = Home(folder / f"home-{vault}")
    report = home.json("add", str(notes))["report"]
    alone = home.json("models", "bench", "--notes")["embedder"]["notes"]["chunks_per_s"]
    synced = report["chunks_embedded"] / (report["took_ms"] / 1e3)
    return {
        "vault": f"{vault}: {report['added']} documents, {report['chunks_embedded']} chunks",
        "sync_chunks_per_s": round(synced, 1),
        "fastembed_alone_chunks_per_s": alone,
        "ratio": round(synced / alone, 3),
        "goal": 0.9,
    }


def unchanged_start(folder):
    """Starting the service on the unchanged vault of tiny notes."""
    home = Home(folder / "home-tldr_en")
    seconds, opened = [], None
    for _ in range(3):
        started = time.monotonic()
        began_ms = time.time() * 1e3
        with home.serve() as service:
            while True:
                source = service.call("GET", "/v1/sources")[1]["sources"][0]
                if (source["synced_ms"] or 0) >= began_ms:
                    break
                time.sleep(0.01)
            seconds.append(time.monotonic() - started)
            read = pathlib.Path(f"/proc/{service.process.pid}/io").read_text()
            opened = int(read.split("rchar: ")[1].split()[0])
    return {
        "ready_and_scanned_s": round(statistics.median(seconds), 3),
        "goal": 2.0,
        "bytes_read_in_all_mib": round(opened / 2**20, 1),
        "of_which": "the models (90 MB), the ledger and the index; no note is opened",
    }


def latencies(service, words, stop):
    """Search times in ms until told to stop."""
    times = []
    while not stop.is_set():
        for word in words:
            started = time.monotonic()
            service.search(word)
            times.append((time.monotonic() - started) * 1e3)
            if stop.is_set():
                break
    return times


def p99(times):
    return sorted(times)[int(len(times) * 0.99)]


def many_changes(folder):
    """1,000 files change at once while searches go on."""
    notes = folder / "simonw_til"
    home = Home(folder / "home-simonw_til")
    words = queries(notes, 50)
    files = sorted(notes.rglob("*.md"))
    with home.serve() as service, home.serve_again(service) as other:
        idle = []
        for _ in range(20):
            for word in words:
                started = time.monotonic()
                service.search(word)
                idle.append((time.monotonic() - started) * 1e3)
        stop, busy = threading.Event(), []
        searching = threading.Thread(target=lambda: busy.extend(latencies(service, words, stop)))
        searching.start()
        started = time.monotonic()
        for n in range(1000):
            if n < len(files):
                with files[n].open("a") as note:
                    note.write(f"\n\nAn afterthought, number {n}: the marker is zq{n}zq.\n")
            else:
                (notes / f"new-{n}.md").write_text(f"# New {n}\n\nThe marker is zq{n}zq.\n")
        missing = set(range(1000))
        while missing:
            probe = next(iter(missing))
            if any(f"zq{probe}zq" in hit["text"] for hit in other.search(f"zq{probe}zq")["hits"]):
                missing.discard(probe)
            else:
                time.sleep(0.05)
        took = time.monotonic() - started
        stop.set()
        searching.join()
    return {
        "changed_files": 1000,
        "all_searchable_after_s": round(took, 2),
        "search_idle_ms_median_p99": [round(statistics.median(idle), 2), round(p99(idle), 2)],
        "search_meanwhile_ms_median_p99": [round(statistics.median(busy), 2), round(p99(busy), 2)],
        "p99_ratio": round(p99(busy) / p99(idle), 2),
        "goal": "at most 3",
    }


def many_edits(folder):
    """1,000 single-file edits, each synced; then the same notes in a fresh index."""
    notes = folder / "simonw_til"
    home = Home(folder / "home-simonw_til")
    words = queries(notes, 50)
    files = sorted(notes.rglob("*.md"))
    largest = 0

    def timed(service):
        times = []
        for _ in range(10):
            for word in words:
                started = time.monotonic()
                service.search(word)
                times.append((time.monotonic() - started) * 1e3)
        return statistics.median(times)

    with home.serve() as service:
        source = service.call("GET", "/v1/sources")[1]["sources"][0]["id"]
        for n in range(1000):
            with files[n % len(files)].open("a") as note:
                note.write(f"\n\nEdit {n} was made.\n")
            status, report = service.call("POST", f"/v1/sources/{source}/sync")
            assert status == 200, report
            largest = max(largest, size(folder / "home-simonw_til/index"))
        time.sleep(14)
        edited = timed(service)
        edited_bytes = size(folder / "home-simonw_til/index")
    fresh = Home(folder / "home-fresh")
    fresh.json("add", str(notes))
    with fresh.serve() as service:
        time.sleep(14)
        fresh_ms = timed(service)
        fresh_bytes = size(folder / "home-fresh/index")
    return {
        "edits": 1000,
        "index_mib_after_edits_at_rest": round(edited_bytes / 2**20, 2),
        "index_mib_largest_on_the_way": round(largest / 2**20, 2),
        "index_mib_fresh": round(fresh_bytes / 2**20, 2),
        "size_ratio": round(edited_bytes / fresh_bytes, 2),
        "size_goal": "at most 2",
        "search_ms_after_edits_and_fresh": [round(edited, 2), round(fresh_ms, 2)],
        "search_ratio": round(edited / fresh_ms, 2),
        "search_goal": "at most 1.2",
    }


def size(folder):
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_size if path.is_file() else 0
        except FileNotFoundError:
            pass
    return total


def ten_thousand(folder, data):
    """Memory at the peak of a sync of 10,000 notes."""
    notes = folder / "tldr_en"
    have = sum(1 for path in notes.rglob("*.md"))
    corpus = subprocess.run(
        ["zstd", "-dc", data / "eval/nq_oracle/corpus.jsonl.zst"], check=True, capture_output=True
    ).stdout.decode()
    more = notes / "more"
    more.mkdir()
    for n, line in enumerate(corpus.splitlines()[: 10_000 - have]):
        entry = json.loads(line)
        (more / f"n{n}.md").write_text(f"# {entry.get('title') or n}\n\n{entry['text']}\n", "utf-8")
    home = Home(folder / "home-10k")
    process = subprocess.Popen(
        [COHO, "add", str(notes), "--json"],
        env=home.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    peak = 0
    while process.poll() is None:
        try:
            peak = max(peak, resident_mib(process.pid))
        except (FileNotFoundError, SystemExit):
            break
        time.sleep(0.05)
    report = json.loads(process.communicate()[0])["report"]
    return {
        "documents": report["added"],
        "chunks": report["chunks_embedded"],
        "seconds": round(report["took_ms"] / 1e3, 1),
        "peak_resident_mib": round(peak, 1),
        "goal": "at most 900 MB",
    }


if __name__ == "__main__":
    main()
