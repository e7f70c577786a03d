//! Version 1: one file per noun.

mod accounts;
mod activity;
mod admins;
mod aliases;
mod api_keys;
mod app_passwords;
mod audit;
mod domains;
mod export;
mod expunged;
mod imports;
mod live_sessions;
mod me;
mod messages;
pub(crate) mod oidc;
mod overview;
mod passwords;
mod search;
mod sessions;
mod sign_in;
mod sign_in_sessions;
mod tenants;
mod transcripts;
mod webhooks;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::AppState;

/// All routes, with their part of the document.
pub(crate) fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::with_openapi(crate::openapi::base())
        .routes(routes!(tenants::create, tenants::list))
        .routes(routes!(tenants::get, tenants::change, tenants::delete))
        .routes(routes!(tenants::restore))
        .routes(routes!(tenants::usage))
        .routes(routes!(export::export))
        .routes(routes!(domains::create, domains::list))
        .routes(routes!(domains::get, domains::change, domains::delete))
        .routes(routes!(domains::verify))
        .routes(routes!(domains::restore))
        .routes(routes!(domains::records))
        .routes(routes!(domains::usage))
        .routes(routes!(accounts::create, accounts::list))
        .routes(routes!(accounts::get, accounts::change, accounts::delete))
        .routes(routes!(accounts::restore))
        .routes(routes!(accounts::usage))
        .routes(routes!(search::search))
        .routes(routes!(overview::get))
        .routes(routes!(passwords::set, passwords::remove))
        .routes(routes!(app_passwords::create, app_passwords::list))
        .routes(routes!(app_passwords::get, app_passwords::revoke))
        .routes(routes!(messages::deliver, messages::list))
        .routes(routes!(messages::get))
        .routes(routes!(messages::raw))
        .routes(routes!(expunged::list))
        .routes(routes!(expunged::restore))
        .routes(routes!(sessions::list))
        .routes(routes!(sessions::undo))
        .routes(routes!(live_sessions::list))
        .routes(routes!(live_sessions::end))
        .routes(routes!(live_sessions::list_of_account, live_sessions::end_of_account))
        .routes(routes!(activity::list))
        .routes(routes!(activity::diagnose))
        .routes(routes!(transcripts::begin, transcripts::list, transcripts::end))
        .routes(routes!(transcripts::get, transcripts::delete))
        .routes(routes!(aliases::create, aliases::list))
        .routes(routes!(aliases::get, aliases::change, aliases::delete))
        .routes(routes!(imports::create, imports::list))
        .routes(routes!(imports::get))
        .routes(routes!(imports::errors))
        .routes(routes!(imports::accounts))
        .routes(routes!(imports::cancel))
        .routes(routes!(api_keys::create, api_keys::list))
        .routes(routes!(api_keys::get, api_keys::change, api_keys::revoke))
        .routes(routes!(admins::create, admins::list))
        .routes(routes!(admins::get, admins::change, admins::delete))
        .routes(routes!(admins::set_password))
        .routes(routes!(sign_in::sign_in))
        .routes(routes!(sign_in::refresh))
        .routes(routes!(sign_in::sign_out))
        .routes(routes!(sign_in::methods))
        .routes(routes!(sign_in::jwks))
        .routes(routes!(sign_in_sessions::list))
        .routes(routes!(sign_in_sessions::end))
        .routes(routes!(me::get))
        .routes(routes!(me::set_password))
        .routes(routes!(me::offer_totp, me::confirm_totp))
        .routes(routes!(me::remove_totp))
        .routes(routes!(me::new_recovery_codes))
        .routes(routes!(admins::reset_totp))
        .routes(routes!(oidc::get, oidc::set, oidc::remove))
        .routes(routes!(oidc::get_platforms, oidc::set_platforms, oidc::remove_platforms))
        .routes(routes!(oidc::begin))
        .routes(routes!(oidc::callback))
        .routes(routes!(oidc::exchange))
        .routes(routes!(audit::list))
        .routes(routes!(audit::export))
        .routes(routes!(webhooks::create, webhooks::list))
        .routes(routes!(webhooks::get, webhooks::change, webhooks::delete))
        .routes(routes!(webhooks::rotate_secret))
        .routes(routes!(webhooks::test))
        .routes(routes!(webhooks::deliveries))
        .routes(routes!(webhooks::delivery))
        .routes(routes!(webhooks::redeliver))
}
