//! A folder as an object store whose puts are durable and may be conditional.
//!
//! `object_store`'s own neither syncs nor compares. Law: a put returns when the object is on disk
//! as a whole; one that fails leaves the object as it was. Puts of this process exclude each other,
//! and the lock on the data directory keeps other processes away.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path as FilePath, PathBuf};

use async_trait::async_trait;
use futures::stream::BoxStream;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, ObjectStoreExt, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult,
    Result,
};
use tokio::sync::Mutex;

use crate::log::directory::sync_directory;

/// See the head of this file.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    inner: LocalFileSystem,
    putting: Mutex<()>,
}

impl Folder {
    /// Makes the folder if it is missing.
    pub fn open(path: &FilePath) -> Result<Folder> {
        make_folder(path).map_err(|source| generic(path, source))?;
        let inner = LocalFileSystem::new_with_prefix(path)?;
        Ok(Folder { path: path.to_owned(), inner, putting: Mutex::new(()) })
    }

    fn replace(&self, location: &Path, payload: &PutPayload) -> Result<()> {
        let path = self.inner.path_to_filesystem(location)?;
        write_durably(&path, payload).map_err(|source| generic(&path, source))
    }
}

impl std::fmt::Display for Folder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.path.display())
    }
}

#[async_trait]
impl ObjectStore for Folder {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        let _putting = self.putting.lock().await;
        let (path, there) = (location.to_string(), self.inner.head(location).await);
        match (options.mode, &there) {
            (PutMode::Create, Ok(_)) => {
                return Err(Error::AlreadyExists { path, source: "it is there".into() });
            }
            (PutMode::Update(was), there)
                if there.as_ref().ok().and_then(|meta| meta.e_tag.as_ref())
                    != was.e_tag.as_ref() =>
            {
                return Err(Error::Precondition { path, source: "it has changed".into() });
            }
            _ => {}
        }
        self.replace(location, &payload)?;
        let meta = self.inner.head(location).await?;
        Ok(PutResult { e_tag: meta.e_tag, version: None })
    }

    async fn put_multipart_opts(
        &self,
        _: &Path,
        _: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        Err(Error::NotImplemented {
            operation: "a put in parts".to_owned(),
            implementer: self.to_string(),
        })
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.inner.get_opts(location, options).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

/// Writes beside the file, under a name that is never listed, and renames.
fn write_durably(path: &FilePath, payload: &PutPayload) -> io::Result<()> {
    let folder = path.parent().expect("an object has a name in the folder");
    make_folder(folder)?;
    let mut beside = path.as_os_str().to_owned();
    beside.push("#1");
    let mut file = File::create(&beside)?;
    payload.iter().try_for_each(|bytes| file.write_all(bytes))?;
    file.sync_all()?;
    fs::rename(&beside, path)?;
    sync_directory(folder)
}

/// Makes a folder and those above it, durably.
fn make_folder(path: &FilePath) -> io::Result<()> {
    if path.as_os_str().is_empty() || path.is_dir() {
        return Ok(());
    }
    let above = path.parent().unwrap_or(FilePath::new(""));
    make_folder(above)?;
    match fs::create_dir(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => sync_directory(above),
    }
}

fn generic(path: &FilePath, source: io::Error) -> Error {
    Error::Generic { store: "folder", source: format!("{}: {source}", path.display()).into() }
}
