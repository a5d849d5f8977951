use super::*;

const A: &str = "{0562094A-37D5-4A52-9C4B-5B2E2C1F0A11}";
const B: &str = "{0562094A-37D5-4A52-9C4B-5B2E2C1F0A12}";

fn guids(texts: &[&str]) -> Option<Vec<Guid>> {
    Some(texts.iter().map(|text| text.parse().expect("a GUID")).collect())
}

#[test]
fn a_policy_of_the_published_form_is_read_and_packages_of_others_are_not_the_servers() {
    let policy = read_policy(include_bytes!("../../../tests/fixtures/product/policy-8.xml"))
        .expect("a policy");

    assert_eq!(policy.packages, guids(&[A, B]));
    assert_eq!(policy.credential, Some(AppliedCredential::AgentConnectivity));
    assert_eq!(
        policy.com_security,
        Some(ComSecurity {
            is_enabled: true,
            allows_update_configuration: Some(false),
            allows_send_inventory: Some(false),
        })
    );
    assert_eq!(policy.store, None);
    assert!(policy.is_encrypted, "its credentials are");
}

#[test]
fn values_may_be_child_elements() {
    let policy = read_policy(include_bytes!("../../../tests/fixtures/product/policy-children.xml"))
        .expect("a policy");

    assert_eq!(policy.packages, guids(&[A]));
    assert_eq!(policy.credential, Some(AppliedCredential::Anonymous));
    assert_eq!(policy.store.as_deref(), Some("E:\\Packages"));
    assert_eq!(policy.com_security, None);
}

#[test]
fn what_is_encrypted_or_not_the_servers_is_none_and_not_empty() {
    let encrypted =
        read_policy(include_bytes!("../../../tests/fixtures/product/policy-encrypted.xml"))
            .expect("XML");

    assert!(encrypted.is_encrypted);
    assert_eq!((encrypted.packages, encrypted.credential), (None, None));
    for text in [
        "<a/>".to_owned(),
        format!("<Policies><Policy name='Deploy'><Package Id='{A}'/></Policy></Policies>"),
        "<Policies><PackageServer><Package Name='Firefox'/></PackageServer></Policies>".to_owned(),
        format!(
            "<PackageServerPolicies><Policy><Package Id='{A}'/></Policy></PackageServerPolicies>"
        ),
    ] {
        assert_eq!(read_policy(text.as_bytes()).expect("XML").packages, None, "{text}");
    }
}

#[test]
fn two_credentials_are_none() {
    let text = "<p><PackageServer credentialType='ACC'/><PackageServer useAnonymous='1'/></p>";
    let unknown = "<p><PackageServer credentialType='3'/></p>";

    for text in [text, unknown] {
        assert_eq!(read_policy(text.as_bytes()).expect("XML").credential, None, "{text}");
    }
}

#[test]
fn what_is_no_xml_is_unreadable() {
    for text in ["", "AwBcxiEuzG5L", "<Policies><Policy>"] {
        assert!(read_policy(text.as_bytes()).is_err(), "{text}");
    }
}
