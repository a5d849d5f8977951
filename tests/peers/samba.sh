#!/bin/sh
# Runs a Samba of our own in the foreground: its files in DIR, on ADDRESS, port 445.
#
#   PEER_PASSWORD=... tests/peers/samba.sh DIR ADDRESS ADMIN READER
#
# It makes the accounts ADMIN and READER in /etc, which therefore has to be a private copy, as in
# tests/run.sh. It has the share C$ of DIR/c, which ADMIN may do anything with. It ends with its
# standard input, or by a signal. SAMBA_ENCRYPT: `required` to insist on encryption.
set -eu

root=$1 address=$2 admin=$3 reader=$4
conf=$root/smb.conf

for name in private lock state cache run ncalrpc log c; do mkdir -p "$root/$name"; done
chmod 700 "$root/private"
chmod 0777 "$root/c"

# One at a time: useradd gives up when another one is at work.
exec 9<"$0"
flock -w 30 9
for name in "$admin" "$reader"; do
  id "$name" >/dev/null 2>&1 || useradd --system --no-create-home --shell /usr/sbin/nologin "$name"
done
exec 9<&-

# NT ACLs live in extended attributes where the file system has them.
acl=acl_tdb
if command -v setfattr >/dev/null && setfattr -n security.fleetmend -v 1 "$root/c" 2>/dev/null; then
  setfattr -x security.fleetmend "$root/c"
  acl=acl_xattr
fi

cat > "$conf" <<END
[global]
  workgroup = PEERS
  server role = standalone server
  netbios name = PEER
  passdb backend = tdbsam:$root/private/passdb.tdb
  private dir = $root/private
  lock directory = $root/lock
  state directory = $root/state
  cache directory = $root/cache
  pid directory = $root/run
  ncalrpc dir = $root/ncalrpc
  log file = $root/log/smbd.log
  max log size = 10000
  interfaces = $address/8
  bind interfaces only = yes
  smb ports = 445
  hosts allow = 127.
  disable netbios = yes
  load printers = no
  printing = bsd
  map to guest = never
  server min protocol = SMB2_10
  server signing = mandatory
  server smb encrypt = ${SAMBA_ENCRYPT:-if_required}
  ea support = yes
  store dos attributes = yes
  map archive = no
  map hidden = no
  map system = no
  map readonly = no
  vfs objects = $acl
  $acl:ignore system acls = yes
  inherit acls = yes
[C\$]
  path = $root/c
  read only = no
  admin users = $admin
  valid users = $admin $reader
  create mask = 0666
  directory mask = 0777
END

for name in "$admin" "$reader"; do
  printf '%s\n%s\n' "$PEER_PASSWORD" "$PEER_PASSWORD" | smbpasswd -c "$conf" -L -s -a "$name" >/dev/null
done

# The caller gave it a process group already.
exec smbd -F --no-process-group -s "$conf" -l "$root/log"
