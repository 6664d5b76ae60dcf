//! Recorder and witness on a simulated network, with partitions, crashes, failing disks, old copies and forks.
//!
//! What must hold whatever happens: all that a witness ever cosigned lies on one chain; what the client takes for
//! cosigned, the witness has on disk; a log that lost what was cosigned is refused; and once all is well again, the
//! witness has signed everything. A failing seed is printed and replays.

use super::courier::{Courier, Meaning};
use super::server::Witness;
use super::shelf::{self, Known, Shelf};
use fdr_log::growth::Growth;
use fdr_log::witness::AddCheckpoint;
use fdr_log::{CompactRange, EMPTY_ROOT, Hash, SignedCheckpoint, SigningKey, leaf_hash};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use turmoil::net::{TcpListener, TcpStream};

const ORIGIN: &str = "log/sim";
const PORT: u16 = 7411;

fn log_key() -> SigningKey {
    SigningKey::from_seed(&[1; 32])
}

fn witness_key() -> SigningKey {
    SigningKey::from_seed(&[2; 32])
}

/// A small random source, the same for the same seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

/// The witness's disk. A write fails now and then, before or after it was done.
#[derive(Clone, Default)]
struct Memory {
    files: Arc<Mutex<HashMap<String, Vec<u8>>>>,
    faults: Arc<AtomicU64>,
}

impl Shelf for Memory {
    fn read(&self, name: &str) -> std::io::Result<Option<Vec<u8>>> {
        Ok(self.files.lock().unwrap().get(name).cloned())
    }

    fn write(&self, name: &str, bytes: &[u8]) -> std::io::Result<()> {
        let fault = self.faults.load(Ordering::SeqCst);
        if fault == 1 {
            return Err(std::io::Error::other("not done"));
        }
        self.files.lock().unwrap().insert(name.to_owned(), bytes.to_vec());
        if fault == 2 { Err(std::io::Error::other("done, and said to have failed")) } else { Ok(()) }
    }
}

/// The recorder's disk.
#[derive(Clone, Default)]
struct Disk {
    leaves: Vec<Hash>,
    kept: Option<(SignedCheckpoint, u64)>,
    /// Changes with every history that is told anew.
    branch: u64,
    /// It was found out that the log is not what the witness knows.
    refused: bool,
}

/// What the test knows of both.
#[derive(Default)]
struct World {
    disk: Disk,
    /// The leaves of every checkpoint that was ever signed.
    chains: HashMap<(u64, Hash), Vec<Hash>>,
    /// What the witness cosigned, in its order.
    cosigned: Vec<(u64, Hash)>,
    /// Of these, so many were looked at.
    checked: usize,
    /// The recorder is told to be quiet: nothing new comes.
    quiet: bool,
}

type Shared = Arc<Mutex<World>>;

fn root_of(leaves: &[Hash]) -> Hash {
    let mut range = CompactRange::new();
    leaves.iter().for_each(|leaf| range.push(*leaf));
    range.root()
}

async fn serve(memory: Memory, world: Shared) -> turmoil::Result {
    let witness = Arc::new(Witness::new("witness/sim", witness_key(), Box::new(memory)));
    let listener = TcpListener::bind(("0.0.0.0", PORT)).await?;
    loop {
        let (stream, _) = listener.accept().await?;
        let (witness, world) = (Arc::clone(&witness), Arc::clone(&world));
        tokio::spawn(async move {
            let answer = service_fn(move |request: Request<Incoming>| {
                let (witness, world) = (Arc::clone(&witness), Arc::clone(&world));
                async move {
                    let body = request.into_body().collect().await?.to_bytes();
                    let answer = witness.add_checkpoint(&body);
                    if answer.status == 200 {
                        let request = AddCheckpoint::parse(&body).unwrap();
                        let signed = (request.checkpoint.size(), *request.checkpoint.root());
                        world.lock().unwrap().cosigned.push(signed);
                    }
                    let response = Response::builder().status(answer.status);
                    Ok::<_, hyper::Error>(response.body(Full::new(Bytes::from(answer.body))).unwrap())
                }
            });
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), answer)
                .await;
        });
    }
}

