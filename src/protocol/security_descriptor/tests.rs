//! The rules that the descriptor codec keeps.

use proptest::prelude::*;

use super::*;

fn account() -> Sid {
    "S-1-5-21-1-2-3-1105".parse().unwrap()
}

/// `O:BAG:SYD:AI(D;;0x10000;;;WD)(A;;FA;;;BA)(A;ID;FR;;;BU)` with an unknown ACE type and an
/// unknown control bit, parts in the order owner, group, list.
fn foreign() -> Vec<u8> {
    let aces = [
        Ace::deny(&Sid::everyone(), FileRights::DELETE, AceFlags(0)),
        Ace::allow(&Sid::administrators(), FileRights::FULL_CONTROL, AceFlags(0)),
        Ace::allow(&Sid::users(), FileRights::READ, AceFlags(AceFlags::INHERITED)),
    ];
    let mut acl = Vec::new();
    Acl::new(aces.to_vec()).unwrap().encode_into(&mut acl);
    acl.extend([0x7E, AceFlags::INHERITED, 12, 0, 1, 2, 3, 4, 5, 6, 7, 8]);
    let (size, count) = (u16::try_from(acl.len()).unwrap(), 4_u16);
    acl[2..4].copy_from_slice(&size.to_le_bytes());
    acl[4..6].copy_from_slice(&count.to_le_bytes());

    let (owner, group) = (Sid::administrators().encode(), Sid::system().encode());
    let group_at = 20 + u8::try_from(owner.len()).unwrap();
    let dacl_at = group_at + u8::try_from(group.len()).unwrap();
    let mut bytes = vec![1, 0, 0x04, 0xA4, 20, 0, 0, 0, group_at, 0, 0, 0, 0, 0, 0, 0];
    bytes.extend([dacl_at, 0, 0, 0]);
    bytes.extend(owner);
    bytes.extend(group);
    bytes.extend(acl);
    bytes
}

#[test]
fn unknown_entries_control_bits_and_the_order_of_parts_survive() {
    let bytes = foreign();

    assert_eq!(SecurityDescriptor::parse(&bytes).unwrap().encode(), bytes);
}

#[test]
fn a_new_grant_comes_after_explicit_and_before_inherited_entries() {
    let before = SecurityDescriptor::parse(&foreign()).unwrap();

    let after = before
        .with_allow_ace(&account(), FileRights::MODIFY, AceFlags::THIS_FOLDER_AND_BELOW)
        .unwrap();

    assert_eq!(
        after.to_string(),
        "O:BAG:SYD:AI(D;;0x10000;;;WD)(A;;FA;;;BA)(A;OICI;0x1301bf;;;S-1-5-21-1-2-3-1105)\
         (A;ID;FR;;;BU)(0x7e;ID;0x4030201;;;?)"
    );
    let mut others = after.aces().to_vec();
    others.remove(2);
    assert_eq!(others, before.aces());
    assert_eq!(after.control(), before.control());
}

#[test]
fn granting_what_is_granted_changes_nothing() {
    let once = SecurityDescriptor::administrators_only()
        .with_allow_ace(&account(), FileRights::MODIFY, AceFlags::THIS_OBJECT)
        .unwrap();

    let twice = once.with_allow_ace(&account(), FileRights::MODIFY, AceFlags::THIS_OBJECT).unwrap();

    assert_eq!(twice, once);
}

#[test]
fn a_denial_comes_before_the_explicit_grants_and_wins() {
    let open = SecurityDescriptor::machine_default();

    let closed =
        open.with_deny_ace(&Sid::users(), FileRights::READ_DATA, AceFlags::THIS_OBJECT).unwrap();

    assert!(open.grants(&[Sid::users()], FileRights::READ_DATA));
    assert!(!closed.grants(&[Sid::users()], FileRights::READ_DATA));
    assert!(closed.grants(&[Sid::users()], FileRights::READ_ATTRIBUTES));
}

