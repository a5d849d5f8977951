#!/usr/bin/env python3
"""A small WinRM server that shares no code with fleetmend: NTLM and SPNEGO by pyspnego, its own
reading of [MS-WSMV]. It knows `echo`, `quiet SECONDS`, `much BYTES` and a PowerShell that answers
every script with its own input.

    winrm_server.py 'DOMAIN:USER:PASSWORD'

It prints `PORT <number>` and serves on 127.0.0.1 until its standard input ends. `GET /stats` tells
what it has counted; after `GET /lose` the next answer with output is lost on its way, and it keeps
no answer to give it a second time. Unsealed messages are refused as Windows refuses them.
"""

import base64
import http.server
import json
import os
import struct
import sys
import tempfile
import threading
import time
import uuid
import xml.etree.ElementTree as ET
from xml.sax.saxutils import escape

import spnego

SOAP = "http://www.w3.org/2003/05/soap-envelope"
WSA = "http://schemas.xmlsoap.org/ws/2004/08/addressing"
WSMAN = "http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd"
SHELL = "http://schemas.microsoft.com/wbem/wsman/1/windows/shell"
TRANSFER = "http://schemas.xmlsoap.org/ws/2004/09/transfer"
CMD = SHELL + "/cmd"
PROTOCOL = b"application/HTTP-SPNEGO-session-encrypted"
NS = {"s": SOAP, "a": WSA, "w": WSMAN, "rsp": SHELL}
STATS = {key: 0 for key in ("connections", "logons", "rejected", "sealed", "plain_refused", "frames_refused")}
SHELLS = {}
LOSE = threading.Event()
LOCK = threading.Lock()


def count(what):
    with LOCK:
        STATS[what] += 1


class Fault(Exception):
    def __init__(self, code, subcode, text):
        super().__init__(text)
        self.code, self.subcode, self.text = code, subcode, text


