//! Jobs: imports of accounts, from the body to the accounts, with workers that are slow, late or dead.

use std::time::Duration;

use directory::{
    Caller, ClaimedChunk, Directory, Error, Job, JobFilter, JobKind, JobState, NewApiKey, NewJob, PageRequest,
    Precondition, Role, TenantChange, WorkBounds,
};
use mail_types::Secret;
use runtime::database::DbRole;
use serde_json::json;
use uuid::Uuid;

use crate::support::{World, address, platform, slug};

const HASH: &str = "{SHA512-CRYPT}$6$saltsaltsaltsalt$GkzgkzVbauGAKXpOTbypQEKy/9yJWVjcvXvDw7CxoJjnJ1.w.g1rV8bhCVTpHrRrO/h6b3DAwPN3y5qmHXZ1R1";
const BOUNDS: WorkBounds = WorkBounds { at_once: 1, claim: Duration::from_secs(60), attempts: 3 };

/// A caller with a real key, which a worker can look up.
async fn admin_of(world: &World, tenant: &str) -> (Caller, i64) {
    let new = NewApiKey {
        name: "ci".to_owned(),
        tenant: Some(slug(tenant)),
        role: Role::TenantAdmin,
        expires_at: None,
        allowed_networks: Vec::new(),
        domains: Vec::new(),
        scopes: None,
    };
    let issued = world.admin.create_api_key(&platform(), new).await.unwrap();
    let caller = world.admin.authenticate(&issued.secret, None, Uuid::from_u128(7)).await.unwrap().unwrap();
    (caller, issued.key.id)
}

/// Makes a job of these pieces of lines.
async fn job(world: &World, caller: &Caller, pieces: &[&str], dry_run: bool) -> Job {
    let new = NewJob { kind: JobKind::AccountsImport, tenant: None, dry_run, payload: json!({}) };
    let mut receiving = world.admin.receive_job(caller, &new, 10).await.unwrap();
    let mut first = 1;
    let mut total = 0;
    for piece in pieces {
        world.admin.add_job_lines(caller, &mut receiving, first, Secret::from(*piece)).await.unwrap();
        first += i32::try_from(piece.lines().count()).unwrap();
        total += i32::try_from(piece.lines().filter(|line| !line.is_empty()).count()).unwrap();
    }
    world.admin.queue_job(caller, &receiving, total).await.unwrap()
}

async fn claim(worker: &Directory) -> Option<ClaimedChunk> {
    worker.claim_chunk(JobKind::AccountsImport, BOUNDS).await.unwrap()
}

/// Does all there is.
async fn work(worker: &Directory) {
    while let Some(chunk) = claim(worker).await {
        assert!(worker.import_chunk(&chunk).await.unwrap());
    }
}

async fn counts(world: &World, caller: &Caller, job: &Job) -> (JobState, u64, u64, u64) {
    let job = world.admin.job(caller, job.id).await.unwrap();
    (job.state, job.progress.made, job.progress.unchanged, job.progress.failed)
}

async fn errors(world: &World, caller: &Caller, job: &Job) -> Vec<(i32, String, String)> {
    let page = world.admin.job_errors(caller, job.id, &PageRequest::default()).await.unwrap();
    page.items.into_iter().map(|error| (error.line, error.pointer, error.code)).collect()
}

fn found(line: i32, pointer: &str, code: &str) -> (i32, String, String) {
    (line, pointer.to_owned(), code.to_owned())
}

const BODY: [&str; 2] = [
    "{\"address\": \"a1@acme.test\", \"password\": \"correct horse\", \"quota\": {\"octets\": 1000, \"deliveries_per_hour\": 7}, \"aliases\": [\"info@acme.test\"]}\n\
     {\"address\": \"a2@acme.test\", \"password_hash\": \"HASH\", \"status\": \"suspended\"}\n\
     not json\n\
     \n\
     {\"address\": \"a3@nowhere.test\"}\n",
    "{\"address\": \"A1@acme.test\", \"password\": \"correct horse\", \"quota\": {\"octets\": 1000, \"deliveries_per_hour\": 7}, \"aliases\": [\"info@acme.test\"]}\n\
     {\"address\": \"a1@acme.test\"}\n\
     {\"address\": \"info@acme.test\"}\n\
     {\"address\": \"a4@acme.test\", \"aliases\": [\"a2@acme.test\"]}\n\
     {\"address\": \"a5@acme.test\", \"aliases\": [\"x@nowhere.test\"], \"color\": 1}\n",
];

