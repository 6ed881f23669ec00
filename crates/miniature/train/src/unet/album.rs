//! Pictures of the world as the autoencoder sees them, encoded once and kept: encoding anew for every step would cost
//! as much as a quarter of the training.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use idembed_diffusion::vae::Vae;
use idembed_weights::TensorFile;
use idembed_world::{Drawn, SIDE, Sample};
use image::GrayImage;
use sha2::{Digest as _, Sha256};
use tch::{Kind, Tensor};

use crate::outputs::make_folder;
use crate::pixels::{to_images, to_planes};
use crate::{PretrainError, Result};

/// Pictures in one file: what is lost at most when the making is stopped.
const SHEET: usize = 4096;
/// Pictures encoded at once.
const BATCH: usize = 128;
/// The tensors of a file.
const NAMES: [&str; 4] = ["means", "stds", "masks", "edges"];
/// What stands for each of eight pixels in a byte, from the left.
const BITS: [u8; 8] = [1, 2, 4, 8, 16, 32, 64, 128];
/// Bytes of one file at most, as a bound on what is read.
const SIZE_LIMIT: u64 = 64 << 20;

/// What a word of a caption may stand for in a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Thing {
    /// The face of the first person, or all of an animal or car.
    First,
    /// The face of the second person.
    Second,
    /// What is held.
    Object,
    /// Whatever is neither a person nor held.
    Background,
}

/// All kinds of things, in the order of an album's masks.
pub(crate) const THINGS: [Thing; 4] = [Thing::First, Thing::Second, Thing::Object, Thing::Background];

/// Encoded pictures.
#[derive(Debug)]
pub(crate) struct Album {
    count: usize,
    /// libtorch's tensors are not to be shared by threads without a lock.
    pages: Mutex<Pages>,
}

/// Pictures picked for a batch, all f32.
#[derive(Debug)]
pub(crate) struct Latents {
    /// Mean of the scaled latents, `[pictures, channels, height, width]`.
    pub(crate) means: Tensor,
    /// Their standard deviation, likewise.
    pub(crate) stds: Tensor,
    /// How much of each of the latents' pixels shows a thing, `[pictures, things, height, width]`, 0 to 1.
    pub(crate) masks: Tensor,
}

/// All that is known of some pictures, f16 on the CPU.
#[derive(Debug)]
struct Pages {
    /// As [`Latents::means`].
    means: Tensor,
    /// As [`Latents::stds`].
    stds: Tensor,
    /// As [`Latents::masks`].
    masks: Tensor,
    /// The pictures' edges, `[pictures, SIDE, SIDE / 8]`, a byte for eight pixels each, the leftmost in the first of [`BITS`]; f16
    /// holds bytes exactly.
    edges: Tensor,
}

impl Album {
    /// Draws and encodes the pictures of these samples.
    pub(crate) fn make(vae: &Vae, samples: &[Sample]) -> Result<Self> {
        Ok(Self::of(Pages::make(vae, samples)?))
    }

    fn of(pages: Pages) -> Self {
        Album { count: pages.means.size()[0] as usize, pages: Mutex::new(pages) }
    }

