"""Reads difficult files and says what became of each, as `make files` runs it.

Needs COHO_EVAL_DATA. Every file either yields text or is listed with a reason; this table says
which, beside what the data's own manifest expects. Writes eval/results/files.json.
"""

import json
import os
import pathlib
import shutil
import sqlite3
import tempfile
import time

from bench import ROOT, Home, about_this_run


def main():
    data = os.environ.get("COHO_EVAL_DATA")
    if not data:
        raise SystemExit("set COHO_EVAL_DATA to the folder of evaluation data")
    files = pathlib.Path(data) / "files"
    manifest = [json.loads(line) for line in (files / "manifest.jsonl").read_text("utf-8").splitlines()]
    folder = pathlib.Path(tempfile.mkdtemp(prefix="coho-files-"))
    try:
        notes = folder / "files"
        shutil.copytree(files, notes)
        home = Home(folder / "home")
        started = time.monotonic()
        report = home.json("add", str(notes))["report"]
        took = time.monotonic() - started
        problems = {p["path"]: p["reason"] for p in home.json("status", "--problems")["problems"]}
        documents = read_documents(folder / "home/ledger.sqlite", notes)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    table = []
    for entry in manifest:
        path = str(notes / entry["file"])
        row = {"file": entry["file"], "expected": entry.get("expect") or ""}
        if path in documents:
            text = documents[path]
            row |= {"outcome": "read", "characters": len(text)}
            row["begins"] = " ".join(text.split())[:80]
        else:
            row |= {"outcome": "listed", "reason": problems.get(path, "NOT LISTED")}
        table.append(row)
    read = sum(row["outcome"] == "read" for row in table)
    result = {
        **about_this_run("make files"),
        "read": read,
        "listed": len(table) - read,
        "unaccounted": sum(row.get("reason") == "NOT LISTED" for row in table),
        "seconds": round(took, 2),
        "chunks": report["chunks_embedded"],
        "files": table,
    }
    target = ROOT / "eval/results/files.json"
    target.write_text(json.dumps(result, indent=2, ensure_ascii=False) + "\n", "utf-8")
    print(f"{read} read, {len(table) - read} listed with a reason, kept in {target}")


def read_documents(ledger, notes):
    """Path to text of all documents, in the order of their passages."""
    texts = {}
    with sqlite3.connect(f"file:{ledger}?mode=ro", uri=True) as connection:
        query = """SELECT d.path, c.text FROM passage p JOIN document d ON d.id = p.document_id
                   JOIN chunk c ON c.id = p.chunk_id ORDER BY d.path, p.ordinal"""
        for path, text in connection.execute(query):
            path = str(notes / path)
            texts[path] = texts.get(path, "") + text + "\n"
    return texts


main()
