use cedar_policy::{PolicySet, Schema, ValidationMode, Validator};
#[test]
fn the_sets_are_valid() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let schema = std::fs::read_to_string(root.join("src/schema.cedarschema")).unwrap();
    let (schema, _) = Schema::from_cedarschema_str(&schema).unwrap();
    let mut bad = 0;
    for set in ["baseline", "read-only", "pci", "hipaa", "strict"] {
        let text = std::fs::read_to_string(root.join(format!("sets/{set}/{set}.cedar"))).unwrap();
        let policies: PolicySet = match text.parse() { Ok(p) => p, Err(e) => { println!("{set}: {e:?}"); bad += 1; continue } };
        let result = Validator::new(schema.clone()).validate(&policies, ValidationMode::Strict);
        for e in result.validation_errors() { println!("{set}: {e}"); bad += 1; }
        for e in result.validation_warnings() { println!("{set}: warn {e}"); }
    }
    assert_eq!(bad, 0);
}