    /// The pictures of these samples from files below `folder`, of which those are made that are missing.
    ///
    /// # Errors
    /// What the system said, or [`PretrainError::Stopped`] with what was made until then in its place.
    pub(crate) fn open(
        folder: &Path,
        vae: &Vae,
        sample: impl Fn(usize) -> Sample,
        count: usize,
        stop: &AtomicBool,
        say: &mut dyn FnMut(&str),
    ) -> Result<Self> {
        let vae_sum = vae.fingerprint()?;
        let mut sheets = Vec::new();
        for first in (0..count).step_by(SHEET) {
            let path = folder.join(format!("{:04}.safetensors", first / SHEET));
            let samples: Vec<Sample> = (first..count.min(first + SHEET)).map(&sample).collect();
            let of = fingerprint(&vae_sum, &samples)?;
            if let Some(sheet) = Pages::read(&path, &of, samples.len())? {
                sheets.push(sheet);
                continue;
            }
            if stop.load(Ordering::Relaxed) {
                return Err(PretrainError::Stopped);
            }
            let sheet = Pages::make(vae, &samples)?;
            sheet.write(&path, &of)?;
            say(&format!("{} of {count} pictures encoded", first + samples.len()));
            sheets.push(sheet);
        }
        let join = |part: fn(&Pages) -> &Tensor| Tensor::f_cat(&sheets.iter().map(part).collect::<Vec<_>>(), 0);
        Ok(Self::of(Pages {
            means: join(|sheet| &sheet.means)?,
            stds: join(|sheet| &sheet.stds)?,
            masks: join(|sheet| &sheet.masks)?,
            edges: join(|sheet| &sheet.edges)?,
        }))
    }

    /// Number of pictures.
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// Pictures by their numbers, as f32.
    pub(crate) fn pick(&self, pictures: &[usize]) -> Result<Latents> {
        let indices = indices(pictures)?;
        let pages = self.pages();
        let pick = |from: &Tensor| from.f_index_select(0, &indices)?.f_to_kind(Kind::Float);
        Ok(Latents { means: pick(&pages.means)?, stds: pick(&pages.stds)?, masks: pick(&pages.masks)? })
    }

    /// The edges of pictures by their numbers, as a ControlNet sees them.
    ///
    /// # Shapes
    /// - returns: `[pictures, 3, SIDE, SIDE]`, f32, 0 or 1
    pub(crate) fn edges(&self, pictures: &[usize]) -> Result<Tensor> {
        let packed = self.pages().edges.f_index_select(0, &indices(pictures)?)?.f_to_kind(Kind::Uint8)?;
        let bits = packed.f_unsqueeze(3)?.f_bitwise_and_tensor(&Tensor::f_from_slice(&BITS)?)?.f_ne(0)?;
        let edges = bits.f_to_kind(Kind::Float)?.f_view([-1, 1, i64::from(SIDE), i64::from(SIDE)])?;
        Ok(edges.f_expand([-1, 3, -1, -1], false)?)
    }

    fn pages(&self) -> MutexGuard<'_, Pages> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pages {
    fn make(vae: &Vae, samples: &[Sample]) -> Result<Self> {
        let (mut means, mut stds, mut masks, mut edges) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for samples in samples.chunks(BATCH) {
            let drawn = idembed_world::draw_all(samples, SIDE)?;
            let bytes: Vec<u8> = drawn.iter().flat_map(|drawn| drawn.picture.as_raw()).copied().collect();
            let images = to_images(&to_planes(&bytes, drawn.len() as i64, SIDE.into())?, vae.device())?;
            let latents = tch::no_grad(|| vae.encode(&images))?;
            let (_, _, height, width) = latents.mean.size4()?;
            let keep = |x: &Tensor| x.f_to_device(tch::Device::Cpu)?.f_to_kind(Kind::Half)?.f_contiguous();
            means.push(keep(&latents.mean)?);
            stds.push(keep(&latents.std)?);
            masks.push(keep(&masks_of(&drawn)?.f_adaptive_avg_pool2d([height, width])?)?);
            edges.push(edges_of(&drawn)?);
        }
        let join = |tensors: &[Tensor]| Tensor::f_cat(tensors, 0);
        Ok(Pages { means: join(&means)?, stds: join(&stds)?, masks: join(&masks)?, edges: join(&edges)? })
    }

    fn write(&self, path: &Path, of: &str) -> Result<()> {
        let mut file = TensorFile::default();
        let parts = [&self.means, &self.stds, &self.masks, &self.edges];
        for (name, tensor) in NAMES.into_iter().zip(parts) {
            file.tensors.insert(name.to_owned(), tensor.shallow_clone());
        }
        file.metadata.insert("of".to_owned(), of.to_owned());
        path.parent().map_or(Ok(()), make_folder)?;
        Ok(file.write(path)?)
    }

