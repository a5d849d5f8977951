#!/bin/sh
# Starts a Samba of our own for the SMB client's test, on a port of its own, in a directory of its
# own; the machine's smb.conf is neither read nor written. Safe to call again: a server that
# already runs is used as it is.
#
#   tests/peers/samba.sh start [DIR]   prints the environment for the test, and `ready`
#   tests/peers/samba.sh stop  [DIR]
#
# Needs root, and the packages samba, smbclient and samba-common-bin.
# SAMBA_PORT: the port, 11445 unless set. SAMBA_EXTRA_PORT: a second one; smbcacls knows only 445.
set -eu

action=${1:-start}
root=${2:-${TMPDIR:-/tmp}/fleetmend-samba}
port=${SAMBA_PORT:-11445}
extra=${SAMBA_EXTRA_PORT:-445}
user=fmendadmin
reader=fmendreader
password='Peer-Pass-1!'
conf=$root/smb.conf

case $action in
stop)
  if [ -f "$root/run/smbd.pid" ]; then kill "$(cat "$root/run/smbd.pid")" 2>/dev/null || true; fi
  exit 0 ;;
start) ;;
*) echo "usage: $0 start|stop [DIR]" >&2; exit 2 ;;
esac

for tool in smbd smbclient smbcacls smbpasswd; do
  command -v "$tool" >/dev/null || { echo "$0: $tool is not installed" >&2; exit 3; }
done
[ "$(id -u)" = 0 ] || { echo "$0: must be root" >&2; exit 3; }

announce() {
  cat <<END
FLEETMEND_SAMBA_HOST=127.0.0.1
FLEETMEND_SAMBA_PORT=$port
FLEETMEND_SAMBA_USER=$user
FLEETMEND_SAMBA_READER=$reader
FLEETMEND_SAMBA_PASSWORD=$password
FLEETMEND_SAMBA_DRIVE=$root/c
ready
END
}

answers() {
  smbclient -p "$port" -U "$user%$password" -c 'ls' "//127.0.0.1/C\$" >/dev/null 2>&1
}

if answers; then announce; exit 0; fi

for name in private lock state cache run ncalrpc log c; do mkdir -p "$root/$name"; done
chmod 700 "$root/private"
for name in "$user" "$reader"; do
  id "$name" >/dev/null 2>&1 || useradd --system --no-create-home --shell /usr/sbin/nologin "$name"
done

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
  smb ports = $port $extra
  hosts allow = 127.
  disable netbios = yes
  load printers = no
  printing = bsd
  map to guest = never
  server min protocol = SMB2_10
  server signing = mandatory
  server smb encrypt = if_required
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
  admin users = $user
  valid users = $user $reader
  create mask = 0666
  directory mask = 0777
END

for name in "$user" "$reader"; do
  printf '%s\n%s\n' "$password" "$password" | smbpasswd -c "$conf" -L -s -a "$name" >/dev/null
done
chmod 0777 "$root/c"
smbd -D -s "$conf" -l "$root/log"

tries=0
until answers; do
  tries=$((tries + 1))
  [ "$tries" -lt 50 ] || { echo "$0: smbd does not answer, see $root/log" >&2; exit 1; }
  sleep 0.2
done
announce
