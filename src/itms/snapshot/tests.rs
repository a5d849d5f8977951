use super::*;

fn manifest(bytes: &[u8]) -> Manifest {
    read_snapshot(bytes).manifest.expect("a manifest")
}

fn names(manifest: &Manifest) -> Vec<&str> {
    manifest.files.iter().map(|file| file.name.as_str()).collect()
}

#[test]
fn files_may_be_elements_with_attributes() {
    let manifest =
        manifest(include_bytes!("../../../tests/fixtures/product/snapshot-attributes.xml"));

    assert_eq!(names(&manifest), ["data1.cab", "lang\\de & fr.mst", "setup.exe"]);
    assert_eq!(manifest.version.as_deref(), Some("1601867730"));
    assert!(manifest.path.as_deref().is_some_and(|path| path.ends_with("\\cache")));
    assert_eq!(manifest.bytes(), Some(1_048_576 + 73_400_320));
    assert_eq!(
        manifest.files[2],
        ListedFile {
            name: "setup.exe".to_owned(),
            size: Some(1_048_576),
            hash: Some(ListedHash {
                algorithm: Some(HashAlgorithm::Md5),
                text: "5eb63bbbe01eeed093cb22bb8f5acdc3".to_owned(),
            }),
            modified: Some("2020-10-05T03:15:30Z".to_owned()),
        }
    );
}

#[test]
fn files_may_be_elements_with_children_in_a_namespace_by_their_whole_paths() {
    let manifest =
        manifest(include_bytes!("../../../tests/fixtures/product/snapshot-children.xml"));

    assert_eq!(names(&manifest), ["core\\omni.ja", "setup.exe"]);
    assert_eq!(manifest.version.as_deref(), Some("1601954124"));
    assert_eq!(manifest.path.as_deref(), Some("\\\\smp01.corp.example\\packages\\firefox"));
    assert_eq!(
        manifest.files[0].hash,
        Some(ListedHash {
            algorithm: Some(HashAlgorithm::Sha256),
            text: "b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9".to_owned(),
        })
    );
    assert_eq!(manifest.files[1].hash, None);
}

#[test]
fn files_may_be_nested_in_folders_and_the_bytes_be_utf_16() {
    let manifest =
        manifest(include_bytes!("../../../tests/fixtures/product/snapshot-folders-utf16.xml"));

    assert_eq!(names(&manifest), ["bin\\Prüfung.dll", "bin\\x64\\tool.exe", "readme.txt"]);
    assert_eq!(manifest.version.as_deref(), Some("1601867730"));
    assert_eq!(manifest.bytes(), Some(300));
}

#[test]
fn properties_may_be_named_values() {
    let manifest = manifest(
        b"<s><v/><entry><p name='Path' value='.\\cache\\a.txt'/><p name='Size' value='7'/></entry></s>",
    );

    assert_eq!(names(&manifest), ["a.txt"]);
    assert_eq!(manifest.files[0].size, Some(7));
}

#[test]
fn an_unknown_layout_is_unreadable_and_still_has_the_hash_of_its_bytes() {
    let unknown = include_bytes!("../../../tests/fixtures/product/snapshot-unknown.xml");
    let other = include_bytes!("../../../tests/fixtures/product/package-2005.xml");
    for bytes in [&unknown[..], &other[..], b"", b"MZ\x90\0", b"<s version='1'/>"] {
        let snapshot = read_snapshot(bytes);

        assert!(snapshot.manifest.is_err(), "{:?}", snapshot.manifest);
        let seen = snapshot.seen();
        assert_eq!(seen.sha256, hex(&Sha256::digest(bytes)));
        assert_eq!((seen.version, seen.content_sha256, seen.files), (None, None, 0));
    }
}

#[test]
fn a_snapshot_that_was_only_half_understood_is_not_understood() {
    for (text, why) in [
        ("<s fileCount='3'><f name='a' size='1'/></s>", "says that it has 3 files, and 1"),
        ("<s><Files count='2'><f name='a' size='1'/></Files></s>", "2 files, and 1"),
        ("<s><f name='a' size='1 KB'/></s>", "no number of bytes"),
        ("<s><f name='a' size='-1'/></s>", "no number of bytes"),
        ("<s><f name='a' size='1'/><f name='A' size='2'/></s>", "twice"),
        ("<s><f name='..\\a' size='1'/></s>", "inside the package"),
        ("<s><f name='a:b' size='1'/></s>", "inside the package"),
        ("<!DOCTYPE s [<!ENTITY x 'y'>]><s><f name='&x;' size='1'/></s>", "inside the package"),
        ("<s><f name='C:\\x\\a' size='1'/></s>", "where the package is"),
        ("<s><f name='a' size='1'/>", "ends inside"),
        ("<s fileCount='0'><f name='a' size='1'/></s>", "0 files"),
    ] {
        let error = read_snapshot(text.as_bytes()).manifest.expect_err(text);
        assert!(error.0.contains(why), "{text}: {error}");
    }
}

#[test]
fn what_is_called_a_file_is_one_and_other_things_with_a_size_are_not() {
    let listed = manifest(
        b"<s><File name='a' size='1'/><Signature name='a.sig' size='9'/><File name='b' size='2'/></s>",
    );
    assert_eq!(names(&listed), ["a", "b"]);

    let unclear = b"<s><part name='a' size='1'/><piece name='b' size='9'/></s>";
    let error = read_snapshot(unclear).manifest.expect_err("either could be");
    assert!(error.0.contains("several names"), "{error}");
}

#[test]
fn an_empty_package_is_known_when_the_snapshot_says_so() {
    assert_eq!(manifest(b"<snapshot version='7' fileCount='0'/>").files, []);
}

#[test]
fn a_package_is_no_file_of_itself() {
    let manifest = manifest(
        b"<r><Package name='P' size='9' version='4'><File name='a' size='9'/></Package></r>",
    );

    assert_eq!((names(&manifest), manifest.version.as_deref()), (vec!["a"], Some("4")));
}

#[test]
fn more_files_than_a_package_can_have_are_refused() {
    let many: String = (0..=MOST_FILES).map(|at| format!("<f name='{at}' size='1'/>")).collect();

    let error = read_snapshot(format!("<s>{many}</s>").as_bytes()).manifest.expect_err("many");

    assert!(error.0.contains("more than 100000 files"), "{error}");
}

#[test]
fn the_hash_of_the_content_does_not_depend_on_version_order_case_or_layout() {
    let one = manifest(b"<s version='1'><f name='A' size='1'/><f name='b' size='2' md5='00000000000000000000000000000000'/></s>");
    let two = manifest(
        b"<s v='2'><i><File>B</File><Size>2</Size><Hash>AAAAAAAAAAAAAAAAAAAAAA==</Hash></i><i><File>a</File><Size>1</Size></i></s>",
    );
    let three = manifest(b"<s><f name='a' size='1'/><f name='b' size='2' md5='10000000000000000000000000000000'/></s>");

    assert_eq!(one.content_sha256(), two.content_sha256());
    assert_ne!(one.content_sha256(), three.content_sha256());
}

#[test]
fn a_hash_that_is_said_to_be_another_is_not_compared() {
    let manifest = manifest(
        b"<s><f name='a' size='1' hash='00000000000000000000000000000000' algorithm='CRC'/></s>",
    );

    assert_eq!(manifest.files[0].hash.as_ref().and_then(|hash| hash.algorithm), None);
}
