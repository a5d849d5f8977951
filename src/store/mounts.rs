//! Whether a path lies on a network file system, where SQLite's locks cannot be trusted.

#![cfg_attr(
    not(any(target_os = "linux", test)),
    expect(dead_code, reason = "only Linux tells its mounts")
)]

use std::path::{Path, PathBuf};

/// File systems of other machines, by the names that Linux gives them.
const NETWORK: &[&str] = &[
    "nfs",
    "nfs4",
    "cifs",
    "smb3",
    "smbfs",
    "afs",
    "ceph",
    "lustre",
    "glusterfs",
    "gfs2",
    "ocfs2",
    "beegfs",
    "davfs",
    "ncpfs",
    "coda",
];
/// The same behind FUSE.
const FUSE: &[&str] = &[
    "fuse.sshfs",
    "fuse.glusterfs",
    "fuse.ceph",
    "fuse.davfs",
    "fuse.davfs2",
    "fuse.rclone",
    "fuse.s3fs",
    "fuse.smbnetfs",
    "fuse.gvfsd-fuse",
];

/// The network file system that holds `path`, by the text of `/proc/self/mounts`; none when it is
/// a local one. `path` is absolute, without links.
pub(super) fn network_file_system(mounts: &str, path: &Path) -> Option<String> {
    let mount = |line: &str| {
        let mut fields = line.split(' ');
        let (_device, point, kind) = (fields.next()?, fields.next()?, fields.next()?);
        Some((unescaped(point), kind.to_owned()))
    };
    let (_, kind) = mounts
        .lines()
        .filter_map(mount)
        .filter(|(point, _)| path.starts_with(point))
        // Of two mounts on the same point the later one covers the earlier.
        .max_by_key(|(point, _)| point.components().count())?;
    (NETWORK.contains(&kind.as_str()) || FUSE.contains(&kind.as_str())).then_some(kind)
}

/// Linux writes blank, tab, line feed and backslash in octal.
fn unescaped(point: &str) -> PathBuf {
    let replaced = point
        .replace("\\040", " ")
        .replace("\\011", "\t")
        .replace("\\012", "\n")
        .replace("\\134", "\\");
    PathBuf::from(replaced)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "/dev/sda1 / ext4 rw 0 0\n\
        server:/home /home nfs4 rw 0 0\n\
        /dev/sdb1 /home/ops/local ext4 rw 0 0\n\
        //filer/share /mnt/team\\040share cifs rw 0 0\n\
        me@host:/ /mnt/ssh fuse.sshfs rw 0 0\n";

    #[test]
    fn the_innermost_mount_decides() {
        let of = |path| network_file_system(MOUNTS, Path::new(path));

        assert_eq!(of("/var/lib/fleetmend"), None);
        assert_eq!(of("/home/ops/.local/state").as_deref(), Some("nfs4"));
        assert_eq!(of("/home/ops/local/state"), None);
        assert_eq!(of("/homework"), None);
        assert_eq!(of("/mnt/team share/state").as_deref(), Some("cifs"));
        assert_eq!(of("/mnt/ssh/x").as_deref(), Some("fuse.sshfs"));
    }
}
