"""The whole main job on the sample vault, as `make demo` runs it.

Adds the vault, serves it, asks three questions over HTTP with streamed answers, checks every
citation against its file, edits a note while the service runs and asks again until the answer
has changed. Then it learns: what was answered becomes a unit, a question in other words is answered
from it, and the unit goes when its note is edited. Exits 0 only if all of that held. Everything it
writes is in .demo.
"""

import http.client
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
DEMO = ROOT / ".demo"
VAULT = DEMO / "vault"


def main():
    coho = sys.argv[1]
    plan = json.loads((ROOT / "eval/smoke/demo.json").read_text("utf-8"))
    shutil.rmtree(DEMO, ignore_errors=True)
    shutil.copytree(ROOT / "eval/vault", VAULT)
    environment = {
        **os.environ,
        "COHO_HOME": str(DEMO / "home"),
        "COHO_CONFIG": str(DEMO / "config.toml"),
        "COHO_LOG": "error",
    }
    started = time.monotonic()
    say("1. add and read the sample vault")
    subprocess.run([coho, "add", str(VAULT)], env=environment, check=True)
    subprocess.run([coho, "sync"], env=environment, check=True)
    synced = time.monotonic()
    say("2. serve it")
    service = subprocess.Popen(
        [coho, "serve", "--listen", "127.0.0.1:0", "--json"],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        served, unit = run(service, plan)
        say("7. the whole story of the unit")
        subprocess.run([coho, "units", "show", unit], env=environment, check=True)
    finally:
        service.send_signal(signal.SIGTERM)
        try:
            code = service.wait(timeout=20)
        except subprocess.TimeoutExpired:
            service.kill()
            raise SystemExit("the service did not stop when it was asked to")
    if code != 0:
        raise SystemExit(f"the service ended with code {code}")
    say("done")
    print(f"  reading the vault      {synced - started:6.2f} s")
    for label, seconds in served:
        print(f"  {label:<22} {seconds:6.2f} s")
    print(f"  everything             {time.monotonic() - started:6.2f} s")
    print(f"\nleft behind: {DEMO} (`make clean-demo` removes it), and the caches:")
    print(f"  models  {models_folder(coho, environment)}")
    print(f"  builds  {os.environ.get('CARGO_TARGET_DIR', '~/.cache/coho/target')}")


def run(service, plan):
    document = ""
    decoder = json.JSONDecoder()
    while True:
        line = service.stdout.readline()
        if not line:
            raise SystemExit("the service did not start")
        document += line
        try:
            hello, _ = decoder.raw_decode(document.lstrip())
            break
        except ValueError:
            continue
    token = pathlib.Path(hello["token_file"]).read_text("utf-8").strip()
    client = Client(hello["address"], token)
    print(f"   {hello['address']}")
    client.wait_until_ready()
    say("3. ask, and check what is cited")
    timings = []
    for question, expected in zip(plan["questions"], plan["expect"]):
        answer, seconds = client.ask(question)
        if expected.lower() not in answer["answer"].lower():
            raise SystemExit(f"   the answer does not say {expected!r}")
        check_citations(answer, expected)
        timings.append((f"answer {len(timings) + 1}", seconds))
    say("4. edit a note while the service runs, and ask again")
    edit = plan["edit"]
    note = VAULT / edit["path"]
    text = note.read_text("utf-8")
    assert text.count(edit["old"]) == 1, "the sample vault does not fit demo.json"
    note.write_text(text.replace(edit["old"], edit["new"]), "utf-8")
    edited = time.monotonic()
    while True:
        answer, _ = client.ask(edit["question"], quiet=True)
        if edit["expect_after"] in answer["answer"]:
            break
        if time.monotonic() - edited > 30:
            raise SystemExit("   the answer did not follow the edit within 30 s")
        time.sleep(0.1)
    seconds = time.monotonic() - edited
    show(edit["question"], answer)
    check_citations(answer, edit["expect_after"])
    timings.append(("edit to new answer", seconds))
    unit = learn(client, plan["learn"], timings)
    return timings, unit


def learn(client, plan, timings):
    """What is asked becomes knowledge, and stops being it; returns the unit's id."""
    say("5. answer from five long passages, then learn, then answer from what was learned")
    first, second, third = plan["questions"]
    slow, seconds = client.ask(first, strategy="naive")
    timings.append(("the slow way", seconds))
    for question in (first, second):
        answer, _ = client.ask(question, quiet=True)
        check_citations(answer, plan["expect_before"])
    report = client.post("/v1/writeback", {})
    if not report["promoted"]:
        raise SystemExit(f"   writeback put nothing in use: {report}")
    print(f"\n   writeback: {report['made']} units, {len(report['promoted'])} put in use")
    answer, seconds = client.ask(third)
    check_citations(answer, plan["expect_before"])
    units = {citation["unit_id"] for citation in answer["citations"]} - {None}
    recalled = any(step["kind"] == "recall" for step in answer["steps"])
    if not units or not recalled:
        raise SystemExit(f"   it was not answered from a unit: {answer['steps']}")
    timings.append(("from the unit", seconds))
    read = slow["tokens"]["prompt"]
    spent = slow["energy"]["joules"], answer["energy"]["joules"]
    print(f"   the slow way read {read} tokens and spent {spent[0]:.1f} J, this one {spent[1]:.1f} J")
    unit = units.pop()
    say("6. edit the note that the unit rests on, and ask again")
    note = VAULT / plan["path"]
    text = note.read_text("utf-8")
    assert text.count(plan["old"]) == 1, "the sample vault does not fit demo.json"
    note.write_text(text.replace(plan["old"], plan["new"]), "utf-8")
    edited = time.monotonic()
    while True:
        answer, _ = client.ask(third, quiet=True)
        if plan["expect_after"] in answer["answer"]:
            break
        if time.monotonic() - edited > 30:
            raise SystemExit("   the answer did not follow the edit within 30 s")
        time.sleep(0.1)
    show(third, answer)
    check_citations(answer, plan["expect_after"])
    state = json.load(client.request("GET", f"/v1/units/{unit}"))["unit"]["state"]
    if state != "stale":
        raise SystemExit(f"   the unit is {state}, not stale")
    client.post("/v1/writeback", {})
    return unit


class Client:
    def __init__(self, address, token):
        self.address = address.removeprefix("http://")
        self.token = token

    def request(self, method, path, body=None, accept="application/json"):
        connection = http.client.HTTPConnection(self.address, timeout=120)
        headers = {
            "Authorization": f"Bearer {self.token}",
            "Content-Type": "application/json",
            "Accept": accept,
        }
        sent = None if body is None else json.dumps(body)
        connection.request(method, path, sent, headers)
        return connection.getresponse()

    def wait_until_ready(self):
        for _ in range(600):
            if self.request("GET", "/readyz").status == 200:
                return
            time.sleep(0.1)
        raise SystemExit("the service did not become ready")

    def post(self, path, body):
        response = self.request("POST", path, body)
        if response.status != 200:
            raise SystemExit(f"   {path} answered {response.status}: {response.read()!r}")
        return json.load(response)

    def ask(self, question, quiet=False, strategy="cascade"):
        """Streams an answer; returns it whole with the seconds it took."""
        started = time.monotonic()
        body = {"question": question, "strategy": strategy, "stream": True}
        response = self.request("POST", "/v1/ask", body, "text/event-stream")
        if response.status != 200:
            raise SystemExit(f"   /v1/ask answered {response.status}: {response.read()!r}")
        answer, tokens = None, 0
        if not quiet:
            print(f"\n   {question}\n   > ", end="", flush=True)
        for event, data in events(response):
            if event == "token":
                tokens += 1
                if not quiet:
                    print(data["text"], end="", flush=True)
            elif event == "done":
                answer = data
            elif event == "error":
                raise SystemExit(f"   the answer failed: {data}")
        seconds = time.monotonic() - started
        if answer is None or tokens == 0:
            raise SystemExit("   the stream ended without an answer")
        if not quiet:
            print()
            show_citations(answer)
        return answer, seconds


def events(response):
    """Server-sent events of a response as (name, data)."""
    name, data = None, []
    for raw in response:
        line = raw.decode("utf-8").rstrip("\n")
        if line.startswith("event:"):
            name = line[6:].strip()
        elif line.startswith("data:"):
            data.append(line[5:].removeprefix(" "))
        elif not line and data:
            yield name, json.loads("\n".join(data))
            name, data = None, []


def check_citations(answer, expected):
    """Every cited text must stand in its file, in the lines that are named."""
    if not answer["citations"]:
        raise SystemExit("   the answer cites nothing")
    texts = []
    for citation in answer["citations"]:
        texts.append(citation["text"])
        if citation["lines"] is None:
            assert citation["page"], citation
            continue
        first, last = citation["lines"]
        raw = pathlib.Path(citation["path"]).read_bytes()
        try:
            lines = raw.decode("utf-8").split("\n")
        except UnicodeDecodeError:
            lines = raw.decode("cp1252").split("\n")
        shown = "\n".join(lines[first - 1 : last])
        if citation["text"] not in shown:
            raise SystemExit(f"   [{citation['n']}] is not in lines {first}-{last}: {citation}")
    if not any(expected.lower() in " ".join(text.split()).lower() for text in texts):
        raise SystemExit(f"   no citation holds {expected!r}")
    print(f"   {len(texts)} citation(s) checked against the files")


def show(question, answer):
    print(f"\n   {question}\n   > {answer['answer']}")
    show_citations(answer)


def show_citations(answer):
    for citation in answer["citations"]:
        path = pathlib.Path(citation["path"]).relative_to(VAULT)
        lines = citation["lines"]
        place = f"{path}:{lines[0]}-{lines[1]}" if lines else f"{path} page {citation['page']}"
        print(f"   [{citation['n']}] {place}  {citation['heading'] or citation['title']}")


def models_folder(coho, environment):
    listed = subprocess.run(
        [coho, "models", "list", "--json"], env=environment, check=True, capture_output=True
    )
    return json.loads(listed.stdout)["folder"]


def say(what):
    print(f"\n\033[1m{what}\033[0m" if sys.stdout.isatty() else f"\n{what}", flush=True)


if __name__ == "__main__":
    main()
