//! The tables of a ledger, as numbered migrations. They are listed here and not found by a macro of sqlx, which would have each build
//! compile both databases once more, for itself.

use sqlx::{
    SqlSafeStr as _,
    migrate::{Migration, MigrationType, Migrator},
};

/// For each database: number, name and statements. What was released is never changed, since its checksum is in every ledger.
const POSTGRES: &[(i64, &str, &str)] = &[(1, "ledger", include_str!("../../migrations/postgres/0001_ledger.sql"))];
const SQLITE: &[(i64, &str, &str)] = &[(1, "ledger", include_str!("../../migrations/sqlite/0001_ledger.sql"))];

/// The migrations of a PostgreSQL ledger.
pub(super) fn postgres() -> Migrator {
    migrator(POSTGRES)
}

/// The migrations of an SQLite ledger.
pub(super) fn sqlite() -> Migrator {
    migrator(SQLITE)
}

fn migrator(list: &[(i64, &'static str, &'static str)]) -> Migrator {
    let migrations = list.iter().map(|(number, name, statements)| {
        Migration::new(*number, (*name).into(), MigrationType::Simple, statements.into_sql_str(), false)
    });
    Migrator::with_migrations(migrations.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_is_listed() {
        for (folder, listed) in [("postgres", POSTGRES), ("sqlite", SQLITE)] {
            let folder = format!("{}/migrations/{folder}", env!("CARGO_MANIFEST_DIR"));
            let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().file_name()).collect();
            files.sort();
            let names: Vec<std::ffi::OsString> =
                listed.iter().map(|(number, name, _)| format!("{number:04}_{name}.sql").into()).collect();
            assert_eq!(files, names);
        }
    }

    #[test]
    fn what_was_released_is_not_changed() {
        let checksums = [postgres(), sqlite()].map(|migrator| {
            let firsts = migrator.iter().map(|migration| migration.checksum.first_chunk::<8>().copied().unwrap());
            firsts.map(|first| format!("{:016x}", u64::from_be_bytes(first))).collect::<Vec<_>>()
        });
        assert_eq!(checksums, [["dff31e511ce2cfc0"], ["6c8045edb716a607"]]);
    }
}
