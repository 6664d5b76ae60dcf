//! Tree and proofs against two independent implementations, `ct-merkle` and `tlog_tiles`.

use ct_merkle::mem_backed_tree::MemoryBackedTree;
use fdr_log::{
    Batch, CompactRange, Hash, Log, ProofError, Prover, TlogProof, check_consistency, check_inclusion,
    leaf_hash, prove_consistency, prove_inclusion,
};
use sha2::Sha256;

use crate::append::{batch, options};
use crate::sim_disk::SimDisk;

const SIZE: u64 = 500;

fn record(index: u64) -> Vec<u8> {
    format!("record {index}").into_bytes()
}

/// A log of 500 records over several segments, thanks to contents.
fn prover() -> Prover {
    let disk = SimDisk::new();
    let (log, _) = Log::open_on(disk.clone(), options()).unwrap();
    for seq in 0..SIZE / 5 {
        let records = (5 * seq..5 * seq + 5).map(record).collect();
        let len = if seq % 10 == 9 { 300_000 } else { 9000 };
        let contents = vec![fdr_log::Content { salt: [0; 16], bytes: vec![1; len] }];
        log.append(Batch { source: [0; 16], seq, records, contents }).unwrap();
    }
    let (size, root) = (log.size(), log.root());
    drop(log);
    assert!(disk.files().len() > 10, "many segments");
    let mut prover = Prover::open_on(disk).unwrap();
    assert_eq!(prover.root(size).unwrap(), root);
    prover
}

struct TlogHashes(Vec<tlog_tiles::Hash>);

impl tlog_tiles::HashReader for TlogHashes {
    fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<tlog_tiles::Hash>, tlog_tiles::Error> {
        Ok(indexes.iter().map(|index| self.0[*index as usize]).collect())
    }
}

fn tlog(hash: &Hash) -> tlog_tiles::Hash {
    tlog_tiles::Hash(*hash)
}

/// The sizes and indexes that are tried with a size: all for small trees, edges and a stride for large ones.
fn tried(size: u64) -> Vec<u64> {
    let step = if size <= 70 { 1 } else { 41 };
    let mut tried: Vec<u64> = (0..size).step_by(step).chain([size - 1, size / 2]).collect();
    tried.extend([63, 64, 65, 127, 128, 129, 255, 256, 257].into_iter().filter(|at| *at < size));
    tried.sort_unstable();
    tried.dedup();
    tried
}

#[test]
fn roots_and_proofs_are_those_of_two_other_implementations() {
    let mut prover = prover();
    let mut ours = CompactRange::new();
    let mut ct: MemoryBackedTree<Sha256, Vec<u8>> = MemoryBackedTree::new();
    let mut stored = TlogHashes(Vec::new());
    let mut roots = vec![ours.root()];
    for index in 0..SIZE {
        ours.push(leaf_hash(&record(index)));
        ct.push(record(index));
        let new = tlog_tiles::stored_hashes(index, &record(index), &stored).unwrap();
        stored.0.extend(new);
        let (size, root) = (index + 1, ours.root());
        roots.push(root);
        assert_eq!(prover.root(size).unwrap(), root, "size {size}");
        assert_eq!(ct.root().as_bytes().as_slice(), root, "size {size}");
        assert_eq!(tlog_tiles::tree_hash(size, &stored).unwrap(), tlog(&root), "size {size}");

        for at in tried(size) {
            let leaf = leaf_hash(&record(at));
            let proof = prover.inclusion(at, size).unwrap();
            let theirs = ct.prove_inclusion(at as usize);
            assert_eq!(theirs.as_bytes(), proof.concat(), "inclusion {at} in {size}");
            let hashes: Vec<_> = proof.iter().map(tlog).collect();
            tlog_tiles::check_record(&hashes, size, tlog(&root), at, tlog(&leaf)).unwrap();

            let old = at;
            let proof = prover.consistency(old, size).unwrap();
            if old > 0 {
                let theirs = ct.prove_consistency((size - old) as usize);
                assert_eq!(theirs.as_bytes(), proof.concat(), "consistency {old} to {size}");
                let hashes: Vec<_> = proof.iter().map(tlog).collect();
                tlog_tiles::check_tree(&hashes, size, tlog(&root), old, tlog(&roots[old as usize])).unwrap();
            }
        }
    }
}

