"""Runs the controller's statements for repairs of the CMDB with python-tds, in one transaction.

    PEER_PASSWORD=... python tds_repair.py HOST PORT USER < statements.json

Standard input holds a list of [{"name", "text"}, [parameter, ...]]; a parameter is an object with
one key that is its type. Prints "committed" and exits with 0 if everything went well.
"""

import json
import os
import re
import sys
import uuid

import pytds


def value(parameter):
    (kind, content), = parameter.items()
    return {"guid": lambda: uuid.UUID(content), "text": lambda: content,
            "integer": lambda: content}[kind]()


def main():
    host, port, user = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    statements = json.load(sys.stdin)
    with pytds.connect(
        dsn=host, port=port, user=user, password=os.environ["PEER_PASSWORD"],
        database="Symantec_CMDB", timeout=20, login_timeout=20, autocommit=True,
    ) as connection, connection.cursor() as cursor:
        cursor.execute("SET XACT_ABORT ON; BEGIN TRANSACTION")
        for statement, parameters in statements:
            named = {f"P{number}": value(one) for number, one in enumerate(parameters, 1)}
            # Its own spelling of a named parameter; it sends @P1 again.
            text = re.sub(r"@(P[0-9]+)", r"%(\1)s", statement["text"])
            cursor.execute(text, named)
            print(f"{statement['name']}: {cursor.rowcount} rows")
        cursor.execute("COMMIT TRANSACTION")
    print("committed")


main()
