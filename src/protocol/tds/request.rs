//! What a client asks for after the login ([MS-TDS] 2.2.6.6, 2.2.6.7 and 2.2.6.9).

use super::read::{Reader, TdsError, utf16};
use super::value::{Value, read_value};

/// A statement with its parameters.
#[derive(Clone, Debug, PartialEq)]
pub struct Statement {
    /// The text.
    pub text: String,
    /// The parameters by name, with the `@`.
    pub parameters: Vec<(String, Value)>,
}

/// A request about transactions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transaction {
    /// Begin one.
    Begin,
    /// Commit it, and begin the next one at once if `then_begin`.
    Commit {
        /// Whether the next one begins at once.
        then_begin: bool,
    },
    /// Roll it back, and begin the next one at once if `then_begin`.
    Rollback {
        /// Whether the next one begins at once.
        then_begin: bool,
    },
}

/// ALL_HEADERS: a length that includes itself, and headers that do not matter here.
fn skip_headers(input: &mut Reader<'_>) -> Result<(), TdsError> {
    let total = usize::try_from(input.u32()?)
        .ok()
        .and_then(|total| total.checked_sub(4))
        .ok_or(TdsError::Malformed("the headers have an impossible length"))?;
    input.take(total)?;
    Ok(())
}

/// Reads a batch: its text.
pub fn read_batch(payload: &[u8]) -> Result<String, TdsError> {
    let mut input = Reader::new(payload);
    skip_headers(&mut input)?;
    utf16(input.rest())
}

/// `sp_executesql`'s number.
const SP_EXECUTESQL: u16 = 10;

/// Reads a remote procedure call. Only `sp_executesql`, which all drivers use for statements with
/// parameters, is understood.
pub fn read_rpc(payload: &[u8]) -> Result<Statement, TdsError> {
    let mut input = Reader::new(payload);
    skip_headers(&mut input)?;
    let units = input.u16()?;
    let is_execute = if units == 0xffff {
        input.u16()? == SP_EXECUTESQL
    } else {
        input.text(usize::from(units))?.eq_ignore_ascii_case("sp_executesql")
    };
    if !is_execute {
        return Err(TdsError::Unsupported("procedures other than sp_executesql".into()));
    }
    let _options = input.u16()?;
    let mut values = Vec::new();
    while !input.is_empty() {
        let units = input.u8()?;
        if units == 0xff || units == 0x80 {
            return Err(TdsError::Unsupported("several procedure calls in one message".into()));
        }
        let name = input.text(usize::from(units))?;
        let _by_reference = input.u8()?;
        values.push((name, read_value(&mut input)?));
    }
    let mut values = values.into_iter();
    let Some((_, Value::Text(text))) = values.next() else {
        return Err(TdsError::Malformed("sp_executesql came without a statement"));
    };
    // The second one declares the types of those that follow; each of those carries its own.
    let declared = match values.next() {
        Some((_, Value::Text(declared))) => declared,
        _ => String::new(),
    };
    let mut declared_names =
        declared.split(',').map(|one| one.split_whitespace().next().unwrap_or_default().to_owned());
    let parameters = values
        .map(|(name, value)| {
            let declared = declared_names.next().unwrap_or_default();
            (if name.is_empty() { declared } else { name }, value)
        })
        .collect();
    Ok(Statement { text, parameters })
}

/// Reads a request about transactions.
pub fn read_transaction(payload: &[u8]) -> Result<Transaction, TdsError> {
    let mut input = Reader::new(payload);
    skip_headers(&mut input)?;
    let kind = input.u16()?;
    let then_begin = |input: &mut Reader<'_>| -> Result<bool, TdsError> {
        let units = input.u8()?;
        input.take(usize::from(units))?;
        Ok(!input.is_empty() && input.u8()? & 1 != 0)
    };
    match kind {
        5 => Ok(Transaction::Begin),
        7 => Ok(Transaction::Commit { then_begin: then_begin(&mut input)? }),
        8 => Ok(Transaction::Rollback { then_begin: then_begin(&mut input)? }),
        _ => Err(TdsError::Unsupported("this kind of transaction request".into())),
    }
}
