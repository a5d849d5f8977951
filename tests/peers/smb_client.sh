#!/usr/bin/env bash
# Checks an SMB server with Samba's programs: smbclient, and on port 445 also smbcacls.
#
#   PEER_PASSWORD=... tests/peers/smb_client.sh HOST PORT USER
#
# USER is DOMAIN\name, an administrator of the server. The server has C:\data\Snapshot.xml with
# the content <snapshot/> and a share "Everything" of its volume C:. Optional:
#   PEER_PLAIN_USER    an account without rights beyond reading, same password: must be denied
#   PEER_PROTECTION    sign (default) or encrypt
# Run by `smb_client.rs`. Exits at the first mismatch, with what was expected and what came.
set -uo pipefail

host=$1 port=$2 user=$3
protection=${PEER_PROTECTION:-sign}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
checks=0

fail() { printf 'FAILED: %s\n%s\n' "$1" "${2:-}" >&2; exit 1; }
ok() { checks=$((checks + 1)); printf 'ok %s: %s\n' "$checks" "$1"; }

credentials() { # USER PASSWORD FILE
    printf 'username = %s\npassword = %s\ndomain = %s\n' "${1#*\\}" "$2" "${1%%\\*}" >"$3"
}
credentials "$user" "$PEER_PASSWORD" admin.auth
credentials "$user" "wrong-$PEER_PASSWORD" wrong.auth

smb() { # AUTH SHARE COMMANDS [MORE...]
    local auth=$1 share=$2 commands=$3
    shift 3
    timeout 30 smbclient "//$host/$share" -p "$port" -A "$auth" \
        --client-protection="$protection" "$@" -c "$commands" 2>&1
}
expect() { # WHAT PATTERN OUTPUT
    grep -qE -- "$2" <<<"$3" || fail "$1: expected /$2/" "$3"
    ok "$1"
}
refuse() { # WHAT PATTERN OUTPUT
    grep -qE -- "$2" <<<"$3" && fail "$1: did not expect /$2/" "$3"
    ok "$1"
}

for dialect in SMB2_02 SMB2_10 SMB3_00 SMB3_02 SMB3_11; do
    # Encryption came with 3.0.
    [[ $protection == encrypt && $dialect == SMB2_* ]] && continue
    out=$(smb admin.auth 'C$' 'ls data\*' -m "$dialect" --option="client min protocol=$dialect")
    expect "list with $dialect" 'Snapshot\.xml +A +11' "$out"
done

out=$(timeout 30 smbclient -L "//$host" -p "$port" -A admin.auth \
    --client-protection="$protection" 2>&1)
expect 'shares are listed' 'Everything +Disk +for tests' "$out"
expect 'administrative shares are listed' 'C\$ +Disk +Default share' "$out"

out=$(smb wrong.auth 'C$' 'ls')
expect 'a wrong password is refused' 'NT_STATUS_LOGON_FAILURE' "$out"
out=$(smb admin.auth 'nothing$' 'ls')
expect 'an unknown share is refused' 'NT_STATUS_BAD_NETWORK_NAME' "$out"

smb admin.auth 'C$' 'get data\snapshot.xml got.xml' >/dev/null
cmp got.xml <(printf '<snapshot/>') || fail 'get: bytes differ'
ok 'get, by another case, gives the same bytes'

head -c 3000017 /dev/urandom >large.bin
out=$(smb admin.auth 'C$' 'mkdir peer; cd peer; put large.bin; get large.bin back.bin; ls')
cmp large.bin back.bin || fail 'put and get: bytes differ' "$out"
expect 'put and get 3 MB give the same bytes' 'large\.bin +A +3000017' "$out"

out=$(smb admin.auth 'C$' 'cd peer; rename large.bin moved.bin; ls')
expect 'rename' 'moved\.bin +A +3000017' "$out"
refuse 'the old name is gone' 'large\.bin' "$out"

printf small >small.txt
out=$(smb admin.auth 'C$' 'cd peer; put small.txt; rename small.txt moved.bin')
expect 'rename onto a file is refused' 'NT_STATUS_OBJECT_NAME_COLLISION' "$out"
out=$(smb admin.auth 'C$' 'cd peer; rename small.txt moved.bin -f; ls')
expect 'rename onto a file with force' 'moved\.bin +A +5 ' "$out"

