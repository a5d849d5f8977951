"""Asks the controller's named queries with python-tds and prints their rows.

    PEER_PASSWORD=... python tds_queries.py HOST PORT USER < queries.json

Standard input holds a list of [{"name", "text"}, [parameter, ...]]; a parameter is an object with
one key that is its type. Prints one JSON object: for each name its columns, then its rows, each
cell as a text, or null.
"""

import datetime
import json
import os
import re
import sys
import uuid

import pytds


def value(parameter):
    (kind, content), = parameter.items()
    return uuid.UUID(content) if kind == "guid" else content


def cell(seen):
    if seen is None:
        return None
    if isinstance(seen, bool):
        return "true" if seen else "false"
    if isinstance(seen, uuid.UUID):
        return str(seen).upper()
    if isinstance(seen, datetime.datetime):
        nearest = seen + datetime.timedelta(microseconds=500)
        return nearest.strftime("%Y-%m-%dT%H:%M:%S.") + f"{nearest.microsecond // 1000:03}"
    if isinstance(seen, (str, int)):
        return str(seen)
    sys.exit(f"a cell of an unexpected type: {seen!r}")


def main():
    host, port, user = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    answers = {}
    with pytds.connect(
        dsn=host, port=port, user=user, password=os.environ["PEER_PASSWORD"],
        database="Symantec_CMDB", timeout=20, login_timeout=20, autocommit=True,
    ) as connection, connection.cursor() as cursor:
        for statement, parameters in json.load(sys.stdin):
            named = {f"P{number}": value(one) for number, one in enumerate(parameters, 1)}
            # Its own spelling of a named parameter; it sends @P1 again.
            text = re.sub(r"@(P[0-9]+)", r"%(\1)s", statement["text"]) if named else statement["text"]
            cursor.execute(text, named or None)
            columns = [column[0] for column in cursor.description]
            rows = [[cell(seen) for seen in row] for row in cursor.fetchall()]
            answers[statement["name"]] = [columns] + rows
    json.dump(answers, sys.stdout)


main()