#[test]
fn checks_refuse_every_wrong_proof() {
    let mut prover = prover();
    for (index, size) in [(0, 1), (0, 2), (6, 7), (3, 7), (99, 300), (255, 256), (299, 300)] {
        let (root, leaf) = (prover.root(size).unwrap(), leaf_hash(&record(index)));
        let proof = prover.inclusion(index, size).unwrap();
        let refused = |proof: &[Hash], index: u64, leaf: &Hash, size: u64, root: &Hash| {
            assert!(check_inclusion(proof, index, leaf, size, root).is_err(), "{index} in {size}");
        };
        check_inclusion(&proof, index, &leaf, size, &root).unwrap();
        refused(&proof, index, &leaf, size, &leaf_hash(b"another root"));
        refused(&proof, index, &leaf_hash(b"another leaf"), size, &root);
        refused(&proof, size, &leaf, size, &root);
        refused(&[proof.clone(), vec![root]].concat(), index, &leaf, size, &root);
        for at in 0..proof.len() {
            let mut wrong = proof.clone();
            wrong[at][at % 32] ^= 1;
            refused(&wrong, index, &leaf, size, &root);
            refused(&proof[..at], index, &leaf, size, &root);
        }
        for other in (0..size).filter(|other| *other != index) {
            refused(&proof, other, &leaf, size, &root);
        }
    }
    for (old, new) in [(1, 2), (3, 7), (4, 7), (6, 7), (64, 300), (99, 300), (128, 256)] {
        let (old_root, new_root) = (prover.root(old).unwrap(), prover.root(new).unwrap());
        let proof = prover.consistency(old, new).unwrap();
        check_consistency(&proof, old, &old_root, new, &new_root).unwrap();
        let refused = |proof: &[Hash], old: u64, old_root: &Hash, new: u64, new_root: &Hash| {
            assert!(check_consistency(proof, old, old_root, new, new_root).is_err(), "{old} to {new}");
        };
        refused(&proof, old, &new_root, new, &new_root);
        refused(&proof, old, &old_root, new, &old_root);
        refused(&proof, new, &old_root, old, &new_root);
        refused(&proof, 0, &old_root, new, &new_root);
        refused(&proof, new, &old_root, new, &new_root);
        refused(&[proof.clone(), vec![new_root]].concat(), old, &old_root, new, &new_root);
        for at in 0..proof.len() {
            let mut wrong = proof.clone();
            wrong[at][at % 32] ^= 1;
            refused(&wrong, old, &old_root, new, &new_root);
            refused(&proof[..at], old, &old_root, new, &new_root);
        }
    }
    assert!(matches!(prover.inclusion(SIZE, SIZE), Err(ProofError::OutOfRange { .. })));
    assert!(prover.inclusion(0, SIZE + 1).is_err());
    assert!(prover.consistency(3, SIZE + 1).is_err());
}

#[test]
fn a_proof_file_is_checked_without_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let (log, _) = Log::open(dir.path(), options()).unwrap();
    let key = log.verifier().clone();
    for seq in 0..9 {
        log.append(batch(seq, &[&record(seq)])).unwrap();
    }
    let checkpoint = log.close().unwrap().unwrap();
    let mut proof = TlogProof::make(dir.path(), 4, checkpoint.clone()).unwrap();
    proof.extra = Some(b"anything".to_vec());
    let text = proof.to_text();
    assert!(text.starts_with("c2sp.org/tlog-proof@v1\nextra YW55dGhpbmc=\nindex 4\n"));
    let parsed = TlogProof::parse(&text).unwrap();
    assert_eq!(parsed, proof);
    parsed.check(&record(4), &key).unwrap();
    assert!(parsed.check(&record(5), &key).is_err());
    let stranger = fdr_log::SigningKey::from_seed(&[5; 32]).verifier("log.example/test").unwrap();
    assert!(parsed.check(&record(4), &stranger).is_err());
    for (from, to) in [
        ("@v1", "@v2"),
        ("index 4", "index 04"),
        ("index 4", "index +4"),
        ("extra YW55dGhpbmc=", "extra !"),
        ("\n\nlog.example", "\nlog.example"),
        ("index 4\n", "index 4\nAAAA\n"),
    ] {
        assert!(TlogProof::parse(&text.replacen(from, to, 1)).is_err(), "{from:?} as {to:?}");
    }
    assert_eq!(prove_inclusion(dir.path(), 4, 9).unwrap(), proof.hashes);
    assert_eq!(prove_consistency(dir.path(), 9, 9).unwrap(), Vec::<Hash>::new());
    assert!(prove_consistency(dir.path(), 9, 10).is_err());
}
