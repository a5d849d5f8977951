//! The SDDL form, [MS-DTYP] 2.5.1, for people.

use std::fmt;

use super::{Ace, AceFlags, Control, Dacl, FileRights, SecurityDescriptor, Sid};

const ALIASES: [(u64, &[u32], &str); 9] = [
    (5, &[18], "SY"),
    (5, &[19], "LS"),
    (5, &[20], "NS"),
    (5, &[11], "AU"),
    (5, &[32, 544], "BA"),
    (5, &[32, 545], "BU"),
    (1, &[0], "WD"),
    (3, &[0], "CO"),
    (3, &[1], "CG"),
];

/// A SID by its two-letter alias, where SDDL has one.
struct Alias<'a>(&'a Sid);

impl fmt::Display for Alias<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_it = |(authority, numbers, _): &&(u64, &[u32], &str)| {
            Sid::new(*authority, numbers).as_ref() == Ok(self.0)
        };
        match ALIASES.iter().find(is_it) {
            Some((.., alias)) => f.write_str(alias),
            None => self.0.fmt(f),
        }
    }
}

impl fmt::Display for Ace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.type_code() {
            0 => f.write_str("(A;")?,
            1 => f.write_str("(D;")?,
            2 => f.write_str("(AU;")?,
            0x11 => f.write_str("(ML;")?,
            other => write!(f, "(0x{other:02x};")?,
        }
        let names = [
            (AceFlags::OBJECT_INHERIT, "OI"),
            (AceFlags::CONTAINER_INHERIT, "CI"),
            (AceFlags::NO_PROPAGATE, "NP"),
            (AceFlags::INHERIT_ONLY, "IO"),
            (AceFlags::INHERITED, "ID"),
            (0x40, "SA"),
            (0x80, "FA"),
        ];
        for (_, name) in names.iter().filter(|(bit, _)| self.flags().has(*bit)) {
            f.write_str(name)?;
        }
        match self.mask() {
            FileRights::FULL_CONTROL => f.write_str(";FA;;;")?,
            FileRights::READ => f.write_str(";FR;;;")?,
            FileRights::WRITE => f.write_str(";FW;;;")?,
            mask => write!(f, ";0x{mask:x};;;")?,
        }
        match self.sid() {
            Some(sid) => write!(f, "{})", Alias(&sid)),
            None => f.write_str("?)"),
        }
    }
}

impl fmt::Display for SecurityDescriptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(owner) = self.owner() {
            write!(f, "O:{}", Alias(owner))?;
        }
        if let Some(group) = self.group() {
            write!(f, "G:{}", Alias(group))?;
        }
        let flags = || {
            let names = [
                (Control::DACL_PROTECTED, "P"),
                (Control::DACL_AUTO_INHERIT_REQUIRED, "AR"),
                (Control::DACL_AUTO_INHERITED, "AI"),
            ];
            names
                .into_iter()
                .filter(|(bit, _)| self.control().has(*bit))
                .map(|(_, name)| name)
                .collect::<String>()
        };
        match self.dacl() {
            Dacl::Absent => {}
            Dacl::Null => write!(f, "D:{}NO_ACCESS_CONTROL", flags())?,
            Dacl::List(acl) => {
                write!(f, "D:{}", flags())?;
                acl.aces().iter().try_for_each(|ace| ace.fmt(f))?;
            }
        }
        if let Some(sacl) = self.sacl() {
            f.write_str("S:")?;
            sacl.aces().iter().try_for_each(|ace| ace.fmt(f))?;
        }
        Ok(())
    }
}
