//! Proving who we are on a connection that we drive by hand.
//!
//! SCRAM-SHA-256, bound to the TLS session where the server can, md5, or the password in the clear.

use fallible_iterator::FallibleIterator;
use postgres_protocol::authentication::md5_hash;
use postgres_protocol::authentication::sasl::{
    ChannelBinding, SCRAM_SHA_256, SCRAM_SHA_256_PLUS, ScramSha256,
};
use postgres_protocol::message::backend::{AuthenticationSaslBody, Message};
use postgres_protocol::message::frontend;

use crate::SourceError;
use crate::config::{ChannelBindingMode, SourceConfig};
use crate::wire::{Wire, server_error};

const UNBOUND: &str = "channel binding is required and the server does not do it here";

fn refused(config: &SourceConfig, reason: impl ToString) -> SourceError {
    SourceError::Auth {
        user: config.user.clone(),
        reason: reason.to_string(),
        by_address: false,
    }
}

/// The next message of the exchange; the server's refusals are errors.
async fn answer(wire: &mut Wire, config: &SourceConfig) -> Result<Message, SourceError> {
    match wire.message().await? {
        Message::ErrorResponse(body) => Err(SourceError::of_startup(
            server_error(body.fields()),
            &config.user,
            &config.database,
        )),
        message => Ok(message),
    }
}

/// From the start-up message to `AuthenticationOk`.
pub(crate) async fn authenticate(
    wire: &mut Wire,
    config: &SourceConfig,
) -> Result<(), SourceError> {
    let password = || match &config.password {
        Some(password) => Ok(password.expose().as_bytes()),
        None => Err(refused(config, "it asks for a password and there is none")),
    };
    let first = answer(wire, config).await?;
    if config.channel_binding == ChannelBindingMode::Require
        && !matches!(first, Message::AuthenticationSasl(_))
    {
        return Err(refused(config, UNBOUND));
    }
    match first {
        Message::AuthenticationOk => return Ok(()),
        Message::AuthenticationCleartextPassword => {
            let password = password()?;
            wire.queue(|out| frontend::password_message(password, out))?;
        }
        Message::AuthenticationMd5Password(body) => {
            let hash = md5_hash(config.user.as_bytes(), password()?, body.salt());
            wire.queue(|out| frontend::password_message(hash.as_bytes(), out))?;
        }
        Message::AuthenticationSasl(body) => scram(wire, config, password()?, &body).await?,
        _ => {
            return Err(refused(
                config,
                "it asks for a method other than SCRAM-SHA-256, md5 or password",
            ));
        }
    }
    match answer(wire, config).await? {
        Message::AuthenticationOk => Ok(()),
        _ => Err(wire.protocol("no end to the authentication")),
    }
}

async fn scram(
    wire: &mut Wire,
    config: &SourceConfig,
    password: &[u8],
    body: &AuthenticationSaslBody,
) -> Result<(), SourceError> {
    let mut offered = body.mechanisms();
    let (mut plain, mut plus) = (false, false);
    while let Some(mechanism) = offered
        .next()
        .map_err(|error| wire.protocol(error.to_string()))?
    {
        plain |= mechanism == SCRAM_SHA_256;
        plus |= mechanism == SCRAM_SHA_256_PLUS;
    }
    let own = match config.channel_binding {
        ChannelBindingMode::Disable => None,
        ChannelBindingMode::Prefer | ChannelBindingMode::Require => {
            wire.socket().server_end_point()
        }
    };
    let (binding, mechanism) = match (plus, own) {
        (true, Some(hash)) => (
            ChannelBinding::tls_server_end_point(hash),
            SCRAM_SHA_256_PLUS,
        ),
        // We could, but the server says that it cannot: it checks that nobody made that up on the way.
        (false, Some(_)) => (ChannelBinding::unrequested(), SCRAM_SHA_256),
        (_, None) => (ChannelBinding::unsupported(), SCRAM_SHA_256),
    };
    if config.channel_binding == ChannelBindingMode::Require && mechanism != SCRAM_SHA_256_PLUS {
        return Err(refused(config, UNBOUND));
    }
    if !plain && mechanism == SCRAM_SHA_256 {
        return Err(refused(config, "it offers no SASL mechanism that we know"));
    }
    let mut scram = ScramSha256::new(password, binding);
    wire.queue(|out| frontend::sasl_initial_response(mechanism, scram.message(), out))?;
    let Message::AuthenticationSaslContinue(body) = answer(wire, config).await? else {
        return Err(wire.protocol("no SCRAM challenge"));
    };
    scram
        .update(body.data())
        .map_err(|error| refused(config, error))?;
    wire.queue(|out| frontend::sasl_response(scram.message(), out))?;
    let Message::AuthenticationSaslFinal(body) = answer(wire, config).await? else {
        return Err(wire.protocol("no end to the SCRAM exchange"));
    };
    // The server has to know the password too.
    scram
        .finish(body.data())
        .map_err(|error| refused(config, error))
}
