"""Drives a running coho with the official clients, as `make clients` does.

The Python packages `openai` and `mcp`, unchanged; schemathesis with the OpenAPI document; and the
page in headless Chromium (playwright-core, Debian's Chromium), with axe's rules for accessibility,
light and dark, down to 360 px.
"""

import asyncio
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile

import httpx2
import mcp
import openai
from mcp.client.streamable_http import streamable_http_client
from openapi_spec_validator import validate

from bench import COHO, ROOT, Home

# What a page must show as it is, and never run.
EVIL = '''---
title: <svg onload="bad()">
---
# Quokka <script>bad()</script>

The quokka says: "><img src=x onerror="bad()"> and [a link](javascript:bad()).
'''
QUESTION = "What float voltage is the charge controller set to?"
AGAIN = "To which float voltage is the charge controller set?"


def main():
    browser = sys.argv[2:]
    folder = pathlib.Path(tempfile.mkdtemp(prefix="coho-clients-"))
    home = Home(folder / "home")
    notes = shutil.copytree(ROOT / "eval/vault", folder / "notes")
    (notes / '<img src=x onerror="bad()">.md').write_text(EVIL, "utf-8")
    home.json("add", str(notes))
    try:
        with home.serve() as service:
            address = f"http://{service.address}"
            drive(openai.OpenAI(base_url=f"{address}/v1", api_key=service.token))
            print("openai: models, chat, streaming, JSON Schema, embeddings, errors")
            asyncio.run(over_http(address, service.token))
            asyncio.run(over_stdio(home))
            print("mcp: tools and resources over HTTP, over stdio by the service")
            validate(service.call("GET", "/openapi.json")[1])
            if browser:
                # In other words, so that what the page learns has helped.
                service.call("POST", "/v1/ask", {"question": AGAIN})
                page = [browser[0], str(ROOT / "tests/page.mjs"), address, service.token]
                subprocess.run([*page, *browser[1:]], check=True)
            # Last: it may reject what was learned.
            fuzz(address, service.token)
            print("schemathesis: no 5xx, no answer outside the document")
    finally:
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


async def over_http(address, token):
    headers = {"Authorization": f"Bearer {token}"}
    async with httpx2.AsyncClient(headers=headers, timeout=60) as client:
        async with streamable_http_client(f"{address}/mcp", http_client=client) as streams:
            await talk(streams)


async def over_stdio(home):
    server = mcp.StdioServerParameters(command=COHO, args=["mcp"], env=home.environment)
    async with mcp.stdio_client(server) as streams:
        await talk(streams)


async def talk(streams):
    async with mcp.ClientSession(streams[0], streams[1]) as session:
        hello = await session.initialize()
        assert hello.server_info.name == "coho" and hello.instructions, hello
        tools = {tool.name: tool for tool in (await session.list_tools()).tools}
        assert "query" in tools["search"].input_schema["properties"], tools
        found = await session.call_tool("search", {"query": "float voltage"})
        assert "13.6" in found.content[0].text and found.structured_content["hits"]
        answer = await session.call_tool("ask", {"query": QUESTION})
        assert "13.6" in answer.content[0].text, answer
        path = found.structured_content["hits"][0]["path"]
        whole = await session.call_tool("get_document", {"path": path})
        assert path in whole.content[0].text
        wrong = await session.call_tool("get_document", {"path": "/etc/passwd"})
        assert wrong.is_error
        resources = (await session.list_resources()).resources
        read = await session.read_resource(resources[0].uri)
        assert read.contents[0].text


def fuzz(address, token):
    # Deleting sources would take away what the others ask for. What a path, a day or a query may
    # be is more than a schema can say, so that some of what fits one is refused.
    command = [
        pathlib.Path(sys.executable).parent / "schemathesis", "run", f"{address}/openapi.json",
        "--header", f"Authorization: Bearer {token}", "--max-examples", "40", "--seed", "7",
        "--exclude-checks", "unsupported_method,ignored_auth,positive_data_acceptance",
        "--exclude-method", "DELETE", "--exclude-path", "/v1/events",
        "--request-timeout", "60", "--no-color",
    ]
    subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