fn refused() -> Vec<(i32, String, String)> {
    vec![
        found(3, "", "not_json"),
        found(5, "/address", "not_found"),
        found(7, "/address", "duplicate"),
        found(8, "/address", "duplicate"),
        found(9, "/aliases/0", "duplicate"),
        found(10, "/color", "unknown_field"),
    ]
}

fn body() -> Vec<String> {
    BODY.iter().map(|piece| piece.replace("HASH", HASH)).collect()
}

#[tokio::test]
async fn each_line_has_its_verdict_and_a_trial_has_the_same() {
    let world = World::new().await;
    world.tenant("acme").await;
    let (caller, _) = admin_of(&world, "acme").await;
    let worker = world.under(DbRole::Worker).await;
    let body = body();
    let pieces: Vec<&str> = body.iter().map(String::as_str).collect();

    let tried = job(&world, &caller, &pieces, true).await;
    assert_eq!((tried.state, tried.progress.total), (JobState::Queued, 9));
    work(&worker).await;
    assert_eq!(counts(&world, &caller, &tried).await, (JobState::Done, 2, 1, 6));
    assert_eq!(errors(&world, &caller, &tried).await, refused());
    let none = world.admin.account(&caller, &address("a1@acme.test")).await;
    assert!(matches!(none, Err(Error::NotFound)), "a trial makes nothing");

    let done = job(&world, &caller, &pieces, false).await;
    work(&worker).await;
    assert_eq!(counts(&world, &caller, &done).await, (JobState::Done, 2, 1, 6), "as the trial said");
    assert_eq!(errors(&world, &caller, &done).await, refused());
    let a1 = world.admin.account(&caller, &address("a1@acme.test")).await.unwrap();
    assert_eq!((a1.quota.octets, a1.quota.deliveries_per_hour, a1.has_password), (Some(1000), Some(7), true));
    let a2 = world.admin.account(&caller, &address("a2@acme.test")).await.unwrap();
    assert_eq!((a2.status.as_str(), a2.has_password), ("suspended", true));

    // Sent again, nothing is made and nothing is hashed again.
    let again = job(&world, &caller, &pieces, false).await;
    work(&worker).await;
    assert_eq!(counts(&world, &caller, &again).await, (JobState::Done, 0, 3, 6));

    // The audit trail has each account and alias once, by the creator of the job.
    let pool = world.database.pool(DbRole::Owner).await;
    let events: Vec<(String, String, String)> = sqlx::query_as(
        "SELECT action, target, actor FROM restante.audit_events WHERE action IN ('account.create', 'alias.create') ORDER BY event_id",
    )
    .fetch_all(&pool)
    .await
    .unwrap();
    let event = |action: &str, target: &str| (action.to_owned(), target.to_owned(), caller.actor.clone());
    assert_eq!(
        events,
        [
            event("account.create", "a1@acme.test"),
            event("alias.create", "info@acme.test"),
            event("account.create", "a2@acme.test"),
        ]
    );
    // Nothing is left of the bodies.
    for table in ["job_chunks", "job_tried"] {
        let count = format!("SELECT count(*) FROM restante.{table}");
        let left: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(count)).fetch_one(&pool).await.unwrap();
        assert_eq!(left, 0, "{table}");
    }
}

#[tokio::test]
async fn the_most_accounts_of_a_tenant_hold_for_an_import_and_its_trial() {
    let world = World::new().await;
    let tenant = world.tenant("acme").await;
    let change = TenantChange {
        quota: directory::QuotaChange { accounts: Some(Some(2)), ..directory::QuotaChange::default() },
        ..TenantChange::default()
    };
    world.admin.change_tenant(&platform(), &tenant.slug, change, &Precondition::None).await.unwrap();
    let (caller, _) = admin_of(&world, "acme").await;
    let worker = world.under(DbRole::Worker).await;
    let body = "{\"address\":\"a@acme.test\"}\n{\"address\":\"b@acme.test\"}\n{\"address\":\"c@acme.test\"}\n";
    for dry_run in [true, false] {
        let job = job(&world, &caller, &[body], dry_run).await;
        work(&worker).await;
        assert_eq!(counts(&world, &caller, &job).await, (JobState::Done, 2, 0, 1), "{dry_run}");
        assert_eq!(errors(&world, &caller, &job).await, [found(3, "", "limit_reached")], "{dry_run}");
    }
}

