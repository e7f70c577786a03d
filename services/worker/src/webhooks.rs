//! Telling webhooks: what is due is claimed, sent by the one way out, and noted. Of one endpoint one delivery is under way at a time,
//! wherever the workers are; a slow endpoint holds up nobody else.

use std::sync::LazyLock;
use std::time::Duration;

use directory::{Deliveries, DueDelivery, Tried};
use net::egress::Egress;
use prometheus::{IntCounterVec, IntGauge, register_int_counter_vec, register_int_gauge};
use runtime::shutdown::Shutdown;
use tokio::task::JoinSet;

#[expect(clippy::expect_used, reason = "the name is a constant: a wrong one is seen by the first test")]
static TRIES: LazyLock<IntCounterVec> = LazyLock::new(|| {
    let help = "Tries to tell a webhook, by what they came to.";
    register_int_counter_vec!("restante_webhook_tries_total", help, &["outcome"]).expect("a new metric")
});
#[expect(clippy::expect_used, reason = "the name is a constant: a wrong one is seen by the first test")]
static DEAD: LazyLock<IntCounterVec> = LazyLock::new(|| {
    let help = "What was given up: deliveries after their last try, or because too many waited, and webhooks that took nothing for days.";
    register_int_counter_vec!("restante_webhook_given_up_total", help, &["what"]).expect("a new metric")
});
#[expect(clippy::expect_used, reason = "the name is a constant: a wrong one is seen by the first test")]
static UNDER_WAY: LazyLock<IntGauge> = LazyLock::new(|| {
    register_int_gauge!("restante_webhook_tries_under_way", "Tries of this process that are under way")
        .expect("a new metric")
});

/// How often what waits is counted.
const OVERFLOW: Duration = Duration::from_secs(60);

/// Tells webhooks until draining begins; then waits for the tries that are under way.
pub(crate) async fn tell(deliveries: &Deliveries, egress: &Egress, shutdown: &Shutdown) {
    let settings = deliveries.settings();
    let mut timer = tokio::time::interval(Duration::from_millis(settings.interval_ms.max(10)));
    timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut bounding = tokio::time::interval(OVERFLOW);
    bounding.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut under_way = JoinSet::new();
    let mut failing = false;
    loop {
        tokio::select! {
            () = shutdown.draining() => break,
            _ = timer.tick() => {}
            _ = bounding.tick() => give_up_overflow(deliveries).await,
            // An endpoint that has just taken one is ready for the next.
            Some(_) = under_way.join_next() => {}
        }
        let free = settings.parallel.saturating_sub(u32::try_from(under_way.len()).unwrap_or(u32::MAX));
        if free == 0 {
            continue;
        }
        match deliveries.claim(free).await {
            Ok(claimed) => {
                failing = false;
                for due in claimed {
                    under_way.spawn(attempt(deliveries.clone(), egress.clone(), due));
                }
            }
            Err(error) if !failing => {
                failing = true;
                tracing::warn!(kind = error.kind(), %error, "webhooks are not told: their queue cannot be read");
            }
            Err(_) => {}
        }
        UNDER_WAY.set(i64::try_from(under_way.len()).unwrap_or(i64::MAX));
    }
    while under_way.join_next().await.is_some() {}
    UNDER_WAY.set(0);
}

/// What waits of a webhook is bounded: who takes nothing, or less than there is, loses the oldest.
async fn give_up_overflow(deliveries: &Deliveries) {
    match deliveries.give_up_overflow().await {
        Ok(0) => {}
        Ok(dead) => {
            DEAD.with_label_values(&["overflow"]).inc_by(dead);
            tracing::warn!(dead, "webhooks have more events waiting than may: the oldest are dead letters");
        }
        Err(error) => tracing::warn!(kind = error.kind(), %error, "what waits of webhooks could not be bounded"),
    }
}

async fn attempt(deliveries: Deliveries, egress: Egress, due: DueDelivery) {
    let timeout = Duration::from_millis(deliveries.settings().timeout_ms);
    let tried = match deliveries.headers(&due) {
        None => Tried::Failed("unsigned"),
        Some(headers) => match egress.post(&due.url, &headers, due.body.clone(), timeout).await {
            Ok(status) => Tried::Answered(status),
            // The word only: the error's text tells addresses that the tenant is not to learn.
            Err(error) => Tried::Failed(error.kind()),
        },
    };
    let outcome = match tried {
        _ if tried.is_taken() => "taken",
        Tried::Answered(_) => "status",
        Tried::Failed(why) => why,
    };
    TRIES.with_label_values(&[outcome]).inc();
    match deliveries.done(&due, tried).await {
        Ok(became) => {
            DEAD.with_label_values(&["delivery"]).inc_by(became.dead.into());
            DEAD.with_label_values(&["webhook"]).inc_by(became.disabled.into());
        }
        // The claim ends by itself, and the same event is sent once more.
        Err(error) => tracing::warn!(kind = error.kind(), %error, "how a webhook was told could not be noted"),
    }
}

#[cfg(test)]
mod tests;
