use super::super::{
    CommandState, CreateShell, Fault, FaultCode, Identity, OutputStream, Received, SendInput,
    SignalCode, StartCommand,
};
use super::*;

fn header(shell: Option<&str>) -> RequestHeader {
    RequestHeader {
        to: "http://ps-lon-01:5985/wsman".to_owned(),
        message_id: "uuid:0E7C5A1C-3B7E-4F31-9E7F-6B8C7E6D4A10".to_owned(),
        session_id: Some("uuid:11111111-2222-3333-4444-555555555555".to_owned()),
        resource_uri: uri::CMD_SHELL.to_owned(),
        shell_id: shell.map(str::to_owned),
        operation_timeout: Some(Duration::from_secs(20)),
        max_envelope_size: Some(153_600),
    }
}

#[test]
fn every_request_survives_a_round_trip() {
    let requests = [
        Request::Create(CreateShell {
            shell_id: Some("S-1".to_owned()),
            no_profile: true,
            code_page: Some(65_001),
            working_directory: Some(r"C:\Program Files & more".to_owned()),
            idle_timeout: Some(Duration::from_secs(7_200)),
        }),
        Request::Command(StartCommand {
            command: "echo <\"a\" & 'b'>".to_owned(),
            arguments: vec!["one".to_owned(), "zwei ü".to_owned()],
            console_stdin: false,
            skip_cmd_shell: true,
        }),
        Request::Receive { command_id: "C-1".to_owned() },
        Request::Send(SendInput {
            command_id: "C-1".to_owned(),
            data: vec![0, 1, 2, 255],
            end: true,
        }),
        Request::Signal { command_id: "C-1".to_owned(), code: SignalCode::Terminate },
        Request::Signal { command_id: "C-1".to_owned(), code: SignalCode::CtrlC },
        Request::Delete,
    ];

    for request in requests {
        let sent = RequestEnvelope { header: header(Some("S-1")), request };

        assert_eq!(RequestEnvelope::parse(sent.to_xml().as_bytes()).unwrap(), sent);
    }
}

#[test]
fn every_answer_survives_a_round_trip() {
    let output = vec![(OutputStream::Stdout, b"a\r\n".to_vec()), (OutputStream::Stderr, vec![9])];
    let answers = [
        Response::Created { shell_id: "S-1".to_owned() },
        Response::Started { command_id: "C-1".to_owned() },
        Response::Received(Received {
            command_id: "C-1".to_owned(),
            output: output.clone(),
            state: CommandState::Running,
        }),
        Response::Received(Received {
            command_id: "C-1".to_owned(),
            output,
            state: CommandState::Done(Some(-1_073_741_510)),
        }),
        Response::Sent,
        Response::Signalled,
        Response::Deleted,
        Response::Fault(Fault::receiver(FaultCode::TIMED_OUT, "TimedOut", "it took <too> long")),
    ];

    for response in answers {
        let sent = ResponseEnvelope {
            relates_to: "uuid:A".to_owned(),
            message_id: "uuid:B".to_owned(),
            response,
        };

        assert_eq!(ResponseEnvelope::parse(sent.to_xml("ps-lon-01").as_bytes()).unwrap(), sent);
    }
}

#[test]
fn identify_has_no_headers_in_either_direction() {
    let answered = ResponseEnvelope {
        relates_to: String::new(),
        message_id: String::new(),
        response: Response::Identified(Identity {
            protocol: uri::WSMAN.to_owned(),
            vendor: "Microsoft Corporation".to_owned(),
            version: "OS: 0.0.0 SP: 0.0 Stack: 3.0".to_owned(),
        }),
    };

    let read = RequestEnvelope::parse(RequestEnvelope::identify().as_bytes()).unwrap();

    assert_eq!(read.request, Request::Identify);
    assert_eq!(ResponseEnvelope::parse(answered.to_xml("x").as_bytes()).unwrap(), answered);
}

