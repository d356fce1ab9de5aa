"""Drives every connector headless against a real service, as `make test-connectors` does.

A connector whose editor is not installed is skipped, loudly. Writes eval/results/connectors.json.
"""

import contextlib
import http.server
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

from bench import ROOT, Home, about_this_run


def main():
    folder = pathlib.Path(tempfile.mkdtemp(prefix="coho-connectors-"))
    found = about_this_run("make test-connectors")
    try:
        with left_behind(folder / "left"):
            found.update(connectors(folder))
    finally:
        shutil.rmtree(folder)
    target = ROOT / "eval/results/connectors.json"
    target.write_text(json.dumps(found, indent=2) + "\n", "utf-8")


def connectors(folder):
    found = {}
    notes = shutil.copytree(ROOT / "eval/vault", folder / "notes")
    home = Home(folder / "home")
    home.json("add", str(notes))
    with home.serve() as service:
        service.search("ready")
        if shutil.which("nvim"):
            found["nvim"] = neovim(home, notes, folder)
        else:
            print("SKIPPED: the Neovim plugin is not tried, install neovim")
        if shutil.which("emacs"):
            found["emacs"] = emacs(home)
        else:
            print("SKIPPED: the Emacs package is not tried, install emacs-nox")
    tools = pathlib.Path(sys.argv[2]) if len(sys.argv) > 2 else None
    if tools and shutil.which("chromium") and (tools / "node_modules").exists():
        # Of its own: what others asked and called good would be in use already.
        fresh = Home(folder / "fresh")
        fresh.json("add", str(notes))
        with fresh.serve() as service:
            service.search("ready")
            found["vscode and obsidian"] = views(fresh, notes, tools)
    else:
        print("SKIPPED: VS Code and Obsidian are not tried, install chromium and run `make clients`")
    return found


@contextlib.contextmanager
def left_behind(folder):
    """Data folders, in COHO_LEFT, whose announcement outlived the service that made it. Somebody else
    listens at its address, and must hear nothing."""
    heard = []

    class Listener(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            heard.append(f"{self.command} {self.path}: {dict(self.headers)}")
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b'{"hits": []}')

        do_POST = do_GET

        def log_message(self, *_):
            pass

    with Home(folder / "killed").serve() as service:
        service.process.kill()
        gone = subprocess.Popen(["true"])
        gone.wait()
        pids = {"gone": gone.pid}
        if pathlib.Path("/proc/self/stat").exists():
            # The killed one is not buried before the end; of another, the number has been taken.
            pids["taken"] = os.getpid()
        else:
            service.process.wait()
        for name, pid in pids.items():
            (folder / name).mkdir()
            shutil.copy(folder / "killed/token", folder / name)
            announced = {"address": service.address, "pid": pid}
            (folder / name / "service.json").write_text(json.dumps(announced), "utf-8")
        host, port = service.address.split(":")
        listener = None
        for _ in range(200):
            with contextlib.suppress(OSError):
                listener = http.server.ThreadingHTTPServer((host, int(port)), Listener)
                break
            time.sleep(0.05)
        threading.Thread(target=listener.serve_forever, daemon=True).start()
        os.environ["COHO_LEFT"] = str(folder)
        try:
            yield
            if heard:
                raise SystemExit(f"whoever listens where a killed service did was told: {heard}")
            # It would have been heard.
            urllib.request.urlopen(f"http://{service.address}/").close()
            assert len(heard) == 1, heard
        finally:
            listener.shutdown()


