"""What the eval harness itself costs, as `make harness` measures it.

Runs `retrieval` on scifact twice: from nothing, and again with the index there. Writes
eval/results/harness.json: the time of both runs, and the share of it that was in the measured calls.
"""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

from bench import COHO, ROOT, about_this_run


def run(folder):
    environment = {**os.environ, "COHO_HOME": str(folder), "COHO_CONFIG": str(folder / "config.toml")}
    began = time.monotonic()
    ran = subprocess.run([COHO, "eval", "run", "retrieval", "--set", "scifact", "--json"], env=environment, capture_output=True, text=True, check=True)
    return time.monotonic() - began, json.loads(ran.stdout)


def told(first, second):
    (cold_s, cold), (cached_s, cached) = first, second
    harness = cached["harness"]
    figures = [[{k: v for k, v in row.items() if k != "ms"} for row in run["rows"]] for run in (cold, cached)]
    return {
        **about_this_run("make harness"),
        "set": "scifact",
        "documents": cold["sets"][0]["documents"],
        "questions": cold["rows"][0]["questions"],
        "from_nothing_s": round(cold_s, 1),
        "again_s": round(cached_s, 1),
        "times_faster": round(cold_s / cached_s, 1),
        "times_faster_goal": 10,
        "share_in_calls": round(harness["calls_s"] / harness["wall_s"], 4),
        "share_in_calls_goal": 0.95,
        "same_figures_twice": figures[0] == figures[1],
    }


def main():
    if not os.environ.get("COHO_EVAL_DATA"):
        raise SystemExit("set COHO_EVAL_DATA to the folder of the evaluation data")
    folder = pathlib.Path(tempfile.mkdtemp(prefix="coho-harness-"))
    try:
        result = told(run(folder), run(folder))
    finally:
        shutil.rmtree(folder)
    (ROOT / "eval/results/harness.json").write_text(json.dumps(result, indent=2) + "\n", "utf-8")
    print(json.dumps(result))


if __name__ == "__main__":
    sys.exit(main())
