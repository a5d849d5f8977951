//! Values and their types on the wire ([MS-TDS] 2.2.5.4 and 2.2.5.5).

use uuid::Uuid;

use super::read::{Reader, TdsError, utf16};

/// The type of a column that a server sends. Every column may hold NULL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SqlType {
    /// `uniqueidentifier`
    Guid,
    /// `nvarchar(n)`, 1 to 4,000 UTF-16 units.
    Text(u16),
    /// `int`
    Int,
    /// `bigint`
    BigInt,
    /// `bit`
    Bit,
    /// `datetime`: 1753 to 9999 in steps of 1/300 s.
    DateTime,
}

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// NULL of any type.
    Null,
    /// `uniqueidentifier`
    Guid(Uuid),
    /// Any character type.
    Text(String),
    /// Any integer type.
    Int(i64),
    /// `bit`
    Bit(bool),
    /// `float` and `real`; parameters only.
    Float(f64),
    /// `datetime`, as milliseconds since 1970-01-01 00:00 UTC.
    DateTime(i64),
}

/// SQL_Latin1_General_CP1_CI_AS: LCID 0x0409, without regard to case, sort order 0x34.
pub(super) const COLLATION: [u8; 5] = [0x09, 0x04, 0xd0, 0x00, 0x34];

/// Days from 1900-01-01, where `datetime` begins to count, to 1970-01-01.
const EPOCH_DAYS: i64 = 25_567;
const DAY_MS: i64 = 86_400_000;
/// The days of `datetime`'s range, 1753-01-01 to 9999-12-31, counted from 1900-01-01.
const DATETIME_DAYS: std::ops::RangeInclusive<i64> = -53_690..=2_958_463;

const NULL_TYPE: u8 = 0x1f;
const INT1: u8 = 0x30;
const BIT: u8 = 0x32;
const INT2: u8 = 0x34;
const INT4: u8 = 0x38;
const DATETIME: u8 = 0x3d;
const FLT8: u8 = 0x3e;
const INT8: u8 = 0x7f;
const GUID_N: u8 = 0x24;
const INT_N: u8 = 0x26;
const BIT_N: u8 = 0x68;
const FLT_N: u8 = 0x6d;
const DATETIME_N: u8 = 0x6f;
const NTEXT: u8 = 0x63;
const BIG_VARCHAR: u8 = 0xa7;
const BIG_CHAR: u8 = 0xaf;
const NVARCHAR: u8 = 0xe7;
const NCHAR: u8 = 0xef;

impl SqlType {
    /// Appends TYPE_INFO.
    pub(super) fn put(self, out: &mut Vec<u8>) {
        match self {
            Self::Guid => out.extend_from_slice(&[GUID_N, 16]),
            Self::Text(units) => {
                out.push(NVARCHAR);
                out.extend_from_slice(&(units.clamp(1, 4000) * 2).to_le_bytes());
                out.extend_from_slice(&COLLATION);
            }
            Self::Int => out.extend_from_slice(&[INT_N, 4]),
            Self::BigInt => out.extend_from_slice(&[INT_N, 8]),
            Self::Bit => out.extend_from_slice(&[BIT_N, 1]),
            Self::DateTime => out.extend_from_slice(&[DATETIME_N, 8]),
        }
    }

