//! The tables of the simulated CMDB, with the types that are sent to clients.
//!
//! Names are those that the vendor's articles and published scripts use; the types of columns are
//! nowhere published, so they follow the use. What the product has as views (`vItem`, `vThisNS`,
//! `vSiteServices`) are plain tables here.

use crate::protocol::tds::SqlType::{self, BigInt, Bit, DateTime, Guid, Int, Text};

/// A table.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) name: &'static str,
    pub(super) columns: &'static [(&'static str, SqlType)],
    /// Columns of the index through which the lab and the known statements find rows.
    index: &'static str,
}

/// The table in which the lab keeps which server is in which site. The product has no such table:
/// how it stores sites is not published.
pub const LAB_SERVER_SITE: &str = "LabServerSite";

/// All tables.
pub(super) const TABLES: &[Table] = &[
    Table {
        name: "SWDPackageServer",
        columns: &[
            ("PkgSvrId", Guid),
            ("PackageId", Guid),
            ("Status", Text(64)),
            // It may hold an error text.
            ("Version", Text(255)),
        ],
        index: "PkgSvrId, PackageId",
    },
    Table {
        name: "SWDPackage",
        columns: &[
            ("PackageId", Guid),
            ("Name", Text(255)),
            ("Package Version", Text(64)),
            ("_Latest", Bit),
        ],
        index: "PackageId, _Latest",
    },
    Table {
        name: "SWDPackageCodebase",
        columns: &[
            ("PackageId", Guid),
            ("URL", Text(1024)),
            ("Source", Text(255)),
            ("Snapshot", Text(1024)),
        ],
        index: "PackageId, URL",
    },
    Table {
        name: "ItemNSSource",
        columns: &[("ItemGuid", Guid), ("OriginNSSourceNSId", Int)],
        index: "ItemGuid",
    },
    Table {
        name: "OriginNSSourceNS",
        columns: &[("Id", Int), ("SourceNSGuid", Guid), ("OriginNSGuid", Guid)],
        index: "Id",
    },
    Table { name: "ForwardServer", columns: &[("Guid", Guid), ("Name", Text(255))], index: "Guid" },
    Table { name: "vThisNS", columns: &[("Guid", Guid)], index: "Guid" },
    Table { name: "vItem", columns: &[("Guid", Guid), ("Name", Text(255))], index: "Guid" },
    Table {
        name: "Inv_AeX_AC_Identification",
        columns: &[("_ResourceGuid", Guid), ("FQDN", Text(255)), ("OS Name", Text(255))],
        index: "_ResourceGuid",
    },
    Table {
        name: "Inv_AeX_AC_Client_Agent",
        columns: &[
            ("_ResourceGuid", Guid),
            ("Agent Name", Text(255)),
            ("Product Version", Text(64)),
        ],
        index: "_ResourceGuid",
    },
    Table {
        name: "ResourceUpdateSummary",
        columns: &[
            ("ResourceGuid", Guid),
            ("InventoryClassGuid", Guid),
            ("ModifiedDate", DateTime),
        ],
        index: "ResourceGuid",
    },
    Table {
        name: "vSiteServices",
        columns: &[("Guid", Guid), ("Host Name", Text(255)), ("Primary DNS Suffix", Text(255))],
        index: "Guid",
    },
    Table { name: "EventQueueEntry", columns: &[("id", BigInt)], index: "id" },
    // In the product's world it is msdb's.
    Table {
        name: "backupset",
        columns: &[
            ("database_name", Text(128)),
            ("name", Text(128)),
            ("type", Text(1)),
            ("backup_finish_date", DateTime),
            ("is_copy_only", Bit),
        ],
        index: "backup_finish_date",
    },
    Table {
        name: LAB_SERVER_SITE,
        columns: &[("ServerGuid", Guid), ("Site", Text(255))],
        index: "ServerGuid",
    },
];

impl Table {
    /// Finds a table by name, without regard to case.
    pub(super) fn find(name: &str) -> Option<&'static Self> {
        TABLES.iter().find(|table| table.name.eq_ignore_ascii_case(name))
    }

    /// Finds a column by name, without regard to case.
    pub(super) fn column(&self, name: &str) -> Option<(&'static str, SqlType)> {
        self.columns.iter().copied().find(|(column, _)| column.eq_ignore_ascii_case(name))
    }

    /// The SQLite statements that create it. Text compares without regard to case, as under SQL
    /// Server's default collation; GUIDs are kept as upper-case text, times as Unix milliseconds.
    pub(super) fn create(&self) -> String {
        let (name, index) = (self.name, self.index);
        let columns = self.sqlite_columns();
        format!(
            "CREATE TABLE [{name}] ({columns}); CREATE INDEX [by_{name}] ON [{name}] ({index});"
        )
    }

    /// Its columns with their types for SQLite, joined by commas.
    pub(super) fn sqlite_columns(&self) -> String {
        let columns: Vec<String> = self
            .columns
            .iter()
            .map(|(name, kind)| match kind {
                Guid | Text(_) => format!("[{name}] TEXT COLLATE NOCASE"),
                Int | BigInt | Bit | DateTime => format!("[{name}] INTEGER"),
            })
            .collect();
        columns.join(", ")
    }
}

/// What the lab keeps of its own catalogue: the columns of the tables, as `INFORMATION_SCHEMA` tells
/// them, the tables that were made by SELECT INTO, and the time.
pub(super) const CATALOGUE: &str = "
CREATE TABLE LabColumns (TableName TEXT COLLATE NOCASE, Position INTEGER, Name TEXT,
                         DataType TEXT, IsIdentity INTEGER, IsComputed INTEGER);
CREATE TABLE LabMade (Name TEXT COLLATE NOCASE PRIMARY KEY, MadeFrom TEXT);
CREATE TABLE LabClock (Now INTEGER);
INSERT INTO LabClock VALUES (0);
";

/// The name of a type in `INFORMATION_SCHEMA.COLUMNS`.
pub(super) fn data_type(kind: SqlType) -> &'static str {
    match kind {
        Guid => "uniqueidentifier",
        Text(_) => "nvarchar",
        Int => "int",
        BigInt => "bigint",
        Bit => "bit",
        DateTime => "datetime",
    }
}
