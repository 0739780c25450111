//! Why an organizer or a concert refuses, in words.

use super::others::text_out_of_range;
use super::{Kind, Problem};
use domain::concert::{self, TEXT_CHARS_MAX, TextOutOfRange, UnknownConcert};
use domain::organizer::{
    self, CreateKeyRejection, KEY_NAME_CHARS_MAX, NAME_CHARS_MAX, RenameRejection, RevokeKeyRejection,
    SetProviderRejection, UnknownKey, UnknownOrganizer,
};

impl From<UnknownOrganizer> for Problem {
    fn from(_: UnknownOrganizer) -> Problem {
        Problem::not_found("organizer")
    }
}

impl From<UnknownKey> for Problem {
    fn from(_: UnknownKey) -> Problem {
        Problem::not_found("key")
    }
}

impl From<organizer::CreateRejection> for Problem {
    fn from(rejection: organizer::CreateRejection) -> Problem {
        match rejection {
            organizer::CreateRejection::KeyReused => Problem::key_reused(),
            organizer::CreateRejection::NameOutOfRange => text_out_of_range("name", NAME_CHARS_MAX),
        }
    }
}

impl From<RenameRejection> for Problem {
    fn from(rejection: RenameRejection) -> Problem {
        match rejection {
            RenameRejection::UnknownOrganizer => UnknownOrganizer.into(),
            RenameRejection::Changed { version } => Problem::changed(version),
            RenameRejection::NameOutOfRange => text_out_of_range("name", NAME_CHARS_MAX),
        }
    }
}

impl From<CreateKeyRejection> for Problem {
    fn from(rejection: CreateKeyRejection) -> Problem {
        match rejection {
            CreateKeyRejection::UnknownOrganizer => UnknownOrganizer.into(),
            CreateKeyRejection::NameOutOfRange => text_out_of_range("name", KEY_NAME_CHARS_MAX),
            CreateKeyRejection::KeyReused => Problem::key_reused(),
            CreateKeyRejection::TooManyKeys { limit } => Problem::new(
                Kind::TooManyKeys,
                format!("An organizer has at most {limit} valid keys. Revoke one that is not needed any more."),
            )
            .with("limit", limit),
        }
    }
}

impl From<RevokeKeyRejection> for Problem {
    fn from(rejection: RevokeKeyRejection) -> Problem {
        match rejection {
            RevokeKeyRejection::UnknownOrganizer => UnknownOrganizer.into(),
            RevokeKeyRejection::UnknownKey => UnknownKey.into(),
            RevokeKeyRejection::LastKey => Problem::new(
                Kind::LastKey,
                "Without it nobody could make another one. Create the new key first; or ask the operator.",
            ),
        }
    }
}

impl From<SetProviderRejection> for Problem {
    fn from(rejection: SetProviderRejection) -> Problem {
        match rejection {
            SetProviderRejection::UnknownOrganizer => UnknownOrganizer.into(),
            SetProviderRejection::ProviderThere { .. } => Problem::precondition_required(),
            SetProviderRejection::Changed { version } => Problem::changed(version),
            SetProviderRejection::Invalid(invalid) => invalid.into(),
        }
    }
}

impl From<UnknownConcert> for Problem {
    fn from(_: UnknownConcert) -> Problem {
        Problem::no_such("concert")
    }
}

impl From<TextOutOfRange> for Problem {
    fn from(TextOutOfRange { field }: TextOutOfRange) -> Problem {
        text_out_of_range(field, TEXT_CHARS_MAX)
    }
}

impl From<concert::CreateRejection> for Problem {
    fn from(rejection: concert::CreateRejection) -> Problem {
        match rejection {
            concert::CreateRejection::KeyReused => Problem::key_reused(),
            concert::CreateRejection::TextOutOfRange(out) => out.into(),
        }
    }
}

impl From<concert::ChangeRejection> for Problem {
    fn from(rejection: concert::ChangeRejection) -> Problem {
        match rejection {
            concert::ChangeRejection::UnknownConcert => UnknownConcert.into(),
            concert::ChangeRejection::Changed { version } => Problem::changed(version),
            concert::ChangeRejection::TextOutOfRange(out) => out.into(),
        }
    }
}
