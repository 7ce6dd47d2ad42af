//! The place where sealed segments are: an object store, asked from threads that wait.
//!
//! `--storage s3://bucket/prefix` takes credentials and endpoint from the usual `AWS_*` variables
//! of the environment. Requests run on threads of their own, so whoever waits may be anywhere.

use std::path::Path as FilePath;
use std::sync::Arc;

use bytes::Bytes;
use crossbeam_channel::{Receiver, bounded, never, select};
use object_store::path::Path;
use object_store::{
    Error, ObjectStore, ObjectStoreExt, ObjectStoreScheme, PutMode, PutResult, UpdateVersion,
    parse_url_opts,
};
use tokio::runtime::{Builder, Runtime};
use url::Url;

use super::manifest::ManifestError;
use super::{Folder, Manifest, SealedError, SealedFile, VERSION};

const MANIFEST: &str = "manifest";

/// See the head of this file.
#[derive(Debug)]
pub struct Depot {
    store: Arc<dyn ObjectStore>,
    prefix: Path,
    /// As the user knows it.
    place: String,
    runtime: Option<Runtime>,
    /// Ends all waiting.
    stop: Receiver<()>,
}

/// The manifest as it was read or written last.
#[derive(Clone, Debug)]
pub struct Held {
    pub manifest: Manifest,
    /// What the store calls it; none if there is none.
    version: Option<UpdateVersion>,
}

impl Depot {
    /// Opens what `--storage` says, else the folder `sealed` of the data directory.
    pub fn open(url: Option<&str>, data: &FilePath) -> Result<Depot, SealedError> {
        let Some(url) = url else {
            return Depot::in_folder(&data.join("sealed"));
        };
        let refused = |reason: String| SealedError::Url { url: url.to_owned(), reason };
        let parsed = Url::parse(url).map_err(|error| refused(error.to_string()))?;
        let scheme = ObjectStoreScheme::parse(&parsed).map_err(|error| refused(error.to_string()));
        match scheme?.0 {
            ObjectStoreScheme::Local => match parsed.to_file_path() {
                Ok(path) => Depot::in_folder(&path),
                Err(()) => Err(refused("it is not a path on this machine".to_owned())),
            },
            ObjectStoreScheme::AmazonS3 => {
                let environment = std::env::vars().filter(|(name, _)| name.starts_with("AWS_"));
                let (store, prefix) = parse_url_opts(&parsed, environment)
                    .map_err(|error| refused(error.to_string()))?;
                Ok(Depot::over(store.into(), prefix, url.trim_end_matches('/').to_owned()))
            }
            _ => Err(refused("only file:///folder and s3://bucket/prefix are known".to_owned())),
        }
    }

    fn in_folder(path: &FilePath) -> Result<Depot, SealedError> {
        let place = path.display().to_string();
        let folder = Folder::open(path).map_err(|source| SealedError::Store {
            place: place.clone(),
            file: String::new(),
            source: Box::new(source),
        })?;
        Ok(Depot::over(Arc::new(folder), Path::default(), place))
    }

    /// Over any object store.
    pub fn over(store: Arc<dyn ObjectStore>, prefix: Path, place: String) -> Depot {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("depot")
            .enable_all()
            .build()
            .expect("the system has threads");
        Depot { store, prefix, place, runtime: Some(runtime), stop: never() }
    }

    /// Lets whoever waits for the store go when `stop` is closed.
    pub fn stop_with(&mut self, stop: Receiver<()>) {
        self.stop = stop;
    }

    pub fn place(&self) -> &str {
        &self.place
    }

    /// Reads the manifest; an empty one if there is none.
    pub fn manifest(&self) -> Result<Held, SealedError> {
        let read = self.wait(MANIFEST, |store, path| async move {
            let result = store.get(&path).await?;
            let meta = &result.meta;
            let (e_tag, version) = (meta.e_tag.clone(), meta.version.clone());
            Ok((result.bytes().await?, UpdateVersion { e_tag, version }))
        });
        let (bytes, version) = match read {
            Err(SealedError::Missing { .. }) => {
                return Ok(Held { manifest: Manifest::default(), version: None });
            }
            read => read?,
        };
        let (place, file) = (self.place.clone(), MANIFEST.to_owned());
        match Manifest::decode(&bytes) {
            Ok(manifest) => Ok(Held { manifest, version: Some(version) }),
            Err(ManifestError::Damaged(reason)) => {
                Err(SealedError::Damaged { place, file, reason })
            }
            Err(ManifestError::Version(found)) => {
                Err(SealedError::Version { place, file, found, known: VERSION })
            }
        }
    }

