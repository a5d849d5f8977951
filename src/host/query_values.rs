//! From what a playbook gives for a named query to the values that are sent.

use serde_json::{Map, Value};

use super::Reader;
use super::queries::{Argument, NamedQuery, PACKAGES_BY_NAME, arguments};
use crate::model::{FailureClass, Guid, StepFailure};
use crate::transport::SqlParameter;

impl Reader<'_> {
    /// The values of a query's parameters, in the order of `@P1`, `@P2`, …: the name of a package is
    /// looked up, and a package server that is not named is the host itself.
    ///
    /// # Errors
    ///
    /// `Refused` when a value is unknown, missing, none of its kind, or the name of no package or of
    /// several; else those of the connection.
    pub async fn query_values(
        &self,
        query: &NamedQuery,
        given: &Map<String, Value>,
    ) -> Result<Vec<SqlParameter>, StepFailure> {
        let given = arguments(query, given)
            .map_err(|error| StepFailure::from_error(FailureClass::Refused, &error))?;
        let mut values = Vec::with_capacity(given.len());
        for argument in given {
            values.push(match argument {
                Argument::Guid(guid) => SqlParameter::Guid(guid),
                Argument::Text(text) => SqlParameter::Text(text),
                Argument::PackageName(name) => SqlParameter::Guid(self.package_named(name).await?),
                Argument::OwnGuid => SqlParameter::Guid(self.own_guid()?),
            });
        }
        Ok(values)
    }

    /// The one package of a name.
    async fn package_named(&self, name: String) -> Result<Guid, StepFailure> {
        let parameter = SqlParameter::Text(name.clone());
        let rows = self.query(&PACKAGES_BY_NAME.statement, &[parameter]).await?;
        let mut found: Vec<Guid> = rows.iter().filter_map(|row| row.guid("PackageGuid")).collect();
        found.sort_unstable();
        found.dedup();
        let refused = |text: String| Err(StepFailure::new(FailureClass::Refused, text));
        match found.as_slice() {
            [only] => Ok(*only),
            [] => refused(format!("no package of the CMDB is called `{name}`")),
            several => {
                let guids: Vec<String> = several.iter().take(10).map(ToString::to_string).collect();
                refused(format!(
                    "{} packages are called `{name}`: give the GUID of one, of {}",
                    several.len(),
                    guids.join(", ")
                ))
            }
        }
    }

    /// The GUID that the CMDB has for the host: from the inventory, else from its work.
    fn own_guid(&self) -> Result<Guid, StepFailure> {
        let of_work = || self.work().first().map(|row| row.server.guid);
        self.host().guid().or_else(of_work).ok_or_else(|| {
            StepFailure::new(
                FailureClass::Refused,
                format!(
                    "the GUID of {} is not known: give it the variable `itms_guid`",
                    self.host().name
                ),
            )
        })
    }
}
