"""Measures the service on real notes, as `make bench` runs it, and keeps the figures.

Needs COHO_EVAL_DATA (the simonw_til vault) and the sample vault. Ratios are taken within one run;
milliseconds say something about this machine only. Writes eval/results/spine.json.
"""

import contextlib
import http.client
import json
import os
import pathlib
import platform
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
COHO = sys.argv[1]


def main():
    data = os.environ.get("COHO_EVAL_DATA")
    if not data:
        raise SystemExit("set COHO_EVAL_DATA to the folder of evaluation data")
    folder = pathlib.Path(tempfile.mkdtemp(prefix="coho-bench-"))
    try:
        figures = {**on_real_vault(folder, pathlib.Path(data)), **on_sample_vault(folder)}
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    result = {**about_this_run("make bench"), "figures": figures}
    target = ROOT / "eval/results/spine.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(result, indent=2) + "\n", "utf-8")
    print(json.dumps(figures, indent=2))
    print(f"kept in {target}")


def about_this_run(command):
    """What it takes to repeat a measurement."""
    return {
        "command": command,
        "commit": run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT).strip(),
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()}",
        "build": "dev profile (dependencies at opt-level 1 to 3)",
        "models": ["all-minilm-l6-v2", "smollm2-135m-instruct (Q4_1, written anew as Q8_0)"],
    }


def on_real_vault(folder, data):
    archive = data / "vaults/simonw_til.tar.zst"
    subprocess.run(["tar", "--zstd", "-xf", archive, "-C", folder], check=True)
    notes = folder / "simonw_til"
    home = Home(folder / "real")
    added = home.json("add", str(notes))
    report = added["report"]
    bench = home.json("models", "bench", "--notes")
    synced = report["chunks_embedded"] / (report["took_ms"] / 1e3)
    alone = bench["embedder"]["notes"]["chunks_per_s"]
    model = bench["generator"]
    cold = []
    for query in queries(notes, 15):
        started = time.monotonic()
        home.json("search", query)
        cold.append(time.monotonic() - started)
    with home.serve() as service:
        for query in queries(notes, 20):
            service.search(query)
        warm = []
        for query in queries(notes, 200):
            started = time.monotonic()
            service.search(query)
            warm.append((time.monotonic() - started) * 1e3)
        memory = resident_mib(service.process.pid)
    embed = bench["embedder"]["query_ms"]
    return {
        "vault": f"simonw_til, {report['added']} documents, {report['chunks_embedded']} chunks",
        "warm_search_http_ms_median": round(statistics.median(warm), 2),
        "warm_search_http_ms_p95": round(sorted(warm)[int(len(warm) * 0.95)], 2),
        "query_embedding_ms": embed,
        "warm_search_beyond_embedding_ms": round(statistics.median(warm) - embed, 2),
        "warm_search_goal": "query embedding + 10 ms",
        "cold_search_ms_median": round(statistics.median(cold) * 1e3, 1),
        "cold_search_goal": "500 ms",
        "sync_chunks_per_s": round(synced, 1),
        "fastembed_alone_chunks_per_s": alone,
        "sync_ratio": round(synced / alone, 3),
        "sync_goal": 0.85,
        "model": model,
        "model_goals": {
            "generate_ratio": 0.97,
            "prefill_ratio": 0.97,
            "four_at_once": "1 / 1.8 = 0.56",
            "first_token_shared_ms / first_token_ms": 0.5,
        },
        "idle_service_mib": round(memory, 1),
        "idle_service_goal": "350 MB, language model not loaded",
    }


def on_sample_vault(folder):
    notes = folder / "sample"
    shutil.copytree(ROOT / "eval/vault", notes)
    home = Home(folder / "small")
    home.json("add", str(notes))
    waits = []
    with home.serve() as service:
        for n in range(30):
            word = f"quokka{n:03d}"
            saved = time.monotonic()
            (notes / f"bench-{n}.md").write_text(f"# Note {n}\n\nThe {word} was seen here.\n")
            while not any(word in hit["text"] for hit in service.search(word)["hits"]):
                time.sleep(0.01)
            waits.append(time.monotonic() - saved)
    return {
        "saved_to_found_s_median": round(statistics.median(waits), 3),
        "saved_to_found_s_worst": round(max(waits), 3),
        "saved_to_found_goal": "1 s, debounce included",
    }


def queries(notes, count):
    """First lines of notes: what their author calls them."""
    titles = []
    for path in sorted(notes.rglob("*.md")):
        line = path.read_text("utf-8", "replace").split("\n", 1)[0].strip("# \n")
        if line:
            titles.append(line)
    return titles[:: max(1, len(titles) // count)][:count]


class Home:
    def __init__(self, folder, settings=None):
        self.environment = {
            **os.environ,
            "COHO_HOME": str(folder),
            "COHO_CONFIG": str(folder / "config.toml"),
            **(settings or {}),
        }

    def json(self, *arguments):
        return json.loads(run([COHO, *arguments, "--json"], env=self.environment))

    def serve(self):
        return Service(self.environment)

    @contextlib.contextmanager
    def serve_again(self, service):
        """Another connection to a running service."""
        other = object.__new__(Service)
        other.token = service.token
        other.connection = http.client.HTTPConnection(service.address, timeout=60)
        yield other
        other.connection.close()


class Service:
    def __init__(self, environment):
        self.process = subprocess.Popen(
            [COHO, "serve", "--listen", "127.0.0.1:0", "--json"],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        text = ""
        while True:
            line = self.process.stdout.readline()
            if not line:
                raise SystemExit("the service did not start: `coho serve` in its place says why")
            text += line
            try:
                hello = json.loads(text)
                break
            except ValueError:
                continue
        self.address = hello["address"].removeprefix("http://")
        self.token = pathlib.Path(hello["token_file"]).read_text().strip()
        self.connection = http.client.HTTPConnection(self.address, timeout=600)

    def __enter__(self):
        while self.call("GET", "/readyz")[0] != 200:
            time.sleep(0.05)
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(timeout=20)

    def call(self, method, path, body=None):
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        sent = None if body is None else json.dumps(body)
        self.connection.request(method, path, sent, headers)
        response = self.connection.getresponse()
        text = response.read()
        return response.status, json.loads(text) if text else None

    def search(self, query):
        status, body = self.call("POST", "/v1/search", {"query": query})
        assert status == 200, body
        return body


def resident_mib(pid):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise SystemExit("no VmRSS")


def run(command, **options):
    return subprocess.run(command, check=True, capture_output=True, text=True, **options).stdout


if __name__ == "__main__":
    main()
