//! The content store under concurrency, kills and a full disk.

use std::fs;
use std::io::{Read, Write};
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use image::content::UploadId;
use image::{ContentError, ContentStore, Digest};
use proptest::prelude::*;

use crate::world;

fn store() -> (tempfile::TempDir, ContentStore) {
    let dir = tempfile::tempdir().unwrap();
    let store = ContentStore::open(dir.path()).unwrap();
    (dir, store)
}

/// Every file of the store except locks.
fn files(store: &ContentStore) -> Vec<String> {
    let mut found: Vec<_> = world::picture(store.root())
        .into_iter()
        .filter(|(path, seen)| seen.mode & 0o170_000 == 0o100_000 && !path.ends_with(".lock"))
        .map(|(path, _)| path.to_string_lossy().into_owned())
        .collect();
    found.sort();
    found
}

#[test]
fn a_blob_is_stored_read_listed_and_deleted() {
    let (_dir, store) = store();
    let digest = store.write(b"0123456789").unwrap();
    assert_eq!(digest, Digest::of(b"0123456789"));
    assert_eq!(store.read(&digest, 10).unwrap(), b"0123456789");
    assert!(matches!(store.read(&digest, 9), Err(ContentError::TooLarge { .. })));
    let range = |start, length| {
        let mut text = String::new();
        store.range(&digest, start, length).map(|mut r| r.read_to_string(&mut text).unwrap())?;
        Ok::<_, ContentError>(text)
    };
    assert_eq!(range(2, 3).unwrap(), "234");
    assert_eq!(range(8, u64::MAX).unwrap(), "89");
    assert!(matches!(range(10, 1), Err(ContentError::Range { size: 10, .. })));
    let listed: Vec<_> = store.list().unwrap().map(|info| info.unwrap().digest).collect();
    assert_eq!(listed, [digest]);
    store.verify(&digest).unwrap();
    assert!(store.delete(&digest).unwrap());
    assert!(!store.delete(&digest).unwrap());
    assert!(matches!(store.read(&digest, 10), Err(ContentError::NotFound(_))));
    assert_eq!(files(&store), Vec::<String>::new());
}

#[test]
fn wrong_content_leaves_nothing() {
    let (_dir, store) = store();
    let other = Digest::of(b"other");
    let error = store.ingest(&b"content"[..], Some(&other)).unwrap_err();
    assert!(matches!(error, ContentError::Mismatch { length: 7, .. }));
    let mut upload = store.start_upload().unwrap();
    upload.append(b"content").unwrap();
    let id = upload.id();
    assert!(matches!(upload.finish(&other), Err(ContentError::Mismatch { .. })));
    assert!(matches!(store.resume_upload(id), Err(ContentError::NoUpload(_))));
    drop(store.writer().unwrap());
    assert_eq!(files(&store), Vec::<String>::new());
}

#[test]
fn rot_is_found_and_healed_by_storing_again() {
    let (_dir, store) = store();
    let digest = store.write(b"precious").unwrap();
    fs::write(store.path(&digest), b"precioux").unwrap();
    assert!(matches!(store.verify(&digest), Err(ContentError::Corrupt { .. })));
    assert!(matches!(store.read(&digest, 99), Err(ContentError::Corrupt { .. })));
    store.write(b"precious").unwrap();
    store.verify(&digest).unwrap();
}

#[test]
fn many_writers_of_one_blob_all_succeed() {
    let (_dir, store) = store();
    let content = vec![7; 300_000];
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| store.ingest(content.as_slice(), None).unwrap());
        }
    });
    store.verify(&Digest::of(&content)).unwrap();
    assert_eq!(files(&store).len(), 1);
}

#[test]
fn one_handle_writes_an_upload() {
    let (_dir, store) = store();
    let upload = store.start_upload().unwrap();
    let id = upload.id();
    assert!(matches!(store.resume_upload(id), Err(ContentError::UploadBusy(_))));
    let far = SystemTime::now() + Duration::from_secs(3600);
    assert_eq!(store.expire_uploads(far, Duration::from_secs(60)).unwrap(), 0);
    drop(upload);
    assert_eq!(store.uploads().unwrap().len(), 1);
    assert_eq!(store.expire_uploads(SystemTime::now(), Duration::from_secs(60)).unwrap(), 0);
    assert_eq!(store.expire_uploads(far, Duration::from_secs(60)).unwrap(), 1);
    assert!(matches!(store.resume_upload(id), Err(ContentError::NoUpload(_))));
    for bad in ["", "..", "../x", &id.to_string().to_uppercase(), &id.to_string().replace('-', "")]
    {
        assert!(bad.parse::<UploadId>().is_err(), "{bad:?}");
    }
    assert_eq!(id.to_string().parse::<UploadId>().unwrap(), id);
}

