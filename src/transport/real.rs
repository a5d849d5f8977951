//! The connector that dials sockets.

use std::sync::Arc;

use async_trait::async_trait;

use super::sql::{Protection, SqlClient, SqlTransaction};
use super::winrm::{self, WinRmError, WinRmSettings, WinRmShell};
use super::{
    ChangeFiles, ChangeShell, ChangeSql, Connector, Deadline, HttpAnswer, HttpForm, HttpRequest,
    LaterLogons, ReadSql, Target, TransportError, http,
};

/// Connects over the network. A CMDB is logged on to over loopback only, since the login is not
/// protected by TLS yet: a tunnel brings it there.
#[derive(Debug, Clone, Copy, Default)]
pub struct NetworkConnector;

async fn open_shell(
    target: &Target,
    later: Option<Arc<dyn LaterLogons>>,
    deadline: Deadline,
) -> Result<Box<dyn ChangeShell>, TransportError> {
    let refuse = |error: WinRmError| {
        let operation = format!("could not open a WinRM shell on {}", target.host);
        TransportError::caused_by(error.kind(), operation, error)
    };
    let settings = WinRmSettings::for_target(target).map_err(refuse)?;
    Ok(Box::new(WinRmShell::open_lasting(settings, later, deadline).await.map_err(refuse)?))
}

#[async_trait]
impl Connector for NetworkConnector {
    async fn shell(
        &self,
        target: &Target,
        deadline: Deadline,
    ) -> Result<Box<dyn ChangeShell>, TransportError> {
        open_shell(target, None, deadline).await
    }

    async fn lasting_shell(
        &self,
        target: &Target,
        later: Arc<dyn LaterLogons>,
        deadline: Deadline,
    ) -> Result<Box<dyn ChangeShell>, TransportError> {
        open_shell(target, Some(later), deadline).await
    }

    async fn files(
        &self,
        target: &Target,
        deadline: Deadline,
    ) -> Result<Box<dyn ChangeFiles>, TransportError> {
        Ok(Box::new(super::smb::connect(target, deadline).await?))
    }

    async fn sql(
        &self,
        target: &Target,
        deadline: Deadline,
    ) -> Result<Box<dyn ReadSql>, TransportError> {
        Ok(Box::new(SqlClient::connect(target, Protection::LoopbackOnly, deadline).await?))
    }

    async fn change_sql(
        &self,
        target: &Target,
        deadline: Deadline,
    ) -> Result<Box<dyn ChangeSql>, TransportError> {
        Ok(Box::new(SqlTransaction::begin(target, Protection::LoopbackOnly, deadline).await?))
    }

    async fn fetch(
        &self,
        request: &HttpRequest,
        deadline: Deadline,
    ) -> Result<HttpAnswer, TransportError> {
        http::fetch(request, deadline).await
    }

    async fn post_form(
        &self,
        target: &Target,
        form: &HttpForm,
        deadline: Deadline,
    ) -> Result<HttpAnswer, TransportError> {
        winrm::post_form(target, form, deadline).await
    }
}