    /// Appends a value of this type; `false` if the value does not fit it. What was appended
    /// before that must then be thrown away.
    #[must_use]
    pub(super) fn put_value(self, value: &Value, out: &mut Vec<u8>) -> bool {
        match (self, value) {
            (Self::Text(_), Value::Null) => out.extend_from_slice(&[0xff, 0xff]),
            (_, Value::Null) => out.push(0),
            (Self::Guid, Value::Guid(guid)) => {
                out.push(16);
                out.extend_from_slice(&guid.to_bytes_le());
            }
            (Self::Text(limit), Value::Text(text)) => {
                let units = text.encode_utf16().count();
                if units > usize::from(limit.clamp(1, 4000)) {
                    return false;
                }
                let bytes = u16::try_from(units * 2).expect("at most 4,000 units");
                out.extend_from_slice(&bytes.to_le_bytes());
                out.extend(text.encode_utf16().flat_map(u16::to_le_bytes));
            }
            (Self::Int, Value::Int(number)) => {
                let Ok(number) = i32::try_from(*number) else { return false };
                out.push(4);
                out.extend_from_slice(&number.to_le_bytes());
            }
            (Self::BigInt, Value::Int(number)) => {
                out.push(8);
                out.extend_from_slice(&number.to_le_bytes());
            }
            (Self::Bit, Value::Bit(bit)) => out.extend_from_slice(&[1, u8::from(*bit)]),
            (Self::DateTime, Value::DateTime(unix_ms)) => {
                let day = unix_ms.div_euclid(DAY_MS) + EPOCH_DAYS;
                // Rounded to 1/300 s, and what rounds up to midnight stays on its day.
                let ticks = ((unix_ms.rem_euclid(DAY_MS) * 3 + 5) / 10).min(DAY_MS * 3 / 10 - 1);
                if !DATETIME_DAYS.contains(&day) {
                    return false;
                }
                let day = i32::try_from(day).expect("in datetime's range");
                out.push(8);
                out.extend_from_slice(&day.to_le_bytes());
                out.extend_from_slice(
                    &u32::try_from(ticks).expect("ticks of one day").to_le_bytes(),
                );
            }
            (_, _) => return false,
        }
        true
    }
}

fn datetime(bytes: [u8; 8]) -> Value {
    let [d0, d1, d2, d3, t0, t1, t2, t3] = bytes;
    let day = i64::from(i32::from_le_bytes([d0, d1, d2, d3]));
    let ticks = i64::from(u32::from_le_bytes([t0, t1, t2, t3]));
    Value::DateTime((day - EPOCH_DAYS) * DAY_MS + (ticks * 10 + 1) / 3)
}

fn int_n(bytes: &[u8]) -> Result<Value, TdsError> {
    Ok(match *bytes {
        [] => Value::Null,
        [a] => Value::Int(i64::from(a)),
        [a, b] => Value::Int(i64::from(i16::from_le_bytes([a, b]))),
        [a, b, c, d] => Value::Int(i64::from(i32::from_le_bytes([a, b, c, d]))),
        [a, b, c, d, e, f, g, h] => Value::Int(i64::from_le_bytes([a, b, c, d, e, f, g, h])),
        _ => return Err(TdsError::Malformed("an integer has an impossible length")),
    })
}

/// Reads TYPE_INFO and the value after it, as they stand in an RPC parameter.
pub(super) fn read_value(input: &mut Reader<'_>) -> Result<Value, TdsError> {
    match input.u8()? {
        NULL_TYPE => Ok(Value::Null),
        INT1 => int_n(input.take(1)?),
        INT2 => int_n(input.take(2)?),
        INT4 => int_n(input.take(4)?),
        INT8 => int_n(input.take(8)?),
        BIT => Ok(Value::Bit(input.u8()? != 0)),
        FLT8 => Ok(Value::Float(f64::from_le_bytes(input.array()?))),
        DATETIME => Ok(datetime(input.array()?)),
        kind @ (GUID_N | INT_N | BIT_N | FLT_N | DATETIME_N) => {
            let _largest = input.u8()?;
            let length = usize::from(input.u8()?);
            let bytes = input.take(length)?;
            match (kind, bytes) {
                (_, []) => Ok(Value::Null),
                (INT_N, _) => int_n(bytes),
                (BIT_N, [bit]) => Ok(Value::Bit(*bit != 0)),
                (GUID_N, _) if length == 16 => {
                    Ok(Value::Guid(Uuid::from_bytes_le(bytes.try_into().expect("16 bytes"))))
                }
                (FLT_N, [a, b, c, d]) => {
                    Ok(Value::Float(f64::from(f32::from_le_bytes([*a, *b, *c, *d]))))
                }
                (FLT_N, _) if length == 8 => {
                    Ok(Value::Float(f64::from_le_bytes(bytes.try_into().expect("8 bytes"))))
                }
                (DATETIME_N, _) if length == 8 => Ok(datetime(bytes.try_into().expect("8 bytes"))),
                (DATETIME_N, _) => Err(TdsError::Unsupported("smalldatetime parameters".into())),
                (_, _) => Err(TdsError::Malformed("a value has an impossible length")),
            }
        }
        kind @ (NVARCHAR | NCHAR | BIG_VARCHAR | BIG_CHAR) => {
            let largest = input.u16()?;
            let _collation = input.take(5)?;
            let bytes = if largest == 0xffff {
                partially_length_prefixed(input)?
            } else {
                match input.u16()? {
                    0xffff => None,
                    length => Some(input.take(usize::from(length))?.to_vec()),
                }
            };
            let Some(bytes) = bytes else { return Ok(Value::Null) };
            text(&bytes, kind == NVARCHAR || kind == NCHAR)
        }
        NTEXT => {
            let _largest = input.u32()?;
            let _collation = input.take(5)?;
            match input.u32()? {
                u32::MAX => Ok(Value::Null),
                length => {
                    let length = usize::try_from(length)
                        .map_err(|_| TdsError::Malformed("a text is too long"))?;
                    text(input.take(length)?, true)
                }
            }
        }
        other => Err(TdsError::Unsupported(format!("parameters of TDS type 0x{other:02x}"))),
    }
}