async fn post(request: &AddCheckpoint) -> Result<(u16, Vec<u8>), Box<dyn std::error::Error>> {
    let asked = async {
        let stream = TcpStream::connect(("witness", PORT)).await?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        let head = Request::post("/add-checkpoint").header("host", "witness");
        let response = sender.send_request(head.body(Full::new(Bytes::from(request.encode())))?).await?;
        let status = response.status().as_u16();
        Ok::<_, Box<dyn std::error::Error>>((
            status,
            response.into_body().collect().await?.to_bytes().to_vec(),
        ))
    };
    tokio::time::timeout(Duration::from_secs(2), asked).await?
}

async fn record(world: Shared, seed: u64) -> turmoil::Result {
    let mut dice = Dice(seed);
    let key = witness_key().witness("witness/sim").unwrap();
    // The start check.
    let nothing = SignedCheckpoint::sign(&log_key(), ORIGIN, 0, &EMPTY_ROOT).unwrap();
    let request = AddCheckpoint { old: 0, proof: Vec::new(), checkpoint: nothing };
    if let Ok((status, body)) = post(&request).await
        && let Meaning::Ahead(signed) = Courier::new(key.clone(), None).take(&request, status, &body)
    {
        let mut world = world.lock().unwrap();
        world.disk.refused |= signed > world.disk.leaves.len() as u64;
    }
    let kept = world.lock().unwrap().disk.kept.clone();
    let mut courier = Courier::new(key, kept);
    loop {
        tokio::time::sleep(Duration::from_millis(20 + dice.below(200))).await;
        let (checkpoint, growth) = {
            let mut world = world.lock().unwrap();
            if world.disk.refused {
                continue;
            }
            let more = if world.quiet { 0 } else { dice.below(6) };
            for _ in 0..more {
                let leaf = leaf_hash(format!("{} {}", world.disk.branch, world.disk.leaves.len()).as_bytes());
                world.disk.leaves.push(leaf);
            }
            let leaves = world.disk.leaves.clone();
            let root = root_of(&leaves);
            world.chains.insert((leaves.len() as u64, root), leaves.clone());
            let mut growth = Growth::new(CompactRange::new());
            leaves.iter().for_each(|leaf| growth.push(*leaf));
            (SignedCheckpoint::sign(&log_key(), ORIGIN, leaves.len() as u64, &root).unwrap(), growth)
        };
        for _ in 0..2 {
            let prove = |old, new| Ok(growth.consistency(old, new).unwrap());
            let Ok(Some(request)) = courier.request(&checkpoint, &prove) else {
                world.lock().unwrap().disk.refused = true;
                break;
            };
            let Ok((status, body)) = post(&request).await else { break };
            match courier.take(&request, status, &body) {
                Meaning::Cosigned => {
                    world.lock().unwrap().disk.kept = courier.cosigned().cloned();
                    break;
                }
                Meaning::AskAgain => {}
                Meaning::Ahead(_) | Meaning::Fork(_) => {
                    world.lock().unwrap().disk.refused = true;
                    break;
                }
                Meaning::Failed(_) => break,
            }
        }
    }
}

fn known(memory: &Memory) -> Known {
    shelf::look(memory, ORIGIN).unwrap().unwrap()
}

/// What must hold at every moment.
fn holds(memory: &Memory, world: &mut World) {
    let on_disk = known(memory).seen();
    let kept = world.disk.kept.as_ref().map_or(0, |(checkpoint, _)| checkpoint.size());
    assert!(kept <= on_disk.size, "cosigned for {kept}, and the witness has {} on disk", on_disk.size);
    for pair in world.cosigned[world.checked.saturating_sub(1)..].windows(2) {
        let [(old, old_root), (new, new_root)] = pair else { unreachable!() };
        assert!(old <= new, "a witness signed {new} records after {old}");
        let (before, after) = (&world.chains[&(*old, *old_root)], &world.chains[&(*new, *new_root)]);
        assert_eq!(before[..], after[..*old as usize], "a fork was cosigned");
    }
    if let Some((size, _)) = world.cosigned.last() {
        assert!(*size <= on_disk.size, "it was signed before it was remembered");
    }
    world.checked = world.cosigned.len();
}

