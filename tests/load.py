"""Many clients at once, and for long, as `make load` runs them.

* search: requests/s and the slowest hundredth of 32 clients against one (wrk, from Debian's packages),
* ask: 16 clients ask at once; each is answered, or told "busy" and when to try again,
* hour: searches, questions, agents and edits go on for an hour; memory at its end against that after
  five minutes (`COHO_LOAD_MINUTES` makes it shorter).

On the notes of COHO_EVAL_DATA (simonw_til), or the sample vault. Writes eval/results/service.json.
"""

import json
import os
import pathlib
import random
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time

from bench import ROOT, Home, about_this_run, queries, resident_mib

SECONDS = 15
SCRIPT = """
local bodies = {}
for line in io.lines("%s") do bodies[#bodies + 1] = line end
local n = 0
request = function()
  n = n + 1
  return wrk.format("POST", "/v1/search", {
    ["Authorization"] = "Bearer %s", ["Content-Type"] = "application/json",
  }, bodies[n %% #bodies + 1])
end
done = function(summary, latency)
  io.write(string.format("FOUND %%d %%d %%d %%d %%d\\n", summary.requests, summary.duration,
    latency:percentile(99), latency:percentile(50),
    summary.errors.status + summary.errors.connect + summary.errors.read + summary.errors.timeout))
end
"""


def main():
    parts = {"search": search, "ask": ask, "hour": hour}
    chosen = sys.argv[2:] or list(parts)
    target = ROOT / "eval/results/service.json"
    found = json.loads(target.read_text("utf-8")) if target.exists() else {}
    folder = pathlib.Path(tempfile.mkdtemp(prefix="coho-load-"))
    try:
        notes = unpacked(folder)
        home = Home(folder / "home", {"COHO_WRITEBACK_IDLE_S": "20"})
        found["notes"] = f"{home.json('add', str(notes))['report']['added']} documents"
        for part in chosen:
            with home.serve() as service:
                found[part] = {**about_this_run("make load"), **parts[part](home, service, notes)}
            print(part, json.dumps(found[part]), flush=True)
            target.write_text(json.dumps(found, indent=2) + "\n", "utf-8")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def unpacked(folder):
    data = os.environ.get("COHO_EVAL_DATA")
    if not data:
        print("COHO_EVAL_DATA is not set: the sample vault is searched", file=sys.stderr)
        return shutil.copytree(ROOT / "eval/vault", folder / "notes")
    archive = pathlib.Path(data) / "vaults/simonw_til.tar.zst"
    subprocess.run(["tar", "--zstd", "-xf", archive, "-C", folder], check=True)
    return folder / "simonw_til"


def search(home, service, notes):
    if not shutil.which("wrk"):
        raise SystemExit("this measures with wrk: install Debian's package `wrk`")
    folder = notes.parent
    bodies = folder / "bodies"
    bodies.write_text("".join(json.dumps({"query": q}) + "\n" for q in queries(notes, 400)))
    script = folder / "search.lua"
    script.write_text(SCRIPT % (bodies, service.token))
    figures = {}
    for clients in (1, 32, 1, 32):
        command = ["wrk", "-t1", f"-c{clients}", f"-d{SECONDS}s", "-s", script, f"http://{service.address}"]
        said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        requests, micros, p99, p50, errors = map(int, re.search(r"FOUND (.*)", said)[1].split())
        rates = {
            "requests_per_s": round(requests / micros * 1e6, 1),
            "p50_ms": round(p50 / 1e3, 2),
            "p99_ms": round(p99 / 1e3, 2),
            "errors": errors,
        }
        figures.setdefault(f"clients_{clients}", []).append(rates)
    one, many = (max(row["requests_per_s"] for row in figures[f"clients_{n}"]) for n in (1, 32))
    return {**figures, "ratio": round(many / one, 2), "goal": "ratio 1.5, no error"}


def ask(home, service, notes):
    outcomes, lock = [], threading.Lock()

    def one(question):
        with home.serve_again(service) as mine:
            started = time.monotonic()
            mine.connection.request("POST", "/v1/ask", json.dumps({"question": question}), {
                "Authorization": f"Bearer {mine.token}", "Content-Type": "application/json",
            })
            response = mine.connection.getresponse()
            body = json.loads(response.read())
            told = response.status == 200 or (response.status in (429, 503) and response.headers["Retry-After"])
            with lock:
                outcomes.append((response.status, bool(told), time.monotonic() - started, body.get("strategy")))

    questions = [f"What is said about {query}?" for query in queries(notes, 64)]
    for begin in range(0, len(questions), 16):
        threads = [threading.Thread(target=one, args=(q,)) for q in questions[begin:begin + 16]]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    times = sorted(took for *_, took, _ in outcomes)
    return {
        "asked": len(questions),
        "answered": sum(status == 200 for status, *_ in outcomes),
        "told_busy": sum(status in (429, 503) for status, *_ in outcomes),
        "neither": sum(not told for _, told, *_ in outcomes),
        "seconds_median": round(times[len(times) // 2], 2),
        "seconds_most": round(times[-1], 2),
    }


def hour(home, service, notes):
    minutes = float(os.environ.get("COHO_LOAD_MINUTES", "60"))
    ends = time.monotonic() + minutes * 60
    words = queries(notes, 300)
    counts = {"searches": 0, "questions": 0, "agents": 0, "edits": 0, "failures": 0}
    files = sorted(notes.rglob("*.md"))[:200]

    def loop(name, pause, work):
        dice = random.Random(name)
        with home.serve_again(service) as mine:
            while time.monotonic() < ends:
                try:
                    done = work(mine, dice)
                except OSError:
                    mine.connection.close()
                    done = False
                counts[name if done else "failures"] += 1
                time.sleep(pause)

    def call(mine, path, body):
        headers = {
            "Authorization": f"Bearer {mine.token}", "Content-Type": "application/json",
            "Accept": "application/json, text/event-stream",
        }
        mine.connection.request("POST", path, json.dumps(body), headers)
        response = mine.connection.getresponse()
        response.read()
        return response.status in (200, 429, 503)

    def searches(mine, dice):
        return call(mine, "/v1/search", {"query": dice.choice(words)})

    def questions(mine, dice):
        return call(mine, "/v1/ask", {"question": f"What is said about {dice.choice(words)}?"})

    def agents(mine, dice):
        params = {"name": "search", "arguments": {"query": dice.choice(words)}}
        return call(mine, "/mcp", {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params})

    def edits(_, dice):
        file = dice.choice(files)
        text = file.read_text("utf-8", "replace")
        file.write_text(f"{text.split('<!-- edit')[0]}<!-- edit {dice.random()} -->\n", "utf-8")
        return True

    threads = [
        threading.Thread(target=loop, args=row, daemon=True)
        for row in (
            ("searches", 0.05, searches), ("questions", 1, questions),
            ("agents", 0.5, agents), ("edits", 2, edits),
        )
    ]
    for thread in threads:
        thread.start()
    memory, started = [], time.monotonic()
    while time.monotonic() < ends:
        time.sleep(min(60, max(0.1, ends - time.monotonic())))
        memory.append((round((time.monotonic() - started) / 60, 1), round(resident_mib(service.process.pid), 1)))
    for thread in threads:
        thread.join()
    after_five = next((mib for minute, mib in memory if minute >= 5), memory[0][1])
    last = memory[-1][1]
    return {
        **counts,
        "minutes": minutes,
        "mib_by_minute": memory,
        "mib_after_five_minutes": after_five,
        "mib_at_the_end": last,
        "ratio": round(last / after_five, 3),
        "goal": "1.1",
    }


if __name__ == "__main__":
    main()
