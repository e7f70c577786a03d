//! Version 1: one file per noun.

mod accounts;
mod aliases;
mod api_keys;
mod app_passwords;
mod domains;
mod export;
mod expunged;
mod imports;
mod messages;
mod passwords;
mod sessions;
mod tenants;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::AppState;

/// All routes, with their part of the document.
pub(crate) fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::with_openapi(crate::openapi::base())
        .routes(routes!(tenants::create, tenants::list))
        .routes(routes!(tenants::get, tenants::change, tenants::delete))
        .routes(routes!(tenants::usage))
        .routes(routes!(export::export))
        .routes(routes!(domains::create, domains::list))
        .routes(routes!(domains::get, domains::change, domains::delete))
        .routes(routes!(domains::verify))
        .routes(routes!(domains::usage))
        .routes(routes!(accounts::create, accounts::list))
        .routes(routes!(accounts::get, accounts::change, accounts::delete))
        .routes(routes!(accounts::usage))
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
        .routes(routes!(aliases::create, aliases::list))
        .routes(routes!(aliases::get, aliases::change, aliases::delete))
        .routes(routes!(imports::create, imports::list))
        .routes(routes!(imports::get))
        .routes(routes!(imports::errors))
        .routes(routes!(imports::accounts))
        .routes(routes!(imports::cancel))
        .routes(routes!(api_keys::create, api_keys::list))
        .routes(routes!(api_keys::get, api_keys::revoke))
}
