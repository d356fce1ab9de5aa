"""Asks the 60 questions about the sample vault with each strategy, as `make smoke` runs it.

An answer is right when it holds a golden answer; a question without one is to be refused. Writes
eval/results/smoke.json. The questions were written by us together with the vault: this notices
when something breaks, it proves nothing about other notes.
"""

import json
import pathlib
import shutil
import statistics
import sys
import tempfile

from bench import ROOT, Home, about_this_run

STRATEGIES = ["extractive", "naive", "cascade"]


def main():
    folder = pathlib.Path(tempfile.mkdtemp(prefix="coho-smoke-"))
    try:
        shutil.copytree(ROOT / "eval/vault", folder / "vault")
        home = Home(folder / "home")
        home.json("add", str(folder / "vault"))
        lines = (ROOT / "eval/smoke/questions.jsonl").read_text("utf-8").splitlines()
        questions = [json.loads(line) for line in lines]
        with home.serve() as service:
            rows = [ask_all(service, strategy, questions, folder) for strategy in STRATEGIES]
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    result = {**about_this_run("make smoke"), "questions": len(questions), "rows": rows}
    target = ROOT / "eval/results/smoke.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(result, indent=2) + "\n", "utf-8")
    for row in rows:
        print(json.dumps(row))
    print(f"kept in {target}")


def ask_all(service, strategy, questions, folder):
    row = {"strategy": strategy, "right": 0, "wrong": 0, "refused_wrongly": 0, "refused_rightly": 0}
    row |= {"answerable": 0, "unanswerable": 0, "first_hit_right": 0, "five_hits_hold": 0}
    times, prompts = [], []
    for question in questions:
        body = {"question": question["question"], "strategy": strategy}
        status, answer = service.call("POST", "/v1/ask", body)
        assert status == 200, answer
        times.append(answer["timing"]["total_ms"])
        prompts.append(answer["tokens"]["prompt"])
        if question["path"] is None:
            row["unanswerable"] += 1
            row["refused_rightly"] += answer["abstained"]
            continue
        row["answerable"] += 1
        text = answer["answer"].lower()
        right = any(golden.lower() in text for golden in question["golden_answers"])
        row["right"] += right
        row["refused_wrongly"] += answer["abstained"]
        row["wrong"] += not right and not answer["abstained"]
        hits = [pathlib.Path(hit["path"]) for hit in answer["retrieval"]["hits"]]
        hits = [str(hit.relative_to(folder.resolve() / "vault")) for hit in hits]
        row["first_hit_right"] += hits[:1] == [question["path"]]
        row["five_hits_hold"] += question["path"] in hits
    row["total_ms_median"] = round(statistics.median(times), 1)
    row["prompt_tokens_mean"] = round(statistics.mean(prompts), 1)
    return row


if __name__ == "__main__":
    sys.exit(main())