#[test]
fn an_absent_or_null_list_grants_everything_and_an_empty_one_nothing() {
    let base = SecurityDescriptor::administrators_only();
    let empty = base.clone().with_dacl(Dacl::List(Acl::new(Vec::new()).unwrap()));
    let null = base.clone().with_dacl(Dacl::Null);
    let absent = base.with_dacl(Dacl::Absent);

    assert!(null.grants(&[account()], FileRights::FULL_CONTROL));
    assert!(absent.grants(&[account()], FileRights::FULL_CONTROL));
    assert_eq!(empty.granted_to(&[account()]), 0);
    for descriptor in [&null, &absent, &empty] {
        assert_eq!(SecurityDescriptor::parse(&descriptor.encode()).as_ref(), Ok(descriptor));
    }
    assert_eq!(null.with_allow_ace(&account(), 1, AceFlags::THIS_OBJECT).unwrap(), null);
}

#[test]
fn an_owner_may_always_change_the_list_unless_owner_rights_say_otherwise() {
    let mine = SecurityDescriptor::administrators_only().with_owner(Some(account()));
    let limited =
        mine.with_allow_ace(&Sid::owner_rights(), FileRights::READ, AceFlags::THIS_OBJECT).unwrap();

    assert!(mine.grants(&[account()], FileRights::WRITE_DAC));
    assert!(!mine.grants(&[account()], FileRights::READ_DATA));
    assert!(!limited.grants(&[account()], FileRights::WRITE_DAC));
    assert!(limited.grants(&[account()], FileRights::READ_DATA));
}

#[test]
fn the_default_for_quarantine_is_protected_and_for_administrators_alone() {
    let descriptor = SecurityDescriptor::administrators_only();

    assert_eq!(descriptor.to_string(), "O:BAG:BAD:P(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)");
    assert_eq!(descriptor.granted_to(&[Sid::users(), Sid::everyone(), account()]), 0);
}

#[test]
fn children_inherit_what_is_meant_for_them() {
    let folder = SecurityDescriptor::administrators_only()
        .with_allow_ace(&Sid::creator_owner(), 0x1000_0000, AceFlags(0x0B))
        .unwrap()
        .with_allow_ace(&Sid::users(), FileRights::READ, AceFlags(AceFlags::OBJECT_INHERIT))
        .unwrap()
        .with_allow_ace(&Sid::everyone(), FileRights::READ, AceFlags(0))
        .unwrap();

    let subfolder = folder.for_child(true, &account(), &account());
    let file = folder.for_child(false, &account(), &account());

    let me = "S-1-5-21-1-2-3-1105";
    assert_eq!(
        subfolder.to_string(),
        format!(
            "O:{me}G:{me}D:AI(A;OICIID;FA;;;SY)(A;OICIID;FA;;;BA)(A;ID;FA;;;{me})\
             (A;OICIIOID;0x10000000;;;CO)(A;OIIOID;FR;;;BU)"
        )
    );
    assert_eq!(
        file.to_string(),
        format!("O:{me}G:{me}D:AI(A;ID;FA;;;SY)(A;ID;FA;;;BA)(A;ID;FA;;;{me})(A;ID;FR;;;BU)")
    );
}

#[test]
fn inheriting_anew_keeps_explicit_entries_and_protected_lists() {
    let parent = SecurityDescriptor::machine_default();
    let child = parent
        .for_child(false, &Sid::system(), &Sid::system())
        .with_allow_ace(&account(), FileRights::READ, AceFlags::THIS_OBJECT)
        .unwrap();
    let changed = parent
        .with_allow_ace(&account(), FileRights::MODIFY, AceFlags::THIS_FOLDER_AND_BELOW)
        .unwrap();

    let after = child.reinherited(&changed, false).unwrap();

    assert_eq!(child.reinherited(&parent, false).unwrap(), child);
    assert_eq!(after.aces()[0], child.aces()[0]);
    assert!(after.grants(&[account()], FileRights::MODIFY));
    let protected = child.with_control(Control::DACL_PROTECTED, 0);
    assert_eq!(protected.reinherited(&changed, false).unwrap(), protected);
}