    /// Puts a manifest in the place of the one that is held, if that one is still there.
    pub fn replace(&self, held: &Held, manifest: Manifest) -> Result<Held, SealedError> {
        let mode = match &held.version {
            Some(version) => PutMode::Update(version.clone()),
            None => PutMode::Create,
        };
        match self.write(MANIFEST, manifest.encode().into(), mode) {
            Ok(PutResult { e_tag, version }) => {
                Ok(Held { manifest, version: Some(UpdateVersion { e_tag, version }) })
            }
            Err(SealedError::Store { source, .. }) if is_refusal(&source) => {
                // Maybe by what an earlier attempt, thought to have failed, has written.
                let there = self.manifest()?;
                match there.manifest == manifest {
                    true => Ok(there),
                    false => Err(SealedError::Fenced { place: self.place.clone() }),
                }
            }
            Err(error) => Err(error),
        }
    }

    /// Writes a file that the manifest does not name yet, and looks whether it is all there.
    pub fn put(&self, file: &SealedFile, bytes: Bytes) -> Result<(), SealedError> {
        self.write(&file.path, bytes, PutMode::Overwrite)?;
        let there = self.wait(&file.path, |store, path| async move { store.head(&path).await })?;
        match there.size == file.bytes {
            true => Ok(()),
            false => Err(SealedError::Store {
                place: self.place.clone(),
                file: file.path.clone(),
                source: Box::new(Error::Generic {
                    store: "object store",
                    source: format!("{} of {} bytes are there", there.size, file.bytes).into(),
                }),
            }),
        }
    }

    /// Reads a file that the manifest names.
    pub fn get(&self, file: &SealedFile) -> Result<Bytes, SealedError> {
        let read = |store: Arc<dyn ObjectStore>, path: Path| async move {
            store.get(&path).await?.bytes().await
        };
        let bytes = self.wait(&file.path, read)?;
        file.check(&bytes).map_err(|reason| self.damaged(file, reason))?;
        Ok(bytes)
    }

    /// Removes a file that the manifest names no more.
    pub fn delete(&self, file: &SealedFile) -> Result<(), SealedError> {
        self.wait(&file.path, |store, path| async move { store.delete(&path).await })
    }

    /// A file is not what it should be.
    pub fn damaged(&self, file: &SealedFile, reason: String) -> SealedError {
        SealedError::Damaged { place: self.place.clone(), file: file.path.clone(), reason }
    }

    fn write(&self, file: &str, bytes: Bytes, mode: PutMode) -> Result<PutResult, SealedError> {
        self.wait(file, |store, path| async move {
            store.put_opts(&path, bytes.into(), mode.into()).await
        })
    }

    /// Runs a request and waits for its end.
    fn wait<T, F>(
        &self,
        file: &str,
        request: impl FnOnce(Arc<dyn ObjectStore>, Path) -> F,
    ) -> Result<T, SealedError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Error>> + Send + 'static,
    {
        let path = file.split('/').fold(self.prefix.clone(), |path, part| path.join(part));
        let (done, answer) = bounded(1);
        let request = request(Arc::clone(&self.store), path);
        let runtime = self.runtime.as_ref().expect("it is there until the end");
        let running = runtime.spawn(async move {
            // Nobody waits any more: it was stopped.
            let _ = done.send(request.await);
        });
        let result = select! {
            recv(answer) -> result => result.expect("a request does not panic"),
            recv(self.stop) -> _ => {
                running.abort();
                return Err(SealedError::Stopped);
            }
        };
        let (place, file) = (self.place.clone(), file.to_owned());
        result.map_err(|error| match error {
            Error::NotFound { .. } => SealedError::Missing { place, file },
            source => SealedError::Store { place, file, source: Box::new(source) },
        })
    }
}

impl Drop for Depot {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

fn is_refusal(error: &Error) -> bool {
    matches!(error, Error::Precondition { .. } | Error::AlreadyExists { .. })
}
