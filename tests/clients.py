"""Drives a running coho with the official clients, as `make clients` does.

The Python package `openai`, unchanged; and the page in headless Chromium (playwright-core, Debian's
Chromium), with axe's rules for accessibility, light and dark, down to 360 px.
"""

import json
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import os

import openai

ROOT = pathlib.Path(__file__).resolve().parent.parent
QUESTION = "What float voltage is the charge controller set to?"


def main():
    program, browser = sys.argv[1], sys.argv[2:]
    folder = pathlib.Path(tempfile.mkdtemp(prefix="coho-clients-"))
    environment = {
        **os.environ,
        "COHO_HOME": str(folder / "home"),
        "COHO_CONFIG": str(folder / "config.toml"),
        "COHO_LOG": "error",
    }
    vault = str(ROOT / "eval/vault")
    subprocess.run([program, "add", vault], env=environment, check=True, capture_output=True)
    command = [program, "serve", "--listen", "127.0.0.1:0", "--json"]
    service = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    try:
        document, decoder = "", json.JSONDecoder()
        while True:
            document += service.stdout.readline()
            try:
                hello, _ = decoder.raw_decode(document.lstrip())
                break
            except ValueError:
                continue
        token = pathlib.Path(hello["token_file"]).read_text("utf-8").strip()
        drive(openai.OpenAI(base_url=hello["address"] + "/v1", api_key=token))
        print("openai: models, chat, streaming, JSON Schema, embeddings, errors")
        if browser:
            page = [browser[0], str(ROOT / "tests/page.mjs"), hello["address"], token, *browser[1:]]
            subprocess.run(page, check=True)
    finally:
        service.send_signal(signal.SIGTERM)
        service.wait(timeout=30)
        shutil.rmtree(folder)


def drive(client):
    names = [model.id for model in client.models.list()]
    assert "coho" in names, names
    ask = [{"role": "user", "content": QUESTION}]
    whole = client.chat.completions.create(model="coho", messages=ask)
    said = whole.choices[0].message
    assert "13.6" in said.content and said.annotations[0].url_citation.url.startswith("file://")
    assert whole.usage.total_tokens >= 0
    pieces = client.chat.completions.create(model="coho", messages=ask, stream=True)
    text = "".join(piece.choices[0].delta.content or "" for piece in pieces if piece.choices)
    assert text == said.content, text
    schema = {
        "type": "object",
        "properties": {"volts": {"type": "number"}},
        "required": ["volts"],
        "additionalProperties": False,
    }
    form = {"type": "json_schema", "json_schema": {"name": "voltage", "schema": schema}}
    formed = client.chat.completions.create(model="coho", messages=ask, response_format=form)
    assert isinstance(json.loads(formed.choices[0].message.content)["volts"], (int, float))
    texts = ["That is a happy person", "That is a happy dog"]
    first, second = (row.embedding for row in client.embeddings.create(model="coho", input=texts).data)
    cosine = sum(a * b for a, b in zip(first, second))
    assert abs(cosine - 0.6946) < 1e-3, cosine
    try:
        client.chat.completions.create(model="gpt-4o", messages=ask)
    except openai.NotFoundError:
        pass
    else:
        raise SystemExit("a model that is not there was found")
    try:
        openai.OpenAI(base_url=client.base_url, api_key="wrong").models.list()
    except openai.AuthenticationError:
        pass
    else:
        raise SystemExit("a wrong token was let in")


if __name__ == "__main__":
    main()