fn text(bytes: &[u8], wide: bool) -> Result<Value, TdsError> {
    Ok(Value::Text(if wide {
        utf16(bytes)?
    } else {
        bytes.iter().map(|byte| char::from(*byte)).collect()
    }))
}

fn partially_length_prefixed(input: &mut Reader<'_>) -> Result<Option<Vec<u8>>, TdsError> {
    // The total length is a hint that may be missing; all ones mean NULL.
    if input.u64()? == u64::MAX {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    loop {
        let length = usize::try_from(input.u32()?)
            .map_err(|_| TdsError::Malformed("a chunk is too long"))?;
        if length == 0 {
            return Ok(Some(bytes));
        }
        bytes.extend_from_slice(input.take(length)?);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round_trip(kind: SqlType, value: Value) -> Value {
        let mut wire = Vec::new();
        kind.put(&mut wire);
        assert!(kind.put_value(&value, &mut wire));
        read_value(&mut Reader::new(&wire)).unwrap()
    }

    #[test]
    fn every_type_survives_the_wire_and_so_does_its_null() {
        let guid = Uuid::from_u128(0x0562_094a_ecbe_4617_9253_5e7f_fb5e_00c4);
        for (kind, value) in [
            (SqlType::Guid, Value::Guid(guid)),
            (SqlType::Text(20), Value::Text("Zürich 𝄞".into())),
            (SqlType::Int, Value::Int(-7)),
            (SqlType::BigInt, Value::Int(i64::MIN)),
            (SqlType::Bit, Value::Bit(true)),
            (SqlType::DateTime, Value::DateTime(1_795_233_839_120)),
            (SqlType::DateTime, Value::DateTime(-2_208_988_800_000)),
        ] {
            assert_eq!(round_trip(kind, value.clone()), value);
            assert_eq!(round_trip(kind, Value::Null), Value::Null);
        }
    }

    #[test]
    fn a_datetime_is_rounded_to_three_hundredths_as_sql_server_does() {
        // .995 is .997 in the engine; .999 rounds up, but not over midnight here.
        assert_eq!(round_trip(SqlType::DateTime, Value::DateTime(995)), Value::DateTime(997));
        let last = DAY_MS - 1;
        let Value::DateTime(read) = round_trip(SqlType::DateTime, Value::DateTime(last)) else {
            panic!("no datetime");
        };
        assert!(read < DAY_MS);
    }

    #[test]
    fn a_value_that_does_not_fit_its_column_is_not_written() {
        for (kind, value) in [
            (SqlType::Int, Value::Int(i64::MAX)),
            (SqlType::Text(3), Value::Text("four".into())),
            (SqlType::DateTime, Value::DateTime(i64::MAX)),
            (SqlType::Guid, Value::Text("x".into())),
        ] {
            assert!(!kind.put_value(&value, &mut Vec::new()));
        }
    }
}
