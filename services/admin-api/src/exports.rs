//! How many exports of tenants may run at once: each holds connections and reads whole maildrops for as long as its client likes.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

use mail_types::TenantSlug;
use prometheus::{IntCounterVec, IntGauge, register_int_counter_vec, register_int_gauge};

use crate::config::ExportsConfig;
use crate::problem::{Kind, Problem};

#[expect(clippy::expect_used, reason = "the name is a constant: a wrong one is seen by the first test")]
static RUNNING: LazyLock<IntGauge> = LazyLock::new(|| {
    register_int_gauge!("restante_admin_exports", "Exports of tenants that this process is sending")
        .expect("a new metric")
});
#[expect(clippy::expect_used, reason = "the name is a constant: a wrong one is seen by the first test")]
static REFUSED: LazyLock<IntCounterVec> = LazyLock::new(|| {
    let help = "Exports of tenants that were refused because as many ran as may, of all or of their tenant.";
    register_int_counter_vec!("restante_admin_exports_refused_total", help, &["limit"]).expect("a new metric")
});

/// Counts the exports of this process. Clones are the same count.
#[derive(Debug, Clone)]
pub(crate) struct Exports {
    config: ExportsConfig,
    running: Arc<Mutex<HashMap<TenantSlug, u32>>>,
}

/// One export's place, given back when dropped.
#[derive(Debug)]
pub(crate) struct ExportPlace {
    exports: Exports,
    tenant: TenantSlug,
}

impl Exports {
    pub(crate) fn new(config: &ExportsConfig) -> Self {
        Self { config: config.clone(), running: Arc::default() }
    }

    /// A place for an export of this tenant; 503 while there is none.
    pub(crate) fn enter(&self, tenant: &TenantSlug) -> Result<ExportPlace, Problem> {
        let mut running = self.running();
        let of_tenant = running.get(tenant).copied().unwrap_or_default();
        let (limit, most) = if running.values().sum::<u32>() >= self.config.at_once {
            ("all", self.config.at_once)
        } else if of_tenant >= self.config.per_tenant {
            ("tenant", self.config.per_tenant)
        } else {
            running.insert(tenant.clone(), of_tenant + 1);
            RUNNING.inc();
            return Ok(ExportPlace { exports: self.clone(), tenant: tenant.clone() });
        };
        REFUSED.with_label_values(&[limit]).inc();
        let whose = if limit == "all" { "at once" } else { "of a tenant at once" };
        Err(Problem::with_detail(Kind::Unavailable, format!("as many exports run as may: {most} {whose}")))
    }

    fn running(&self) -> MutexGuard<'_, HashMap<TenantSlug, u32>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for ExportPlace {
    fn drop(&mut self) {
        let mut running = self.exports.running();
        match running.get_mut(&self.tenant) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(running.remove(&self.tenant)),
        }
        RUNNING.dec();
    }
}