/// What still lies under a master key, that it is not taken away too early.
#[tokio::test]
async fn lines_that_wait_are_counted_under_their_master_key() {
    let world = World::new().await;
    world.tenant("acme").await;
    let (caller, _) = admin_of(&world, "acme").await;
    let owner = world.database.pool(DbRole::Owner).await;
    let uses = async || {
        let uses = directory::master_key_use(&owner).await.unwrap();
        uses.into_iter().map(|used| (used.id, used.job_lines)).collect::<Vec<_>>()
    };
    job(&world, &caller, &["{\"address\":\"a@acme.test\"}\n", "{\"address\":\"b@acme.test\"}\n"], false).await;
    assert_eq!(uses().await, [("test".to_owned(), 2)]);
    work(&world.under(DbRole::Worker).await).await;
    assert_eq!(uses().await, []);
}

#[tokio::test]
async fn deliveries_in_an_hour_are_a_quota_of_lines_too() {
    let world = World::new().await;
    let tenant = world.tenant("acme").await;
    let change = TenantChange {
        quota: directory::QuotaChange { deliveries_per_hour: Some(Some(50)), ..directory::QuotaChange::default() },
        ..TenantChange::default()
    };
    world.admin.change_tenant(&platform(), &tenant.slug, change, &Precondition::None).await.unwrap();
    let (caller, _) = admin_of(&world, "acme").await;
    let worker = world.under(DbRole::Worker).await;
    let body = "{\"address\":\"a@acme.test\",\"quota\":{\"deliveries_per_hour\":50}}\n\
                {\"address\":\"a@acme.test\",\"quota\":{\"deliveries_per_hour\":49}}\n\
                {\"address\":\"a@acme.test\"}\n\
                {\"address\":\"b@acme.test\",\"quota\":{\"deliveries_per_hour\":51}}\n";
    let refused =
        [found(2, "/address", "duplicate"), found(3, "/address", "duplicate"), found(4, "/quota", "out_of_range")];
    for dry_run in [true, false] {
        let job = job(&world, &caller, &[body], dry_run).await;
        work(&worker).await;
        assert_eq!(counts(&world, &caller, &job).await, (JobState::Done, 1, 0, 3), "{dry_run}");
        assert_eq!(errors(&world, &caller, &job).await, refused, "{dry_run}");
    }
    let a = world.admin.account(&caller, &address("a@acme.test")).await.unwrap();
    assert_eq!(a.quota.deliveries_per_hour, Some(50));
}

/// A worker that was paused past its claim writes nothing, whoever did the lines meanwhile; of two workers one at a time has a job.
#[tokio::test]
async fn a_claim_that_ended_writes_nothing() {
    let world = World::new().await;
    world.tenant("acme").await;
    let (caller, _) = admin_of(&world, "acme").await;
    let (one, two) = (world.under(DbRole::Worker).await, world.under(DbRole::Worker).await);
    let job =
        job(&world, &caller, &["{\"address\":\"a@acme.test\"}\n", "{\"address\":\"b@acme.test\"}\n"], false).await;
    let paused = claim(&one).await.unwrap();
    assert!(claim(&two).await.is_none(), "its next lines wait for the ones before them");
    let pool = world.database.pool(DbRole::Owner).await;
    let end = "UPDATE restante.job_chunks SET claimed_until = clock_timestamp() - interval '1 second' WHERE claimed_by IS NOT NULL";
    sqlx::query(end).execute(&pool).await.unwrap();
    let taken_over = claim(&two).await.unwrap();
    assert_eq!(taken_over.first_line, paused.first_line);
    assert!(!one.renew_chunk(&paused, BOUNDS.claim).await.unwrap());
    assert!(!one.import_chunk(&paused).await.unwrap());
    assert!(two.import_chunk(&taken_over).await.unwrap());
    assert!(!two.import_chunk(&taken_over).await.unwrap(), "nor twice");
    work(&one).await;
    assert_eq!(counts(&world, &caller, &job).await, (JobState::Done, 2, 0, 0));
}

