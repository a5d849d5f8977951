//! What remote callers may and may not do.

use super::*;
use crate::protocol::security_descriptor::{AceFlags, FileRights, SecurityDescriptor, Sid};

const F: &str = r"C:\data\f.txt";

fn plain() -> Caller {
    let user: Sid = "S-1-5-21-1-2-3-1105".parse().unwrap();
    Caller { identities: [user.clone(), Sid::users(), Sid::everyone()].into(), user }
}

fn administrator() -> Caller {
    let user: Sid = "S-1-5-21-1-2-3-500".parse().unwrap();
    Caller { identities: [user.clone(), Sid::administrators()].into(), user }
}

fn ask<'a>(path: &'a str, caller: &'a Caller, access: u32) -> OpenRequest<'a> {
    OpenRequest {
        path,
        caller,
        access,
        share: Share::ALL,
        disposition: Disposition::Open,
        options: OpenOptions::default(),
        attributes: 0,
        descriptor: None,
        at: 9,
    }
}

fn tree() -> Tree {
    let tree = Tree::new(1);
    tree.write(F, "content", 1).unwrap();
    tree
}

#[test]
fn a_handle_gets_what_the_descriptor_grants_and_does_no_more() {
    let (tree, plain) = (tree(), plain());

    for denied in [FileRights::WRITE_DATA, FileRights::DELETE, FileRights::WRITE_DAC] {
        assert_eq!(tree.open(&ask(F, &plain, denied)), Err(TreeError::AccessDenied));
    }
    let reader = tree.open(&ask(F, &plain, FileRights::READ)).unwrap().handle;
    assert_eq!(tree.read_at(reader, 3, 99), Ok(b"tent".to_vec()));
    assert_eq!(tree.write_at(reader, 0, b"x", 2), Err(TreeError::AccessDenied));
    assert_eq!(tree.set_delete(reader, true), Err(TreeError::AccessDenied));
    assert_eq!(tree.rename_open(reader, r"C:\x", false, 2), Err(TreeError::AccessDenied));
    let all = FileRights::MAXIMUM_ALLOWED;
    let handle = tree.open(&ask(F, &plain, all)).unwrap().handle;
    assert_eq!(tree.info(handle).unwrap().granted, FileRights::READ_AND_EXECUTE);
}

#[test]
fn an_administrator_is_bound_by_the_descriptor_too() {
    let (tree, administrator) = (tree(), administrator());
    let closed = SecurityDescriptor::administrators_only()
        .with_owner(Some(Sid::system()))
        .with_deny_ace(&Sid::administrators(), FileRights::READ_DATA, AceFlags::THIS_OBJECT)
        .unwrap();
    tree.set_descriptor(F, &closed.encode()).unwrap();

    let read = tree.open(&ask(F, &administrator, FileRights::READ));

    assert_eq!(read, Err(TreeError::AccessDenied));
}

#[test]
fn share_modes_exclude_others_and_attribute_handles_disturb_nobody() {
    let (tree, plain) = (tree(), plain());
    let looking = tree.open(&ask(F, &plain, FileRights::READ_ATTRIBUTES)).unwrap().handle;
    let alone = OpenRequest { share: Share::NONE, ..ask(F, &plain, FileRights::READ) };
    let holding = tree.open(&alone).unwrap().handle;

    let second = tree.open(&ask(F, &plain, FileRights::READ));
    assert_eq!(second, Err(TreeError::SharingViolation));
    assert!(tree.open(&ask(F, &plain, FileRights::READ_ATTRIBUTES)).is_ok());

    tree.close(holding);
    tree.close(looking);
    assert!(tree.open(&ask(F, &plain, FileRights::READ)).is_ok());
}

#[test]
fn a_read_only_file_is_neither_written_nor_deleted() {
    let (tree, administrator) = (tree(), administrator());
    tree.set_read_only(F, true).unwrap();

    let write = tree.open(&ask(F, &administrator, FileRights::WRITE_DATA));
    assert_eq!(write, Err(TreeError::AccessDenied));
    let handle = tree.open(&ask(F, &administrator, FileRights::DELETE)).unwrap().handle;
    assert_eq!(tree.set_delete(handle, true), Err(TreeError::CannotDelete));
}

#[test]
fn a_deleted_file_goes_with_its_last_handle() {
    let (tree, administrator) = (tree(), administrator());
    let first = tree.open(&ask(F, &administrator, FileRights::READ)).unwrap().handle;
    let second = tree.open(&ask(F, &administrator, FileRights::DELETE)).unwrap().handle;

    tree.set_delete(second, true).unwrap();
    tree.close(second);

    assert!(tree.exists(F));
    let third = tree.open(&ask(F, &administrator, FileRights::READ));
    assert_eq!(third, Err(TreeError::DeletePending));
    tree.close(first);
    assert!(!tree.exists(F));
}

