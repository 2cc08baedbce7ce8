"""C files to compile: the same wherever and whenever they are made, and they include nothing."""

from __future__ import annotations

from pathlib import Path

FUNCTION = """\
word f{file}_{number}(word a, word b)
{{
	word t[16], s = a + {number};
	for (int i = 0; i < 16; i++)
		t[i] = (a ^ b) * (word)(i + {number});
	for (int i = 0; i < 16; i++) {{
		if (t[i] & {mask})
			s += t[(i + {number}) & 15] >> (b & 7);
		else
			s ^= a * t[i];
	}}
	return {result};
}}
"""


def source(file: int, functions: int) -> str:
    """One file with so many functions, of which each calls the one before it."""
    parts = ["typedef unsigned long word;\n"]
    for number in range(functions):
        result = f"f{file}_{number - 1}(s, a)" if number else "s"
        parts.append(FUNCTION.format(file=file, number=number, mask=1 + number % 7, result=result))
    return "\n".join(parts)


def write_sources(folder: Path, files: int, functions: int) -> None:
    """So many files, and `list`, which names one a line."""
    folder.mkdir()
    paths = [folder / f"{number}.c" for number in range(files)]
    for number, path in enumerate(paths):
        path.write_text(source(number, functions))
    (folder / "list").write_text("".join(f"{path}\n" for path in paths))