#[tokio::test]
async fn a_job_stops_when_its_creator_may_not_do_it_any_more_or_somebody_says_so() {
    let world = World::new().await;
    world.tenant("acme").await;
    let (caller, key) = admin_of(&world, "acme").await;
    let worker = world.under(DbRole::Worker).await;
    let pieces = ["{\"address\":\"a@acme.test\"}\n", "{\"address\":\"b@acme.test\"}\n"];

    let cancelled = job(&world, &caller, &pieces, false).await;
    let under_way = claim(&worker).await.unwrap();
    assert_eq!(world.admin.cancel_job(&caller, cancelled.id).await.unwrap().state, JobState::Cancelled);
    assert!(!worker.import_chunk(&under_way).await.unwrap());
    assert_eq!(world.admin.cancel_job(&caller, cancelled.id).await.unwrap().state, JobState::Cancelled, "again");
    assert!(claim(&worker).await.is_none());

    let orphan = job(&world, &caller, &pieces, false).await;
    let first = claim(&worker).await.unwrap();
    assert!(worker.import_chunk(&first).await.unwrap());
    world.admin.revoke_api_key(&platform(), key).await.unwrap();
    assert!(claim(&worker).await.is_none());
    let ended = world.admin.job(&platform(), orphan.id).await.unwrap();
    assert_eq!((ended.state, ended.progress.done()), (JobState::Failed, 1));
    assert!(ended.error.unwrap().contains("who made the job"));
    let b = world.admin.account(&platform(), &address("b@acme.test")).await;
    assert!(matches!(b, Err(Error::NotFound)));
}

#[tokio::test]
async fn lines_that_fail_again_and_again_end_their_job() {
    let world = World::new().await;
    world.tenant("acme").await;
    let (caller, _) = admin_of(&world, "acme").await;
    let worker = world.under(DbRole::Worker).await;
    let job = job(&world, &caller, &["{\"address\":\"a@acme.test\"}\n"], false).await;
    for counts in [false, true, true, true] {
        let chunk = claim(&worker).await.unwrap();
        worker.give_chunk_back(&chunk, Duration::ZERO, counts).await.unwrap();
    }
    assert!(claim(&worker).await.is_none());
    let ended = world.admin.job(&caller, job.id).await.unwrap();
    assert_eq!(ended.state, JobState::Failed);
    assert!(ended.error.unwrap().contains("failed 3 times"));
}

#[tokio::test]
async fn jobs_are_bounded_and_forgotten_in_the_end() {
    let world = World::new().await;
    world.tenant("acme").await;
    let (caller, _) = admin_of(&world, "acme").await;
    let worker = world.under(DbRole::Worker).await;
    let new = NewJob { kind: JobKind::AccountsImport, tenant: None, dry_run: false, payload: json!({}) };
    let receiving = world.admin.receive_job(&caller, &new, 1).await.unwrap();
    let over = world.admin.receive_job(&caller, &new, 1).await;
    assert!(matches!(over, Err(Error::LimitReached(_))), "{over:?}");
    let page = PageRequest::default();
    let unseen = world.admin.jobs(&caller, &JobFilter::default(), &page).await.unwrap();
    assert!(unseen.items.is_empty(), "its body is not there yet");
    world.admin.discard_job(&caller, &receiving).await.unwrap();

    world.admin.receive_job(&caller, &new, 1).await.unwrap();
    let done = job(&world, &caller, &["{\"address\":\"a@acme.test\"}\n"], false).await;
    work(&worker).await;
    let day = Duration::from_secs(86_400);
    assert_eq!(worker.sweep_jobs(day).await.unwrap(), 0);
    let pool = world.database.pool(DbRole::Owner).await;
    sqlx::query(
        "UPDATE restante.jobs SET ended_at = ended_at - interval '2 days', run_at = run_at - interval '2 hours'",
    )
    .execute(&pool)
    .await
    .unwrap();
    assert_eq!(worker.sweep_jobs(day).await.unwrap(), 2, "the one that is done, and the one whose body never came");
    assert!(matches!(world.admin.job(&caller, done.id).await, Err(Error::NotFound)));
}
