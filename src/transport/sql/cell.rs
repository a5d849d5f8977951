//! Values between the driver's types and ours.

use jiff::{SignedDuration, Timestamp};
use tiberius::{ColumnData, ToSql, Uuid};

use crate::model::Guid;
use crate::transport::{SqlParameter, SqlValue};

/// A parameter in a form that the driver takes.
pub(super) enum Parameter {
    Guid(Uuid),
    Text(String),
    Integer(i64),
}

impl From<&SqlParameter> for Parameter {
    fn from(parameter: &SqlParameter) -> Self {
        match parameter {
            SqlParameter::Guid(guid) => Self::Guid(Uuid::from_u128(guid.as_u128())),
            SqlParameter::Text(text) => Self::Text(text.clone()),
            SqlParameter::Integer(number) => Self::Integer(*number),
        }
    }
}

impl Parameter {
    pub(super) fn as_sql(&self) -> &dyn ToSql {
        match self {
            Self::Guid(guid) => guid,
            Self::Text(text) => text,
            Self::Integer(number) => number,
        }
    }
}

/// 1900-01-01, from which `datetime` counts, in Unix seconds.
const YEAR_1900: i64 = -2_208_988_800;
/// 0001-01-01, from which `date` counts, in Unix seconds.
const YEAR_1: i64 = -62_135_596_800;
const DAY: i64 = 86_400;

/// Reads a cell; `None` if its type is not one that is read, or its time is out of range.
pub(super) fn read_cell(cell: &ColumnData<'_>) -> Option<SqlValue> {
    let integer = |number: Option<i64>| number.map(SqlValue::Integer);
    let float = |number: Option<f64>| number.map(SqlValue::Float);
    let value = match cell {
        ColumnData::U8(number) => integer(number.map(i64::from)),
        ColumnData::I16(number) => integer(number.map(i64::from)),
        ColumnData::I32(number) => integer(number.map(i64::from)),
        ColumnData::I64(number) => integer(*number),
        ColumnData::F32(number) => float(number.map(f64::from)),
        ColumnData::F64(number) => float(*number),
        ColumnData::Bit(bit) => bit.map(SqlValue::Bool),
        ColumnData::String(text) => text.as_ref().map(|text| SqlValue::Text(text.to_string())),
        ColumnData::Guid(guid) => guid.map(|guid| SqlValue::Guid(Guid::from_u128(guid.as_u128()))),
        ColumnData::Numeric(number) => number.map(|number| SqlValue::Text(number.to_string())),
        ColumnData::Xml(xml) => xml.as_ref().map(|xml| SqlValue::Text(xml.to_string())),
        ColumnData::DateTime(None)
        | ColumnData::SmallDateTime(None)
        | ColumnData::Date(None)
        | ColumnData::DateTime2(None)
        | ColumnData::DateTimeOffset(None)
        | ColumnData::Binary(None)
        | ColumnData::Time(None) => None,
        ColumnData::DateTime(Some(at)) => {
            // Three hundredths of a second, to the nearest millisecond.
            let milliseconds = (i64::from(at.seconds_fragments()) * 10 + 1) / 3;
            let day = YEAR_1900 + i64::from(at.days()) * DAY;
            Some(timestamp(day, SignedDuration::from_millis(milliseconds))?)
        }
        ColumnData::SmallDateTime(Some(at)) => {
            let minutes = i64::from(at.seconds_fragments());
            let day = YEAR_1900 + i64::from(at.days()) * DAY;
            Some(timestamp(day, SignedDuration::from_mins(minutes))?)
        }
        ColumnData::Date(Some(date)) => {
            Some(timestamp(YEAR_1 + i64::from(date.days()) * DAY, SignedDuration::ZERO)?)
        }
        ColumnData::DateTime2(Some(at)) => Some(precise(*at)?),
        // The date and time in it are in UTC; the offset says how they were shown.
        ColumnData::DateTimeOffset(Some(at)) => Some(precise(at.datetime2())?),
        ColumnData::Binary(Some(_)) | ColumnData::Time(Some(_)) => return None,
    };
    Some(value.unwrap_or(SqlValue::Null))
}

fn precise(at: tiberius::time::DateTime2) -> Option<SqlValue> {
    let day = YEAR_1 + i64::from(at.date().days()) * DAY;
    let scale = u32::from(at.time().scale());
    let nanoseconds =
        at.time().increments().checked_mul(10_u64.checked_pow(9_u32.checked_sub(scale)?)?)?;
    timestamp(day, SignedDuration::from_nanos(i64::try_from(nanoseconds).ok()?))
}

fn timestamp(day: i64, time: SignedDuration) -> Option<SqlValue> {
    let midnight = Timestamp::from_second(day).ok()?;
    midnight.checked_add(time).ok().map(SqlValue::Timestamp)
}

#[cfg(test)]
mod tests {
    use tiberius::time::{Date, DateTime, DateTime2, SmallDateTime, Time};

    use super::*;

    fn shown(cell: &ColumnData<'_>) -> String {
        match read_cell(cell) {
            Some(SqlValue::Timestamp(at)) => at.to_string(),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn every_kind_of_time_is_read_as_utc() {
        let noon = 12 * 3600 * 300;
        assert_eq!(
            shown(&ColumnData::DateTime(Some(DateTime::new(0, noon + 1)))),
            "1900-01-01T12:00:00.003Z"
        );
        assert_eq!(
            shown(&ColumnData::SmallDateTime(Some(SmallDateTime::new(25_567, 61)))),
            "1970-01-01T01:01:00Z"
        );
        let at = DateTime2::new(Date::new(719_162), Time::new(15_000_000, 7));
        assert_eq!(shown(&ColumnData::DateTime2(Some(at))), "1970-01-01T00:00:01.5Z");
    }

    #[test]
    fn null_of_any_type_is_null_and_binary_is_refused() {
        assert_eq!(read_cell(&ColumnData::DateTime(None)), Some(SqlValue::Null));
        assert_eq!(read_cell(&ColumnData::Binary(None)), Some(SqlValue::Null));
        assert_eq!(read_cell(&ColumnData::Binary(Some(vec![1].into()))), None);
    }
}
