"""Debian packages: the machine's own mirror, and apt runs that leave the machine's apt alone."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from testbed.progress import TestbedError, run_tool, say

KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
MIRROR_VARIABLE = "TEMPER_TESTBED_MIRROR"
DEBIAN_CODENAMES = frozenset({"bookworm", "trixie", "forky", "sid", "stable", "testing", "unstable"})
INDEX_AGE_S = 24 * 3600.0


@dataclass(frozen=True, slots=True)
class Source:
    """One `deb` entry of a sources file.

    suites: as written (`bookworm`, `bookworm-updates`). signed_by: a keyring's path, or "".
    """

    uri: str
    suites: tuple[str, ...]
    components: tuple[str, ...]
    signed_by: str = ""

    def line(self, suite: str, components: Sequence[str] = ("main",)) -> str:
        """The one-line form of another suite of this archive."""
        return f"deb [signed-by={self.signed_by or KEYRING}] {self.uri} {suite} {' '.join(components)}"


def parse_one_line(text: str) -> list[Source]:
    """The `deb` entries of a sources.list: `deb [option=value ...] uri suite component ...`."""
    found = []
    for raw in text.splitlines():
        words = raw.partition("#")[0].split()
        if len(words) < 3 or words[0] != "deb":
            continue
        options: dict[str, str] = {}
        if words[1].startswith("["):
            end = next((i for i, word in enumerate(words) if word.endswith("]")), 0)
            for option in " ".join(words[1 : end + 1]).strip("[] ").split():
                name, _, value = option.partition("=")
                options[name.lower()] = value
            words = [words[0], *words[end + 1 :]]
        if len(words) >= 3:
            signed_by = options.get("signed-by", "")
            found.append(Source(words[1], (words[2],), tuple(words[3:]), signed_by))
    return found


def parse_deb822(text: str) -> list[Source]:
    """The enabled `deb` entries of a .sources file; an entry with several URIs gives one Source for each."""
    found = []
    for stanza in _stanzas(text):
        enabled = stanza.get("enabled", "yes").lower() not in {"no", "false", "0", "off"}
        if not enabled or "deb" not in stanza.get("types", "").split():
            continue
        signed_by = stanza.get("signed-by", "")
        if not signed_by.startswith("/") or len(signed_by.split()) != 1:
            signed_by = ""  # a key written inline, or several keyrings: Debian's own keyring has to do
        suites = tuple(stanza.get("suites", "").split())
        components = tuple(stanza.get("components", "").split())
        found += [Source(uri, suites, components, signed_by) for uri in stanza.get("uris", "").split()]
    return found


def _stanzas(text: str) -> list[dict[str, str]]:
    stanzas: list[dict[str, str]] = [{}]
    field = ""
    for line in text.splitlines():
        if line.startswith("#"):
            continue
        if not line.strip():
            stanzas.append({})
            field = ""
        elif line[0] in " \t" and field:
            stanzas[-1][field] += f"\n{line.strip()}"
        else:
            field, _, value = line.partition(":")
            field = field.strip().lower()
            stanzas[-1][field] = value.strip()
    return [stanza for stanza in stanzas if stanza]


def machine_sources(root: Path = Path("/")) -> list[Source]:
    """Every apt source of the machine whose root folder this is, in apt's order."""
    etc = root / "etc/apt"
    found: list[Source] = []
    for path in [etc / "sources.list", *sorted((etc / "sources.list.d").glob("*"))]:
        if path.suffix == ".list" and path.is_file():
            found += parse_one_line(path.read_text())
        elif path.suffix == ".sources" and path.is_file():
            found += parse_deb822(path.read_text())
    return found


def debian_archive(sources: Iterable[Source]) -> Source:
    """The machine's source of the main Debian archive: not the security one, not another vendor's.

    TEMPER_TESTBED_MIRROR names another archive (for a machine that is not Debian).
    """
    if uri := os.environ.get(MIRROR_VARIABLE):
        return Source(uri, (), ())
    for source in sources:
        bases = {suite.partition("-")[0] for suite in source.suites}
        if "security" not in source.uri and "main" in source.components and bases & DEBIAN_CODENAMES:
            return source
    raise TestbedError(
        "this machine's apt sources (/etc/apt/sources.list, sources.list.d) name no Debian archive: "
        f"set {MIRROR_VARIABLE} to the URI of one"
    )


@dataclass(frozen=True, slots=True)
class Index:
    """An apt of its own: `sources` are its sources.list, `folder` holds its lists and archives.

    Nothing installed counts (the status file is empty), so any suite's packages can be asked for and fetched.
    """

    sources: str
    folder: Path

    def options(self) -> list[str]:
        """The options that keep apt away from the machine's state."""
        sources = self.folder / "sources.list"
        values = {
            "Dir::Etc::SourceList": sources,
            "Dir::Etc::SourceParts": "/dev/null",
            "Dir::Etc::Preferences": "/dev/null",
            "Dir::Etc::PreferencesParts": "/dev/null",
            "Dir::State::Lists": self.folder / "lists",
            "Dir::State::status": "/dev/null",
            "Dir::Cache": self.folder / "cache",
            "APT::Architecture": "amd64",
            "APT::Architectures": "amd64",
            "APT::Sandbox::User": "root",
        }
        return [word for name, value in values.items() for word in ("-o", f"{name}={value}")]

    def refresh(self, max_age_s: float = INDEX_AGE_S) -> None:
        """Fetch the lists when they are older than this; old ones do when the archive can't be reached."""
        stamp = self.folder / "refreshed"
        known = self.folder / "sources.list"
        same = known.is_file() and known.read_text() == self.sources
        if same and stamp.exists() and time.time() - stamp.stat().st_mtime < max_age_s:
            return
        for name in ("lists/partial", "cache/archives/partial"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        known.write_text(self.sources)
        try:
            what = f"reading the package index of {self.folder.name}"
            run_tool(["apt-get", *self.options(), "--error-on=any", "update"], what)
        except TestbedError as error:
            if not (same and stamp.exists()):
                raise
            say(f"could not refresh the package index, going on with the old one: {error}")
            return
        stamp.touch()

    def names(self, prefix: str) -> list[str]:
        """Every package whose name starts so."""
        return run_tool(["apt-cache", *self.options(), "pkgnames", prefix]).split()

    def candidate(self, package: str) -> str:
        """The version of a package that would be installed."""
        told = run_tool(["apt-cache", *self.options(), "policy", package])
        match = re.search(r"^  Candidate: (\d\S*)$", told, re.MULTILINE)
        if not match:
            raise TestbedError(f"the archive ({self.folder.name}) has no package {package}")
        return match[1]

    def unpack(self, packages: Sequence[str], into: Path, what: str) -> None:
        """Download these packages and extract them all into one folder, without running their scripts."""
        downloads = into / ".downloads"
        downloads.mkdir(parents=True)
        run_tool(["apt-get", *self.options(), "download", *packages], what, cwd=downloads)
        for package in sorted(downloads.glob("*.deb")):
            run_tool(["dpkg-deb", "--extract", package, into])
            package.unlink()
        downloads.rmdir()
