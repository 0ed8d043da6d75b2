//! What must hold when a user is created, whichever backends it takes.

use std::time::Duration;

use backstop::{
    BackendRef, CallError, Repository,
    http::{Http, Post, RequestError},
};
use serde::{Deserialize, Serialize};

use super::repository::{User, UserRepository};

#[derive(Serialize)]
pub(crate) struct NewUser {
    pub(crate) email: String,
    pub(crate) name: String,
    pub(crate) active: bool,
}

/// Why a user was not created.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CreateError {
    #[error("the user is not valid: {0}")]
    Invalid(String),
    #[error(transparent)]
    Call(#[from] CallError),
    #[error(transparent)]
    Request(#[from] RequestError),
}

pub(crate) struct UserService {
    users: UserRepository,
    validation: BackendRef<Http>,
}

#[derive(Deserialize)]
struct Verdict {
    valid: bool,
    reason: Option<String>,
}

impl UserService {
    pub(crate) fn new(users: UserRepository, validation: BackendRef<Http>) -> Self {
        Self { users, validation }
    }

    /// Asks the API first, and writes only what it finds valid.
    pub(crate) async fn create_user_with_validation(&self, new: &NewUser) -> Result<User, CreateError> {
        let request = Post::new("validate/user").json(new).build()?.into_json::<Verdict>();
        let verdict = self.validation.ask(request).within(Duration::from_secs(1)).await?;
        if !verdict.valid {
            return Err(CreateError::Invalid(verdict.reason.unwrap_or_else(|| "no reason".to_owned())));
        }
        let id = self.users.create(new).await?.as_int().unwrap_or_default();
        Ok(User { id, email: new.email.clone(), name: new.name.clone() })
    }
}