class Command:
    def __init__(self, line, arguments):
        self.line, self.arguments = line, arguments
        self.stdin, self.started, self.done = b"", False, threading.Event()
        self.stdout, self.stderr, self.code = b"", b"", 0

    def start(self):
        if not self.started:
            self.started = True
            threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        name, _, rest = self.line.partition(" ")
        if name == "echo":
            self.stdout = rest.encode() + b"\r\n"
        elif name == "quiet":
            time.sleep(float(rest))
            self.stdout = b"done"
        elif name == "much":
            self.stdout = ("ü€😀".encode() * (int(rest) // 9 + 1))[: int(rest)]
        elif name.lower().endswith("powershell.exe"):
            words = " ".join(self.arguments).split()
            script = base64.b64decode(words[words.index("-EncodedCommand") + 1]).decode("utf-16-le")
            given = json.loads(base64.b64decode(self.stdin.decode().strip()))
            result = json.dumps({"echo": given, "script": script}).encode()
            self.stdout = b"FLEETMEND:" + base64.b64encode(result) + b"\r\n"
        else:
            self.stderr, self.code = f"'{name}' is not recognized".encode(), 9009
        self.done.set()


def act(root):
    """Carries one request out and returns the action and the body of the answer."""
    header, body = root.find("s:Header", NS), root.find("s:Body", NS)
    action = header.findtext("a:Action", namespaces=NS)
    name = action.rsplit("/", 1)[1]
    selector = header.find("w:SelectorSet/w:Selector", NS)
    shell_id = None if selector is None else selector.text
    if header.findtext("w:ResourceURI", namespaces=NS) != CMD:
        raise Fault(2150858752, "DestinationUnreachable", "not this resource")
    if name == "Create":
        options = {o.get("Name"): o.text for o in header.findall("w:OptionSet/w:Option", NS)}
        if options.get("WINRS_CODEPAGE") != "65001":
            raise Fault(87, "InvalidParameter", "the code page is not UTF-8")
        shell_id = body.find("rsp:Shell", NS).get("ShellId") or str(uuid.uuid4()).upper()
        with LOCK:
            SHELLS[shell_id] = {}
        return TRANSFER + "/CreateResponse", (
            f"<rsp:Shell xmlns:rsp='{SHELL}'><rsp:ShellId>{shell_id}</rsp:ShellId>"
            "<rsp:InputStreams>stdin</rsp:InputStreams></rsp:Shell>"
        )
    with LOCK:
        commands = SHELLS.get(shell_id)
    if commands is None:
        raise Fault(2150858843, "InvalidSelectors", "no such shell")
    if name == "Delete":
        with LOCK:
            del SHELLS[shell_id]
        return TRANSFER + "/DeleteResponse", ""
    if name == "Command":
        line = body.find("rsp:CommandLine", NS)
        command_id = str(uuid.uuid4()).upper()
        arguments = [a.text or "" for a in line.findall("rsp:Arguments", NS)]
        commands[command_id] = Command(line.findtext("rsp:Command", namespaces=NS), arguments)
        return SHELL + "/CommandResponse", (
            f"<rsp:CommandResponse xmlns:rsp='{SHELL}'><rsp:CommandId>{command_id}</rsp:CommandId>"
            "</rsp:CommandResponse>"
        )
    if name == "Send":
        stream = body.find("rsp:Send/rsp:Stream", NS)
        command = commands[stream.get("CommandId")]
        command.stdin += base64.b64decode(stream.text or "")
        if (stream.get("End") or "").lower() == "true":
            command.start()
        return SHELL + "/SendResponse", f"<rsp:SendResponse xmlns:rsp='{SHELL}'/>"
    if name == "Signal":
        commands.pop(body.find("rsp:Signal", NS).get("CommandId"), None)
        return SHELL + "/SignalResponse", f"<rsp:SignalResponse xmlns:rsp='{SHELL}'/>"
    if name == "Receive":
        command_id = body.find("rsp:Receive/rsp:DesiredStream", NS).get("CommandId")
        return SHELL + "/ReceiveResponse", receive(header, commands[command_id], command_id)
    raise Fault(2150858752, "ActionNotSupported", f"no {name} here")


def receive(header, command, command_id):
    if not command.stdin:
        command.start()
    timeout = float(header.findtext("w:OperationTimeout", namespaces=NS)[2:-1])
    if not command.done.wait(timeout):
        raise Fault(2150858793, "TimedOut", "no output yet")
    # Pieces of a size that is no multiple of a character's.
    out, command.stdout = command.stdout[:100_003], command.stdout[100_003:]
    state, code = ("Running", "") if command.stdout else ("Done", f"<q:ExitCode>{command.code}</q:ExitCode>")
    streams = [("stdout", out)] if command.stdout else [("stdout", out), ("stderr", command.stderr)]
    xml = "".join(
        f"<q:Stream Name='{name}' CommandId='{command_id}'>{base64.b64encode(data).decode()}</q:Stream>"
        for name, data in streams
    )
    return (
        f"<q:ReceiveResponse xmlns:q='{SHELL}'>{xml}<q:CommandState CommandId='{command_id}' "
        f"State='{SHELL}/CommandState/{state}'>{code}</q:CommandState></q:ReceiveResponse>"
    )


def answer(document):
    """The answer to one SOAP message: the HTTP status and the document."""
    root = ET.fromstring(document)
    relates = root.findtext("s:Header/a:MessageID", namespaces=NS)
    try:
        status, (action, body) = 200, act(root)
    except Fault as fault:
        status, action = 500, "http://schemas.dmtf.org/wbem/wsman/1/wsman/fault"
        text = escape(fault.text)
        body = (
            f"<e:Fault><e:Code><e:Value>e:Receiver</e:Value><e:Subcode><e:Value>m:{fault.subcode}</e:Value>"
            f"</e:Subcode></e:Code><e:Reason><e:Text xml:lang=''>{text}</e:Text></e:Reason><e:Detail>"
            f"<f:WSManFault xmlns:f='http://schemas.microsoft.com/wbem/wsman/1/wsmanfault' Code='{fault.code}' "
            f"Machine='peer'><f:Message>{text}</f:Message></f:WSManFault></e:Detail></e:Fault>"
        )
    document = (
        f"<e:Envelope xmlns:e='{SOAP}' xmlns:z='{WSA}' xmlns:m='{WSMAN}'><e:Header><z:Action>{action}</z:Action>"
        f"<z:MessageID>uuid:{uuid.uuid4()}</z:MessageID><z:RelatesTo>{relates}</z:RelatesTo></e:Header>"
        f"<e:Body>{body}</e:Body></e:Envelope>"
    )
    return status, document.encode()


class Handler(http.server.BaseHTTPRequestHandler):
    """One connection; what was authenticated belongs to it."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1
    disable_nagle_algorithm = True
    timeout = 120

    def setup(self):
        super().setup()
        count("connections")
        self.context, self.known = None, False

    def log_message(self, *_):
        pass

    def reply(self, status, body=b"", **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()

    def do_GET(self):
        if self.path == "/lose":
            LOSE.set()
        with LOCK:
            stats = dict(STATS, shells=len(SHELLS))
        self.reply(200, json.dumps(stats).encode())

    def refuse(self):
        self.context, self.known, self.close_connection = None, False, True
        self.reply(401, WWW_Authenticate="Negotiate", Connection="close")

    def do_POST(self):
        if "Content-Length" not in self.headers:
            self.close_connection = True
            return self.reply(411, Connection="close")
        body = self.rfile.read(int(self.headers["Content-Length"]))
        scheme, _, token = self.headers.get("Authorization", "").partition(" ")
        if scheme == "Negotiate":
            return self.log_on(base64.b64decode(token), body)
        if not self.known:
            return self.refuse()
        if not self.headers.get("Content-Type", "").startswith("multipart/encrypted"):
            if body:
                count("plain_refused")
            return self.reply(500 if body else 200)
        try:
            plain = self.unseal(body)
        except Exception as error:
            print(f"refused frame: {error!r}", file=sys.stderr)
            count("frames_refused")
            self.close_connection = True
            return self.reply(400, Connection="close")
        count("sealed")
        status, document = answer(plain)
        if LOSE.is_set() and b"ReceiveResponse" in document:
            LOSE.clear()
            self.close_connection = True
            return None
        sealed = self.context.wrap_winrm(document)
        frame = (
            b"--Encrypted Boundary\r\n\tContent-Type: %s\r\n\tOriginalContent: type=application/soap+xml;"
            b"charset=UTF-8;Length=%d\r\n--Encrypted Boundary\r\n\tContent-Type: application/octet-stream\r\n"
            b"%s%s%s--Encrypted Boundary--\r\n"
        ) % (PROTOCOL, len(document), struct.pack("<i", len(sealed.header)), sealed.header, sealed.data)
        kind = f'multipart/encrypted;protocol="{PROTOCOL.decode()}";boundary="Encrypted Boundary"'
        self.reply(status, frame, Content_Type=kind)

    def unseal(self, body):
        begin = b"--Encrypted Boundary\r\n\tContent-Type: " + PROTOCOL + b"\r\n\tOriginalContent: "
        middle = b"--Encrypted Boundary\r\n\tContent-Type: application/octet-stream\r\n"
        end = b"--Encrypted Boundary--\r\n"
        assert body.startswith(begin) and body.endswith(end), "no frame"
        original, data = body[len(begin) : -len(end)].split(b"\r\n" + middle, 1)
        (length,) = struct.unpack("<I", data[:4])
        plain = self.context.unwrap_winrm(data[4 : 4 + length], data[4 + length :])
        assert original == b"type=application/soap+xml;charset=UTF-8;Length=%d" % len(plain), original
        return plain

    def log_on(self, token, body):
        try:
            if self.context is None:
                raw = token.startswith(b"NTLMSSP\0")
                options = spnego.NegotiateOptions
                self.context = spnego.server(
                    hostname="peer",
                    service="HTTP",
                    protocol="ntlm" if raw else "negotiate",
                    options=options.use_ntlm if raw else options.use_negotiate,
                )
            out = self.context.step(token)
        except Exception as error:
            print(f"rejected: {type(error).__name__}: {error}", file=sys.stderr)
            count("rejected")
            return self.refuse()
        headers = {"WWW_Authenticate": "Negotiate " + base64.b64encode(out).decode()} if out else {}
        if not self.context.complete:
            return self.reply(401, **headers)
        self.known = True
        count("logons")
        if body:
            count("plain_refused")
        self.reply(500 if body else 200, **headers)


def main():
    with tempfile.NamedTemporaryFile("w", suffix=".accounts") as accounts:
        accounts.write(sys.argv[1] + "\n")
        accounts.flush()
        os.environ["NTLM_USER_FILE"] = accounts.name
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        print(f"PORT {server.server_address[1]}", flush=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        sys.stdin.read()


if __name__ == "__main__":
    main()