#[test]
fn a_fault_is_read_under_any_prefixes_and_with_nested_provider_text() {
    let document = format!(
        r#"<e:Envelope xmlns:e="{}" xmlns:q="{}"><e:Header/><e:Body><e:Fault><e:Code>
        <e:Value>e:Receiver</e:Value><e:Subcode><e:Value>q:TimedOut</e:Value></e:Subcode></e:Code>
        <e:Reason><e:Text xml:lang="de-DE">Zeit</e:Text></e:Reason><e:Detail>
        <f:WSManFault xmlns:f="{}" Code="2150858793" Machine="m"><f:Message><f:ProviderFault
        provider="Shell" path="x.dll">deep</f:ProviderFault></f:Message></f:WSManFault></e:Detail>
        </e:Fault></e:Body></e:Envelope>"#,
        uri::SOAP,
        uri::WSMAN,
        uri::WSMAN_FAULT
    );

    let Response::Fault(fault) = ResponseEnvelope::parse(document.as_bytes()).unwrap().response
    else {
        panic!("not a fault");
    };

    assert!(fault.is_timed_out());
    assert_eq!((fault.role.as_str(), fault.subcode.as_str()), ("Receiver", "TimedOut"));
    assert_eq!(fault.message, "deep");
}

#[test]
fn a_quota_fault_with_the_subcode_of_another_is_known_by_its_number() {
    let fault = Fault::receiver(FaultCode::OPERATION_QUOTA, "InternalError", "quota");

    assert!(!fault.is_timed_out());
    assert_eq!(fault.code, Some(FaultCode::OPERATION_QUOTA));
}

#[test]
fn an_unsigned_exit_code_is_the_same_as_its_signed_form() {
    let answer = ResponseEnvelope {
        relates_to: String::new(),
        message_id: String::new(),
        response: Response::Received(Received {
            command_id: "c".to_owned(),
            output: Vec::new(),
            state: CommandState::Done(Some(-1_073_741_819)),
        }),
    };
    let unsigned = answer.to_xml("").replace("-1073741819", "3221225477");

    assert_eq!(ResponseEnvelope::parse(unsigned.as_bytes()).unwrap(), answer);
}

#[test]
fn an_unknown_action_is_kept_for_a_fault_and_not_mistaken_for_another() {
    let request =
        Request::Other { action: "http://schemas.xmlsoap.org/ws/2004/09/transfer/Get".to_owned() };
    let sent = RequestEnvelope { header: header(Some("S-1")), request };

    let read = RequestEnvelope::parse(sent.to_xml().as_bytes()).unwrap();

    assert_eq!(read.request.name(), "Get");
    assert_eq!(read, sent);
}

#[test]
fn what_is_no_envelope_or_lacks_a_part_is_an_error() {
    assert!(ResponseEnvelope::parse(b"<html/>").is_err());
    assert!(ResponseEnvelope::parse(b"").is_err());
    let receive = RequestEnvelope {
        header: header(None),
        request: Request::Receive { command_id: "c".to_owned() },
    };
    let without = receive.to_xml().replace("CommandId", "Other");
    assert!(RequestEnvelope::parse(without.as_bytes()).is_err());
}

proptest::proptest! {
    #[test]
    fn no_document_makes_a_reader_panic(noise in ".{0,200}", cut in 0_usize..4_000, at in 0_usize..4_000) {
        let sent = RequestEnvelope {
            header: header(Some("S-1")),
            request: Request::Send(SendInput { command_id: "c".to_owned(), data: vec![1; 99], end: true }),
        };
        let mut document = sent.to_xml();
        document.truncate(cut.min(document.len()));
        let at = at.min(document.len());
        document.insert_str(at, &noise);

        let _ = RequestEnvelope::parse(document.as_bytes());
        let _ = ResponseEnvelope::parse(document.as_bytes());
        let _ = crate::protocol::clixml::readable(&format!("#< CLIXML<S S=\"Error\">{noise}{document}"));
        let _ = crate::protocol::sealed::read(document.as_bytes());
    }
}