#[test]
fn a_sid_has_one_text_form() {
    for text in ["S-1-5-18", "S-1-5-21-4294967295-0-1-500", "S-1-0x010000000000-1", "S-1-0"] {
        assert_eq!(text.parse::<Sid>().unwrap().to_string(), text);
    }
    for text in ["", "S-1-", "S-2-5-18", "S-1-5-", "S-1-5-4294967296", "S-1-5-18 "] {
        assert!(text.parse::<Sid>().is_err(), "{text}");
    }
    assert_eq!(account().domain().unwrap().to_string(), "S-1-5-21-1-2-3");
    assert_eq!(account().relative_id(), Some(1105));
}

prop_compose! {
    fn any_sid()(authority in 0..1_u64 << 48, numbers in prop::collection::vec(any::<u32>(), 0..=15))
        -> Sid { Sid::new(authority, &numbers).unwrap() }
}

prop_compose! {
    fn any_ace()(deny: bool, sid in any_sid(), mask: u32, flags: u8) -> Ace {
        let flags = AceFlags(flags);
        if deny { Ace::deny(&sid, mask, flags) } else { Ace::allow(&sid, mask, flags) }
    }
}

prop_compose! {
    fn any_descriptor()(
        owner in prop::option::of(any_sid()),
        group in prop::option::of(any_sid()),
        aces in prop::option::of(prop::collection::vec(any_ace(), 0..8)),
        sacl in prop::option::of(prop::collection::vec(any_ace(), 0..3)),
        control: u16,
        present: bool,
    ) -> SecurityDescriptor {
        let dacl = match aces {
            Some(aces) => Dacl::List(Acl::new(aces).unwrap()),
            None if present => Dacl::Null,
            None => Dacl::Absent,
        };
        SecurityDescriptor::administrators_only()
            .with_owner(owner)
            .with_group(group)
            .with_dacl(dacl)
            .with_sacl(sacl.map(|aces| Acl::new(aces).unwrap()))
            .with_control(control, !control)
    }
}

proptest! {
    #[test]
    fn what_is_encoded_is_read_back(descriptor in any_descriptor()) {
        prop_assert_eq!(SecurityDescriptor::parse(&descriptor.encode()), Ok(descriptor));
    }

    #[test]
    fn sids_go_through_bytes_and_text(sid in any_sid()) {
        prop_assert_eq!(Sid::parse(&sid.encode()), Ok(sid.clone()));
        prop_assert_eq!(sid.to_string().parse(), Ok(sid));
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = SecurityDescriptor::parse(&bytes);
    }

    #[test]
    fn a_damaged_descriptor_that_is_read_is_stable(
        descriptor in any_descriptor(), at: prop::sample::Index, value: u8,
    ) {
        let mut bytes = descriptor.encode();
        let at = at.index(bytes.len());
        bytes[at] = value;
        if let Ok(read) = SecurityDescriptor::parse(&bytes) {
            let _ = (read.to_string(), read.granted_to(&[Sid::system()]));
            prop_assert_eq!(SecurityDescriptor::parse(&read.encode()), Ok(read));
        }
    }

    #[test]
    fn a_grant_is_effective_for_an_account_that_nothing_denies(
        descriptor in any_descriptor(), mask in 0..0x0020_0000_u32,
    ) {
        let denied = descriptor.aces().iter().any(|ace| ace.kind() == AceKind::Deny);
        prop_assume!(!denied);
        let granted = descriptor.with_allow_ace(&account(), mask, AceFlags::THIS_OBJECT).unwrap();
        prop_assert!(granted.grants(&[account()], mask & FileRights::FULL_CONTROL));
    }
}
