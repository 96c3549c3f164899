//! Every way in which files change, and what is no change.

use super::*;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use tempfile::TempDir;

/// A change must be seen within a second; the rest is for a machine that is busy with other tests.
const BOUND: Duration = Duration::from_secs(5);
/// Longer than the watch waits after a hint before it looks.
const CALM: Duration = Duration::from_millis(300);

async fn assert_tick(watch: &mut Watch, change: &str) {
    let tick = tokio::time::timeout(BOUND, watch.changed()).await;
    assert_eq!(tick, Ok(Some(())), "{change}");
}

/// Waits until the changes so far have been reported.
async fn settle(watch: &mut Watch) {
    while tokio::time::timeout(CALM, watch.changed()).await.is_ok() {}
}

fn publish(volume: &Path, generation: &str, contents: &str) {
    let data = volume.join(format!("..{generation}"));
    fs::create_dir(&data).unwrap();
    fs::write(data.join("replicas.cel"), contents).unwrap();
    let staged = volume.join("..data_tmp");
    symlink(format!("..{generation}"), &staged).unwrap();
    fs::rename(staged, volume.join("..data")).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_way_to_replace_a_file_is_seen() {
    let root = TempDir::new().unwrap();
    let folder = root.path().join("policies");
    let file = folder.join("a.cel");
    fs::create_dir(&folder).unwrap();
    fs::write(&file, "1").unwrap();
    let mut watch = Watch::start(vec![folder.clone()], Source::Notifications).await;
    let changes: [(&str, &dyn Fn()); 8] = [
        ("a write in place", &|| fs::write(&file, "2").unwrap()),
        ("a rename over it", &|| {
            fs::write(folder.join("a.cel~"), "3").unwrap();
            fs::rename(folder.join("a.cel~"), &file).unwrap();
        }),
        ("a second rename over it", &|| {
            fs::write(folder.join("a.cel~"), "4").unwrap();
            fs::rename(folder.join("a.cel~"), &file).unwrap();
        }),
        ("a file in a subfolder made just before", &|| {
            fs::create_dir_all(folder.join("x/y")).unwrap();
            fs::write(folder.join("x/y/b.cel"), "1").unwrap();
        }),
        ("a removed file", &|| {
            fs::remove_dir_all(folder.join("x")).unwrap();
        }),
        ("the folder removed", &|| {
            fs::remove_dir_all(&folder).unwrap()
        }),
        ("the folder made again", &|| {
            fs::create_dir(&folder).unwrap();
            fs::write(&file, "5").unwrap();
        }),
        ("a write in the folder made again", &|| {
            fs::write(&file, "6").unwrap();
        }),
    ];
    for (name, change) in changes {
        change();
        assert_tick(&mut watch, name).await;
        settle(&mut watch).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_are_seen_without_notifications_too() {
    let root = TempDir::new().unwrap();
    let file = root.path().join("a.cel");
    fs::write(&file, "1").unwrap();
    let mut watch = Watch::start(vec![root.path().to_owned()], Source::Polling).await;
    fs::write(root.path().join("b.cel"), "1").unwrap();
    assert_tick(&mut watch, "another file").await;
    fs::remove_file(&file).unwrap();
    assert_tick(&mut watch, "a removed file").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_swap_of_the_kubelets_link_is_seen() {
    let volume = TempDir::new().unwrap();
    publish(volume.path(), "1", "1");
    symlink("..data/replicas.cel", volume.path().join("replicas.cel")).unwrap();
    let paths = vec![volume.path().to_owned()];
    let mut watch = Watch::start(paths, Source::Notifications).await;
    for generation in 2..5 {
        publish(volume.path(), &generation.to_string(), "same length");
        assert_tick(&mut watch, &format!("generation {generation}")).await;
        settle(&mut watch).await;
        fs::remove_dir_all(volume.path().join(format!("..{}", generation - 1))).unwrap();
        settle(&mut watch).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_that_is_a_link_pointed_elsewhere_is_seen() {
    let root = TempDir::new().unwrap();
    for release in ["one", "two"] {
        fs::create_dir(root.path().join(release)).unwrap();
        fs::write(root.path().join(release).join("a.cel"), release).unwrap();
    }
    let current = root.path().join("current");
    symlink("one", &current).unwrap();
    let mut watch = Watch::start(vec![current.clone()], Source::Notifications).await;
    symlink("two", root.path().join("next")).unwrap();
    fs::rename(root.path().join("next"), &current).unwrap();
    assert_tick(&mut watch, "the link").await;
    settle(&mut watch).await;
    fs::write(root.path().join("two/a.cel"), "three").unwrap();
    assert_tick(&mut watch, "a file behind the link").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_path_that_appears_later_is_seen() {
    let root = TempDir::new().unwrap();
    let folder = root.path().join("a/b/c");
    let mut watch = Watch::start(vec![folder.clone()], Source::Notifications).await;
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("a.cel"), "1").unwrap();
    assert_tick(&mut watch, "the path and a file in it").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reading_and_noise_beside_the_files_are_no_changes() {
    let root = TempDir::new().unwrap();
    let file = root.path().join("a.cel");
    fs::write(&file, "1").unwrap();
    let mut watch = Watch::start(vec![file.clone()], Source::Notifications).await;
    assert_eq!(fs::read_to_string(&file).unwrap(), "1");
    fs::write(root.path().join("beside.txt"), "noise").unwrap();
    let tick = tokio::time::timeout(CALM, watch.changed()).await;
    assert!(tick.is_err(), "nothing that is watched has changed");
    fs::write(&file, "22").unwrap();
    assert_tick(&mut watch, "the file itself").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_in_endless_noise_is_seen_all_the_same() {
    let root = TempDir::new().unwrap();
    let folder = root.path().join("policies");
    fs::create_dir(&folder).unwrap();
    let mut watch = Watch::start(vec![folder.clone()], Source::Notifications).await;
    let noisy = root.path().join("noise");
    let noise = tokio::spawn(async move {
        let mut interval = tokio::time::interval(Duration::from_millis(20));
        loop {
            interval.tick().await;
            fs::write(&noisy, "noise").unwrap();
        }
    });
    fs::write(folder.join("a.cel"), "1").unwrap();
    assert_tick(&mut watch, "the file").await;
    noise.abort();
}