    /// A file of these very pictures by this very autoencoder; `None` if there is none, and another is to be replaced.
    fn read(path: &Path, of: &str, count: usize) -> Result<Option<Self>> {
        if !path.is_file() {
            return Ok(None);
        }
        let mut file = TensorFile::read(path, "album", SIZE_LIMIT)?;
        let mut take = |name: &str| file.tensors.remove(name).filter(|tensor| tensor.size()[0] == count as i64);
        let [Some(means), Some(stds), Some(masks), Some(edges)] = NAMES.map(&mut take) else {
            return Ok(None);
        };
        let pages = Pages { means, stds, masks, edges };
        Ok((file.metadata.get("of").is_some_and(|written| written == of)).then_some(pages))
    }
}

/// Tells which pictures an autoencoder encoded.
fn fingerprint(vae: &str, samples: &[Sample]) -> Result<String> {
    let sum = Sha256::new().chain_update(vae).chain_update(serde_json::to_vec(samples)?).finalize();
    Ok(hex::encode(sum))
}

/// # Shapes
/// - returns: `[pictures, things, SIDE, SIDE]`, f32, 0 to 1
fn masks_of(drawn: &[Drawn]) -> Result<Tensor> {
    let empty = vec![0; (SIDE * SIDE) as usize];
    let mut bytes = Vec::with_capacity(drawn.len() * THINGS.len() * empty.len());
    for Drawn { masks, .. } in drawn {
        let shown = if masks.faces.is_empty() { &masks.subjects } else { &masks.faces };
        for thing in THINGS {
            let mask = match thing {
                Thing::First => shown.first(),
                Thing::Second => shown.get(1),
                Thing::Object => Some(&masks.object),
                Thing::Background => Some(&masks.background),
            };
            bytes.extend_from_slice(mask.map_or(&empty, |mask: &GrayImage| mask.as_raw()));
        }
    }
    let shape = [drawn.len() as i64, THINGS.len() as i64, SIDE.into(), SIDE.into()];
    Ok(Tensor::f_from_data_size(&bytes, &shape, Kind::Uint8)?.f_to_kind(Kind::Float)?.f_div_scalar(255.0)?)
}

/// # Shapes
/// - returns: as [`Pages::edges`]
fn edges_of(drawn: &[Drawn]) -> Result<Tensor> {
    let mut bytes = Vec::with_capacity(drawn.len() * (SIDE * SIDE) as usize / BITS.len());
    for Drawn { picture, .. } in drawn {
        let edges = idembed_studio::edges(picture).into_raw();
        let packed = edges.chunks(BITS.len()).map(|pixels| {
            let lit = pixels.iter().zip(BITS).filter(|(pixel, _)| **pixel > 0);
            lit.fold(0, |byte, (_, bit)| byte | bit)
        });
        bytes.extend(packed);
    }
    let shape = [drawn.len() as i64, i64::from(SIDE), i64::from(SIDE) / BITS.len() as i64];
    Ok(Tensor::f_from_data_size(&bytes, &shape, Kind::Uint8)?.f_to_kind(Kind::Half)?)
}

