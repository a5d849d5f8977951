//! How many package servers download what is built anew, as the CMDB says it.

use std::collections::BTreeMap;

use crate::host::Reader;
use crate::host::queries::PACKAGE_SERVER_COUNTS;
use crate::itms::traffic::{PackageSizes, Traffic};
use crate::model::StepFailure;
use crate::transport::{Row, SqlValue, TransportErrorKind};

/// The traffic that new snapshots of these packages set off.
pub(super) async fn estimate(
    sizes: &PackageSizes,
    at: &Reader<'_>,
) -> Result<Traffic, StepFailure> {
    let servers = match at.query(&PACKAGE_SERVER_COUNTS.statement, &[]).await {
        // A count that cannot be read is not taken for none.
        Ok(rows) => rows
            .iter()
            .map(|row| Some((row.guid("PackageGuid")?, count(row)?)))
            .collect::<Option<BTreeMap<_, _>>>()
            .ok_or_else(|| "the CMDB's counts could not be understood".to_owned()),
        // Another run of the step would end the same way, and no wrong password is tried again.
        Err(error) if error.kind == TransportErrorKind::AuthRejected => {
            return Err(error.into());
        }
        Err(error) => Err(error.to_string()),
    };
    Ok(Traffic::new(sizes, servers.as_ref().map_err(String::clone)))
}

fn count(row: &Row) -> Option<u64> {
    match row.get("Servers")? {
        SqlValue::Integer(number) => u64::try_from(*number).ok(),
        _ => None,
    }
}
