#!/usr/bin/env python3
"""Holds the licences and sources of all dependencies against deny.toml.

Works offline, on what `cargo metadata` knows. Advisories need their database:
`cargo deny check advisories` is run as well where cargo-deny and that database
are installed, and their absence is said aloud.
"""

import json
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TOKEN = re.compile(r"\(|\)|[A-Za-z0-9.+-]+")


def allowed(expression: str, licences: set[str]) -> bool:
    """Evaluates an SPDX expression: OR needs one side, AND both."""
    tokens = TOKEN.findall(expression.replace("/", " OR "))
    position = 0

    def take() -> str:
        nonlocal position
        position += 1
        return tokens[position - 1] if position <= len(tokens) else ""

    def peek() -> str:
        return tokens[position] if position < len(tokens) else ""

    def term() -> bool:
        token = take()
        if token == "(":
            value = any_of()
            take()
            return value
        if peek() == "WITH":
            take()
            token = f"{token} WITH {take()}"
        return token in licences

    def all_of() -> bool:
        value = term()
        while peek() == "AND":
            take()
            value = term() and value
        return value

    def any_of() -> bool:
        value = all_of()
        while peek() == "OR":
            take()
            value = all_of() or value
        return value

    return any_of() and position == len(tokens)


def problems(metadata: dict, rules: dict) -> list[str]:
    """Every package outside the workspace that breaks a rule, with the rule."""
    licences = set(rules["licenses"]["allow"])
    exceptions = {e["crate"]: set(e["allow"]) for e in rules["licenses"].get("exceptions", [])}
    banned = {b["crate"]: b.get("reason", "banned") for b in rules["bans"].get("deny", [])}
    members = set(metadata["workspace_members"])
    found = []
    for package in metadata["packages"]:
        name = f"{package['name']} {package['version']}"
        if package["name"] in banned:
            found.append(f"{name}: {banned[package['name']]}")
        if package["id"] in members:
            continue
        licence = package["license"] or ""
        if not allowed(licence, licences | exceptions.get(package["name"], set())):
            found.append(f"{name}: licence {licence or 'missing'!r} is not in deny.toml")
        if not (package["source"] or "").startswith("registry+"):
            found.append(f"{name}: does not come from a registry: {package['source']}")
    return found


def advisories() -> bool:
    """Runs cargo-deny offline where it is installed; True unless it found something."""
    if not shutil.which("cargo-deny"):
        print("dependencies: cargo-deny is not installed, advisories were not checked", file=sys.stderr)
        return True
    command = ["cargo", "deny", "--offline", "check", "advisories"]
    return subprocess.run(command, cwd=ROOT, check=False).returncode == 0


def main() -> int:
    command = ["cargo", "metadata", "--format-version=1", "--locked"]
    metadata = json.loads(subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout)
    rules = tomllib.loads((ROOT / "deny.toml").read_text(encoding="utf-8"))
    found = problems(metadata, rules)
    for problem in found:
        print(f"dependencies: {problem}", file=sys.stderr)
    if not found:
        print(f"dependencies: {len(metadata['packages'])} packages, licences and sources allowed", file=sys.stderr)
    return 0 if advisories() and not found else 1


if __name__ == "__main__":
    sys.exit(main())