#[test]
fn a_junction_is_opened_itself_only_on_request() {
    let (tree, administrator) = (tree(), administrator());
    tree.add_junction(r"C:\link", r"C:\data", 1).unwrap();
    let follow = ask(r"C:\link", &administrator, FileRights::READ);
    let itself = OpenRequest {
        options: OpenOptions { open_reparse_point: true, ..OpenOptions::default() },
        ..follow.clone()
    };

    let followed = tree.info(tree.open(&follow).unwrap().handle).unwrap();
    let junction = tree.info(tree.open(&itself).unwrap().handle).unwrap();

    assert_eq!((followed.kind, followed.path.as_str()), (Kind::Directory, r"C:\data"));
    assert_eq!((junction.kind, junction.path.as_str()), (Kind::Junction, r"C:\link"));
    let through = tree.open(&ask(r"C:\link\F.TXT", &administrator, FileRights::READ)).unwrap();
    assert_eq!(tree.info(through.handle).unwrap().path, F);
}

#[test]
fn a_rename_keeps_the_descriptor_and_replaces_only_when_told() {
    let (tree, administrator) = (tree(), administrator());
    tree.write(r"C:\data\g.txt", "other", 1).unwrap();
    let before = tree.descriptor(F).unwrap();
    let handle = tree.open(&ask(F, &administrator, FileRights::DELETE)).unwrap().handle;

    let refused = tree.rename_open(handle, r"C:\data\g.txt", false, 2);
    assert_eq!(refused, Err(TreeError::Exists));
    tree.rename_open(handle, r"C:\data\g.txt", true, 2).unwrap();

    assert!(!tree.exists(F));
    assert_eq!(tree.read(r"C:\data\g.txt").unwrap(), b"content");
    assert_eq!(tree.descriptor(r"C:\data\g.txt").unwrap(), before);
}

#[test]
fn a_folder_is_not_renamed_while_something_below_it_is_open() {
    let (tree, administrator) = (tree(), administrator());
    let _open = tree.open(&ask(F, &administrator, FileRights::READ)).unwrap();
    let folder = tree.open(&ask(r"C:\data", &administrator, FileRights::DELETE)).unwrap().handle;

    assert_eq!(tree.rename_open(folder, r"C:\b", false, 2), Err(TreeError::AccessDenied));
}

#[test]
fn new_objects_belong_to_their_maker_and_inherit() {
    let (tree, plain, administrator) = (tree(), plain(), administrator());
    let open_folder = SecurityDescriptor::machine_default()
        .with_allow_ace(&Sid::users(), FileRights::MODIFY, AceFlags::THIS_FOLDER_AND_BELOW)
        .unwrap();
    tree.set_descriptor(r"C:\data", &open_folder.encode()).unwrap();
    let make = |path, caller| {
        let wanted = ask(path, caller, FileRights::WRITE_DATA);
        tree.open(&OpenRequest { disposition: Disposition::Create, ..wanted })
    };

    assert_eq!(make(r"C:\refused", &plain), Err(TreeError::AccessDenied));
    make(r"C:\data\mine", &plain).unwrap();
    make(r"C:\data\ours", &administrator).unwrap();

    let owner = |path| {
        let descriptor = SecurityDescriptor::parse(&tree.descriptor(path).unwrap()).unwrap();
        assert!(descriptor.grants(&[Sid::users()], FileRights::MODIFY));
        descriptor.owner().unwrap().to_string()
    };
    assert_eq!(owner(r"C:\data\mine"), "S-1-5-21-1-2-3-1105");
    assert_eq!(owner(r"C:\data\ours"), "S-1-5-32-544");
}

#[test]
fn a_descriptor_is_read_and_changed_only_with_the_right_for_it() {
    let (tree, plain, administrator) = (tree(), plain(), administrator());
    let new = SecurityDescriptor::administrators_only().encode();
    let dacl = SecurityParts(SecurityParts::DACL);
    let reader = tree.open(&ask(F, &plain, FileRights::READ)).unwrap().handle;
    let blind = tree.open(&ask(F, &plain, FileRights::READ_DATA)).unwrap().handle;
    let changer = FileRights::READ_CONTROL | FileRights::WRITE_DAC;
    let changer = tree.open(&ask(F, &administrator, changer)).unwrap().handle;

    assert_eq!(tree.set_security(reader, dacl, &new, 2), Err(TreeError::AccessDenied));
    assert_eq!(tree.security(blind, dacl), Err(TreeError::AccessDenied));
    tree.set_security(changer, dacl, &new, 2).unwrap();

    assert_eq!(tree.open(&ask(F, &plain, FileRights::READ)), Err(TreeError::AccessDenied));
    let now = SecurityDescriptor::parse(&tree.security(changer, dacl).unwrap()).unwrap();
    assert_eq!(now.to_string(), "D:P(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)");
}