/// The other process of the test below: uploads for ever, saying how far it is.
#[test]
fn upload_until_killed() {
    let Some(root) = std::env::var_os("IMAGE_TEST_UPLOAD_TO") else { return };
    let store = ContentStore::open(root).unwrap();
    let mut upload = store.start_upload().unwrap();
    let mut unfinished = store.writer().unwrap();
    println!("upload {}", upload.id());
    for round in 0_u64.. {
        upload.append(&round.to_le_bytes()).unwrap();
        unfinished.write_all(b"never committed").unwrap();
        println!("at {}", upload.offset());
    }
}

#[test]
fn an_upload_survives_the_kill_of_its_process() {
    let (dir, _) = store();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "content::upload_until_killed", "--nocapture"])
        .env("IMAGE_TEST_UPLOAD_TO", dir.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = std::io::BufReader::new(child.stdout.take().unwrap());
    let (mut id, mut acknowledged) = (None, 0);
    while acknowledged < 4000 {
        let mut line = String::new();
        assert!(std::io::BufRead::read_line(&mut lines, &mut line).unwrap() > 0);
        // The test harness writes on the same lines.
        if let Some((_, text)) = line.trim().split_once("upload ") {
            id = text.parse::<UploadId>().ok().or(id);
        } else if let Some(offset) = line.trim().strip_prefix("at ") {
            acknowledged = offset.parse().unwrap();
        }
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let store = ContentStore::open(dir.path()).unwrap();
    assert_eq!(fs::read_dir(dir.path().join("scratch")).unwrap().count(), 1, "only the lock");
    let mut upload = store.resume_upload(id.unwrap()).unwrap();
    assert!(upload.offset() >= acknowledged, "{} < {acknowledged}", upload.offset());
    let whole = upload.offset() / 8;
    let mut content: Vec<u8> = (0..whole).flat_map(u64::to_le_bytes).collect();
    content.extend(&whole.to_le_bytes()[..usize::try_from(upload.offset() % 8).unwrap()]);
    upload.append(b"end").unwrap();
    content.extend(b"end");
    let info = upload.finish(&Digest::of(&content)).unwrap();
    assert_eq!(info.size, content.len() as u64);
}

#[test]
fn a_full_disk_is_said_and_the_upload_goes_on() {
    if !world::root() {
        return;
    }
    let disk = world::Mounted::new("tmpfs", "size=1m");
    let store = ContentStore::open(disk.path()).unwrap();
    let error = store.ingest(std::io::repeat(1).take(4 << 20), None).unwrap_err();
    assert!(matches!(error, ContentError::DiskFull { .. }), "{error}");
    assert!(error.retryable() && error.to_string().contains("hint:"));
    assert_eq!(files(&store), Vec::<String>::new());

    let filler = disk.path().join("filler");
    let mut upload = store.start_upload().unwrap();
    upload.append(&[1; 100_000]).unwrap();
    fs::write(&filler, vec![0; 800_000]).unwrap();
    assert!(matches!(upload.append(&[2; 300_000]), Err(ContentError::DiskFull { .. })));
    assert_eq!(upload.offset(), 100_000);
    let id = upload.id();
    drop(upload);
    fs::remove_file(filler).unwrap();
    let mut upload = store.resume_upload(id).unwrap();
    assert_eq!(upload.offset(), 100_000);
    upload.append(&[2; 300_000]).unwrap();
    let content = [vec![1; 100_000], vec![2; 300_000]].concat();
    upload.finish(&Digest::of(&content)).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    /// However an upload is cut into pieces and handles, the blob is the same.
    #[test]
    fn uploads_in_any_pieces(
        pieces in proptest::collection::vec(
            (proptest::collection::vec(any::<u8>(), 0..3000), any::<bool>()), 0..12),
    ) {
        let (_dir, store) = store();
        let mut upload = store.start_upload().unwrap();
        let mut content = Vec::new();
        for (piece, reopen) in &pieces {
            upload.append(piece).unwrap();
            content.extend(piece);
            if *reopen {
                let id = upload.id();
                drop(upload);
                upload = store.resume_upload(id).unwrap();
            }
            prop_assert_eq!(upload.offset(), content.len() as u64);
        }
        let digest = Digest::of(&content);
        upload.finish(&digest).unwrap();
        prop_assert_eq!(store.read(&digest, 1 << 20).unwrap(), content);
        prop_assert_eq!(files(&store).len(), 1);
    }
}
