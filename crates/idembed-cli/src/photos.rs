//! Photos and the faces found in them, as users are told of them.

use std::path::Path;

use anyhow::Context;
use idembed_face::{Note, Turn, View};
use idembed_studio::{Found, Photo, shown_box};

/// Reads a photo; what was changed on the way is said.
pub(crate) fn open(path: &Path) -> anyhow::Result<Photo> {
    let photo = Photo::open(path)?;
    say(path, &photo.notes);
    Ok(photo)
}

/// Says what was changed in a photo.
pub(crate) fn say(path: &Path, notes: &[Note]) {
    for note in notes {
        tracing::info!("`{}`: {note}", path.display());
    }
}

/// Which photo an error is about.
pub(crate) fn about<T>(path: &Path, found: idembed_studio::Result<T>) -> anyhow::Result<T> {
    found.with_context(|| format!("cannot use the photo `{}`", path.display()))
}

/// Says how a photo was looked at, which face was taken, and what may be wrong with it; `choosable` says whether another face
/// can be asked for.
pub(crate) fn tell(path: &Path, found: &Found, choosable: bool) {
    let path = path.display();
    if found.view != View::PLAIN {
        let from_now_on = if found.view.turned == Turn::None { "" } else { "; it stays turned" };
        tracing::info!("`{path}`: the face was found in the photo {}{from_now_on}", found.view);
    }
    let bounds = shown_box(&found.face().bounds);
    let others = if choosable && found.faces.len() > 1 { " (--face N takes another)" } else { "" };
    tracing::info!("`{path}`: {} at {bounds}{others}", found.choice.reason);
    for concern in found.concerns() {
        tracing::warn!("`{path}`: {concern}");
    }
}
