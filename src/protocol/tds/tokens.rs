//! The tokens a server answers with ([MS-TDS] 2.2.7).

use super::value::{COLLATION, SqlType, Value};

/// A column of a result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its name; empty for an expression without one.
    pub name: String,
    /// Its type.
    pub kind: SqlType,
}

/// An error or a notice of the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerMessage {
    /// Its number, such as 1205.
    pub number: i32,
    /// Its state.
    pub state: u8,
    /// Its class: up to 10 a notice, 11 to 16 the user's mistake, from 20 on fatal.
    pub class: u8,
    /// Its text.
    pub text: String,
}

/// What a DONE token says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Done {
    /// More results follow.
    pub more: bool,
    /// The statement failed.
    pub error: bool,
    /// It answers an attention.
    pub attention: bool,
    /// A transaction is open.
    pub in_transaction: bool,
    /// How many rows, where that has a meaning.
    pub rows: Option<u64>,
}

/// Which of the three DONE tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DoneKind {
    /// Ends a statement of a batch.
    Batch = 0xfd,
    /// Ends a procedure.
    Procedure = 0xfe,
    /// Ends a statement inside a procedure.
    InProcedure = 0xff,
}

/// A row could not be written: a value does not fit its column.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a value does not fit column {0:?}")]
pub struct ValueDoesNotFit(pub String);

/// The body of an answer, token by token.
#[derive(Clone, Debug, Default)]
pub struct Tokens(Vec<u8>);

impl Tokens {
    /// The bytes.
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    /// How many bytes there are so far.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether nothing was written yet.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Throws away what was written after there were `len` bytes.
    pub fn truncate(&mut self, len: usize) {
        self.0.truncate(len);
    }

    /// LOGINACK: the login succeeded.
    pub fn login_ack(&mut self, tds_version: u32, server_program: &str) {
        self.sized(0xad, |body| {
            body.push(1);
            body.extend_from_slice(&tds_version.to_be_bytes());
            short_text(body, server_program);
            body.extend_from_slice(&[15, 0, 0x07, 0xd0]);
        });
    }

    /// ENVCHANGE of the database.
    pub fn database_changed(&mut self, new: &str, old: &str) {
        self.text_changed(1, new, old);
    }

    /// ENVCHANGE of the packet size.
    pub fn packet_size_changed(&mut self, new: usize, old: usize) {
        self.text_changed(4, &new.to_string(), &old.to_string());
    }

    /// ENVCHANGE of the language.
    pub fn language_changed(&mut self, new: &str, old: &str) {
        self.text_changed(2, new, old);
    }

    /// ENVCHANGE of the collation, always the one and only.
    pub fn collation_changed(&mut self) {
        self.sized(0xe3, |body| {
            body.extend_from_slice(&[7, 5]);
            body.extend_from_slice(&COLLATION);
            body.push(0);
        });
    }

    /// ENVCHANGE: a transaction began.
    pub fn transaction_began(&mut self, descriptor: u64) {
        self.sized(0xe3, |body| {
            body.extend_from_slice(&[8, 8]);
            body.extend_from_slice(&descriptor.to_le_bytes());
            body.push(0);
        });
    }

    /// ENVCHANGE: a transaction was committed (`true`) or rolled back.
    pub fn transaction_ended(&mut self, committed: bool, descriptor: u64) {
        self.sized(0xe3, |body| {
            body.extend_from_slice(&[if committed { 9 } else { 10 }, 0, 8]);
            body.extend_from_slice(&descriptor.to_le_bytes());
        });
    }

    fn text_changed(&mut self, what: u8, new: &str, old: &str) {
        self.sized(0xe3, |body| {
            body.push(what);
            short_text(body, new);
            short_text(body, old);
        });
    }

    /// ERROR, or INFO if the class is at most 10.
    pub fn message(&mut self, message: &ServerMessage, server: &str) {
        let token = if message.class > 10 { 0xaa } else { 0xab };
        self.sized(token, |body| {
            body.extend_from_slice(&message.number.to_le_bytes());
            body.extend_from_slice(&[message.state, message.class]);
            // The token as a whole holds 64 KiB.
            let units: Vec<u16> = message.text.encode_utf16().take(2048).collect();
            body.extend_from_slice(&length16(units.len()));
            body.extend(units.into_iter().flat_map(u16::to_le_bytes));
            short_text(body, server);
            short_text(body, "");
            body.extend_from_slice(&1_u32.to_le_bytes());
        });
    }

    /// COLMETADATA.
    pub fn columns(&mut self, columns: &[Column]) {
        self.0.push(0x81);
        self.0.extend_from_slice(&length16(columns.len()));
        for column in columns {
            self.0.extend_from_slice(&0_u32.to_le_bytes());
            // Nullable, of unknown updatability, as a query's column is.
            self.0.extend_from_slice(&[0x09, 0x00]);
            column.kind.put(&mut self.0);
            short_text(&mut self.0, &column.name);
        }
    }

    /// ROW; nothing is written if a value does not fit.
    pub fn row(&mut self, columns: &[Column], values: &[Value]) -> Result<(), ValueDoesNotFit> {
        let before = self.0.len();
        self.0.push(0xd1);
        for (column, value) in columns.iter().zip(values) {
            if !column.kind.put_value(value, &mut self.0) {
                self.0.truncate(before);
                return Err(ValueDoesNotFit(column.name.clone()));
            }
        }
        Ok(())
    }

    /// RETURNSTATUS of a procedure.
    pub fn return_status(&mut self, status: i32) {
        self.0.push(0x79);
        self.0.extend_from_slice(&status.to_le_bytes());
    }

    /// DONE, DONEPROC or DONEINPROC.
    pub fn done(&mut self, kind: DoneKind, done: Done) {
        let status = u16::from(done.more)
            | u16::from(done.error) << 1
            | u16::from(done.in_transaction) << 2
            | u16::from(done.rows.is_some()) << 4
            | u16::from(done.attention) << 5;
        // 0xc1 is what the engine reports as the command of a SELECT.
        let command: u16 = if done.rows.is_some() { 0xc1 } else { 0 };
        self.0.push(kind as u8);
        self.0.extend_from_slice(&status.to_le_bytes());
        self.0.extend_from_slice(&command.to_le_bytes());
        self.0.extend_from_slice(&done.rows.unwrap_or(0).to_le_bytes());
    }

    fn sized(&mut self, token: u8, write: impl FnOnce(&mut Vec<u8>)) {
        let mut body = Vec::new();
        write(&mut body);
        self.0.push(token);
        self.0.extend_from_slice(&length16(body.len()));
        self.0.extend(body);
    }
}

fn length16(length: usize) -> [u8; 2] {
    u16::try_from(length).expect("tokens with a length are kept short").to_le_bytes()
}

/// B_VARCHAR: at most 255 units; what is longer is cut.
fn short_text(out: &mut Vec<u8>, text: &str) {
    let units: Vec<u16> = text.encode_utf16().take(255).collect();
    out.push(u8::try_from(units.len()).expect("at most 255 units"));
    out.extend(units.into_iter().flat_map(u16::to_le_bytes));
}
