"""Parses every PowerShell script below a directory and fails on a syntax error.

    python3 -m venv VENV
    VENV/bin/pip install tree-sitter tree-sitter-powershell
    VENV/bin/python tests/peers/parse_powershell.py src

The grammar is another project's: it proves that a script can be parsed, not that it does what it
should.
"""

import pathlib
import sys

import tree_sitter
import tree_sitter_powershell


def broken(node):
    """Yields the nodes that the grammar could not make sense of."""
    if node.is_error or node.is_missing:
        yield node
        return
    for child in node.children:
        if child.has_error or child.is_missing:
            yield from broken(child)


def main():
    if len(sys.argv) != 2:
        sys.exit("usage: parse_powershell.py DIRECTORY")
    parser = tree_sitter.Parser(tree_sitter.Language(tree_sitter_powershell.language()))
    paths = sorted(pathlib.Path(sys.argv[1]).rglob("*.ps1"))
    if not paths:
        sys.exit(f"no .ps1 files below {sys.argv[1]}")
    failed = 0
    for path in paths:
        text = path.read_bytes()
        errors = list(broken(parser.parse(text).root_node))
        for node in errors:
            line, column = node.start_point
            excerpt = text[node.start_byte : node.end_byte][:60].decode("utf-8", "replace")
            print(f"{path}:{line + 1}:{column + 1}: cannot be parsed: {excerpt!r}")
        failed += bool(errors)
    print(f"{len(paths)} scripts parsed, {failed} with errors")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
