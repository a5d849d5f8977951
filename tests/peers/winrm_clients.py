#!/usr/bin/env python3
"""pypsrp and pywinrm against the WinRM front of the lab.

    PEER_PASSWORD=... winrm_clients.py HOST PORT 'DOMAIN\\USER' [SESSIONS]

The machine behind the front must know `echo TEXT`, `quiet SECONDS`, `much BYTES` and `cat`. Prints
one line per check with its figures; the exit code is the number of failures.
"""

import os
import sys
import time
import warnings

import requests
import winrm
from pypsrp.exceptions import AuthenticationError, WSManFaultError
from pypsrp.powershell import RunspacePool
from pypsrp.shell import Process, SignalCode, WinRS
from pypsrp.wsman import WSMan
from winrm.exceptions import InvalidCredentialsError

warnings.simplefilter("ignore")
HOST, PORT, USER = sys.argv[1], int(sys.argv[2]), sys.argv[3]
SESSIONS = int(sys.argv[4]) if len(sys.argv) > 4 else 10
PASSWORD = os.environ["PEER_PASSWORD"]
FAILED = 0


def check(what, run):
    global FAILED
    begin = time.monotonic()
    try:
        seen = run()
        print(f"ok      {what}: {seen} ({time.monotonic() - begin:.2f} s)")
    except Exception as error:
        FAILED += 1
        print(f"FAILED  {what}: {type(error).__name__}: {error}")


def psrp(auth, password=PASSWORD, **options):
    return WSMan(
        HOST, port=PORT, ssl=False, auth=auth, encryption="always", username=USER, password=password, **options
    )


def process(wsman, command, data=None):
    with wsman, WinRS(wsman, codepage=65001, no_profile=True) as shell:
        run = Process(shell, command)
        if data is None:
            run.invoke()
        else:
            run.begin_invoke()
            for start in range(0, len(data), 60_000):
                run.send(data[start : start + 60_000], end=start + 60_000 >= len(data))
            run.end_invoke()
        run.signal(SignalCode.TERMINATE)
        return run


def pywinrm(password=PASSWORD, **options):
    return winrm.Session(
        f"http://{HOST}:{PORT}/wsman", (USER, password), transport="ntlm", message_encryption="always", **options
    )


def sessions(run):
    def all_of_them():
        for _ in range(SESSIONS):
            run()
        return f"{SESSIONS} fresh sessions"

    return all_of_them


def same(seen, wanted):
    assert seen == wanted, f"{seen!r} is not {wanted!r}"
    return wanted if len(wanted) < 60 else f"{len(wanted)} bytes"


def refused(run, expected):
    try:
        run()
    except expected as error:
        return type(error).__name__
    raise AssertionError("not refused")


def several_shells():
    with psrp("ntlm") as wsman:
        shells = [WinRS(wsman) for _ in range(3)]
        for shell in shells:
            shell.open()
        runs = [Process(shell, "echo one") for shell in shells]
        for run in runs:
            run.begin_invoke()
        for run in runs:
            run.end_invoke()
        for shell in shells:
            shell.close()
        return same(b"".join(run.stdout for run in runs), b"one\r\n" * 3)


def runspace():
    with psrp("ntlm") as wsman, RunspacePool(wsman) as pool:
        return pool


MUCH = ("ü€😀".encode() * 333_334)[:3_000_000]
for auth in ("ntlm", "negotiate"):
    check(f"pypsrp {auth} echo", lambda: same(process(psrp(auth), "echo ü & <b>").stdout.decode(), "ü & <b>\r\n"))
    check(f"pypsrp {auth}", sessions(lambda: same(process(psrp(auth), "echo x").stdout, b"x\r\n")))
    check(f"pypsrp {auth} wrong password", lambda: refused(lambda: process(psrp(auth, "no"), "echo x"), AuthenticationError))
check("pypsrp 3 MB of output", lambda: same(process(psrp("ntlm"), "much 3000000").stdout, MUCH))
check("pypsrp 300 kB of input", lambda: same(process(psrp("ntlm"), "cat", b"abc" * 100_000).stdout, b"abc" * 100_000))
check(
    "pypsrp quiet for 3 s, operation timeout 1 s",
    lambda: same(process(psrp("ntlm", operation_timeout=1), "quiet 3").stdout, b"done"),
)
check("pypsrp three shells on one connection", several_shells)
check("pypsrp a PowerShell runspace is not simulated", lambda: refused(runspace, WSManFaultError))
check("pywinrm echo", lambda: same(pywinrm().run_cmd("echo", ["hello", "ü"]).std_out.decode(), "hello ü\r\n"))
check("pywinrm", sessions(lambda: same(pywinrm().run_cmd("echo x").std_out, b"x\r\n")))
check("pywinrm exit code", lambda: same(str(pywinrm().run_cmd("nothing").status_code), "9009"))
check("pywinrm 3 MB of output", lambda: same(pywinrm().run_cmd("much 3000000").std_out, MUCH))
check(
    "pywinrm quiet for 3 s, operation timeout 1 s",
    lambda: same(pywinrm(operation_timeout_sec=1, read_timeout_sec=10).run_cmd("quiet 3").std_out, b"done"),
)
check("pywinrm wrong password", lambda: refused(lambda: pywinrm("no").run_cmd("echo x"), InvalidCredentialsError))
check(
    "an unsealed message is refused",
    lambda: same(str(requests.post(f"http://{HOST}:{PORT}/wsman", data=b"<x/>").status_code), "401"),
)
sys.exit(FAILED)