fn indices(pictures: &[usize]) -> Result<Tensor> {
    Ok(Tensor::f_from_slice(&pictures.iter().map(|&picture| picture as i64).collect::<Vec<i64>>())?)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
pub(crate) mod tests {
    use idembed_diffusion::vae::VaeConfig;
    use idembed_weights::{Parameters, Weights};
    use tch::Device;

    use super::*;

    /// A tiny autoencoder that has learned nothing.
    pub(crate) fn vae(seed: u64) -> Vae {
        let config = VaeConfig {
            image_channels: 3,
            latent_channels: 4,
            block_channels: vec![4, 4, 4, 4],
            layers: 1,
            norm_groups: 2,
            scaling_factor: 2.0,
            quant_conv: true,
            post_quant_conv: true,
            mid_attention: false,
            force_upcast: true,
        };
        Vae::from_weights(config, Weights::from_parameters(&Parameters::new(seed, Device::Cpu), Kind::Float)).unwrap()
    }

    fn open(folder: &Path, vae: &Vae, stop: bool) -> Result<(Album, Vec<String>)> {
        let mut said = Vec::new();
        let stop = AtomicBool::new(stop);
        let sample = |index| Sample::training(index as u64);
        let album = Album::open(folder, vae, sample, 5, &stop, &mut |line| said.push(line.to_owned()))?;
        Ok((album, said))
    }

    #[test]
    fn an_album_is_made_once_for_each_autoencoder() {
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(open(folder.path(), &vae(1), true), Err(PretrainError::Stopped)));
        let (album, said) = open(folder.path(), &vae(1), false).unwrap();
        assert_eq!((album.count(), said), (5, vec!["5 of 5 pictures encoded".to_owned()]));
        let (again, said) = open(folder.path(), &vae(1), true).unwrap();
        assert!(said.is_empty());
        let [first, second] = [&album, &again].map(|album| album.pick(&[3, 0]).unwrap());
        assert!(first.means.equal(&second.means) && first.masks.equal(&second.masks));
        assert!(album.edges(&[3, 0]).unwrap().equal(&again.edges(&[3, 0]).unwrap()));
        assert_eq!(first.means.size(), [2, 4, 16, 16]);
        let other_pictures = |index| Sample::training(index as u64 + 1);
        let stop = AtomicBool::new(true);
        let stopped = Album::open(folder.path(), &vae(1), other_pictures, 5, &stop, &mut |_| ());
        assert!(matches!(stopped, Err(PretrainError::Stopped)), "other pictures are another album");
        let (other, said) = open(folder.path(), &vae(2), false).unwrap();
        assert_eq!(said.len(), 1);
        assert!(!other.pick(&[3, 0]).unwrap().means.equal(&first.means));
    }

    #[test]
    fn edges_are_those_that_a_control_net_sees() {
        let samples: Vec<Sample> = (0..3).map(Sample::training).collect();
        let edges = Album::make(&vae(1), &samples).unwrap().edges(&[2, 0]).unwrap();
        assert_eq!(edges.size(), [2, 3, i64::from(SIDE), i64::from(SIDE)]);
        for (row, picture) in [2, 0].into_iter().enumerate() {
            let drawn = idembed_world::draw(&samples[picture], SIDE).unwrap();
            let expected = idembed_studio::edges(&drawn.picture);
            let seen = edges.get(row as i64).get(1).flatten(0, -1) * 255.0;
            let seen = Vec::<u8>::try_from(seen.to_kind(Kind::Uint8)).unwrap();
            assert!(seen == expected.into_raw() && seen.contains(&255), "{picture}");
        }
    }

    #[test]
    fn masks_tell_where_things_are() {
        let samples: Vec<Sample> = (0..40).map(Sample::training).collect();
        let Pages { masks, .. } = Pages::make(&vae(1), &samples).unwrap();
        for (row, sample) in samples.iter().enumerate() {
            let area = |thing: Thing| {
                let index = THINGS.iter().position(|other| *other == thing).unwrap() as i64;
                masks.get(row as i64).get(index).mean(Kind::Float).double_value(&[])
            };
            let people = sample.people();
            assert!(area(Thing::First) > 0.01 && area(Thing::Background) > 0.05, "{row}");
            assert_eq!(area(Thing::Second) > 0.0, people.len() == 2, "{row}");
            assert_eq!(area(Thing::Object) > 0.0, people.iter().any(|person| person.object.is_some()), "{row}");
        }
    }
}
