//! Columns and tables of which queries of several kinds speak in the same words.

use super::{Needed, QueryColumn};

/// A column of the rows.
pub(super) const fn column(name: &'static str, doc: &'static str) -> QueryColumn {
    QueryColumn { name, doc }
}

pub(super) const SERVER_NAME: QueryColumn = column("ServerName", "Its name; NULL when it is gone.");
pub(super) const SERVER_FQDN: QueryColumn =
    column("ServerFqdn", "Its fully qualified name, where its inventory has one.");
pub(super) const PACKAGE_GUID: QueryColumn = column("PackageGuid", "The package.");
pub(super) const PACKAGE_NAME: QueryColumn =
    column("PackageName", "Its name; NULL when it is gone.");

pub(super) const ITEM: Needed = Needed { table: "vItem", columns: &["Guid", "Name"] };
pub(super) const IDENTIFICATION: Needed =
    Needed { table: "Inv_AeX_AC_Identification", columns: &["_ResourceGuid", "FQDN"] };
pub(super) const FORWARD_SERVER: Needed =
    Needed { table: "ForwardServer", columns: &["Guid", "Name"] };
pub(super) const ITEM_SOURCE: Needed =
    Needed { table: "ItemNSSource", columns: &["ItemGuid", "OriginNSSourceNSId"] };
