"""Logs on to the lab's SQL Server with python-tds and checks what it reads.

    PEER_PASSWORD=... python tds_client.py HOST PORT USER

The database holds one package server and one package that is not ready there, as the test that
starts this program puts them in. Prints what it saw and exits with 0 if that was right.
"""

import datetime
import os
import sys
import uuid

import pytds

SERVER = uuid.UUID("0562094a-ecbe-4617-9253-5e7ffb5e00c4")
PACKAGE = uuid.UUID(int=0xB1)


def check(what, seen, wanted):
    print(f"{what}: {seen!r}")
    if seen != wanted:
        sys.exit(f"{what}: wanted {wanted!r}")


def connect(host, port, user, password):
    return pytds.connect(
        dsn=host, port=port, user=user, password=password, database="Symantec_CMDB",
        timeout=20, login_timeout=20,
    )


def main():
    host, port, user = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    password = os.environ["PEER_PASSWORD"]

    try:
        connect(host, port, user, password + "x")
        sys.exit("a wrong password was accepted")
    except pytds.OperationalError as error:
        check("wrong password", "Login failed" in str(error), True)

    with connect(host, port, user, password) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT @@VERSION")
        print(f"version: {cursor.fetchone()[0]}")

        cursor.execute("SELECT * FROM SWDPackageServer")
        check("columns", [column[0] for column in cursor.description],
              ["PkgSvrId", "PackageId", "Status", "Version"])
        check("rows", cursor.fetchall(), [(SERVER, PACKAGE, "Invalid", "3")])

        cursor.execute("SELECT [Guid], [Name] FROM [dbo].[vItem] WHERE [Guid] = %s", (SERVER,))
        check("by parameter", cursor.fetchall(), [(SERVER, "PS-ZÜRICH-01")])

        cursor.execute("SELECT [_Latest], [Package Version] FROM SWDPackage")
        check("bit", cursor.fetchall(), [(True, "4")])

        cursor.execute("SELECT ModifiedDate FROM ResourceUpdateSummary")
        at = datetime.datetime(2026, 11, 20, 8, 30, 0, 123333)
        seen = cursor.fetchone()[0]
        print(f"datetime: {seen!r}")
        if abs(seen - at) > datetime.timedelta(milliseconds=2):
            sys.exit(f"datetime: wanted about {at!r}")

        cursor.execute("SELECT OriginNSSourceNSId FROM ItemNSSource")
        check("int", cursor.fetchall(), [(1,)])

        try:
            cursor.execute("UPDATE SWDPackageServer SET Status = 'Ready'")
            sys.exit("an update was accepted")
        except pytds.DatabaseError as error:
            check("an update", "permission" in str(error), True)

        connection.rollback()
        cursor.execute("SELECT COUNT(*) FROM SWDPackageServer")
        check("after the error", cursor.fetchall(), [(1,)])


main()