/// What came of a run.
#[derive(Debug, Default)]
struct Seen {
    cosigned: usize,
    refused: usize,
}

fn run(seed: u64) -> Seen {
    let memory = Memory::default();
    shelf::add(&memory, log_key().verifier(ORIGIN).unwrap()).unwrap();
    let world = Shared::default();
    world.lock().unwrap().chains.insert((0, EMPTY_ROOT), Vec::new());
    let mut dice = Dice(seed);
    let mut sim = turmoil::Builder::new()
        .rng_seed(seed)
        .simulation_duration(Duration::from_secs(3_600))
        .tick_duration(Duration::from_millis(10))
        .build();
    let (of_witness, of_world) = (memory.clone(), Arc::clone(&world));
    sim.host("witness", move || serve(of_witness.clone(), Arc::clone(&of_world)));
    let of_world = Arc::clone(&world);
    sim.host("recorder", move || record(Arc::clone(&of_world), seed));
    let mut snapshot = Disk::default();
    let mut was_rolled_back = false;
    let steps = |sim: &mut turmoil::Sim, count: u64| {
        for _ in 0..count {
            sim.step().unwrap();
            holds(&memory, &mut world.lock().unwrap());
        }
    };
    for _ in 0..25 {
        steps(&mut sim, 5 + dice.below(60));
        memory.faults.store(dice.below(8), Ordering::SeqCst);
        match dice.below(8) {
            0 => sim.partition("recorder", "witness"),
            1 | 2 => sim.repair("recorder", "witness"),
            3 => {
                sim.crash("witness");
                steps(&mut sim, dice.below(40));
                sim.bounce("witness");
            }
            4 => {
                sim.crash("recorder");
                // The newest cosignature may not have reached the disk.
                if dice.below(2) == 0 {
                    world.lock().unwrap().disk.kept = None;
                }
                sim.bounce("recorder");
            }
            5 => snapshot = world.lock().unwrap().disk.clone(),
            6 if seed % 2 == 1 => {
                // An old copy of the log is put back, and goes on differently.
                sim.crash("recorder");
                {
                    let mut world = world.lock().unwrap();
                    let branch = world.disk.branch + 1;
                    world.disk = Disk { branch, refused: false, ..snapshot.clone() };
                }
                was_rolled_back = true;
                sim.bounce("recorder");
            }
            _ => {}
        }
    }
    // All is well again, and nothing new comes.
    memory.faults.store(0, Ordering::SeqCst);
    sim.repair("recorder", "witness");
    world.lock().unwrap().quiet = true;
    steps(&mut sim, 1_500);
    let world = world.lock().unwrap();
    let on_disk = known(&memory).seen();
    let size = world.disk.leaves.len() as u64;
    if world.disk.refused {
        assert!(was_rolled_back, "nothing was put back, and the log is refused");
    } else {
        assert_eq!(
            (on_disk.size, on_disk.root),
            (size, root_of(&world.disk.leaves)),
            "the witness lags behind"
        );
        assert_eq!(world.disk.kept.as_ref().map_or(0, |(checkpoint, _)| checkpoint.size()), size);
    }
    Seen { cosigned: world.cosigned.len(), refused: usize::from(world.disk.refused) }
}

#[test]
fn no_fork_or_rollback_is_ever_cosigned_and_nothing_lags_for_ever() {
    let mut all = Seen::default();
    for seed in 0..200 {
        let seen = std::panic::catch_unwind(|| run(seed)).unwrap_or_else(|_| panic!("seed {seed}"));
        all.cosigned += seen.cosigned;
        all.refused += seen.refused;
    }
    println!("{all:?}");
    assert!(all.cosigned > 2_000 && all.refused > 10, "something happened: {all:?}");
}