out=$(smb admin.auth 'C$' 'cd peer; setmode moved.bin +r; del moved.bin; ls')
expect 'deleting a read-only file is refused' 'NT_STATUS_CANNOT_DELETE' "$out"
expect 'the read-only file is still there' 'moved\.bin +AR +5 ' "$out"
out=$(smb admin.auth 'C$' 'rmdir peer')
expect 'removing a full folder is refused' 'NT_STATUS_DIRECTORY_NOT_EMPTY' "$out"
out=$(smb admin.auth 'C$' 'cd peer; setmode moved.bin -r; del moved.bin; ls')
refuse 'delete' 'moved\.bin' "$out"

out=$(smb admin.auth 'C$' 'allinfo data\Snapshot.xml')
expect 'allinfo: attributes' 'attributes: A \(20\)' "$out"
expect 'allinfo: stream' 'stream: \[::\$DATA\], 11 bytes' "$out"
out=$(smb admin.auth 'C$' 'utimes data\Snapshot.xml -1 -1 2021:02:03-04:05:06 -1; allinfo data\Snapshot.xml')
expect 'times can be set' 'write_time: +Wed Feb +3 ' "$out"
out=$(smb admin.auth 'C$' 'volume; du')
expect 'volume and free space are told' 'blocks of size' "$out"

out=$(smb admin.auth 'C$' 'mkdir peer\a; mkdir peer\a\b; put small.txt peer\a\b\x; put small.txt peer\a\y; deltree peer; ls')
refuse 'a whole folder is deleted' ' peer ' "$out"

if [[ -n ${PEER_PLAIN_USER:-} ]]; then
    credentials "$PEER_PLAIN_USER" "$PEER_PASSWORD" plain.auth
    out=$(smb plain.auth 'C$' 'ls')
    expect 'C$ is closed to a plain account' 'NT_STATUS_ACCESS_DENIED' "$out"
    out=$(smb plain.auth Everything 'ls data\*')
    expect 'a plain account may read' 'Snapshot\.xml' "$out"
    for command in 'del data\Snapshot.xml' 'rename data\Snapshot.xml data\b' \
        'put small.txt data\new' 'put small.txt data\Snapshot.xml' 'setmode data\Snapshot.xml +r' \
        'mkdir data\new'; do
        out=$(smb plain.auth Everything "$command")
        expect "a plain account may not: $command" 'NT_STATUS_ACCESS_DENIED' "$out"
    done
fi

if [[ $port == 445 ]]; then
    acl() {
        timeout 30 smbcacls "//$host/C\$" "$@" -A admin.auth \
            --client-protection="$protection" 2>&1
    }
    out=$(acl 'data\Snapshot.xml')
    expect 'smbcacls names the accounts' 'ACL:BUILTIN\\Administrators:ALLOWED/I/FULL' "$out"
    out=$(acl 'data\Snapshot.xml' --add 'ACL:CORP\plain:ALLOWED/0x0/FULL')
    [[ -z $out ]] || fail 'smbcacls --add' "$out"
    out=$(acl 'data\Snapshot.xml')
    expect 'smbcacls --add by name' 'ACL:CORP\\plain:ALLOWED/0x0/FULL' "$out"
    expect 'smbcacls --add keeps the others' 'ACL:BUILTIN\\Administrators:ALLOWED/I/FULL' "$out"
    if [[ -n ${PEER_PLAIN_USER:-} ]]; then
        out=$(smb plain.auth Everything 'put small.txt data\Snapshot.xml; ls data\*')
        expect 'the added right works' 'Snapshot\.xml +A +5 ' "$out"
        out=$(timeout 30 smbcacls "//$host/Everything" data -A plain.auth \
            --client-protection="$protection" --add 'ACL:CORP\plain:ALLOWED/0x0/FULL' 2>&1)
        expect 'a plain account may not change a list' 'ACCESS_DENIED' "$out"
    fi
    out=$(timeout 30 rpcclient "$host" -A admin.auth --client-protection="$protection" \
        -c 'lookupnames CORP\\plain; netshareenum 1' 2>&1)
    expect 'rpcclient lookupnames' 'CORP\\plain S-1-5-21-1-2-3-1105 \(User: 1\)' "$out"
    expect 'rpcclient netshareenum' 'netname: Everything' "$out"
fi

printf '%s checks passed (%s)\n' "$checks" "$protection"