def neovim(home, notes, folder):
    plugin = ROOT / "connectors/nvim"
    environment = {
        **home.environment,
        "COHO_NOTES": str(notes),
        "COHO_EXAMPLES": str(ROOT / "schemas/examples"),
        "XDG_STATE_HOME": str(folder / "state"),
        "XDG_DATA_HOME": str(folder / "data"),
    }
    # As a plugin manager leaves it: on the runtime path, with tags for the help file.
    copy = shutil.copytree(plugin, folder / "plugin")
    start = ["nvim", "--headless", "-u", "NONE", "-i", "NONE", "--cmd", f"set rtp^={copy}"]
    subprocess.run([*start, "-c", f"helptags {copy}/doc", "-c", "qall"], env=environment, check=True, timeout=60)
    spec = [*start, "-c", "runtime plugin/coho.lua", "-S", str(copy / "tests/spec.lua")]
    ran = subprocess.run(spec, env=environment, capture_output=True, text=True, timeout=600)
    print(ran.stdout, ran.stderr)
    if ran.returncode or "ALL OK" not in ran.stdout:
        raise SystemExit("the Neovim plugin failed")
    log = folder / "startup"
    starts = []
    for _ in range(9):
        log.unlink(missing_ok=True)
        timed = [*start, "--startuptime", str(log), "-c", "runtime plugin/coho.lua", "-c", "qall"]
        subprocess.run(timed, env=environment, check=True, capture_output=True)
        line = next(line for line in log.read_text().splitlines() if "plugin/coho.lua" in line and "sourcing" in line)
        starts.append(float(line.split()[1]))
    figures = {
        "version": subprocess.run(["nvim", "--version"], capture_output=True, text=True).stdout.splitlines()[0],
        "beyond_service_ms_median": beyond(ran.stdout),
        "beyond_service_ms_median_simonw_til": on_real_notes(start, copy, folder),
        "beyond_service_goal": "30 ms",
        "start_ms_median": sorted(starts)[4],
        "start_goal": "2 ms",
    }
    print(json.dumps(figures))
    return figures


def views(home, notes, tools):
    """The bundled extension and plugin with stand-ins for their editors, their views in Chromium."""
    environment = {
        **home.environment,
        "COHO_NOTES": str(notes.resolve()),
        "COHO_EXAMPLES": str(ROOT / "schemas/examples"),
        "COHO_CHROMIUM": shutil.which("chromium"),
    }
    drive = ROOT / "connectors/typescript/tests/drive.mjs"
    ran = subprocess.run(["node", str(drive), str(tools), str(tools / "pictures")], env=environment, capture_output=True, text=True, timeout=600)
    print(ran.stdout, ran.stderr)
    if ran.returncode or "ALL OK" not in ran.stdout:
        raise SystemExit("the views of VS Code or Obsidian failed")
    return {"checks": ran.stdout.count("\nok ") + ran.stdout.startswith("ok "), "outcome": "passed"}


def beyond(said):
    return float(re.search(r"FIGURE beyond_service_ms_median ([\d.]+)", said)[1])


def on_real_notes(start, plugin, folder):
    """The same figure on 576 notes of somebody's, where the evaluation data is there."""
    data = os.environ.get("COHO_EVAL_DATA")
    if not data:
        print("SKIPPED: Neovim is not measured on simonw_til, set COHO_EVAL_DATA")
        return None
    notes = folder / "til"
    notes.mkdir()
    archive = pathlib.Path(data) / "vaults/simonw_til.tar.zst"
    subprocess.run(["tar", "--zstd", "-xf", str(archive), "-C", str(notes)], check=True)
    home = Home(folder / "til-home")
    home.json("add", str(notes))
    with home.serve() as service:
        service.search("ready")
        figure = [*start, "-c", "runtime plugin/coho.lua", "-S", str(plugin / "tests/figure.lua"), "-c", "qall"]
        ran = subprocess.run(figure, env=home.environment, capture_output=True, text=True, timeout=300, check=True)
    return beyond(ran.stdout)


def emacs(home):
    package = ROOT / "connectors/emacs"
    environment = {**home.environment, "COHO_EXAMPLES": str(ROOT / "schemas/examples")}
    batch = ["emacs", "--batch", "-Q", "-L", str(package)]
    strict = ["--eval", "(setq byte-compile-error-on-warn t byte-compile-dest-file-function (lambda (_) (make-temp-file \"coho\")))"]
    subprocess.run([*batch, *strict, "-f", "batch-byte-compile", str(package / "coho.el")], check=True)
    tests = [*batch, "-l", str(package / "coho-tests.el"), "-f", "ert-run-tests-batch-and-exit"]
    subprocess.run(tests, env=environment, check=True, timeout=600)
    version = subprocess.run(["emacs", "--version"], capture_output=True, text=True).stdout
    return {"version": version.splitlines()[0], "tests": "passed"}


if __name__ == "__main__":
    main()
